//! Streams of the reference: batches and pieces give the same results as one tensor, for any outputs, and large outputs
//! are the reference's, rounded to the types that a GPU gives them.

use std::ops::Range;

use support::data::{Data, Target, Types};
use support::failing::Failing;
use support::floats::{OwnedFloats, rounded};
use support::points::{self, Kind, Operand, Points};
use support::random::Random;
use support::recorder::Recorder;
use wgpu_loss::loss::Loss;
use wgpu_loss::reference::{self, Stream};
use wgpu_loss::{
    CrossEntropy, ElementType, EmptyMean, Entropy, Error, Floats, GaussianNll, Inputs, LabelType,
    Labels, LargeOutput, Nll, Output, Outputs, Reduction, RowColumn, Softmax, Tensor,
};

const REDUCTIONS: [Reduction; 4] =
    [Reduction::None, Reduction::Mean, Reduction::Sum, Reduction::BatchMean];

/// The allowed difference of sums of the same terms in another order, relative to the sum of the terms' sizes: sums
/// keep the rounding errors of their additions, so a few roundings by 2^-53 are left.
const SUM: f64 = 1e-15;

/// The tensors of some steps of the first axis.
struct Batch<'a> {
    parts: Vec<(&'static str, Vec<usize>, Part<'a>)>,
    weight: Option<Floats<'a>>,
}

enum Part<'a> {
    Floats(Floats<'a>),
    Labels(Labels<'a>),
}

impl<'a> Batch<'a> {
    fn of(inputs: &Inputs<'a>, steps: Range<usize>) -> Self {
        let rank = inputs.input.shape.len();
        let mut parts = Vec::new();
        let mut add = |what, shape: &[usize], rank: usize, part: Part<'a>| {
            // One that is broadcast along the first axis is shared.
            let extent = inputs.input.shape[0];
            let is_cut = shape.len() == rank && shape.first() == Some(&extent);
            let by: usize = shape.iter().skip(1).product();
            let range = steps.start * by..steps.end * by;
            let mut shape = shape.to_vec();
            if is_cut {
                shape[0] = steps.len();
            }
            let part = match part {
                Part::Floats(floats) if is_cut => Part::Floats(floats.slice(range)),
                Part::Labels(labels) if is_cut => Part::Labels(labels.slice(range)),
                part => part,
            };
            parts.push((what, shape, part));
        };
        for (what, rank, tensor) in [
            ("input", rank, Some(inputs.input)),
            ("probabilities", rank, inputs.probabilities),
            ("row weights", rank - 1, inputs.row_weights),
            ("target", rank, inputs.target),
            ("weight", rank, inputs.element_weight),
            ("pos_weight", rank, inputs.pos_weight),
            ("var", rank, inputs.var),
        ] {
            if let Some(tensor) = tensor {
                add(what, tensor.shape, rank, Part::Floats(tensor.data));
            }
        }
        if let Some(upstream) = inputs.upstream {
            let rank = upstream.shape.len();
            add("upstream", upstream.shape, rank, Part::Floats(upstream.data));
        }
        if let Some((labels, shape)) = inputs.labels {
            add("labels", shape, rank - 1, Part::Labels(labels));
        }
        Self { parts, weight: inputs.weight }
    }

    fn inputs(&self) -> Inputs<'_> {
        let mut inputs = Inputs::new(Tensor::new(&[0.0; 0], &[0]));
        for (what, shape, part) in &self.parts {
            let floats = match part {
                Part::Labels(labels) => {
                    inputs = inputs.labels(*labels, shape);
                    continue;
                }
                Part::Floats(floats) => Tensor::new(*floats, shape),
            };
            inputs = match *what {
                "input" => Inputs::new(floats),
                "probabilities" => inputs.probabilities(floats),
                "row weights" => inputs.row_weights(floats),
                "target" => inputs.target(floats),
                "weight" => inputs.element_weight(floats),
                "pos_weight" => inputs.pos_weight(floats),
                "var" => inputs.var(floats),
                _ => inputs.upstream(floats),
            };
        }
        match self.weight {
            Some(weight) => inputs.weight(weight),
            None => inputs,
        }
    }
}

