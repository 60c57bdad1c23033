//! Losses over a class axis.

use wgpu_loss::{
    CrossEntropy, ElementType, EmptyMean, Entropy, Error, LabelType, Loss, Nll, Output, Outputs,
    Plan, Reduction, Softmax, reference,
};

use super::devices::{Way, with_device};
use super::may_refuse;
use crate::draw::Draw;
use support::answer::Answer;
use support::close::Judged;
use support::data::{Data, Target, Types};
use support::embedded::{Embedded, Place};
use support::extras::Extras;
use support::gpus::TestGpu;
use support::labels::OwnedLabels;
use support::rounding::Rounding;

/// Elements of an input at most.
const MOST: usize = 30_000;

const CLASSES: [usize; 24] = [
    7, 1, 2, 3, 5, 8, 10, 12, 15, 16, 23, 31, 32, 33, 63, 64, 65, 71, 100, 130, 257, 1001, 1000,
    3001,
];
const OUTER: [usize; 12] = [9, 1, 2, 3, 5, 8, 17, 32, 40, 64, 133, 301];
const INNER: [usize; 8] = [3, 2, 4, 5, 8, 13, 33, 64];
const TYPES: [ElementType; 3] = [ElementType::F32, ElementType::F16, ElementType::BF16];
const HALVES: [ElementType; 2] = [ElementType::F16, ElementType::BF16];
const REDUCTIONS: [Reduction; 4] =
    [Reduction::Mean, Reduction::None, Reduction::Sum, Reduction::BatchMean];

/// A loss and its tensors.
struct Call {
    loss: Box<dyn Loss>,
    data: Data,
    outputs: Outputs,
}

/// Draws a call and makes it.
pub fn run(draw: &Draw<'_>) -> Judged {
    Call::draw(draw).make(draw)
}

/// Draws and makes a call of more tensors than some devices bind at once.
pub fn run_crowded(draw: &Draw<'_>) -> Judged {
    Call::crowded(draw).make(draw)
}

impl Call {
    fn draw(draw: &Draw<'_>) -> Self {
        let (data, axis) = data(draw);
        let reduction = draw.one_of(&REDUCTIONS);
        let empty = draw.one_of(&[EmptyMean::Nan, EmptyMean::Zero]);
        match draw.below(8) {
            0 => Self::distribution(draw, data, axis),
            1 => {
                let data = without_target(data, axis);
                let data = if draw.comes(4) { data.random_row_weights() } else { data };
                let mut outputs = rows_of_distribution(draw);
                (outputs.grad, outputs.row_weights) = (draw.comes(6), draw.comes(3));
                let loss = Entropy::new().axis(axis).reduction(reduction).empty_mean(empty);
                Self::finish(draw, Box::new(loss), upstream(draw, data, reduction), outputs)
            }
            2 => {
                let data = labelled(draw, weights(draw, 3, data));
                let mut outputs = Outputs::loss();
                (outputs.grad, outputs.row_weights) = (draw.comes(6), draw.comes(4));
                outputs.class_losses = draw.comes(3);
                let loss = Nll::new().class_axis(axis).reduction(reduction).empty_mean(empty);
                Self::finish(draw, Box::new(loss), upstream(draw, data, reduction), outputs)
            }
            kind => {
                let labels = kind > 3;
                let data = weights(draw, 3, data);
                let data = if labels { labelled(draw, data) } else { data.random_probabilities() };
                let mut loss =
                    CrossEntropy::new().class_axis(axis).reduction(reduction).empty_mean(empty);
                if draw.comes(3) {
                    loss = loss.label_smoothing(draw.one_of(&[0.1, 1.0, 1e-3]));
                }
                if draw.comes(3) {
                    loss = loss.logit_scale(draw.one_of(&[0.5, 1.7, 3.0]));
                }
                if draw.comes(3) {
                    loss = loss.softcap(draw.one_of(&[30.0, 2.0, 5.0]));
                }
                if draw.comes(3) {
                    loss = loss.z_loss(draw.one_of(&[1e-3, 0.125]));
                }
                let mut outputs = rows_of_distribution(draw);
                (outputs.grad, outputs.log_probs) = (draw.comes(6), draw.comes(2));
                outputs.row_weights = draw.comes(2);
                if labels {
                    (outputs.rank, outputs.accuracy) = (draw.comes(2), draw.comes(2));
                    (outputs.top_k, outputs.class_losses) = (draw.below(4) as u32, draw.comes(2));
                }
                Self::finish(draw, Box::new(loss), upstream(draw, data, reduction), outputs)
            }
        }
    }

