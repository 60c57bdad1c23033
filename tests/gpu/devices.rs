//! A GPU and the CPU through one trait: one loop, the same errors for the same misuse, bytes of the same types.

use std::sync::OnceLock;

use support::data::{Data, Types};
use support::gpus::{TestGpu, gpus};
use support::recorder::Recorder;
use wgpu_loss::reference::Cpu;
use wgpu_loss::stream::{Batches, Device};
use wgpu_loss::{
    CrossEntropy, ElementType, Error, GaussianNll, Gpu, GpuOptions, Inputs, LabelType, LargeOutput,
    Loss, MultiGpu, Outputs, Reduction, Tensor,
};

/// Two GPUs as one, with a budget of a few rows.
fn several() -> &'static MultiGpu {
    static SEVERAL: OnceLock<MultiGpu> = OnceLock::new();
    SEVERAL.get_or_init(|| {
        let open = |gpu: &TestGpu| TestGpu::open("one of several", gpu.options.clone());
        let small = gpus().iter().take(2).map(|gpu| open(gpu).with_memory_budget(4 << 10));
        MultiGpu::new(small.collect()).unwrap()
    })
}

/// Every GPU, several as one, and the CPU.
fn devices() -> Vec<(String, &'static dyn Device)> {
    let gpus = gpus().iter().map(|gpu| (gpu.name.clone(), &**gpu as &dyn Device));
    let others: [(&str, &dyn Device); 2] = [("several GPUs", several()), ("the CPU", &Cpu)];
    gpus.chain(others.map(|(name, device)| (name.to_owned(), device))).collect()
}