/// Batches of any size, as a loader gives them.
fn batches(extent: usize) -> Vec<Range<usize>> {
    let (mut random, mut start, mut all) = (Random(5), 0, Vec::new());
    all.push(0..0);
    while start < extent {
        let size = [1, 3, 17, 0, 200][random.below(5)].min(extent - start);
        all.push(start..start + size);
        start += size;
    }
    all
}

/// Returns the bytes of an output of the whole, as a sink gets them.
fn bytes(element_type: ElementType, numbers: &[f64]) -> Vec<u8> {
    let narrow: Vec<f32> = numbers.iter().map(|&x| rounded(element_type, x) as f32).collect();
    OwnedFloats::new(element_type, &narrow).borrow().bytes().to_vec()
}

/// Returns all large outputs of the whole.
fn large(inputs: &Inputs<'_>, output: &Output<f64>) -> Vec<(LargeOutput, Vec<u8>)> {
    let is_unreduced = !output.loss_shape.is_empty() && !output.loss.is_empty();
    let unreduced = |numbers| is_unreduced.then_some(numbers);
    let target = inputs.target.map(|target| target.data.element_type());
    let input = inputs.input.data.element_type();
    let var = inputs.var.map(|var| var.data.element_type());
    let distribution = output.log_probs.as_ref().or(output.probs.as_ref());
    let f32 = ElementType::F32;
    let all = [
        (LargeOutput::RowLoss, f32, unreduced(&output.loss)),
        (LargeOutput::ZLoss, f32, unreduced(&output.z_loss).filter(|all| !all.is_empty())),
        (LargeOutput::Grad, input, output.grad.as_ref()),
        (LargeOutput::Distribution, input, distribution),
        (LargeOutput::TargetGrad, target.unwrap_or(f32), output.target_grad.as_ref()),
        (LargeOutput::VarGrad, var.unwrap_or(f32), output.var_grad.as_ref()),
    ];
    let all = all
        .into_iter()
        .filter_map(|(what, element_type, numbers)| Some((what, bytes(element_type, numbers?))));
    let rows = output.rows.columns().map(|(what, column)| match column {
        RowColumn::Numbers(numbers) => (what, bytes(f32, numbers)),
        RowColumn::Words(words) => (what, bytemuck::cast_slice(words).to_vec()),
    });
    all.chain(rows).collect()
}

/// Returns the bytes of an output, each of which must have been written once.
#[track_caller]
fn recorded(sink: &Recorder, what: LargeOutput) -> Vec<u8> {
    let mut parts: Vec<_> = sink.parts.iter().filter(|part| part.0 == what).collect();
    parts.sort_by_key(|part| part.1);
    let mut bytes: Vec<u8> = Vec::new();
    for (_, offset, part) in parts {
        assert_eq!(*offset, bytes.len() as u64, "{what:?}");
        bytes.extend(part);
    }
    bytes
}

#[track_caller]
fn near(what: &str, got: f64, wanted: f64, sizes: f64) {
    let same = got == wanted || (got.is_nan() && wanted.is_nan());
    assert!(same || (got - wanted).abs() <= SUM * sizes, "{what}: {got} for {wanted}");
}

/// Compares the result of a stream, or of a call into a sink, with the whole.
#[track_caller]
fn compare(
    what: &str,
    (got, sink): (&Output<f64>, &Recorder),
    whole: &Output<f64>,
    wanted: &[(LargeOutput, Vec<u8>)],
    sizes: f64,
) {
    for (output, wanted) in wanted {
        assert!(recorded(sink, *output) == *wanted, "{what}: {output:?}");
    }
    let known = |output: &LargeOutput| wanted.iter().any(|(other, _)| other == output);
    assert!(sink.parts.iter().all(|(output, ..)| known(output)), "{what}: more than was asked for");
    if got.loss_shape.is_empty() {
        assert_eq!((got.loss.len(), got.z_loss.len()), (whole.loss.len(), whole.z_loss.len()));
        for (got, wanted) in
            got.loss.iter().chain(&got.z_loss).zip(whole.loss.iter().chain(&whole.z_loss))
        {
            near(what, *got, *wanted, sizes.max(wanted.abs()));
        }
    } else {
        assert_eq!((&got.loss_shape, got.loss.len()), (&whole.loss_shape, 0), "{what}");
    }
    let mut summary = got.summary;
    near(what, summary.weight, whole.summary.weight, whole.summary.weight);
    summary.weight = whole.summary.weight;
    assert_eq!(summary, whole.summary, "{what}");
    assert!(got.grad.is_none() && got.log_probs.is_none() && got.probs.is_none());
    assert!(got.target_grad.is_none() && got.var_grad.is_none() && got.rows.lse.is_none());
    match (&got.classes, &whole.classes) {
        (Some(got), Some(wanted)) => {
            assert_eq!((&got.rows, &got.correct), (&wanted.rows, &wanted.correct), "{what}");
            for (class, wanted_loss) in wanted.loss.iter().enumerate() {
                // Each addition may be off by 2^-53.
                let roundings = 1.0 + wanted.rows[class] as f64 / 8.0;
                near(what, got.loss[class], *wanted_loss, roundings * wanted_loss.abs());
            }
        }
        (got, wanted) => assert_eq!(got, wanted, "{what}"),
    }
    let last = sink.reports.last().copied().unwrap_or_default();
    assert_eq!(last.rows, whole.summary.rows, "{what}");
    assert!(sink.reports.windows(2).all(|two| two[0].bytes < two[1].bytes), "{what}");
}

