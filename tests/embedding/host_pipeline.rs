//! The library inside a host's own pipeline: the host's device, buffers, encoder and pass, its
//! errors, and its executor.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use support::answer::{Answer, bits};
use support::data::{Data, Target};
use support::embedded::{Embedded, Place, buffer, buffer_of, read_words, read_words_of, submit};
use support::gpus::gpus;
use support::labels::OwnedLabels;
use support::rounding::Rounding;
use wgpu::{BufferBinding, BufferUsages};
use wgpu_loss::{
    Bound, Buffers, CrossEntropy, Error, Gpu, Kernels, LabelType, Outputs, Plan, Profile,
    RESULT_BYTES, Reduction,
};

fn unreduced() -> CrossEntropy {
    CrossEntropy::new().reduction(Reduction::None)
}

fn with_grad() -> Outputs {
    Outputs::loss().with_grad()
}

/// A host's devices: what `request_device` gives by default, two of one instance.
fn host_devices() -> [(wgpu::Device, wgpu::Queue); 2] {
    let descriptor = wgpu::InstanceDescriptor::new_without_display_handle_from_env();
    let instance = wgpu::Instance::new(descriptor);
    let name = &gpus()[0].info().name;
    [(), ()].map(|()| {
        let adapters = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::all()));
        let adapter = adapters.iter().find(|adapter| adapter.get_info().name == *name).unwrap();
        pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor::default())).unwrap()
    })
}

fn host_buffer(device: &wgpu::Device, size: u64, usage: BufferUsages) -> wgpu::Buffer {
    let descriptor =
        wgpu::BufferDescriptor { label: Some("host"), size, usage, mapped_at_creation: false };
    device.create_buffer(&descriptor)
}

fn range(buffer: &wgpu::Buffer, offset: u64, size: u64) -> BufferBinding<'_> {
    BufferBinding { buffer, offset, size: wgpu::BufferSize::new(size) }
}

// ---- The host's pipeline

#[test]
fn works_on_a_hosts_device_inside_its_pass() {
    let [(device, queue), _] = host_devices();
    assert_eq!(device.features(), wgpu::Features::empty());
    let kernels = Kernels::new(&device);
    let data = Data::random(&[50, 12], 1).labelled(&[7], -100).labels_as(LabelType::I16);
    let loss = CrossEntropy::new();
    let plan = data.plan(&loss, with_grad(), kernels.profile());

    // Both inputs in one buffer, at offsets that no alignment fits; the gradient in another.
    let usage = BufferUsages::STORAGE | BufferUsages::COPY_DST;
    let inputs = host_buffer(&device, 4096, usage);
    let outputs = host_buffer(&device, 4096, usage | BufferUsages::COPY_SRC);
    let Target::Labels(labels) = &data.target else { panic!("labels") };
    queue.write_buffer(&inputs, 12, labels.borrow().bytes());
    queue.write_buffer(&inputs, 1028, bytemuck::cast_slice(&data.input));
    let buffers = Buffers::new(range(&inputs, 1028, 2400))
        .target(range(&inputs, 12, 100))
        .grad(range(&outputs, 516, 2400));
    let bound = Bound::new(&kernels, plan, &buffers).unwrap();
    // The bind groups keep what they need.
    drop(inputs);

    // One submission: clear, compute, copy the result. The host decides when.
    let staging = host_buffer(&device, RESULT_BYTES, usage | BufferUsages::COPY_SRC);
    let mut encoder = device.create_command_encoder(&Default::default());
    encoder.clear_buffer(&outputs, 0, None);
    {
        let mut pass = encoder.begin_compute_pass(&Default::default());
        bound.record(&mut pass);
    }
    encoder.copy_buffer_to_buffer(bound.result().buffer, 0, &staging, 0, RESULT_BYTES);
    queue.submit([encoder.finish()]);

    let result = read_words_of(&device, &queue, &staging);
    let decoded = bound.decode(bytemuck::cast_slice(&result)).unwrap();
    let (reduced, summary) = (decoded.loss, decoded.summary);
    assert_eq!(f32::from_bits(result[0]), reduced);
    assert!(bound.is_reduced());
    assert_eq!((summary.rows, summary.live, summary.ignored()), (50, 49, 1));
    assert_eq!(f32::from_bits(result[1]), 49.0);
    let all = read_words_of(&device, &queue, &outputs);
    let (grad, around) = (&all[129..729], [&all[..129], &all[729..]].concat());
    assert!(around.iter().all(|&word| word == 0), "the range's surroundings were written");
    let got = Answer {
        loss: vec![reduced.into()],
        grad: Some(grad.iter().map(|&word| f32::from_bits(word).into()).collect()),
        elements: None,
    };
    let truth = Answer::from(&data.truth(&loss, with_grad()));
    Rounding::new(&loss, &data, with_grad()).check("host", &got, &truth);

    // Other than RESULT_BYTES bytes are no result.
    let bytes: &[u8] = bytemuck::cast_slice(&result);
    for bytes in [&bytes[..44], &[][..]] {
        let error = bound.decode(bytes).unwrap_err();
        assert!(matches!(error, Error::Length { what: "result", wanted: 64, .. }), "{error}");
    }
}

