//! Failures in a host's hands: a typed error each time, no panic, and no error in the host's error scopes or handlers.
//! Ranges that do not fit are in `host_pipeline.rs`.

use std::future::Future;
use std::sync::atomic::Ordering;
use std::task::{Context, Waker};

use support::data::Data;
use support::embedded::{buffer_of, read_words_of};
use support::gpus::gpus;
use support::host::{Host, adapter};
use support::places::test_name;
use wgpu_loss::loss::Shapes;
use wgpu_loss::{
    BceWithLogits, Bound, Buffers, CrossEntropy, ElementType, Error, Gpu, GpuOptions, LabelType,
    Outputs, Plan, Profile, Reduction, TargetType, wanted_features, wanted_limits,
};

/// A device with no more than WebGPU's defaults, on the adapter that the other tests run on.
fn host() -> Host {
    host_of(wgpu::DeviceDescriptor::default())
}

fn host_of(descriptor: wgpu::DeviceDescriptor<'_>) -> Host {
    Host::on(&tested_adapter(), &descriptor)
}

fn tested_adapter() -> wgpu::Adapter {
    adapter(&gpus()[0].info().name)
}

// ---- Lost devices

#[track_caller]
fn is_lost<T>(result: Result<T, Error>) {
    let error = result.err();
    assert!(matches!(error, Some(Error::Lost { .. })), "{error:?}");
}

#[test]
fn a_lost_device_is_an_error_at_every_stage() {
    let host = host();
    let kernels = host.kernels();
    let frame = host.frame(40, 12);
    let other = host.frame(40, 12);
    let bound = frame.bound(&kernels).unwrap();
    let reader = bound.reader().unwrap();
    host.submit(&bound, Some(&reader));
    frame.check("the result", reader.wait().unwrap());

    let uncompiled = host.frame(40, 1000).plan(kernels.profile());
    host.undisturbed(|| {
        host.device.destroy();
        // Cached objects, kernels that have to be compiled, and new objects.
        is_lost(frame.bound(&kernels));
        is_lost(bound.rebind(&other.buffers()));
        is_lost(kernels.compile(&uncompiled));
        is_lost(frame.bound(&host.kernels()));
        is_lost(bound.reader());
        // Recording has no effect, and there is no result.
        host.submit(&bound, Some(&reader));
        is_lost(reader.wait());
        is_lost(pollster::block_on(reader.read()));
        let tried = reader.try_read();
        assert!(matches!(tried, None | Some(Err(Error::Lost { .. }))), "{tried:?}");
        drop((bound, reader, kernels));
    });
    host.device.poll(wgpu::PollType::wait_indefinitely()).unwrap();
    assert_eq!(host.lost.load(Ordering::SeqCst), 1, "the host's own callback");
}

#[test]
fn a_device_may_be_lost_while_it_works() {
    let host = host();
    let kernels = host.kernels();
    let frame = host.frame(4000, 1000);
    let bound = frame.bound(&kernels).unwrap();
    let readers = [(); 3].map(|()| bound.reader().unwrap());
    let mut encoder = host.device.create_command_encoder(&Default::default());
    bound.encode(&mut encoder);
    readers.iter().for_each(|reader| reader.record(&mut encoder));
    host.undisturbed(|| {
        host.queue.submit([encoder.finish()]);
        let [first, second, third] = &readers;
        let mut future = Box::pin(first.read());
        let _ = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        let _ = second.try_read();
        host.device.destroy();
        // A result either arrived before the end, or is an error; never missing, and never another number.
        for read in [pollster::block_on(future), third.wait()] {
            match read {
                Ok(decoded) => frame.check("before the end", decoded),
                lost => is_lost(lost),
            }
        }
        drop(bound);
    });
}