/// Checks a loss of terms of one sign.
#[track_caller]
fn check(what: &str, loss: &dyn Loss, inputs: &Inputs<'_>, outputs: Outputs) {
    check_sum(what, loss, inputs, outputs, 0.0);
}

/// Checks a loss in a call into a sink, and in a stream of batches that are divided into pieces of every size. `sizes`
/// is the reduced loss, if all terms were positive.
#[track_caller]
fn check_sum(what: &str, loss: &dyn Loss, inputs: &Inputs<'_>, outputs: Outputs, sizes: f64) {
    let whole = reference::run(loss, inputs, outputs).unwrap();
    let wanted = large(inputs, &whole);
    let mut sink = Recorder::default();
    let got = reference::run_into(loss, inputs, outputs, &mut sink).unwrap();
    compare(&format!("{what}, into a sink"), (&got, &sink), &whole, &wanted, sizes);
    let problem = loss.problem(&inputs.shapes(), outputs);
    if problem.is_ok_and(|problem| problem.class_axis == 0 && problem.pointwise.is_none()) {
        return;
    }
    for bytes in [1, 700, 5000, 1 << 24] {
        let mut stream = divided(reference::stream(loss, outputs), loss, inputs, outputs, &whole);
        stream = stream.piece_bytes(bytes);
        let mut sink = Recorder::default();
        for steps in batches(inputs.input.shape[0]) {
            stream.push(&Batch::of(inputs, steps).inputs(), &mut sink).unwrap();
        }
        let got = stream.finish().unwrap();
        compare(&format!("{what}, pieces of {bytes}"), (&got, &sink), &whole, &wanted, sizes);
    }
}

/// With the divisor, where a gradient needs it.
fn divided<'a>(
    stream: Stream<'a>,
    loss: &dyn Loss,
    inputs: &Inputs<'_>,
    outputs: Outputs,
    whole: &Output<f64>,
) -> Stream<'a> {
    use wgpu_loss::loss::Divisor;
    let Outputs { grad, target_grad, var_grad, .. } = outputs;
    // One that cannot be stated has three groups of axes: its operands are written out, and divide it by as much.
    let divisor = loss.problem(&inputs.shapes(), outputs).map(|p| (p.reduction, p.divisor));
    match divisor {
        Ok((Reduction::Mean | Reduction::BatchMean, divisor))
            if grad || target_grad || var_grad =>
        {
            stream.divisor(match divisor {
                Divisor::Known(divisor) => divisor,
                Divisor::RowWeights => whole.summary.weight,
            })
        }
        _ => stream,
    }
}

/// Rows, images that are cut between each other, images that are cut inside, classes last and first.
fn tensors() -> [(isize, Data); 8] {
    let shapes: [(isize, &[usize]); 8] = [
        (1, &[203, 33]),
        (1, &[400, 5]),
        (1, &[61, 7, 9]),
        (1, &[3, 11, 211]),
        (1, &[2, 8, 17, 24]),
        (-1, &[5, 31, 19]),
        (2, &[3, 9, 6, 11]),
        (0, &[7, 123]),
    ];
    shapes.map(|(axis, shape)| (axis, Data::random(shape, axis)))
}

