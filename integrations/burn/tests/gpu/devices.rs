//! A device that Burn made, and one that existed before.

use burn::tensor::Device;
use burn::tensor::wgpu::WgpuSetup;
use wgpu_loss::wgpu;
use wgpu_loss::{CrossEntropy, Inputs, Tensor as View};
use wgpu_loss_burn::{CrossEntropyLossConfig, attach};

use crate::support::{LOSS, close, host, ints, labels, numbers, tensor, truth};

/// Opens a wgpu device as an application would, with everything that Burn's kernels need: Burn relies on the adapter's
/// features, not on those requested from the device.
pub fn own_setup() -> WgpuSetup {
    let instance =
        wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env());
    let adapter = pollster::block_on(instance.request_adapter(&Default::default()))
        .expect("no adapter: install a Vulkan driver");
    let features = adapter.features()
        & !wgpu::Features::MAPPABLE_PRIMARY_BUFFERS
        & !wgpu::Features::all_experimental_mask();
    let descriptor = wgpu::DeviceDescriptor {
        label: Some("the application's device"),
        required_features: features,
        required_limits: adapter.limits(),
        ..Default::default()
    };
    let (device, queue) =
        pollster::block_on(adapter.request_device(&descriptor)).expect("a device");
    let backend = adapter.get_info().backend;
    WgpuSetup { instance, adapter, device, queue, backend }
}

#[test]
fn the_applications_device_is_given_to_burn() {
    let setup = own_setup();
    let device = Device::wgpu_options().setup(setup.clone()).init().expect("Burn takes it");
    attach(&device, &setup).expect("a device of Burn's wgpu backend");
    works_on(&device);
    // The application's own work on the device still runs.
    setup.device.poll(wgpu::PollType::wait_indefinitely()).expect("the device is there");
}

/// All other tests use a device that the tests opened for Burn; here the crate's own function opens it, which a process
/// can do only once for each kind, so the default one is taken.
#[test]
fn burns_device_is_used_by_the_losses() {
    works_on(&crate::support::device());
}

fn works_on(device: &Device) {
    let data = numbers(9 * 3, 1);
    let targets = labels(9, 3, 2);
    let loss = CrossEntropyLossConfig::new().init(device);
    // Burn computes before and after.
    let logits = tensor(&data, [9, 3], device) * 1.5;
    let value = loss.forward(logits, ints(&targets, [9], device)) + 1.0;
    let scaled: Vec<f32> = data.iter().map(|x| x * 1.5).collect();
    let (shape, of_labels) = ([9, 3], [9]);
    let inputs = Inputs::new(View::new(&scaled, &shape)).labels(&targets, &of_labels);
    let wanted = truth(&CrossEntropy::new(), &inputs).loss[0] + 1.0;
    close("the loss", &host(value), &[wanted], LOSS, 0.0);
}
