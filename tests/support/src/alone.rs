//! Tests that need a process to themselves: for its environment, or for all objects of its devices.

use std::ffi::OsStr;
use std::process::Command;

use crate::places::test_name;

/// Set in the process of one test.
const ALONE: &str = "WGPU_LOSS_TEST_ALONE";

/// Returns true in a process that runs only the calling test. In any other process it starts that one with more
/// variables in its environment, waits for it and returns false.
///
/// ```ignore
/// if !is_alone(module_path!(), "name_of_this_test", &[]) {
///     return;
/// }
/// ```
///
/// # Panics
/// If the test fails in its process, or does not run there.
#[track_caller]
pub fn is_alone(module: &str, test: &str, variables: &[(&str, &OsStr)]) -> bool {
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let program = std::env::current_exe().expect("this program's path");
    let mut command = Command::new(program);
    command.args(["--exact", &test_name(module, test), "--nocapture"]);
    command.env(ALONE, "1").envs(variables.iter().copied());
    let output = command.output().expect("this program");
    let (said, complained) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    // A name that no test has succeeds, too.
    let passed = output.status.success() && said.contains("1 passed");
    assert!(passed, "{}\n{said}\n{complained}", output.status);
    false
}
