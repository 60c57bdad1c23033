//! Two devices on one adapter as one.

use support::close::Judged;
use wgpu_loss::MultiGpu;
use wgpu_loss_fuzz::draw::Draw;

use super::streams::streamed;
use crate::call::Call;
use crate::devices::Devices;

/// A call or a stream in pieces for both.
pub fn step(devices: &mut Devices, bytes: &[u8]) -> Judged {
    let draw = &Draw::new(bytes);
    let budget = draw.one_of(&[12 << 10, 64 << 10, 1 << 20]);
    let both = [&devices.gpu, &devices.kept].map(|gpu| gpu.with_memory_budget(budget));
    let gpus = MultiGpu::new(both.into()).expect("two GPUs");
    let judged = match draw.comes(5) {
        true => Call::small(draw).check("two GPUs", &gpus),
        // The budget is that of a row at least.
        false if budget > 12 << 10 => streamed(draw, "a stream of two GPUs", &gpus),
        false => Call::draw(draw, &[2000, 100]).check("two GPUs", &gpus),
    };
    let shares = gpus.shares();
    assert!(shares.iter().all(|share| share.failure.is_none()), "{shares:?}");
    assert!(shares.iter().any(|share| share.pieces > 0), "{shares:?}");
    judged
}
