//! Work that is stopped half-way leaves nothing under a final name, and on Ctrl-C nothing at all.

#![cfg(target_os = "linux")]

mod support;

use std::fs::File;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use support::{Folder, npy};

/// Logits of zeros that take no room on the disk: 256 Mi of them, seconds of work.
fn folder() -> Folder {
    let folder = Folder::new();
    folder.write("x.npy", npy("'<f4'", false, "65536, 4096", &[]));
    let file = File::options().write(true).open(folder.path("x.npy")).unwrap();
    file.set_len(file.metadata().unwrap().len() + (1 << 30)).unwrap();
    folder
}

/// Starts the work and waits until some of the result is written.
fn started(folder: &Folder) -> Child {
    let mut command = folder.command("log-softmax x.npy --device cpu --save-output p.npy");
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let start = Instant::now();
    let written = |name: &String| std::fs::metadata(folder.path(name)).map_or(0, |m| m.len());
    while !folder.names().iter().any(|name| name.ends_with(".tmp") && written(name) > 1 << 20) {
        assert!(start.elapsed() < Duration::from_secs(60), "nothing is written");
        std::thread::sleep(Duration::from_millis(5));
    }
    child
}

/// Sends a signal and gives what is left: status, stderr and names in the folder.
fn ended(folder: &Folder, signal: &str) -> (Option<i32>, String, Vec<String>) {
    let child = started(folder);
    let id = child.id().to_string();
    assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.stdout, b"");
    (output.status.code(), String::from_utf8(output.stderr).unwrap(), folder.names())
}

#[test]
fn ctrl_c_and_sigterm_leave_nothing() {
    let folder = folder();
    folder.write("p.npy", "old");
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let (status, stderr, names) = ended(&folder, signal);
        assert_eq!(status, Some(code), "{stderr}");
        assert_eq!(stderr, "wgpu-loss: interrupted; nothing was saved\n");
        assert_eq!(names, ["p.npy", "x.npy"]);
        assert_eq!(std::fs::read(folder.path("p.npy")).unwrap(), b"old");
    }
}

#[test]
fn a_kill_leaves_nothing_under_the_name() {
    let folder = folder();
    let (status, _, names) = ended(&folder, "-KILL");
    assert_eq!(status, None);
    assert!(!names.contains(&"p.npy".to_string()), "{names:?}");
}
