//! The fuzzers' seeds, and every input that has once found a fault, run as tests: without a fuzzer.

use std::path::Path;

/// Runs all inputs of a target: `seeds/TARGET`, and `found/TARGET` where there is one.
fn replay(target: &str, run: fn(&[u8])) {
    let mut count = 0;
    for folder in ["seeds", "found"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join(target);
        let Ok(entries) = folder.read_dir() else { continue };
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