#[test]
fn everything_may_be_dropped_while_the_device_works() {
    let host = host();
    let frame = host.frame(4000, 1000);
    let (future, data) = host.undisturbed(|| {
        let bound = frame.bound(&host.kernels()).unwrap();
        let reader = bound.reader().unwrap();
        host.submit(&bound, Some(&reader));
        (reader.read(), frame.data.clone())
    });
    // The future holds what it needs of the device.
    let Host { uncaptured, lost, .. } = host;
    drop(frame);
    let decoded = pollster::block_on(future).unwrap();
    let truth = data.truth(&CrossEntropy::new(), Outputs::loss());
    assert!((f64::from(decoded.loss) / truth.loss[0] - 1.0).abs() < 1e-6);
    assert_eq!((uncaptured.load(Ordering::SeqCst), lost.load(Ordering::SeqCst)), (0, 0));
}

#[test]
fn host_calls_on_a_lost_device_are_errors() {
    let data = Data::random(&[300, 40], 1);
    let (loss, outputs) = (CrossEntropy::new(), Outputs::loss().with_grad());
    let open = || Gpu::with_options(&GpuOptions::new()).unwrap();
    // Before the first call, and after one.
    let gpu = open();
    gpu.device().destroy();
    is_lost(gpu.run(&loss, &data.inputs(), outputs));
    let gpu = open();
    gpu.run(&loss, &data.inputs(), outputs).unwrap();
    gpu.device().destroy();
    is_lost(gpu.run(&loss, &data.inputs(), outputs));
    is_lost(pollster::block_on(gpu.run_async(&loss, &data.inputs(), outputs)));
    is_lost(gpu.bind(&loss, &data.inputs(), outputs));
    let mut stream = gpu.stream(&loss, Outputs::loss());
    is_lost(stream.push(&data.inputs(), &mut ()).and_then(|()| stream.finish()));
    is_lost(gpu.timer().and_then(|timer| timer.kernel(1, |_| ())));
    // While a call is under way.
    let gpu = open();
    let inputs = data.inputs();
    let mut future = Box::pin(gpu.run_async(&loss, &inputs, outputs));
    if future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
        gpu.device().destroy();
        match pollster::block_on(future) {
            Ok(output) => {
                let truth = data.truth(&loss, outputs);
                assert!((f64::from(output.loss[0]) / truth.loss[0] - 1.0).abs() < 1e-6);
            }
            lost => is_lost(lost),
        }
    }
}

// ---- A plan for another device

#[test]
fn a_plan_for_a_device_with_more_is_refused_by_name() {
    let host = host();
    let kernels = host.kernels();
    let frame = host.frame(40, 1000);
    let plain = kernels.profile();
    let bind = |profile: &Profile| {
        host.undisturbed(|| Bound::new(&kernels, frame.plan(profile), &frame.buffers()))
    };
    let mut subgroups = plain.clone();
    (subgroups.subgroup_size, subgroups.subgroups_alike) = (Some(8), true);
    let error = bind(&subgroups).unwrap_err();
    assert!(matches!(error, Error::Feature { feature: "SUBGROUP", .. }), "{error}");

    let mut longs = plain.clone().with_device_type(wgpu::DeviceType::Cpu);
    longs.int64 = true;
    let error = bind(&longs).unwrap_err();
    assert!(matches!(error, Error::Feature { feature: "SHADER_INT64", .. }), "{error}");

    bind(plain).unwrap();
}