#[test]
fn outputs_may_share_a_buffer() {
    for gpu in gpus() {
        let data = Data::random(&[20, 8], 1);
        let input = buffer(gpu, &bits(&data.input));
        let target = buffer(gpu, label_words(&data));
        let outputs = buffer(gpu, &[0; 400]);
        let plan = data.plan(&unreduced(), with_grad().with_log_probs(), gpu.kernels().profile());
        let buffers = Buffers::new(input.as_entire_buffer_binding())
            .target(target.as_entire_buffer_binding())
            .grad(range(&outputs, 0, 640))
            .distribution(range(&outputs, 640, 640))
            .loss(range(&outputs, 1280, 80));
        let bound = Bound::new(gpu.kernels(), plan, &buffers).unwrap();
        submit(gpu, |pass| bound.record(pass));
        let words = read_words(gpu, &outputs);
        let wide = |words: &[u32]| words.iter().map(|&w| f32::from_bits(w).into()).collect();
        let got = Answer {
            loss: wide(&words[320..340]),
            grad: Some(wide(&words[..160])),
            elements: Some(wide(&words[160..320])),
        };
        let outputs = with_grad().with_log_probs();
        let truth = Answer::from(&data.truth(&unreduced(), outputs));
        Rounding::new(&unreduced(), &data, outputs).check(&gpu.name, &got, &truth);
    }
}

/// The data's labels as words.
fn label_words(data: &Data) -> &[u32] {
    let Target::Labels(OwnedLabels::I64(labels)) = &data.target else { panic!("i64 labels") };
    bytemuck::cast_slice(labels)
}

#[test]
fn threads_bind_and_record_at_once() {
    fn shareable<T: Send + Sync>() {}
    shareable::<Bound>();
    shareable::<wgpu_loss::Reader>();
    shareable::<Plan>();
    shareable::<Kernels>();
    shareable::<Gpu>();
    shareable::<Error>();
    for gpu in gpus() {
        std::thread::scope(|scope| {
            for thread in 0..4 {
                scope.spawn(move || {
                    let data = Data::random(&[30 + thread, 9 + thread], 1);
                    let truth = Answer::from(&data.truth(&unreduced(), with_grad()));
                    let rounding = Rounding::new(&unreduced(), &data, with_grad());
                    let plan = data.plan(&unreduced(), with_grad(), gpu.kernels().profile());
                    let embedded = Embedded::new(gpu, &data, plan, Place::default());
                    for _ in 0..5 {
                        let results = embedded.run();
                        rounding.check(&gpu.name, &results.answer(), &truth);
                    }
                });
            }
        });
    }
}

// ---- Refusals

/// Buffers that fit a plan of 20 rows of 8 classes, unreduced with gradient, to be spoiled one at a
/// time.
struct Fitting {
    plan: Plan,
    input: wgpu::Buffer,
    target: wgpu::Buffer,
    loss: wgpu::Buffer,
    grad: wgpu::Buffer,
}

impl Fitting {
    fn new(gpu: &Gpu) -> Self {
        Self::on(gpu.kernels(), gpu.queue())
    }

    fn on(kernels: &Kernels, queue: &wgpu::Queue) -> Self {
        let data = Data::random(&[20, 8], 1);
        let buffer = |words: &[u32]| buffer_of(kernels.device(), queue, words);
        Self {
            plan: data.plan(&unreduced(), with_grad(), kernels.profile()),
            input: buffer(&bits(&data.input)),
            target: buffer(label_words(&data)),
            loss: buffer(&[0; 20]),
            grad: buffer(&[0; 160]),
        }
    }

