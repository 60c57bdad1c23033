//! Bad inputs: the same typed errors as the reference's, and a device that works afterwards.

use support::close::Judged;
use support::data::Data;
use wgpu_loss::reference::Cpu;
use wgpu_loss::stream::Device;
use wgpu_loss::{
    Bce, CrossEntropy, Error, GaussianNll, Gpu, GpuOptions, Inputs, Loss, Outputs, Partial, Tensor,
};
use wgpu_loss_fuzz::draw::Draw;

use crate::call::Call;
use crate::devices::Devices;

/// Some bad calls, then a good one.
pub fn step(devices: &mut Devices, bytes: &[u8]) -> Judged {
    let draw = &Draw::new(bytes);
    let gpu = devices.either(draw).with_memory_budget(draw.one_of(&[512 << 20, 12 << 10]));
    for _ in 0..draw.within(1, 4) {
        bad_call(draw, &gpu);
    }
    if draw.comes(1) {
        let none = Gpu::with_options(&GpuOptions::new().adapter("no such adapter"));
        assert!(matches!(none, Err(Error::NoAdapter { .. })), "{:?}", none.err());
    }
    let error = Partial::from_bytes(draw.bytes(100)).err();
    assert!(matches!(error, Some(Error::Partial { .. })), "{error:?}");
    Call::small(draw).check("after bad calls", &gpu)
}

fn bad_call(draw: &Draw<'_>, gpu: &Gpu) {
    let rows = draw.within(2, 900) as usize;
    let (shape, few) = ([rows, 4], [rows - 1]);
    let logits = vec![0.5f32; 4 * rows];
    let mut labels = vec![2i64; rows];
    let mut bad = logits.clone();
    let at = draw.below(rows);
    let input = Inputs::new(Tensor::new(&logits, &shape));
    let plain = CrossEntropy::new();
    type Is = fn(&Error) -> bool;
    let is = |loss: &dyn Loss, inputs: &Inputs<'_>, right: Is| refused(gpu, loss, inputs, right);
    match draw.below(9) {
        0 => {
            labels[at] = draw.one_of(&[4, -1, 1 << 40, i64::MIN]);
            is(&plain, &input.labels(&labels, &shape[..1]), |e| {
                matches!(e, Error::BadTargets { count: 1, .. })
            });
        }
        1 => is(&plain, &input.labels(&labels[1..], &few), |e| matches!(e, Error::Shape { .. })),
        2 => is(&plain, &input.labels(&labels[1..], &shape[..1]), |e| {
            matches!(e, Error::Length { .. })
        }),
        3 => is(&plain, &input, |e| matches!(e, Error::Target { .. })),
        4 => is(&plain.label_smoothing(1.5), &input.labels(&labels, &shape[..1]), |e| {
            matches!(e, Error::Option { .. })
        }),
        5 => is(&plain.class_axis(7), &input.labels(&labels, &shape[..1]), |e| {
            matches!(e, Error::ClassAxis { .. })
        }),
        6 => {
            bad[at] = draw.one_of(&[1.5, -0.1]);
            is(&Bce::new(), &input.target(Tensor::new(&bad, &shape)), |e| {
                matches!(e, Error::BadValues { count: 1, .. })
            });
        }
        7 => {
            bad[at] = -1.0;
            let target = Tensor::new(&logits, &shape);
            let inputs = input.target(target).var(Tensor::new(&bad, &shape));
            is(&GaussianNll::new(), &inputs, |e| matches!(e, Error::BadValues { .. }));
        }
        _ => {
            // Equal for both devices, but only a GPU has a budget.
            let data = Data::random(&[rows, 4], 1);
            let error = gpu.with_memory_budget(1).run(&plain, &data.inputs(), Outputs::loss());
            assert!(matches!(error, Err(Error::Budget { .. })), "{error:?}");
        }
    }
}

fn refused(gpu: &Gpu, loss: &dyn Loss, inputs: &Inputs<'_>, right: fn(&Error) -> bool) {
    let outputs = Outputs::loss().with_grad();
    let wanted = Cpu.run(loss, inputs, outputs).expect_err("the reference refuses");
    assert!(right(&wanted), "{wanted:?}");
    let got = gpu.run(loss, inputs, outputs).expect_err("the GPU refuses");
    assert_eq!(got, wanted);
}
