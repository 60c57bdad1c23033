//! Shards on a GPU: processes that share them give the bits of one, and devices of two kinds the same loss to rounding.

use std::path::Path;
use std::process::Stdio;

use crate::support::{Folder, facts};

const CLASSES: usize = 1000;
const SHARDS: usize = 9;

fn folder() -> Folder {
    let folder = Folder::new();
    let mut list = "input\ttarget\n".to_owned();
    for number in 0..SHARDS {
        let rows = 300 + 37 * number;
        let logits = (0..rows * CLASSES).map(|i| ((i + number) * 7919 % 10_007) as f32 / 700.0);
        folder.save(&format!("x{number}.npy"), &[rows, CLASSES], &logits.collect::<Vec<_>>());
        let labels: Vec<u16> = (0..rows).map(|row| (row * 31 % CLASSES) as u16).collect();
        folder.save(&format!("t{number}.npy"), &[rows], &labels);
        list += &format!("x{number}.npy\tt{number}.npy\n");
    }
    folder.write("list.tsv", list);
    folder
}

const COMMAND: &str = "cross-entropy --list list.tsv --accuracy --per-class";

#[test]
fn four_processes_give_the_bits_of_one() {
    let folder = folder();
    let whole = folder.run(&format!("{COMMAND} --device gpu --json")).good().json();
    let shares = (0..4).map(|share| {
        let words =
            format!("{COMMAND} --device gpu --shard {share}/4 --save-partial p{share}.json");
        folder.command(&words).stdout(Stdio::null()).spawn().expect("a process")
    });
    // At the same time.
    for mut share in shares.collect::<Vec<_>>() {
        assert!(share.wait().unwrap().success());
    }
    let merged = folder.run("merge p0.json p1.json p2.json p3.json --json").good().json();
    assert_eq!(facts(merged), facts(whole.clone()));
    // In batches within a small budget, and on the CPU: the same to rounding.
    for device in ["--device gpu --memory-budget 2MiB", "--device cpu"] {
        let other = folder.run(&format!("{COMMAND} {device} --json")).good().json();
        for name in ["loss", "standard_error"] {
            let [a, b] = [&whole, &other].map(|report| report[name].as_f64().unwrap());
            assert!((a - b).abs() <= 1e-6 * a, "{device}: {name} is {b}, and {a} in one process");
        }
        assert_eq!(whole["correct"], other["correct"]);
    }
}

/// Name and manifest of a driver that these tests do not run on: SwiftShader comes with Debian's Chromium, llvmpipe with
/// Mesa.
fn another_driver() -> (&'static str, &'static Path) {
    let (mesa, swiftshader) = (
        "/usr/share/vulkan/icd.d/lvp_icd.x86_64.json",
        "/usr/lib/chromium/vk_swiftshader_icd.json",
    );
    let ours = std::env::var("VK_DRIVER_FILES").unwrap_or_default();
    let (name, manifest) = if ours.contains("swiftshader") {
        ("llvmpipe", mesa)
    } else {
        ("swiftshader", swiftshader)
    };
    (name, Path::new(manifest))
}

/// Where there is no second driver, the test says that it has not run.
#[test]
fn two_kinds_of_devices_share_a_list() {
    let (name, manifest) = another_driver();
    if !manifest.exists() {
        eprintln!("NOT RUN: {} is not there", manifest.display());
        return;
    }
    let folder = folder();
    let whole = folder.run(&format!("{COMMAND} --device gpu --json")).good().json();
    folder.run(&format!("{COMMAND} --device gpu --shard 0/2 --save-partial a.json")).good();
    let words =
        format!("{COMMAND} --device gpu --adapter {name} --shard 1/2 --save-partial b.json");
    // Loaders before 1.3.207 know the second name only.
    let mut other = folder.command(&words);
    other.env("VK_DRIVER_FILES", manifest).env("VK_ICD_FILENAMES", manifest);
    assert!(other.status().unwrap().success());
    let both = folder.run("merge a.json b.json --json").good().json();
    for name in ["loss", "standard_error"] {
        let [a, b] = [&whole, &both].map(|report| report[name].as_f64().unwrap());
        assert!((a - b).abs() <= 1e-6 * a, "{name} is {b}, and {a} on one device");
    }
    assert_eq!(whole["rows"], both["rows"]);
    assert_eq!(both["adapters"].as_array().map(Vec::len), Some(2), "{both}");
}

#[test]
fn a_gpu_is_taken_in_turn() {
    let folder = folder();
    let wanted = folder.run("cross-entropy x0.npy t0.npy --device gpu --json").good().json();
    let taken = folder.run("cross-entropy x0.npy t0.npy --adapter-turn 5 --json").good().json();
    assert_eq!(wanted["loss"], taken["loss"]);
    let several = "cross-entropy x0.npy t0.npy --adapter a --adapter b --adapter-turn 1";
    folder.run(several).bad(2, &["--adapter-turn takes one GPU"]);
    folder
        .run("cross-entropy x0.npy t0.npy --device cpu --adapter-turn 1")
        .bad(2, &["--device is cpu"]);
}
