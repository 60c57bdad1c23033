//! Calls: a loss of small tensors on a device of some limits, subgroups, tuning and memory budget, called in one way or
//! another, has the numbers of the f64 reference; outputs are poisoned first, and nothing beside them is written.

use wgpu_loss::Error;

use crate::draw::Draw;

mod classes;
mod devices;
mod elements;

/// Runs the fuzzer's bytes as a call, on the adapter that the tests run on.
pub fn run(data: &[u8]) {
    let draw = Draw::new(data);
    match draw.comes(3) {
        true => elements::run(&draw),
        false => classes::run(&draw),
    }
}

/// Whether a device of such limits or such a budget may refuse a call that is right.
fn may_refuse(error: &Error) -> bool {
    matches!(error, Error::Limit { .. } | Error::Budget { .. })
}