    fn buffers(&self) -> Buffers<'_> {
        Buffers::new(self.input.as_entire_buffer_binding())
            .target(self.target.as_entire_buffer_binding())
            .loss(self.loss.as_entire_buffer_binding())
            .grad(self.grad.as_entire_buffer_binding())
    }

    fn bind(&self, kernels: &Kernels, buffers: &Buffers<'_>) -> Result<Bound, Error> {
        Bound::new(kernels, self.plan.clone(), buffers)
    }
}

#[test]
fn missing_and_superfluous_buffers_are_refused() {
    for gpu in gpus() {
        let fit = Fitting::new(gpu);
        fit.bind(gpu.kernels(), &fit.buffers()).unwrap();
        let whole = |buffer| wgpu::Buffer::as_entire_buffer_binding(buffer);
        let (input, target) = (whole(&fit.input), whole(&fit.target));
        let (loss, grad) = (whole(&fit.loss), whole(&fit.grad));
        let missing = [
            ("target", Buffers::new(input.clone()).loss(loss.clone()).grad(grad.clone())),
            ("unreduced loss", Buffers::new(input.clone()).target(target.clone()).grad(grad)),
            ("gradient", Buffers::new(input).target(target).loss(loss)),
        ];
        for (what, buffers) in missing {
            let error = fit.bind(gpu.kernels(), &buffers).unwrap_err();
            assert_eq!(error, Error::Binding { what, needed: true });
        }
        let spare = buffer(gpu, &[0; 160]);
        let superfluous = [
            ("weight", fit.buffers().weight(whole(&spare))),
            ("upstream gradient", fit.buffers().upstream(whole(&spare))),
            ("log-probabilities or probabilities", fit.buffers().distribution(whole(&spare))),
        ];
        for (what, buffers) in superfluous {
            let error = fit.bind(gpu.kernels(), &buffers).unwrap_err();
            assert_eq!(error, Error::Binding { what, needed: false });
        }
        // Without a gradient there is nothing to put in place.
        let data = Data::random(&[20, 8], 1);
        let plan = data.plan(&CrossEntropy::new(), Outputs::loss(), gpu.kernels().profile());
        let buffers = Buffers::new(whole(&fit.input)).target(whole(&fit.target)).grad_in_place();
        let error = Bound::new(gpu.kernels(), plan, &buffers).unwrap_err();
        assert_eq!(error, Error::Binding { what: "gradient", needed: false });
    }
}

#[test]
fn ranges_that_do_not_fit_are_refused() {
    for gpu in gpus() {
        let fit = Fitting::new(gpu);
        let large = buffer(gpu, &[0; 300]);
        let refused = |buffers: Buffers<'_>, what: &str, problem: &str| {
            let error = fit.bind(gpu.kernels(), &buffers).unwrap_err();
            let Error::Range { what: named, problem: said, .. } = &error else {
                panic!("{what}: {error}")
            };
            assert!(*named == what && said.contains(problem), "{error}");
        };
        let new = |input| {
            Buffers::new(input)
                .target(fit.target.as_entire_buffer_binding())
                .loss(fit.loss.as_entire_buffer_binding())
                .grad(fit.grad.as_entire_buffer_binding())
        };
        // Of the input: 640 bytes.
        refused(new(range(&fit.input, 0, 636)), "input", "too small");
        refused(new(range(&fit.input, 4, 0)), "input", "too small");
        refused(new(range(&fit.input, 4, 640)), "input", "past");
        refused(new(range(&fit.input, 644, 0)), "input", "past");
        refused(new(range(&fit.input, u64::MAX - 3, 640)), "input", "past");
        for offset in [1, 2, 3, 6] {
            refused(new(range(&large, offset, 640)), "input", "multiple of 4");
        }
        // Of the others.
        refused(fit.buffers().target(range(&large, 0, 156)), "target", "too small");
        refused(fit.buffers().target(range(&large, 2, 160)), "target", "multiple of 4");
        refused(fit.buffers().loss(range(&large, 0, 76)), "unreduced loss", "too small");
        refused(fit.buffers().grad(range(&large, 564, 640)), "gradient", "past");
        // Where they fit, they are taken.
        fit.bind(gpu.kernels(), &new(range(&large, 560, 640))).unwrap();
    }
}

