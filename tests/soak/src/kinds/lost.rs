//! Devices that are lost: a typed error at every later call, and right numbers of the next device.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use support::close::Judged;
use wgpu_loss::{CrossEntropy, Error, Gpu, Outputs};
use wgpu_loss_fuzz::draw::Draw;

use crate::call::Call;
use crate::devices::{Devices, opened};

/// Loses a GPU, or the host's device.
pub fn step(devices: &mut Devices, bytes: &[u8]) -> Judged {
    let draw = &Draw::new(bytes);
    if draw.comes(3) {
        host(devices);
        return Judged::default();
    }
    let turn = draw.within(0, 3);
    let gpu = opened(turn);
    let tiny = gpu.with_memory_budget(draw.one_of(&[12 << 10, 512 << 20]));
    let call = Call::small(draw);
    let judged = call.check("before the loss", &tiny);
    match draw.below(3) {
        0 => tiny.device().destroy(),
        1 => within_a_stream(&call, &tiny),
        _ => at_any_moment(&call, &tiny, Duration::from_micros(draw.within(0, 20_000))),
    }
    call.is_lost("after the loss", &tiny);
    let error = tiny.bind(&*call.loss, &call.data.inputs(), call.outputs).err();
    assert!(matches!(error, Some(Error::Lost { .. })), "{error:?}");
    drop((gpu, tiny));
    judged.and(call.check("on the next device", &*opened(turn)))
}

fn within_a_stream(call: &Call, gpu: &Gpu) {
    let loss = CrossEntropy::new();
    let data = support::data::Data::random(&[300, 12], 1);
    let mut stream = gpu.stream(&loss, Outputs::loss());
    stream.push(&data.inputs(), &mut ()).expect("a batch");
    gpu.device().destroy();
    let ended = stream.push(&data.inputs(), &mut ()).and_then(|()| stream.finish());
    assert!(matches!(ended, Err(Error::Lost { .. })), "{:?}", ended.err());
    call.is_lost("after the stream", gpu);
}

/// Makes calls until the device is lost, which another thread sees to. Results before that are right.
fn at_any_moment(call: &Call, gpu: &Gpu, moment: Duration) {
    let truth = call.truth();
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(moment);
            gpu.device().destroy();
        });
        loop {
            match call.on(gpu) {
                Ok(got) => drop(call.compare("during the loss", &got, &truth)),
                Err(Error::Lost { .. }) => return,
                Err(error) => panic!("during the loss: {error}"),
            }
        }
    });
}

fn host(devices: &mut Devices) {
    let (host, kernels) = (&devices.host, &devices.kernels);
    let frame = host.frame(40, 12);
    let bound = frame.bound(kernels).expect("bound work");
    let reader = bound.reader().expect("a reader");
    host.submit(&bound, Some(&reader));
    frame.check("before the loss", reader.wait().expect("a result"));
    host.undisturbed(|| {
        host.device.destroy();
        is_lost(frame.bound(kernels));
        is_lost(bound.rebind(&frame.buffers()));
        is_lost(bound.reader());
        // Recording has no effect, and there is no result.
        host.submit(&bound, Some(&reader));
        is_lost(reader.wait());
        drop((bound, reader));
    });
    host.device.poll(wgpu::PollType::wait_indefinitely()).expect("a device that waits for nothing");
    assert_eq!(host.lost.load(Ordering::SeqCst), 1, "the host's own callback");
    devices.reopen_host();
    let frame = devices.host.frame(40, 12);
    let bound = frame.bound(&devices.kernels).expect("bound work");
    let reader = bound.reader().expect("a reader");
    devices.host.submit(&bound, Some(&reader));
    frame.check("on the next device", reader.wait().expect("a result"));
}

fn is_lost<T>(result: Result<T, Error>) {
    let error = result.err();
    assert!(matches!(error, Some(Error::Lost { .. })), "{error:?}");
}
