//! Work on the CPU that is stopped half-way leaves nothing under a final name, and on Ctrl-C nothing at
//! all.

#![cfg(target_os = "linux")]

mod support;

#[test]
fn stopped_work_leaves_nothing() {
    support::Interrupted::new().leaves_nothing("cpu");
}