#[test]
fn buffers_without_storage_usage_are_refused() {
    for gpu in gpus() {
        let fit = Fitting::new(gpu);
        let usage = BufferUsages::COPY_SRC | BufferUsages::COPY_DST;
        let plain = host_buffer(gpu.device(), 640, usage);
        for (what, buffers) in [
            ("target", fit.buffers().target(plain.as_entire_buffer_binding())),
            ("gradient", fit.buffers().grad(plain.as_entire_buffer_binding())),
        ] {
            let error = fit.bind(gpu.kernels(), &buffers).unwrap_err();
            assert_eq!(error, Error::Usage { what, missing: "STORAGE" });
        }
    }
}

#[test]
fn outputs_that_meet_anything_are_refused() {
    for gpu in gpus() {
        let fit = Fitting::new(gpu);
        let large = buffer(gpu, &[0; 400]);
        // Loss and gradient share one word.
        let buffers = fit.buffers().grad(range(&large, 0, 640)).loss(range(&large, 636, 80));
        let error = fit.bind(gpu.kernels(), &buffers).unwrap_err();
        let named = matches!(
            error,
            Error::Overlap { first: "unreduced loss", second: "gradient" }
                | Error::Overlap { first: "gradient", second: "unreduced loss" }
        );
        assert!(named, "{error}");
        // The gradient over the input, without saying so.
        let buffers = fit.buffers().grad(fit.input.as_entire_buffer_binding());
        let error = fit.bind(gpu.kernels(), &buffers).unwrap_err();
        assert!(matches!(error, Error::Overlap { first: "input", second: "gradient" }), "{error}");
        // Side by side, outputs are taken.
        let buffers = fit.buffers().grad(range(&large, 0, 640)).loss(range(&large, 640, 80));
        fit.bind(gpu.kernels(), &buffers).unwrap();
    }
}

// wgpu distinguishes devices of one instance. It looks up a buffer of another instance among its
// own: it may panic, or take another buffer for it, and no code above wgpu can detect that.

#[test]
fn buffers_of_another_device_are_refused_and_nobody_else_hears_of_it() {
    let [(device, queue), (other, _)] = host_devices();
    let heard = Arc::new(AtomicUsize::new(0));
    for device in [&device, &other] {
        let hearing = heard.clone();
        device.on_uncaptured_error(Arc::new(move |_| {
            hearing.fetch_add(1, Ordering::SeqCst);
        }));
    }
    let kernels = Kernels::new(&device);
    let fit = Fitting::on(&kernels, &queue);
    let foreign = host_buffer(&other, 640, BufferUsages::STORAGE);
    let foreign = || foreign.as_entire_buffer_binding();
    let scope = device.push_error_scope(wgpu::ErrorFilter::Validation);
    for buffers in [
        fit.buffers().grad(foreign()),
        fit.buffers().target(foreign()),
        Buffers::new(foreign())
            .target(fit.target.as_entire_buffer_binding())
            .loss(fit.loss.as_entire_buffer_binding())
            .grad_in_place(),
    ] {
        let error = fit.bind(&kernels, &buffers).unwrap_err();
        assert!(matches!(error, Error::Device { .. }), "{error}");
    }
    // The device still works, and the host's scope and handlers have received no error.
    fit.bind(&kernels, &fit.buffers()).unwrap();
    assert_eq!(pollster::block_on(scope.pop()).map(|error| error.to_string()), None);
    assert_eq!(heard.load(Ordering::SeqCst), 0);
    // They are the host's still.
    host_buffer(&device, 16, BufferUsages::MAP_READ | BufferUsages::STORAGE);
    assert_eq!(heard.load(Ordering::SeqCst), 1);
}

