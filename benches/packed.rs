//! The benches that take `--json`, in one program for machines without cargo: wgpu is linked once.
//!
//! `packed NAME [--json]`, where NAME is that of a file in this folder; `cargo bench --bench NAME` runs one of them
//! alone.

// Every one of them is also a program of its own, with its copy of the shared modules.
#![allow(clippy::duplicate_mod)]

#[path = "extras.rs"]
mod extras;
#[path = "invariance.rs"]
mod invariance;
#[path = "pointwise.rs"]
mod pointwise;
#[path = "record.rs"]
mod record;
#[path = "stages.rs"]
mod stages;
#[path = "start.rs"]
mod start;
#[path = "stream.rs"]
mod stream;
#[path = "tunings.rs"]
mod tunings;
#[path = "upload.rs"]
mod upload;

/// The benches, by name.
const ALL: [(&str, fn()); 9] = [
    ("extras", extras::main),
    ("invariance", invariance::main),
    ("pointwise", pointwise::main),
    ("record", record::main),
    ("stages", stages::main),
    ("start", start::main),
    ("stream", stream::main),
    ("tunings", tunings::main),
    ("upload", upload::main),
];

fn main() {
    let named = |argument: &String| ALL.iter().find(|(name, _)| name == argument);
    match std::env::args().skip(1).find_map(|argument| named(&argument)) {
        Some((_, bench)) => bench(),
        None => {
            let names: Vec<_> = ALL.iter().map(|(name, _)| *name).collect();
            eprintln!("which bench? {} [--json]", names.join(", "));
            std::process::exit(2);
        }
    }
}
