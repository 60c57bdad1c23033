//! Threads that share a device have what each has alone.

use std::thread;

use support::answer::bits;
use support::close::Judged;
use wgpu_loss::{Error, Gpu, Output};
use wgpu_loss_fuzz::draw::Draw;

use crate::call::Call;
use crate::devices::Devices;

const THREADS: usize = 3;
/// Bytes that hold a few dozen rows of small calls.
const TINY: u64 = 12 << 10;

/// Calls of three threads at once, compared with what they are alone.
pub fn step(devices: &mut Devices, bytes: &[u8]) -> Judged {
    let draw = &Draw::new(bytes);
    let gpu = devices.either(draw).with_memory_budget(draw.one_of(&[TINY, 64 << 10, 1 << 20]));
    let calls: Vec<Call> = (0..THREADS).map(|_| Call::small(draw)).collect();
    let mut judged = Judged::default();
    let mut alone = Vec::new();
    for call in &calls {
        let output = call.on(&gpu).unwrap_or_else(|error| panic!("alone: {error}"));
        judged = judged.and(call.compare("alone", &output, &call.truth()));
        alone.push(words(&output));
    }
    // Half of the time, they compile the same kernels at first.
    let shared = if draw.comes(4) { gpu.fresh() } else { gpu };
    let turns = draw.within(1, 6) as usize;
    thread::scope(|scope| {
        for first in 0..THREADS {
            let (calls, alone, shared) = (&calls, &alone, &shared);
            scope.spawn(move || {
                for turn in 0..turns {
                    let number = (first + turn) % calls.len();
                    let got = made(&calls[number], shared, turn % 2 == 1);
                    let got = got.unwrap_or_else(|error| panic!("thread {first}: {error}"));
                    assert!(words(&got) == alone[number], "call {number} of thread {first}");
                }
            });
        }
    });
    judged
}

fn made(call: &Call, gpu: &Gpu, asynchronous: bool) -> Result<Output<f32>, Error> {
    let inputs = call.data.inputs();
    match asynchronous {
        true => pollster::block_on(gpu.run_async(&*call.loss, &inputs, call.outputs)),
        false => gpu.run(&*call.loss, &inputs, call.outputs),
    }
}

/// Returns the bits of all large outputs.
fn words(output: &Output<f32>) -> Vec<Vec<u32>> {
    let parts = [
        Some(&output.loss),
        output.grad.as_ref(),
        output.log_probs.as_ref(),
        output.probs.as_ref(),
        output.rows.lse.as_ref(),
    ];
    parts.into_iter().flatten().map(|part| bits(part)).collect()
}