/// With a gradient upstream that fits the reduction.
fn upstream(data: Data, reduction: Reduction) -> Data {
    match reduction {
        Reduction::None => data.random_upstream(),
        _ => data.upstream(1.75),
    }
}

fn of_rows(outputs: Outputs) -> Outputs {
    outputs.with_lse().with_argmax().with_entropy().with_variance()
}

#[test]
fn cross_entropy_of_labels() {
    let all = of_rows(Outputs::loss()).with_rank().with_row_weights().with_accuracy().with_top_k(3);
    let all = all.with_class_losses().with_grad().with_log_probs();
    for (axis, data) in tensors() {
        for reduction in REDUCTIONS {
            let what = format!("{:?} {reduction:?}", data.shape());
            let loss = CrossEntropy::new().reduction(reduction).class_axis(axis);
            let data = data.clone().labelled(&[0, 5, 77], -100);
            check(&what, &loss, &data.inputs(), Outputs::loss());
            check(&what, &loss, &data.inputs(), Outputs::loss().with_grad());
            let data = upstream(data.holes().random_weight(), reduction);
            check(&what, &loss, &data.inputs(), all);
            let data = data.random_row_weights();
            let loss = loss.label_smoothing(0.2).logit_scale(0.5).softcap(3.0).z_loss(0.1);
            check(&what, &loss, &data.holes().inputs(), all);
        }
    }
}

#[test]
fn cross_entropy_of_probabilities() {
    let all = of_rows(Outputs::loss()).with_grad().with_log_probs();
    for (axis, data) in tensors() {
        for reduction in REDUCTIONS {
            let what = format!("{:?} {reduction:?}", data.shape());
            let loss = CrossEntropy::new().reduction(reduction).class_axis(axis);
            let data = upstream(data.clone().random_probabilities(), reduction);
            check(&what, &loss, &data.inputs(), Outputs::loss());
            check(&what, &loss, &data.random_weight().random_row_weights().inputs(), all);
        }
    }
}

#[test]
fn nll() {
    let all = Outputs::loss().with_grad().with_row_weights().with_class_losses();
    for (axis, data) in tensors() {
        for reduction in REDUCTIONS {
            let what = format!("{:?} {reduction:?}", data.shape());
            // The sums keep their digits where the terms have one sign.
            let mut data = data.clone().labelled(&[1, 2, 99], -100);
            data.input.iter_mut().for_each(|x| *x = -x.abs());
            let data = upstream(data.random_weight(), reduction);
            let loss = Nll::new().reduction(reduction).class_axis(axis);
            check(&what, &loss, &data.inputs(), Outputs::loss());
            check(&what, &loss, &data.random_row_weights().inputs(), all);
        }
    }
}

#[test]
fn distributions_and_their_entropy() {
    for (axis, mut data) in tensors() {
        data.target = Target::None;
        let what = format!("{:?}", data.shape());
        for loss in [Softmax::probs(), Softmax::log_probs()] {
            let loss = loss.axis(axis);
            check(&what, &loss, &data.inputs(), of_rows(Outputs::loss()));
            let data = data.clone().random_upstream_elements();
            check(&what, &loss, &data.inputs(), Outputs::loss().with_grad());
        }
        for reduction in REDUCTIONS {
            let loss = Entropy::new().axis(axis).reduction(reduction);
            let outputs = of_rows(Outputs::loss()).with_grad().with_log_probs();
            check(&what, &loss, &data.inputs(), Outputs::loss());
            let data = upstream(data.clone().random_row_weights(), reduction);
            check(&what, &loss, &data.inputs(), outputs);
        }
    }
}

#[test]
fn types_of_tensors_are_those_of_outputs() {
    for element_type in ElementType::ALL {
        let data = Data::random(&[203, 7], 1).random_weight().in_types(Types::all(element_type));
        let outputs = of_rows(Outputs::loss()).with_grad().with_log_probs();
        check(element_type.name(), &CrossEntropy::new(), &data.inputs(), outputs);
    }
    for label_type in LabelType::ALL {
        let data = Data::random(&[203, 7], 1).labels_as(label_type);
        let what = format!("{label_type:?}");
        check(&what, &CrossEntropy::new(), &data.inputs(), Outputs::loss().with_grad());
    }
}

