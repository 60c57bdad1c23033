//! Work on a GPU that is stopped half-way leaves nothing under a final name, and on Ctrl-C nothing at
//! all.

#![cfg(target_os = "linux")]

#[test]
fn stopped_work_leaves_nothing() {
    crate::support::Interrupted::new().leaves_nothing("gpu");
}