    /// Draws a call of so many tensors that several kernels share the work on devices with few bindings. Elements have
    /// two bytes and rows an odd number of them, so that rows share words.
    fn crowded(draw: &Draw<'_>) -> Self {
        // Eight rows end at the end of a load. Tensors for which a host has another alignment are read in single words.
        let shape = [draw.one_of(&[8, 9, 16, 24]), draw.one_of(&[23, 17, 21, 71, 131, 1003])];
        let data = weights(draw, 6, Data::random(&shape, 1).random_upstream());
        let data = labelled(draw, data).in_types(Types::all(draw.one_of(&HALVES)));
        let mut outputs = rows_of_distribution(draw).with_grad();
        outputs.log_probs = draw.comes(6);
        Self { loss: Box::new(CrossEntropy::new().reduction(Reduction::None)), data, outputs }
    }

    fn distribution(draw: &Draw<'_>, data: Data, axis: isize) -> Self {
        let mut data = without_target(data, axis);
        let mut outputs = rows_of_distribution(draw);
        if draw.comes(5) {
            data = data.random_upstream_elements();
            outputs.grad = true;
        }
        let softmax = draw.one_of(&[Softmax::probs, Softmax::log_probs])().axis(axis);
        Self::finish(draw, Box::new(softmax), data, outputs)
    }

    /// Draws the element types.
    fn finish(draw: &Draw<'_>, loss: Box<dyn Loss>, data: Data, mut outputs: Outputs) -> Self {
        outputs.in_f32 = draw.comes(2);
        let one = || draw.one_of(&TYPES);
        let types = Types { input: one(), probabilities: one(), weight: one() };
        Self { loss, data: data.in_types(types), outputs }
    }

    fn make(&self, draw: &Draw<'_>) -> Judged {
        with_device(draw, |gpu, way, draw| match way {
            Way::Host(budget) => self.on_host_data(gpu, budget),
            Way::Recorded(profile) => {
                let what = self.what(&format!("{profile:?} on {}", gpu.name));
                let plan = Plan::new(&*self.loss, &self.data.shapes(), self.outputs, &profile);
                match plan {
                    Ok(plan) => self.recorded(&what, gpu, plan, draw),
                    Err(error) if may_refuse(&error) => Judged::default(),
                    Err(error) => panic!("{what}: {error}"),
                }
            }
        })
    }

    fn what(&self, how: &str) -> String {
        let problem = self.loss.problem(&self.data.shapes(), self.outputs);
        format!("{:?} {problem:?} {how}", self.data.shape())
    }

    fn on_host_data(&self, gpu: &TestGpu, budget: u64) -> Judged {
        let what = self.what(&format!("with {budget} bytes on {}", gpu.name));
        let inputs = self.data.inputs();
        let gpu = gpu.with_memory_budget(budget);
        let truth = reference::run(&*self.loss, &inputs, self.outputs);
        match (gpu.run(&*self.loss, &inputs, self.outputs), truth) {
            (Ok(got), Ok(truth)) => {
                let judged = self.compare(&what, &Answer::from(&got), &Extras::from(&got), &truth);
                let (got, wanted) = (got.summary, truth.summary);
                assert_eq!((got.rows, got.live), (wanted.rows, wanted.live), "{what}");
                assert_eq!(got.first_nonfinite, wanted.first_nonfinite, "{what}");
                judged
            }
            (Err(error), _) if may_refuse(&error) => Judged::default(),
            (Err(got), Err(wanted)) => {
                assert_eq!(got, wanted, "{what}");
                Judged::default()
            }
            (Err(error), Ok(_)) => panic!("{what}: {error}"),
            (Ok(_), Err(error)) => panic!("{what}: the reference says {error}"),
        }
    }

