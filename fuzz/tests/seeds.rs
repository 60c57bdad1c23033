//! The fuzzers' seeds, and every input that has once found a fault, run as tests: without a fuzzer.

use std::path::{Path, PathBuf};

/// Runs all inputs of a target: `seeds/TARGET`, `found/TARGET` where there is one, and the same of another folder that
/// the environment names.
fn replay(target: &str, run: fn(&[u8])) {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    let other = std::env::var_os("WGPU_LOSS_FUZZ_INPUTS").map(PathBuf::from);
    let folders = [own.join("seeds"), own.join("found")].into_iter().chain(other);
    let mut count = 0;
    for folder in folders {
        let Ok(entries) = folder.join(target).read_dir() else { continue };
        let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        for file in files {
            // Names the input where a run of it panics.
            println!("{}", file.display());
            run(&std::fs::read(&file).unwrap());
            count += 1;
        }
    }
    assert!(count >= 40, "{count} inputs");
}

#[test]
fn files() {
    replay("files", wgpu_loss_fuzz::files::run);
}

#[test]
fn plans() {
    replay("plans", wgpu_loss_fuzz::plans::run);
}

#[test]
fn gpu_calls() {
    replay("calls", wgpu_loss_fuzz::calls::run);
}
