//! Calls that `try_forward` refuses, and errors that only the device finds.

use burn::tensor::{Device, Tensor};
use wgpu_loss_burn::{CrossEntropyLossConfig, Error};

use crate::support::{device, host, ints, tensor};

#[test]
fn shapes_that_do_not_fit() {
    let device = device();
    let loss = CrossEntropyLossConfig::new().init(&device);
    let logits: Tensor<2> = Tensor::zeros([4, 3], &device);
    let error = loss.try_forward(logits.clone(), ints(&[0; 5], [5], &device)).unwrap_err();
    assert_eq!(error.to_string(), "labels has shape [5], expected [4]");
    let ranks = loss.try_forward(logits.clone(), ints(&[0; 4], [4, 1], &device));
    assert!(matches!(ranks, Err(Error::Loss(wgpu_loss::Error::Shape { .. }))), "{ranks:?}");
    let weighted = CrossEntropyLossConfig::new().with_weights(Some(vec![1.0; 2])).init(&device);
    let weights = weighted.try_forward(logits, ints(&[0; 4], [4], &device));
    assert!(matches!(weights, Err(Error::Loss(_))), "{weights:?}");
}

#[test]
#[should_panic(expected = "labels has shape [5], expected [4]")]
fn forward_panics_as_burns_does() {
    let device = device();
    let logits: Tensor<2> = Tensor::zeros([4, 3], &device);
    CrossEntropyLossConfig::new().init(&device).forward(logits, ints(&[0; 5], [5], &device));
}

#[test]
fn a_device_that_nobody_attached() {
    let setup = crate::devices::own_setup();
    let device = Device::wgpu_options().setup(setup).init().expect("Burn takes it");
    let loss = CrossEntropyLossConfig::new().init(&device);
    let error = loss.try_forward(Tensor::<2>::zeros([4, 3], &device), ints(&[0; 4], [4], &device));
    assert!(matches!(error, Err(Error::Unattached { .. })), "{error:?}");
}

#[test]
fn tensors_of_two_devices() {
    let ours = device();
    let setup = crate::devices::own_setup();
    let other = Device::wgpu_options().setup(setup.clone()).init().expect("Burn takes it");
    wgpu_loss_burn::attach(&other, &setup).expect("a device of Burn's wgpu backend");
    let loss = CrossEntropyLossConfig::new().init(&ours);
    let error = loss.try_forward(Tensor::<2>::zeros([4, 3], &ours), ints(&[0; 4], [4], &other));
    assert!(matches!(error, Err(Error::Device { what: "targets", .. })), "{error:?}");
}

#[test]
fn a_label_that_is_no_class_spoils_its_own_gradient_and_the_mean() {
    let device = device().autodiff();
    let data = [1.0f32, 2.0, 3.0, 0.5, 0.25, 0.0];
    let logits: Tensor<2> = tensor(&data, [2, 3], &device).require_grad();
    let loss = CrossEntropyLossConfig::new().init(&device);
    let value = loss.forward(logits.clone(), ints(&[7, 1], [2], &device));
    let grads = value.backward();
    assert!(host(value)[0].is_nan());
    let grad = host(logits.grad(&grads).expect("a gradient"));
    assert!(grad[..3].iter().all(|x| x.is_nan()), "{grad:?}");
    assert!(grad[3..].iter().all(|x| x.is_finite()), "{grad:?}");
}

#[test]
fn a_lost_device_is_an_error_for_whoever_reads() {
    let setup = crate::devices::own_setup();
    let device = Device::wgpu_options().setup(setup.clone()).init().expect("Burn takes it");
    wgpu_loss_burn::attach(&device, &setup).expect("a device of Burn's wgpu backend");
    let loss = CrossEntropyLossConfig::new().init(&device);
    let logits = tensor(&[1.0, 2.0, 3.0], [1, 3], &device);
    let labels = ints(&[1], [1], &device);
    assert!(host(loss.forward(logits.clone(), labels.clone()))[0].is_finite());
    setup.device.destroy();
    let read = loss.try_forward(logits, labels).map(|loss| loss.try_into_data());
    assert!(!matches!(read, Ok(Ok(_))), "{read:?}");
}