/// Operands of shapes that broadcast in every way. A variance that all batches share is a variance of each batch, so it
/// is tested separately.
#[test]
fn losses_of_single_elements() {
    let shape = [23, 6, 10];
    let broadcast: [&[usize]; 9] = [
        &[23, 6, 10],
        &[],
        &[10],
        &[6, 1],
        &[6, 10],
        &[23, 1, 1],
        &[23, 6, 1],
        &[23, 1, 10],
        &[1, 6, 1],
    ];
    for kind in Kind::ALL {
        for reduction in REDUCTIONS {
            for (number, first) in broadcast.iter().enumerate() {
                let mut points = Points::random(kind, &shape, points::Types::F32);
                let second = broadcast[(number + 3) % broadcast.len()];
                let what = format!("{kind:?} {reduction:?} {first:?} {second:?}");
                let operand = |shape: &[usize]| {
                    let mut random = Random(number as u64 + 1);
                    let count = shape.iter().product();
                    let all: Vec<f32> = (0..count).map(|_| random.uniform(0.5, 2.0)).collect();
                    let data = OwnedFloats::new(ElementType::F32, &all);
                    Operand { data, shape: shape.to_vec() }
                };
                let mut outputs = kind.outputs();
                match kind {
                    Kind::Logits => {
                        (points.weight, points.pos_weight) =
                            (Some(operand(first)), Some(operand(second)));
                    }
                    Kind::Bce => points.weight = Some(operand(first)),
                    Kind::Gaussian { .. } => {
                        // One of the axes at most may lack.
                        let less = first.iter().filter(|&&extent| extent == 1).count();
                        if first.len() == 3 && less <= 1 || first.is_empty() {
                            points.var = Some(operand(first));
                        }
                        if first.first() != Some(&shape[0]) {
                            outputs.var_grad = false;
                        }
                    }
                    _ if number > 0 => continue,
                    _ => {}
                }
                if reduction == Reduction::None {
                    let given = operand(&shape).data.wide();
                    points.upstream = Some((given, shape.to_vec()));
                }
                let loss = points.loss(reduction);
                let each = Points { upstream: None, ..points.clone() };
                let each = each.truth(Reduction::None, Outputs::loss()).loss;
                let sizes = each.iter().map(|loss| loss.abs()).sum::<f64>();
                let sizes = match reduction {
                    Reduction::Mean => sizes / each.len() as f64,
                    Reduction::BatchMean => sizes / shape[0] as f64,
                    _ => sizes,
                };
                check_sum(&what, &*loss, &points.inputs(), outputs, sizes);
            }
        }
    }
}

/// Each batch of a stream has a variance of its own, and so its gradient: one follows the other.
#[test]
fn a_shared_variance_is_one_of_each_batch() {
    let (input, target) = (Data::random(&[300, 4], 1).input, vec![0.5f32; 1200]);
    let loss = GaussianNll::new().reduction(Reduction::Sum);
    let outputs = Outputs::loss().with_var_grad();
    let inputs = |steps: Range<usize>, shape: &'static [usize]| {
        let elements = 4 * steps.start..4 * steps.end;
        let input = Tensor::new(&input[elements.clone()], shape);
        Inputs::new(input).target(Tensor::new(&target[elements], shape))
    };
    let var = [0.5f32, 1.0, 1.5, 2.0];
    let batches = [inputs(0..100, &[100, 4]), inputs(100..300, &[200, 4])];
    let batches = batches.map(|inputs| inputs.var(Tensor::new(&var, &[1, 4])));
    let mut wanted = Vec::new();
    for bytes in [1, 100, 1 << 20] {
        let mut stream = reference::stream(&loss, outputs).piece_bytes(bytes);
        let mut sink = Recorder::default();
        batches.iter().for_each(|batch| stream.push(batch, &mut sink).unwrap());
        stream.finish().unwrap();
        wanted = batches
            .iter()
            .flat_map(|batch| reference::run(&loss, batch, outputs).unwrap().var_grad.unwrap())
            .collect();
        for (got, wanted) in sink.floats(LargeOutput::VarGrad).into_iter().zip(&wanted) {
            assert!((f64::from(got) / wanted - 1.0).abs() < 1e-7, "{got} for {wanted}");
        }
        assert_eq!(sink.floats(LargeOutput::VarGrad).len(), wanted.len());
    }
    assert_eq!(wanted.len(), 8);
}

