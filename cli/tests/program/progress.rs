//! A bar if stderr is a terminal, and no output if it is not.

#![cfg(target_os = "linux")]

use std::fs::File;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::{Folder, npy};

/// Logits of zeros that take no room on the disk, and their labels.
fn save(folder: &Folder, rows: usize) {
    folder.write("x.npy", npy("'<f4'", false, &format!("{rows}, 2048"), &[]));
    let file = File::options().write(true).open(folder.path("x.npy")).unwrap();
    file.set_len(file.metadata().unwrap().len() + 8192 * rows as u64).unwrap();
    folder.save("t.npy", &[rows], &vec![7u16; rows]);
}

/// Runs the program on a terminal of its own and gives all that is shown there.
fn on_a_terminal(folder: &Folder, words: &str) -> String {
    let program = format!("{} {words}", crate::support::program());
    let mut script = Command::new("script");
    let script = script.args(["-qec", &program, "/dev/null"]).current_dir(folder.path(""));
    let output = script.env("TERM", "xterm").output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    let end: String = shown.chars().rev().take(600).collect::<Vec<_>>().into_iter().rev().collect();
    assert!(output.status.success(), "{end}");
    assert!(end.contains("computed "), "no report in {end}");
    shown
}

#[test]
fn a_bar_on_a_terminal_and_nothing_elsewhere() {
    let words = "cross-entropy x.npy t.npy --device cpu";
    let folder = Folder::new();
    // Work that takes this machine three seconds and more; in a pipe, stderr stays empty.
    let (mut rows, mut taken) = (1 << 17, Duration::ZERO);
    while taken < Duration::from_secs(3) {
        save(&folder, rows);
        let start = Instant::now();
        folder.run(words).good();
        taken = start.elapsed();
        rows = (rows as f64 * 4.0 / taken.as_secs_f64().clamp(0.5, 2.0)) as usize;
    }
    let shown = on_a_terminal(&folder, words);
    for said in ["computing ", "rows/s, ", " GB/s, ", " s left", " %"] {
        assert!(shown.contains(said), "no {said:?} in {shown:.300}");
    }
    let shown = on_a_terminal(&folder, &format!("{words} --quiet"));
    assert!(!shown.contains("rows/s"), "{shown:.300}");
}

#[test]
fn nothing_for_what_is_done_at_once() {
    let folder = Folder::with_logits();
    assert!(!on_a_terminal(&folder, "softmax x.npy --device cpu").contains("rows/s"));
}

#[test]
fn quiet_silences_notices() {
    let folder = Folder::with_logits();
    let check = "softmax x.npy --device cpu --check";
    assert!(folder.run(check).stderr.contains("reference itself"));
    folder.run(&format!("{check} --quiet")).good();
    let mut command = folder.command("softmax x.npy --quiet");
    command.env("VK_DRIVER_FILES", "/nonexistent").env("VK_ICD_FILENAMES", "/nonexistent");
    crate::support::Run::new("without a driver", command.output().unwrap()).good();
}
