//! The fuzzers' seeds, and every input that has once found a fault, run as tests: without a fuzzer.

use std::path::{Path, PathBuf};

/// Returns all inputs of a target: those in `seeds/TARGET`, in `found/TARGET` if it exists, and in that folder of
/// another one that the environment names. Each name is printed first, so that a panic can be traced to its input.
fn inputs(target: &str) -> impl Iterator<Item = Vec<u8>> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    let other = std::env::var_os("WGPU_LOSS_FUZZ_INPUTS").map(PathBuf::from);
    let folders = [own.join("seeds"), own.join("found")].into_iter().chain(other);
    let mut files = Vec::new();
    for folder in folders {
        let Ok(entries) = folder.join(target).read_dir() else { continue };
        let first = files.len();
        files.extend(entries.map(|entry| entry.unwrap().path()));
        files[first..].sort();
    }
    assert!(files.len() >= 40, "{} inputs", files.len());
    files.into_iter().map(|file| {
        println!("{}", file.display());
        std::fs::read(&file).unwrap()
    })
}

#[test]
fn files() {
    inputs("files").for_each(|input| wgpu_loss_fuzz::files::run(&input));
}

#[test]
fn plans() {
    inputs("plans").for_each(|input| wgpu_loss_fuzz::plans::run(&input));
}

#[test]
fn gpu_calls() {
    wgpu_loss_fuzz::calls::run_all(inputs("calls"));
}