#[test]
fn a_kernel_with_too_many_buffers_is_refused_by_name() {
    let host = host();
    let kernels = host.kernels();
    let mut profile = kernels.profile().clone();
    profile.limits.max_storage_buffers_per_shader_stage = 16;
    let labels = TargetType::Labels(LabelType::U32);
    let shapes = Shapes::new(&[40, 12]).target(labels, &[40]).row_weights(&[40]);
    let loss = CrossEntropy::new().reduction(Reduction::None);
    let outputs = Outputs::loss().with_grad().with_log_probs().with_lse().with_class_losses();
    let plan = Plan::new(&loss, &shapes, outputs, &profile).unwrap();
    let buffers = [(); 8].map(|()| buffer_of(&host.device, &host.queue, &[0; 480]));
    let [input, target, weights, row_loss, grad, elements, records, classes] =
        buffers.each_ref().map(|buffer| buffer.as_entire_buffer_binding());
    let buffers = Buffers::new(input).target(target).row_weights(weights).loss(row_loss).grad(grad);
    let buffers = buffers.distribution(elements).records(records).classes(classes);
    let error = host.undisturbed(|| Bound::new(&kernels, plan, &buffers)).unwrap_err();
    let limit = "max_storage_buffers_per_shader_stage";
    assert!(
        matches!(error, Error::Limit { limit: named, needed: 9, allowed: 8, .. } if named == limit),
        "{error}"
    );
    // For this device the work is shared by several kernels.
    let plan = Plan::new(&loss, &shapes, outputs, kernels.profile()).unwrap();
    host.undisturbed(|| Bound::new(&kernels, plan, &buffers)).unwrap();
}

/// A host whose device has less of something than WebGPU's defaults.
fn limited(change: fn(&mut wgpu::Limits)) -> Host {
    let mut required_limits = wgpu::Limits::default();
    change(&mut required_limits);
    host_of(wgpu::DeviceDescriptor { required_limits, ..Default::default() })
}

#[test]
fn a_plan_for_a_device_with_higher_limits_is_refused_by_name() {
    type Change = fn(&mut wgpu::Limits);
    let devices: [(&str, Change, [usize; 2]); 2] = [
        (
            "max_compute_workgroups_per_dimension",
            |limits| limits.max_compute_workgroups_per_dimension = 16,
            [40_000, 12],
        ),
        (
            "max_compute_workgroup_storage_size",
            |limits| limits.max_compute_workgroup_storage_size = 1024,
            [40, 1000],
        ),
    ];
    for (limit, change, [rows, classes]) in devices {
        let host = limited(change);
        let kernels = host.kernels();
        let frame = host.frame(rows, classes);
        // A device with the defaults.
        let plan = frame.plan(&Profile::portable());
        let error = host.undisturbed(|| Bound::new(&kernels, plan, &frame.buffers())).unwrap_err();
        assert!(matches!(error, Error::Limit { limit: named, .. } if named == limit), "{error}");
        // Its own.
        let bound = host.undisturbed(|| frame.bound(&kernels)).unwrap();
        let reader = bound.reader().unwrap();
        host.submit(&bound, Some(&reader));
        frame.check(limit, reader.wait().unwrap());
    }
}

#[test]
fn a_workspace_that_no_binding_holds_is_refused_by_name() {
    let host = limited(|limits| limits.max_storage_buffer_binding_size = 16 << 10);
    let kernels = host.kernels();
    let values = TargetType::Values(ElementType::F32);
    let shapes = Shapes::new(&[400_000]).target(values, &[400_000]);
    let plan = Plan::new(&BceWithLogits::new(), &shapes, Outputs::loss(), kernels.profile());
    let plan = plan.unwrap();
    let [input, target] = [(); 2].map(|()| buffer_of(&host.device, &host.queue, &[0; 400_000]));
    let buffers =
        Buffers::new(input.as_entire_buffer_binding()).target(target.as_entire_buffer_binding());
    let error = host.undisturbed(|| Bound::new(&kernels, plan, &buffers)).unwrap_err();
    let limit = "max_storage_buffer_binding_size";
    assert!(
        matches!(error, Error::Limit { what: "the workspace", limit: named, .. } if named == limit),
        "{error}"
    );
}

// ---- The host's own state

