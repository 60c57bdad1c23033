//! A short run of each kind of work, so that the long ones start.

use std::process::Command;

use clap::Parser;
use soak::args::Args;

#[test]
fn one_step_of_each_kind() {
    let out = tempfile::tempdir().unwrap();
    let folder = out.path().to_str().unwrap();
    // The first steps of a run are one of each kind.
    let steps = ["soak", "--seed", "1", "--steps", "11", "--every", "1e-9", "--out", folder];
    // However slow the machine is.
    let arguments = steps.into_iter().chain(["--hours", "24", "--limit", "86400"]);
    soak::run::run(&Args::parse_from(arguments)).unwrap();
    let samples = std::fs::read_to_string(out.path().join("samples.csv")).unwrap();
    // The start of the round, and each step.
    assert_eq!(samples.lines().count(), 1 + 1 + 11, "{samples}");
    let picture = std::fs::read_to_string(out.path().join("soak.svg")).unwrap();
    assert!(picture.contains("steps a second") && picture.ends_with("</svg>\n"), "{picture}");
}

#[test]
fn unknown_kinds_are_an_error() {
    let args = Args::parse_from(["soak", "--only", "calls,rest"]);
    let error = soak::run::run(&args).unwrap_err();
    assert!(error.starts_with("--only rest: the kinds are calls, "), "{error}");
}

#[test]
fn what_hangs_is_named() {
    let out = tempfile::tempdir().unwrap();
    let mut program = Command::new(env!("CARGO_BIN_EXE_soak"));
    // No device is opened within a microsecond, so this is as if it hung.
    program.args(["--seed", "1", "--limit", "1e-6", "--out"]).arg(out.path());
    let ended = program.output().unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    let step = std::fs::read_to_string(out.path().join("step")).unwrap();
    assert_eq!(ended.status.code(), Some(1), "{said}");
    let hangs = format!("{}: it hangs: not done after 1µs", step.trim());
    assert!(said.contains(&hangs) && hangs.contains("step 0 of seed 1"), "{said}\n{hangs}");
}