    fn recorded(&self, what: &str, gpu: &TestGpu, plan: Plan, draw: &Draw<'_>) -> Judged {
        let problem = plan.problem().clone();
        let may_be_in_place = self.outputs.grad && problem.output_type == problem.input_type;
        let place = Place {
            lead: draw.one_of(&[0, 0, 1, 2, 3, 4, 8, 63, 64]),
            in_place: may_be_in_place && draw.comes(3),
            arena: draw.comes(2),
        };
        let what = format!("{place:?}, {what}");
        let results = Embedded::new(gpu, &self.data, plan, place).run();
        let summary = results.summary;
        match reference::run(&*self.loss, &self.data.inputs(), self.outputs) {
            Ok(truth) => {
                assert_eq!((summary.bad, summary.live), (0, truth.summary.live), "{what}");
                self.compare(&what, &results.answer(), &results.extras(&problem), &truth)
            }
            Err(Error::BadTargets { count, first, value, .. }) => {
                assert_eq!(
                    (summary.bad, summary.first_bad),
                    (count, Some((first, value))),
                    "{what}"
                );
                Judged::default()
            }
            Err(error) => panic!("{what}: the reference says {error}"),
        }
    }

    fn compare(&self, what: &str, got: &Answer, extras: &Extras, truth: &Output<f64>) -> Judged {
        let rounding = Rounding::new(&*self.loss, &self.data, self.outputs);
        let (_, judged) = rounding.compare(what, got, &Answer::from(truth));
        let (_, of_extras) = rounding.compare_extras(what, extras, &Extras::from(truth));
        judged.and(of_extras)
    }
}

/// Draws random logits of some size, and the axis of the classes.
fn data(draw: &Draw<'_>) -> (Data, isize) {
    let classes = draw.one_of(&CLASSES);
    let mut outer = draw.one_of(&OUTER);
    let inner = if draw.comes(3) { draw.one_of(&INNER) } else { 1 };
    outer = outer.min(MOST / (classes * inner)).max(1);
    let (shape, axis) = match draw.below(4) {
        0 if inner > 1 => (vec![outer, inner, classes], -1),
        1 if outer > 1 && inner == 1 => (vec![classes, outer], 0),
        _ if inner > 1 => (vec![outer, classes, inner], 1),
        _ => (vec![outer, classes], 1),
    };
    let mut data = Data::random(&shape, axis);
    let turn = draw.below(data.input.len());
    data.input.rotate_left(turn);
    let scale = draw.one_of(&[1.0, 1.0, 8.0, 0.125]);
    data.input.iter_mut().for_each(|x| *x *= scale);
    if draw.comes(2) {
        data = data.holes();
    }
    (data, axis)
}

fn without_target(data: Data, axis: isize) -> Data {
    let shape = data.shape().to_vec();
    Data::new(&shape, axis, data.input)
}

/// Adds labels of some type, some of which are ignored or no class.
fn labelled(draw: &Draw<'_>, mut data: Data) -> Data {
    let rows = data.view.rows();
    if let (Target::Labels(OwnedLabels::I64(labels)), true) = (&mut data.target, draw.comes(3)) {
        for _ in 0..draw.within(1, 4) {
            labels[draw.below(rows)] = -100;
        }
        if draw.comes(1) {
            labels[draw.below(rows)] = draw.one_of(&[-1, 1 << 40, i64::MIN]);
        }
    }
    let Target::Labels(labels) = &data.target else { return data };
    let label_type = LabelType::ALL[draw.below(LabelType::ALL.len())];
    let (low, high): (i128, i128) = match (label_type.signed(), 8 * label_type.bytes()) {
        (true, bits) => (-(1 << (bits - 1)), (1 << (bits - 1)) - 1),
        (false, bits) => (0, (1 << bits) - 1),
    };
    // Labels that the type does not hold leave all as they are.
    let fits = labels.iter().all(|label| (low..=high).contains(&label));
    if fits { data.labels_as(label_type) } else { data }
}

/// Adds weights of classes and of rows, each in so many eighths of all cases.
fn weights(draw: &Draw<'_>, eighths: u64, mut data: Data) -> Data {
    if draw.comes(eighths) {
        data = data.random_weight();
    }
    if draw.comes(eighths) {
        data = data.random_row_weights();
    }
    data
}

fn upstream(draw: &Draw<'_>, data: Data, reduction: Reduction) -> Data {
    match (draw.comes(4), reduction) {
        (false, _) => data,
        (true, Reduction::None) => data.random_upstream(),
        (true, _) => data.upstream(-1.5),
    }
}

fn rows_of_distribution(draw: &Draw<'_>) -> Outputs {
    let mut outputs = Outputs::loss();
    (outputs.lse, outputs.argmax) = (draw.comes(2), draw.comes(2));
    (outputs.entropy, outputs.variance) = (draw.comes(2), draw.comes(2));
    outputs
}