/// The host's settings of a pass, other than the pipeline and bind group 0, stay as they were.
#[test]
fn recording_leaves_bind_groups_from_1_on() {
    let host = host();
    let frame = host.frame(40, 12);
    let bound = frame.bound(&host.kernels()).unwrap();
    let text = "@group(0) @binding(0) var<storage, read> more: u32;
        @group(1) @binding(0) var<storage, read_write> sum: u32;
        @compute @workgroup_size(1) fn main() { sum += more; }";
    let source = wgpu::ShaderSource::Wgsl(text.into());
    let module = host
        .device
        .create_shader_module(wgpu::ShaderModuleDescriptor { label: Some("host"), source });
    let pipeline = host.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some("host"),
        layout: None,
        module: &module,
        entry_point: Some("main"),
        compilation_options: Default::default(),
        cache: None,
    });
    let buffers = [3, 0].map(|word| buffer_of(&host.device, &host.queue, &[word]));
    let groups = [0, 1].map(|index| {
        host.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("host"),
            layout: &pipeline.get_bind_group_layout(index),
            entries: &[wgpu::BindGroupEntry {
                binding: 0,
                resource: buffers[index as usize].as_entire_binding(),
            }],
        })
    });
    let mut encoder = host.device.create_command_encoder(&Default::default());
    host.undisturbed(|| {
        let mut pass = encoder.begin_compute_pass(&Default::default());
        pass.set_pipeline(&pipeline);
        pass.set_bind_group(0, &groups[0], &[]);
        pass.set_bind_group(1, &groups[1], &[]);
        pass.dispatch_workgroups(1, 1, 1);
        bound.record(&mut pass);
        pass.set_pipeline(&pipeline);
        pass.set_bind_group(0, &groups[0], &[]);
        pass.dispatch_workgroups(1, 1, 1);
        drop(pass);
        host.queue.submit([encoder.finish()]);
    });
    assert_eq!(read_words_of(&host.device, &host.queue, &buffers[1]), [6]);
}

/// Kernels are made with the host's pipeline cache.
#[test]
fn a_pipeline_cache_of_the_hosts_is_used() {
    let features = wgpu::Features::PIPELINE_CACHE;
    let adapter = tested_adapter();
    if !adapter.features().contains(features) {
        println!("NOT RUN: {} has no pipeline caches", gpus()[0].info().name);
        return;
    }
    let descriptor =
        || wgpu::DeviceDescriptor { required_features: features, ..Default::default() };
    let [host, other] = [(); 2].map(|()| Host::on(&adapter, &descriptor()));
    let descriptor = wgpu::PipelineCacheDescriptor { label: None, data: None, fallback: true };
    // SAFETY: there are no bytes that could be another adapter's.
    let [own, foreign] =
        [&host, &other].map(|host| unsafe { host.device.create_pipeline_cache(&descriptor) });
    let frame = host.frame(40, 12);
    let kernels = host.kernels();
    frame.bound(&kernels).unwrap();
    let cached = kernels.with_pipeline_cache(&own);
    assert_eq!(cached.compiled(), 0);
    let bound = host.undisturbed(|| frame.bound(&cached)).unwrap();
    assert_eq!(cached.compiled(), kernels.compiled());
    let reader = bound.reader().unwrap();
    host.submit(&bound, Some(&reader));
    frame.check("through a cache", reader.wait().unwrap());
    // The contents of a cache do not show that it was used on these drivers. That another device's is refused does.
    let error = host.undisturbed(|| frame.bound(&kernels.with_pipeline_cache(&foreign)));
    assert!(matches!(error, Err(Error::Device { .. })), "{error:?}");
}

#[test]
fn what_is_wanted_of_an_adapter_is_granted() {
    let adapter = tested_adapter();
    let host = host_of(wgpu::DeviceDescriptor {
        required_features: wanted_features(&adapter),
        required_limits: wanted_limits(&adapter),
        ..Default::default()
    });
    assert!(wanted_limits(&adapter).check_limits(&adapter.limits()));
    let limits = host.device.limits();
    assert_eq!(
        limits.max_storage_buffer_binding_size,
        adapter.limits().max_storage_buffer_binding_size
    );
    let frame = host.frame(40, 1000);
    let bound = frame.bound(&host.kernels()).unwrap();
    let reader = bound.reader().unwrap();
    host.submit(&bound, Some(&reader));
    frame.check("the result", reader.wait().unwrap());
    if wanted_features(&adapter).contains(wgpu::Features::SUBGROUP) {
        assert!(host.kernels().profile().subgroup_size.is_some());
    }
}

