//! Batches that come one by one are one tensor.

use support::answer::{Answer, widened};
use support::close::Judged;
use support::data::{Data, Target};
use support::failing::Failing;
use support::labels::OwnedLabels;
use support::recorder::Recorder;
use support::rounding::Rounding;
use wgpu_loss::stream::{Batches, Device};
use wgpu_loss::{CrossEntropy, Error, Inputs, LargeOutput, Outputs, Reduction, Sink, Tensor};
use wgpu_loss_fuzz::draw::Draw;

use crate::call::batches;
use crate::devices::Devices;

const SHAPES: [[usize; 2]; 4] = [[403, 33], [2000, 100], [64, 5000], [20_000, 10]];
const BUDGETS: [u64; 3] = [512 << 20, 64 << 10, 1 << 20];

/// A stream of one tensor.
pub fn step(devices: &mut Devices, bytes: &[u8]) -> Judged {
    let draw = &Draw::new(bytes);
    let gpu = devices.either(draw).with_memory_budget(draw.one_of(&BUDGETS));
    streamed(draw, "a stream", &gpu)
}

/// Streams a tensor through a device, and compares loss and gradient.
pub fn streamed(draw: &Draw<'_>, what: &str, device: &dyn Device) -> Judged {
    let shape = draw.one_of(&SHAPES);
    let data = Data::random(&shape, 1);
    let reduction = draw.one_of(&[Reduction::Sum, Reduction::Mean]);
    let loss = CrossEntropy::new().reduction(reduction).label_smoothing(draw.one_of(&[0.0, 0.1]));
    let outputs = Outputs::loss().with_grad();
    let stream = || {
        let mut stream = device.stream(&loss, outputs);
        if reduction == Reduction::Mean {
            stream.set_divisor(shape[0] as f64);
        }
        stream
    };
    let batches = batches(draw, shape[0]);
    if draw.comes(1) {
        drop(push_all(&batches, stream(), &data, &mut ()));
    }
    let mut sink = Recorder::default();
    let output = push_all(&batches, stream(), &data, &mut sink).and_then(|stream| stream.finish());
    let output = output.unwrap_or_else(|error| panic!("{what}: {error}"));
    let grad = Some(widened(&sink.floats(LargeOutput::Grad)));
    let got = Answer { loss: widened(&output.loss), grad, elements: None };
    if draw.comes(1) {
        // The same again, with a sink that fails at one of the writes.
        let writes = draw.below(3).min(sink.parts.len() - 1);
        let mut full = Failing { writes, reports: usize::MAX };
        let failed = push_all(&batches, stream(), &data, &mut full);
        let failed = failed.and_then(|stream| stream.finish().map(drop));
        assert!(matches!(failed, Err(Error::Sink { .. })), "{what}: {failed:?}");
    }
    let truth = Answer::from(&data.truth(&loss, outputs));
    Rounding::new(&loss, &data, outputs).compare(what, &got, &truth).1
}

fn push_all<'a>(
    batches: &[(usize, usize)],
    mut stream: Box<dyn Batches + 'a>,
    data: &Data,
    sink: &mut dyn Sink,
) -> Result<Box<dyn Batches + 'a>, Error> {
    for &(start, end) in batches {
        of_rows(data, start, end, |inputs| stream.push(inputs, sink))?;
    }
    Ok(stream)
}

/// Calls `visit` with some rows of data that has i64 labels.
pub fn of_rows<T>(
    data: &Data,
    start: usize,
    end: usize,
    visit: impl FnOnce(&Inputs<'_>) -> T,
) -> T {
    let classes = data.view.classes;
    let Target::Labels(OwnedLabels::I64(labels)) = &data.target else { panic!("i64 labels") };
    let shape = [end - start, classes];
    let logits = Tensor::new(&data.input[classes * start..classes * end], &shape);
    visit(&Inputs::new(logits).labels(&labels[start..end], &shape[..1]))
}