/// A call whose tensors are cut inside images, where the classes are the first axis too.
#[test]
fn large_images_are_cut_inside() {
    let positions = 700_001;
    for (axis, shape) in [(0, &[6, positions][..]), (1, &[1, 6, positions])] {
        let data = Data::random(shape, axis).random_weight().labelled(&[9, 600_000], -100);
        let outputs = of_rows(Outputs::loss()).with_grad().with_log_probs().with_class_losses();
        let loss = CrossEntropy::new().class_axis(axis);
        let whole = reference::run(&loss, &data.inputs(), outputs).unwrap();
        let wanted = large(&data.inputs(), &whole);
        let mut sink = Recorder::default();
        let got = reference::run_into(&loss, &data.inputs(), outputs, &mut sink).unwrap();
        assert!(sink.reports.len() > 2, "{} pieces", sink.reports.len());
        let of = Some(positions as u64);
        assert!(sink.reports.iter().all(|done| done.of == of));
        compare(&format!("{shape:?}"), (&got, &sink), &whole, &wanted, 0.0);
    }
}

#[test]
fn pieces_say_where_they_lie() {
    let data = Data::random(&[9, 11, 211], 1);
    let loss = CrossEntropy::new();
    let outputs = Outputs::loss().with_grad().with_lse();
    let whole = reference::run(&loss, &data.inputs(), outputs).unwrap();
    let (grad, lse) = (whole.grad.unwrap(), whole.rows.lse.unwrap());
    for bytes in [1, 10_000, 1 << 24] {
        let mut stream = reference::stream(&loss, outputs).divisor(whole.summary.weight);
        stream = stream.piece_bytes(bytes);
        let (mut elements, mut rows, mut sum) = (0, 0, 0.0);
        for steps in batches(9) {
            let batch = Batch::of(&data.inputs(), steps);
            let pushed = stream.push_pieces(&batch.inputs(), |piece| {
                let of = |what, all: &[f64]| -> Vec<f64> {
                    let runs = piece.runs(what);
                    runs.flat_map(|run| &all[run.start as usize..run.end as usize])
                        .copied()
                        .collect()
                };
                let (got, rows_got) = (&piece.output.grad, &piece.output.rows.lse);
                assert_eq!(got.as_ref(), Some(&of(LargeOutput::Grad, &grad)));
                assert_eq!(rows_got.as_ref(), Some(&of(LargeOutput::Lse, &lse)));
                let count = piece.inputs.input.data.len();
                assert_eq!((count, piece.problem.view.elements()), (count, count));
                assert_eq!(piece.inputs.labels.unwrap().0.len(), piece.problem.view.rows());
                assert_eq!(piece.scale, 1.0 / whole.summary.weight);
                elements += count;
                rows += piece.problem.view.rows();
                sum += piece.output.loss[0];
                Ok(())
            });
            pushed.unwrap();
        }
        assert_eq!((elements, rows), (grad.len(), lse.len()));
        let loss = stream.finish().unwrap().loss[0];
        near("sum", sum * (1.0 / whole.summary.weight), loss, loss);
    }
    let stopped = reference::run_pieces(&loss, &data.inputs(), outputs, |_| Err(Error::Stopped));
    assert_eq!(stopped.unwrap_err(), Error::Stopped);
}

