//! Calls: a loss of small tensors on a device of some limits, subgroups, tuning and memory budget, called in one of
//! several ways, has the numbers of the f64 reference; outputs are filled with garbage first, and nothing outside them
//! is written.

use wgpu_loss::Error;

use crate::draw::Draw;
use support::close::Judged;

mod classes;
mod devices;
mod elements;

/// Runs the fuzzer's bytes as a call, on the adapter that the tests run on.
pub fn run(data: &[u8]) {
    judged(data);
}

/// Runs all of these, and asserts that the tolerances were small enough for the comparisons to prove something. A
/// single call need not pass that: one of its three numbers may be a difference without significant digits.
pub fn run_all(calls: impl Iterator<Item = Vec<u8>>) {
    calls
        .map(|call| judged(&call))
        .fold(Judged::default(), Judged::and)
        .assert_says_something("all calls");
}

/// Returns the number of pipelines that the devices of this thread's calls keep.
pub fn pipelines() -> usize {
    devices::pipelines()
}

/// Closes the devices that this thread's calls have opened. The next call opens them again.
pub fn close_devices() {
    devices::close();
}

/// Runs a call as [`run`] does, and returns the number of judged numbers.
pub fn judged(data: &[u8]) -> Judged {
    let draw = Draw::new(data);
    match draw.below(8) {
        0..=3 => classes::run(&draw),
        4 => classes::run_crowded(&draw),
        _ => elements::run(&draw),
    }
}

/// Returns true if a device of such limits or such a budget may refuse a valid call.
fn may_refuse(error: &Error) -> bool {
    matches!(error, Error::Limit { .. } | Error::Budget { .. })
}