/// Returns the result of using a stream, which must be the same on each device.
fn on_all<T: PartialEq + std::fmt::Debug>(
    loss: &dyn Loss,
    outputs: Outputs,
    work: impl Fn(Box<dyn Batches + '_>) -> T,
) -> T {
    let mut all =
        devices().into_iter().map(|(name, device)| (name, work(device.stream(loss, outputs))));
    let (_, first) = all.next().expect("the CPU at least");
    for (name, other) in all {
        assert_eq!(other, first, "{name}");
    }
    first
}

#[test]
fn one_loop_for_every_device() {
    let data = Data::random(&[67, 9], 1).random_weight();
    let outputs = Outputs::loss().with_grad().with_log_probs().with_lse().with_argmax();
    for element_type in ElementType::ALL {
        let data = data.clone().in_types(Types::all(element_type));
        let loss = CrossEntropy::new();
        let truth = data.truth(&loss, outputs);
        for (name, device) in devices() {
            let what = format!("{} on {name}", element_type.name());
            let mut sink = Recorder::default();
            let into = device.run_into(&loss, &data.inputs(), outputs, &mut sink).unwrap();
            let mut stream = device.stream(&loss, outputs);
            stream.set_divisor(truth.summary.weight);
            let mut batches = Recorder::default();
            stream.push(&data.inputs(), &mut batches).unwrap();
            let streamed = stream.finish().unwrap();
            let whole = device.run(&loss, &data.inputs(), outputs).unwrap();
            for output in [&into, &streamed, &whole] {
                let (got, wanted) = (f64::from(output.loss[0]), truth.loss[0]);
                assert!((got / wanted - 1.0).abs() < 1e-6, "{what}: {got} for {wanted}");
                assert_eq!(output.summary.rows, 67, "{what}");
            }
            for sink in [&sink, &batches] {
                let bytes = |what| {
                    let parts = sink.parts.iter().filter(|part| part.0 == what);
                    parts.map(|part| part.2.len()).sum::<usize>()
                };
                let elements = 67 * 9 * element_type.bytes() as usize;
                assert_eq!(bytes(LargeOutput::Grad), elements, "{what}");
                assert_eq!(bytes(LargeOutput::Distribution), elements, "{what}");
                assert_eq!(sink.words(LargeOutput::Argmax), truth.rows.argmax.clone().unwrap());
                for (got, wanted) in
                    sink.floats(LargeOutput::Lse).iter().zip(truth.rows.lse.iter().flatten())
                {
                    assert!((f64::from(*got) - wanted).abs() < 1e-5, "{what}: {got} for {wanted}");
                }
            }
        }
    }
}

#[test]
fn the_same_misuse_is_the_same_error() {
    let mean = CrossEntropy::new();
    let with_grad = Outputs::loss().with_grad();
    let data = Data::random(&[10, 4], 1);
    let inputs = data.inputs();
    let push =
        |mut stream: Box<dyn Batches + '_>, inputs: &Inputs<'_>| stream.push(inputs, &mut ());

    // A divisor that is missing, no number, or of no use.
    let error = on_all(&mean, with_grad, |stream| push(stream, &inputs)).unwrap_err();
    assert!(matches!(error, Error::Option { option: "divisor", .. }), "{error}");
    let sum = CrossEntropy::new().reduction(Reduction::Sum);
    for (loss, divisor) in [(&mean, f64::NAN), (&mean, f64::INFINITY), (&sum, 5.0)] {
        let error = on_all(loss, with_grad, |mut stream| {
            stream.set_divisor(divisor);
            push(stream, &inputs)
        });
        assert!(matches!(error, Err(Error::Option { option: "divisor", .. })), "{error:?}");
    }

    // Batches that do not go together.
    for other in [
        Data::random(&[10, 5], 1),
        Data::random(&[10, 4, 2], 1),
        data.clone().labels_as(LabelType::U8),
        data.clone().random_weight(),
        data.clone().random_probabilities(),
    ] {
        let refused = on_all(&mean, Outputs::loss(), |mut stream| {
            stream.push(&inputs, &mut ())?;
            let refused = stream.push(&other.inputs(), &mut ()).unwrap_err();
            // It has left no state.
            stream.push(&inputs, &mut ())?;
            Ok::<_, Error>((refused, stream.finish()?.summary.rows))
        });
        let (refused, rows) = refused.unwrap();
        assert!(matches!(refused, Error::Shape { .. } | Error::Option { .. }), "{refused}");
        assert_eq!(rows, 20);
    }

    // No batch, classes on the first axis, a single number, lengths.
    let error = on_all(&mean, Outputs::loss(), |stream| stream.finish().map(drop)).unwrap_err();
    assert!(matches!(error, Error::Option { option: "stream", .. }), "{error}");
    let first = CrossEntropy::new().class_axis(0);
    let turned = Data::random(&[4, 9], 0);
    let error =
        on_all(&first, Outputs::loss(), |stream| push(stream, &turned.inputs())).unwrap_err();
    assert!(matches!(error, Error::Option { option: "class axis", .. }), "{error}");
    let number = Tensor::new(&[1.0], &[]);
    let number = Inputs::new(number).target(number).var(number);
    let gaussian = GaussianNll::new();
    let error = on_all(&gaussian, Outputs::loss(), |stream| push(stream, &number)).unwrap_err();
    assert!(matches!(error, Error::Option { option: "batch", .. }), "{error}");
    let short = Inputs::new(Tensor::new(&[1.0; 3], &[2, 2])).labels(&[0u8, 1], &[2]);
    let error = on_all(&mean, Outputs::loss(), |stream| push(stream, &short)).unwrap_err();
    assert!(matches!(error, Error::Length { .. }), "{error}");
}

#[test]
fn bad_labels_and_values_are_the_same_error() {
    let data = Data::random(&[40, 4], 1).labelled(&[33, 12], 9);
    for outputs in [Outputs::loss(), Outputs::loss().with_grad()] {
        let loss = CrossEntropy::new();
        let wanted = Cpu.run(&loss, &data.inputs(), outputs).unwrap_err();
        assert!(matches!(wanted, Error::BadTargets { count: 2, first: 12, .. }), "{wanted}");
        for (name, device) in devices() {
            let run = device.run(&loss, &data.inputs(), outputs).unwrap_err();
            let into = device.run_into(&loss, &data.inputs(), outputs, &mut ()).unwrap_err();
            assert_eq!((&run, &into), (&wanted, &wanted), "{name}");
        }
        let streamed = on_all(&loss, outputs, |mut stream| {
            stream.set_divisor(80.0);
            stream.push(&data.inputs(), &mut ())?;
            stream.push(&data.inputs(), &mut ())?;
            stream.finish().map(drop)
        });
        let streamed = streamed.unwrap_err();
        let found = matches!(streamed, Error::BadTargets { count: 4, rows: 80, first: 12, .. });
        assert!(found, "{streamed}");
    }
    let mut var = [1.0f32; 40];
    var[7] = -1.0;
    let input = [0.5f32; 120];
    let inputs = Inputs::new(Tensor::new(&input, &[40, 3]))
        .target(Tensor::new(&input, &[40, 3]))
        .var(Tensor::new(&var, &[40, 1]));
    let loss = GaussianNll::new();
    let error = on_all(&loss, Outputs::loss(), |mut stream| {
        stream.push(&inputs, &mut ())?;
        stream.finish().map(drop)
    });
    let error = error.unwrap_err();
    assert!(matches!(error, Error::BadValues { what: "var", count: 3, first: 7, .. }), "{error}");
}

/// Processes that share a machine take its GPUs in turn; there is always one to take.
#[test]
fn gpus_are_taken_in_turn() {
    for turn in [0, 1, 7] {
        let gpu = TestGpu::open("in turn", GpuOptions::new().in_turn(turn));
        let name = gpu.info().name.clone();
        let again = TestGpu::open("in turn", GpuOptions::new().adapter(&name).in_turn(turn));
        assert_eq!(again.info().name, name);
    }
    let none = Gpu::with_options(&GpuOptions::new().adapter("no such adapter").in_turn(1));
    assert!(matches!(none, Err(Error::NoAdapter { .. })), "{:?}", none.err());
    // Of all together, there is no turn.
    let all = MultiGpu::all(&GpuOptions::new().in_turn(1)).map(drop);
    assert!(matches!(all, Err(Error::Option { option: "in_turn", .. })), "{all:?}");
}
