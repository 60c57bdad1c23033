//! The operations on Burn's unfused backend, whose tensors have their buffers at once.

use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::ops::{FloatTensorOps, IntTensorOps};
use burn::backend::{Autodiff, AutodiffBackend};
use burn::tensor::{Device, TensorData};
use burn_cubecl::tensor::CubeTensor;
use burn_cubecl::{CubeBackend, CubeDevice};
use wgpu_loss::Reduction;

use crate::criterion::{Criterion, Kind};
use crate::device::cube_device;
use crate::ops::{GradOps, LossOps, Target, Weight};
use crate::resource::Resource;

const LOGITS: [[f32; 3]; 2] = [[3.5, -3.45, 0.23], [-2.14, 0.54, 2.67]];
const LOSS: f32 = 0.079_2;

fn device() -> CubeDevice {
    static DEVICE: std::sync::OnceLock<Device> = std::sync::OnceLock::new();
    let open = || crate::init(Device::wgpu_options()).expect("no adapter: install a Vulkan driver");
    cube_device(DEVICE.get_or_init(open)).expect("a device of Burn's wgpu backend")
}

fn floats(data: impl Into<TensorData>) -> CubeTensor {
    CubeBackend::float_from_data(data.into(), &device())
}

fn labels() -> CubeTensor {
    CubeBackend::int_from_data([0i32, 2].into(), &device())
}

fn host(tensor: CubeTensor) -> Vec<f32> {
    let read = burn_cubecl::ops::into_data_sync(tensor);
    read.try_to_vec().expect("f32")
}

fn mean() -> Criterion {
    Criterion::new(Kind::CrossEntropy, Reduction::Mean)
}

/// Returns a tensor's buffer, and its offset in it.
fn place(tensor: &CubeTensor) -> (wgpu_loss::wgpu::Buffer, u64) {
    let resource = Resource::of(tensor).expect("a buffer");
    let binding = resource.binding();
    (binding.buffer.clone(), binding.offset)
}

#[test]
fn the_gradient_takes_the_place_of_logits_that_nobody_else_has() {
    let kept = floats(LOGITS);
    let before = place(&kept);
    let target = || Target::Labels(labels());
    let (loss, grad) = CubeBackend::loss_and_grad(kept.clone(), target(), Weight::None, mean());
    assert_ne!(place(&grad), before);
    assert_eq!(host(kept.clone()), LOGITS.concat());
    let apart = host(grad);

    let (again, grad) = CubeBackend::loss_and_grad(kept, target(), Weight::None, mean());
    assert_eq!(place(&grad), before);
    assert_eq!(host(grad), apart);
    let (loss, again) = (host(loss), host(again));
    assert!(loss == again && (loss[0] - LOSS).abs() < 1e-3, "{loss:?} {again:?}");
}

#[test]
fn a_gradient_is_weighed_in_place_or_beside() {
    let factor = || floats([-0.5f32]);
    let grad = floats([[1.0f32, 0.0, 3.0], [4.0, 5.0, -6.0]]);
    let wanted = [-0.5, 0.0, -1.5, -2.0, -2.5, 3.0];
    let before = place(&grad);
    let elsewhere = CubeBackend::weigh(grad.clone(), factor());
    assert_ne!(place(&elsewhere), before);
    assert_eq!(host(elsewhere), wanted);
    let in_place = CubeBackend::weigh(grad, factor());
    assert_eq!(place(&in_place), before);
    assert_eq!(host(in_place), wanted);
}

#[test]
fn autodiff() {
    type Tracked = Autodiff<CubeBackend, NoCheckpointing>;
    let logits = Tracked::float_set_require_grad(Tracked::from_inner(floats(LOGITS)), true);
    let target = Target::Labels(labels());
    let loss = Tracked::loss(logits.clone(), target, Weight::None, mean());
    let grads = Tracked::backward(loss);
    let grad = host(Tracked::grad(&logits, &grads).expect("a gradient"));
    let (_, wanted) =
        CubeBackend::loss_and_grad(floats(LOGITS), Target::Labels(labels()), Weight::None, mean());
    assert_eq!(grad, host(wanted));
}
