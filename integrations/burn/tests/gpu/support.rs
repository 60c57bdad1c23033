//! A device, data, and the f64 truth.

use std::sync::OnceLock;

use burn::tensor::wgpu::WgpuSetup;
use burn::tensor::{Device, Int, Tensor, TensorData};
use wgpu_loss::{Inputs, Loss, Outputs, reference};

/// The allowed relative error of a loss.
pub const LOSS: f64 = 2e-6;
/// The allowed relative error of a gradient, and the absolute one, which is negligible compared with the largest
/// element.
pub const GRAD: (f64, f64) = (1e-5, 1e-9);

/// Returns Burn's device, attached, and the handles it runs on; the whole process has one. Panics if there is no
/// adapter.
pub fn opened() -> &'static (Device, WgpuSetup) {
    static DEVICE: OnceLock<(Device, WgpuSetup)> = OnceLock::new();
    DEVICE.get_or_init(|| {
        let (device, setup) = Device::wgpu_options().init_with_setup().expect(
            "no adapter: install a Vulkan driver (on Debian, mesa-vulkan-drivers and libvulkan1)",
        );
        wgpu_loss_burn::attach(&device, &setup).expect("a device of Burn's wgpu backend");
        (device, setup)
    })
}

pub fn device() -> Device {
    opened().0.clone()
}

/// `count` numbers between -4 and 4 that look random, the same every time.
pub fn numbers(count: usize, seed: u32) -> Vec<f32> {
    (0..count as u32).map(|i| mixed(i, seed) as f32 / u32::MAX as f32 * 8.0 - 4.0).collect()
}

/// `count` labels below `classes`.
pub fn labels(count: usize, classes: usize, seed: u32) -> Vec<i64> {
    (0..count as u32).map(|i| i64::from(mixed(i, seed) % classes as u32)).collect()
}

fn mixed(i: u32, seed: u32) -> u32 {
    let mut x = (i ^ seed.wrapping_mul(0x9e37_79b9)).wrapping_mul(0x85eb_ca6b);
    x = (x ^ x >> 13).wrapping_mul(0xc2b2_ae35);
    x ^ x >> 16
}

/// Rows of probabilities from rows of numbers.
pub fn probabilities(numbers: &[f32], classes: usize) -> Vec<f32> {
    let row = |row: &[f32]| {
        let powers: Vec<f64> = row.iter().map(|&x| f64::from(x).exp()).collect();
        let sum: f64 = powers.iter().sum();
        powers.into_iter().map(move |power| (power / sum) as f32)
    };
    numbers.chunks(classes).flat_map(row).collect()
}

pub fn tensor<const D: usize>(data: &[f32], shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(data.to_vec(), shape), device)
}

pub fn ints<const D: usize>(data: &[i64], shape: [usize; D], device: &Device) -> Tensor<D, Int> {
    Tensor::from_data(TensorData::new(data.to_vec(), shape), device)
}

pub fn host<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().convert::<f32>().try_to_vec().expect("f32")
}

/// Loss and gradient in f64.
pub struct Truth {
    pub loss: Vec<f64>,
    pub grad: Vec<f64>,
}

pub fn truth(loss: &impl Loss, inputs: &Inputs<'_>) -> Truth {
    let output =
        reference::run(loss, inputs, Outputs::loss().with_grad()).expect("a valid problem");
    Truth { loss: output.loss, grad: output.grad.expect("it was asked for") }
}

/// Returns a loss, and the gradient of the loss times `upstream`.
pub fn differentiated<const D: usize>(
    input: Tensor<D>,
    upstream: Option<Tensor<1>>,
    loss: impl Fn(Tensor<D>) -> Tensor<1>,
) -> (Vec<f32>, Vec<f32>) {
    let input = input.require_grad();
    let loss = loss(input.clone());
    let value = host(loss.clone());
    let loss = match upstream {
        Some(factors) => (loss * factors).sum(),
        None => loss,
    };
    let grads = loss.backward();
    (value, host(input.grad(&grads).expect("a gradient")))
}

/// Fails unless each number is within `relative` of the truth, or within `absolute`.
#[track_caller]
pub fn close(what: &str, given: &[f32], truth: &[f64], relative: f64, absolute: f64) {
    assert_eq!(given.len(), truth.len(), "{what}: length");
    for (i, (&given, &truth)) in given.iter().zip(truth).enumerate() {
        let off = (f64::from(given) - truth).abs();
        let same = f64::from(given) == truth || (given.is_nan() && truth.is_nan());
        let near = off <= relative * truth.abs() + absolute;
        assert!(same || near, "{what}[{i}] is {given}, in f64 {truth}");
    }
}