#[test]
fn a_plan_for_a_larger_device_is_refused() {
    // One binding of 136 MB, where the device allows 128 MiB.
    let gpu = &gpus()[2];
    let data_shape = [1 << 21, 17];
    let shapes = wgpu_loss::loss::Shapes::new(&data_shape)
        .target(wgpu_loss::TargetType::Labels(LabelType::U8), &data_shape[..1]);
    let mut profile: Profile = gpu.kernels().profile().clone();
    profile.limits.max_storage_buffer_binding_size = 1 << 30;
    let plan = Plan::new(&CrossEntropy::new(), &shapes, Outputs::loss(), &profile).unwrap();
    assert_eq!(plan.pieces().len(), 1);
    let input = host_buffer(gpu.device(), (4 * 17) << 21, BufferUsages::STORAGE);
    let target = host_buffer(gpu.device(), 1 << 21, BufferUsages::STORAGE);
    let buffers =
        Buffers::new(input.as_entire_buffer_binding()).target(target.as_entire_buffer_binding());
    let error = Bound::new(gpu.kernels(), plan, &buffers).unwrap_err();
    let limit = "max_storage_buffer_binding_size";
    assert!(matches!(error, Error::Limit { limit: named, .. } if named == limit), "{error}");
}

#[test]
fn what_does_not_fit_is_refused_by_the_host_call() {
    for gpu in gpus() {
        let good = Data::random(&[4, 5], 1);
        let mut short = good.clone();
        short.input.pop();
        let error = gpu.run(&CrossEntropy::new(), &short.inputs(), with_grad()).unwrap_err();
        assert!(matches!(error, Error::Length { what: "input", given: 19, wanted: 20, .. }));
        let error = gpu
            .run(&CrossEntropy::new(), &good.clone().weight(&[1.0; 4]).inputs(), with_grad())
            .unwrap_err();
        assert!(matches!(error, Error::Shape { what: "weight", .. }), "{error}");
        let untargeted = Data::new(&[4, 5], 1, good.input.clone());
        let error = gpu.run(&CrossEntropy::new(), &untargeted.inputs(), with_grad()).unwrap_err();
        assert!(matches!(error, Error::Target { given: "no target", .. }), "{error}");
    }
}

// ---- The host's executor

/// Polls a future by hand until it is done. Nothing wakes it.
fn poll_by_hand<F: Future>(mut future: Pin<Box<F>>) -> F::Output {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::sleep(Duration::from_millis(1)),
        }
        assert!(Instant::now() < deadline, "the future is never done");
    }
}

#[test]
fn async_calls_need_no_executor_in_particular() {
    let data = Data::random(&[300, 40], 1);
    let loss = CrossEntropy::new();
    for gpu in gpus() {
        let wanted = data.on(gpu, &loss, with_grad());
        let same = |output: Result<wgpu_loss::Output<f32>, Error>| {
            let output = output.unwrap();
            assert_eq!(bits(&output.loss), bits(&wanted.loss), "{}", gpu.name);
            assert_eq!(output.grad, wanted.grad, "{}", gpu.name);
            assert_eq!(output.summary, wanted.summary, "{}", gpu.name);
        };
        let inputs = data.inputs();
        same(pollster::block_on(gpu.run_async(&loss, &inputs, with_grad())));
        same(poll_by_hand(Box::pin(gpu.run_async(&loss, &inputs, with_grad()))));
        // Begun on this thread, done on others.
        std::thread::scope(|scope| {
            for _ in 0..2 {
                let mut future = Box::pin(gpu.run_async(&loss, &inputs, with_grad()));
                match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                    Poll::Ready(output) => same(output),
                    Poll::Pending => {
                        scope.spawn(|| same(poll_by_hand(future)));
                    }
                }
            }
        });
    }
}

#[test]
fn an_async_call_may_be_dropped_at_any_point() {
    let data = Data::random(&[300, 40], 1);
    let loss = CrossEntropy::new();
    for gpu in gpus() {
        let inputs = data.inputs();
        let wanted = data.on(gpu, &loss, with_grad());
        for polls in 0..8 {
            let mut future = Box::pin(gpu.run_async(&loss, &inputs, with_grad()));
            for _ in 0..polls {
                let polled = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                if polled.is_ready() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(2));
            }
            drop(future);
        }
        let output = data.on(gpu, &loss, with_grad());
        assert_eq!(output.grad, wanted.grad, "{}", gpu.name);
    }
}

#[test]
fn async_calls_return_errors() {
    let data = Data::random(&[30, 4], 1).labelled(&[3], 4);
    for gpu in gpus() {
        let error = pollster::block_on(gpu.run_async(
            &CrossEntropy::new(),
            &data.inputs(),
            Outputs::loss(),
        ))
        .unwrap_err();
        assert!(matches!(error, Error::BadTargets { count: 1, first: 3, value: 4, .. }), "{error}");
    }
}
