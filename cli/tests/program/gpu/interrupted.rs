//! Work on a GPU that is stopped half-way leaves no file under a final name, and after Ctrl-C no file at all.

#![cfg(target_os = "linux")]

#[test]
fn stopped_work_leaves_nothing() {
    crate::support::Interrupted::new().leaves_nothing("gpu");
}