// ---- Memory runs out

/// Set in the process that has little memory.
#[cfg(target_os = "linux")]
const LITTLE_MEMORY: &str = "WGPU_LOSS_TEST_LITTLE_MEMORY";

/// The bytes of addresses of that process.
#[cfg(target_os = "linux")]
const ADDRESSES: u64 = 6_000_000 << 10;

/// Software drivers use the memory of the process, which a shell can limit. The test runs in another process: a limit
/// cannot be lifted again.
#[cfg(target_os = "linux")]
#[test]
fn memory_that_runs_out_is_an_error_and_not_the_end() {
    if std::env::var_os(LITTLE_MEMORY).is_some() {
        return without_memory();
    }
    if gpus()[0].info().device_type != wgpu::DeviceType::Cpu {
        // A card's memory is not the process's: it cannot be limited from here.
        println!("NOT RUN: {} has memory of its own", gpus()[0].info().name);
        return;
    }
    let name = test_name(module_path!(), "memory_that_runs_out_is_an_error_and_not_the_end");
    let program = std::env::current_exe().unwrap();
    let program = program.display();
    let script =
        format!("ulimit -v {} && exec '{program}' --exact {name} --nocapture", ADDRESSES >> 10);
    let child =
        std::process::Command::new("sh").args(["-c", &script]).env(LITTLE_MEMORY, "1").output();
    let child = child.unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    let complained = String::from_utf8_lossy(&child.stderr);
    let not_run = said.lines().find(|line| line.contains("NOT RUN"));
    assert!(
        child.status.success() && (not_run.is_some() || said.contains("ran out, and came back")),
        "{said}\n{complained}"
    );
    not_run.into_iter().for_each(|why| println!("{why}"));
}

#[cfg(target_os = "linux")]
fn without_memory() {
    let host = host();
    let kernels = host.kernels();
    let frame = host.frame(40, 12);
    // Compiled beforehand: the behaviour of compilers without memory is not ours.
    let bound = frame.bound(&kernels).unwrap();
    let reader = bound.reader().unwrap();
    host.submit(&bound, Some(&reader));
    frame.check("the result", reader.wait().unwrap());

    let (mut taken, mut bytes) = (Vec::new(), 0);
    // Down to what is left between buffers.
    for size in [64 << 20, 4 << 20, 256 << 10, 16 << 10, 1 << 10, 256] {
        loop {
            let scope = host.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
            let buffer = host.device.create_buffer(&wgpu::BufferDescriptor {
                label: None,
                size,
                usage: wgpu::BufferUsages::STORAGE,
                mapped_at_creation: false,
            });
            if pollster::block_on(scope.pop()).is_some() {
                break;
            }
            taken.push(buffer);
            bytes += size;
            if bytes > ADDRESSES {
                // Mesa's since it maps a file (25 and 26 do), and does not look if that succeeded.
                let info = host.device.adapter_info();
                println!(
                    "NOT RUN: {} ({}) gives memory that it has not",
                    info.name, info.driver_info
                );
                return;
            }
        }
    }
    println!("{} buffers fill the memory", taken.len());
    let failed = [
        host.undisturbed(|| frame.bound(&kernels)).err(),
        host.undisturbed(|| bound.rebind(&frame.buffers())).err(),
    ];
    for error in failed {
        assert!(matches!(error, Some(Error::OutOfMemory { .. })), "{error:?}");
    }
    // Bound work still runs, and failed calls succeed again once there is memory.
    host.undisturbed(|| host.submit(&bound, None));
    taken.clear();
    host.device.poll(wgpu::PollType::wait_indefinitely()).unwrap();
    let again = host.undisturbed(|| frame.bound(&kernels)).unwrap();
    let reader = again.reader().unwrap();
    host.submit(&again, Some(&reader));
    frame.check("the result", reader.wait().unwrap());
    println!("ran out, and came back");
}
