//! Any call: what `scripts/fuzz calls` draws from a fuzzer's bytes, from these.

use support::close::Judged;

use crate::devices::Devices;

/// A few calls.
pub fn step(_: &mut Devices, bytes: &[u8]) -> Judged {
    // A call takes a few dozen bytes.
    bytes.chunks(512).map(wgpu_loss_fuzz::calls::judged).fold(Judged::default(), Judged::and)
}
