//! Calls: a loss of small tensors on a device of some limits, subgroups, tuning and memory budget, called in one way or
//! another, has the numbers of the f64 reference; outputs are poisoned first, and nothing beside them is written.

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

/// Runs all of these, and asserts that the tolerances were such that the comparisons say something. Of a single call
/// that is too much to ask: of its three numbers one may be a difference of which nothing is left.
pub fn run_all(calls: impl Iterator<Item = Vec<u8>>) {
    calls
        .map(|call| judged(&call))
        .fold(Judged::default(), Judged::and)
        .assert_says_something("all calls");
}

fn judged(data: &[u8]) -> Judged {
    let draw = Draw::new(data);
    match draw.below(8) {
        0..=3 => classes::run(&draw),
        4 => classes::run_crowded(&draw),
        _ => elements::run(&draw),
    }
}

/// Whether a device of such limits or such a budget may refuse a call that is right.
fn may_refuse(error: &Error) -> bool {
    matches!(error, Error::Limit { .. } | Error::Budget { .. })
}