#[test]
fn bad_labels_are_counted_over_all_pieces_and_their_rows_are_nan() {
    let data = Data::random(&[203, 33], 1).labelled(&[189, 133], 99).labelled(&[190], -7);
    let outputs = Outputs::loss().with_grad();
    for nll in [false, true] {
        let (cross, nll_loss) = (
            CrossEntropy::new().reduction(Reduction::None).z_loss(0.1),
            Nll::new().reduction(Reduction::None),
        );
        let loss: &dyn Loss = if nll { &nll_loss } else { &cross };
        let mut stream = reference::stream(loss, outputs).piece_bytes(3000);
        let mut sink = Recorder::default();
        for start in (0..200).step_by(50) {
            let batch = Batch::of(&data.inputs(), start..start + 50);
            stream.push(&batch.inputs(), &mut sink).unwrap();
        }
        let error = stream.finish().unwrap_err();
        let found =
            matches!(error, Error::BadTargets { count: 3, rows: 200, first: 133, value: 99, .. });
        assert!(found, "{error}");
        let bad = |row: usize| [133, 189, 190].contains(&row);
        for (row, loss) in sink.floats(LargeOutput::RowLoss).iter().enumerate() {
            assert_eq!(loss.is_nan(), bad(row), "row {row}");
        }
        for (row, loss) in sink.floats(LargeOutput::ZLoss).iter().enumerate() {
            assert_eq!(loss.is_nan(), bad(row), "row {row}");
        }
        for (element, slope) in sink.floats(LargeOutput::Grad).iter().enumerate() {
            assert_eq!(slope.is_nan(), bad(element / 33), "element {element}");
        }
        let whole = reference::run_into(loss, &data.inputs(), outputs, &mut ()).unwrap_err();
        assert_eq!(whole, reference::run(loss, &data.inputs(), outputs).unwrap_err());
    }
    // A mean's divisor is computed first.
    let mean = CrossEntropy::new();
    let whole = reference::run_into(&mean, &data.inputs(), outputs, &mut ()).unwrap_err();
    assert_eq!(whole, reference::run(&mean, &data.inputs(), outputs).unwrap_err());
}

#[test]
fn bad_values_are_counted_over_all_pieces() {
    let mut var = vec![1.0f32; 300];
    (var[250], var[17]) = (-1.0, -2.0);
    let input = vec![0.5f32; 900];
    let inputs = Inputs::new(Tensor::new(&input, &[300, 3]))
        .target(Tensor::new(&input, &[300, 3]))
        .var(Tensor::new(&var, &[300, 1]));
    let loss = GaussianNll::new();
    let wanted = reference::run(&loss, &inputs, Outputs::loss()).unwrap_err();
    let Error::BadValues { what: "var", count: 6, of: 900, first: 17, value: -2.0, .. } = wanted
    else {
        panic!("{wanted}")
    };
    assert_eq!(reference::run_into(&loss, &inputs, Outputs::loss(), &mut ()).unwrap_err(), wanted);
    for bytes in [1, 100, 1 << 20] {
        let mut stream = reference::stream(&loss, Outputs::loss()).piece_bytes(bytes);
        stream.push(&inputs, &mut ()).unwrap();
        assert_eq!(stream.finish().unwrap_err(), wanted);
    }
}

#[test]
fn nothing_there() {
    let loss = CrossEntropy::new().empty_mean(EmptyMean::Zero);
    let outputs = Outputs::loss().with_class_losses().with_lse();
    let empty = Data::new(&[0, 5], 1, Vec::new()).labels(LabelType::I64, &[]);
    let mut stream = reference::stream(&loss, outputs);
    stream.push(&empty.inputs(), &mut ()).unwrap();
    let output = stream.finish().unwrap();
    assert_eq!((output.loss, output.summary.rows), (vec![0.0], 0));
    assert_eq!(output.classes.unwrap().rows, [0; 5]);
    // More rows of no classes than a loop could visit.
    let none = [0.0f32; 0];
    let many = Inputs::new(Tensor::new(&none, &[1 << 40, 0]));
    let output = reference::run_into(&Softmax::probs(), &many, Outputs::loss(), &mut ()).unwrap();
    assert_eq!(output.summary.rows, 1 << 40);
}

#[test]
fn a_sink_that_fails_ends_the_stream() {
    let data = Data::random(&[203, 33], 1);
    let loss = CrossEntropy::new().reduction(Reduction::Sum);
    let outputs = Outputs::loss().with_grad();
    for (writes, reports) in [(0, 99), (2, 99), (99, 0), (99, 2)] {
        let mut stream = reference::stream(&loss, outputs).piece_bytes(3000);
        let error = stream.push(&data.inputs(), &mut Failing { writes, reports }).unwrap_err();
        assert_eq!(matches!(error, Error::Sink { .. }), writes < 99, "{error}");
        assert_eq!(stream.push(&data.inputs(), &mut ()).unwrap_err(), error);
        assert_eq!(stream.finish().unwrap_err(), error);
    }
}
