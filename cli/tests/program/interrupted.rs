//! Work on the CPU that is stopped half-way leaves no file under a final name, and after Ctrl-C no file at all. Saved
//! files stay, and the message on Ctrl-C says so.

#![cfg(target_os = "linux")]

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::support::Folder;

#[test]
fn stopped_work_leaves_nothing() {
    crate::support::Interrupted::new().leaves_nothing("cpu");
}

/// The report waits for a reader that does not read. The files have their names by then.
#[test]
fn what_is_saved_is_not_said_to_be_lost() {
    let folder = Folder::new();
    let rows = 50_000;
    folder.save("x.npy", &[rows, 2], &vec![0.5f32; 2 * rows]);
    folder.save("t.npy", &[rows], &vec![1u8; rows]);
    let words = "cross-entropy x.npy t.npy --device cpu --reduction none --json --save-loss l.npy \
                 --save-grad g.npy";
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let mut command = folder.command(words);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let start = Instant::now();
        let wait = |what: &str| {
            assert!(start.elapsed() < Duration::from_secs(60), "{what}");
            std::thread::sleep(Duration::from_millis(5));
        };
        while !folder.path("g.npy").exists() {
            wait("nothing is saved");
        }
        crate::support::kill(signal, &child);
        // Nothing reads the output until it has ended.
        while child.try_wait().unwrap().is_none() {
            wait("it does not end");
        }
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{stderr}");
        assert_eq!(stderr, "wgpu-loss: interrupted; the results had been saved\n");
        assert_eq!(folder.names(), ["g.npy", "l.npy", "t.npy", "x.npy"]);
        assert_eq!(folder.load("l.npy").0, [rows]);
        for name in ["l.npy", "g.npy"] {
            std::fs::remove_file(folder.path(name)).unwrap();
        }
    }
}
