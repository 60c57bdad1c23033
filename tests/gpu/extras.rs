//! Cross-entropy's optional outputs, the entropy and the softmaxes' gradients on the GPU: PyTorch's answers, and
//! combinations of all options compared with the reference.

use std::collections::BTreeMap;

use support::answer::{Answer, bits};
use support::data::{Data, Types};
use support::embedded::{Embedded, Place};
use support::extras::Extras;
use support::gpus::{TestGpu, gpus, in_turn};
use support::random::Random;
use support::rounding::{Rounding, UNIT};
use support::{fixtures_extras, fixtures_softmax};
use wgpu_loss::gpu::TuningChoice;
use wgpu_loss::kernels::Phase;
use wgpu_loss::plan::{Lanes, Tuning};
use wgpu_loss::{
    CrossEntropy, ElementType, Entropy, Error, Gpu, GpuOptions, LabelType, Loss, Nll, Outputs,
    Plan, Profile, Reduction, RowColumn, Softmax,
};

/// Returns a GPU's results of all outputs in one call.
#[track_caller]
fn on(what: &str, gpu: &Gpu, loss: &dyn Loss, data: &Data, outputs: Outputs) -> (Answer, Extras) {
    let output = gpu.run(loss, &data.inputs(), outputs);
    let output = output.unwrap_or_else(|error| panic!("{what}: {error}"));
    (Answer::from(&output), Extras::from(&output))
}

// ---- Known answers

// Each case is a specialisation of its own, and compiling them takes the time: the devices take turns.

#[test]
fn extras_are_pytorchs() {
    let cases = fixtures_extras::load();
    assert!(cases.len() >= 80);
    let mut used: f64 = 0.0;
    for (i, case) in cases.iter().enumerate() {
        let gpu = &gpus()[i % 3];
        let what = format!("{} on {}", case.name, gpu.name);
        let loss = case.loss();
        let (answer, extras) = on(&what, gpu, &*loss, &case.data, case.outputs());
        let rounding = Rounding::new(&*loss, &case.data, case.outputs());
        used = used.max(rounding.check(&what, &answer, &case.truth));
        used = used.max(rounding.check_extras(&what, &extras, &case.extras));
    }
    println!("extras: {used:.2} of the tolerance");
}

#[test]
fn softmax_and_entropy_are_pytorchs() {
    let cases = fixtures_softmax::load();
    assert!(cases.len() >= 70);
    let mut used: f64 = 0.0;
    for (i, case) in cases.iter().enumerate() {
        let gpu = &gpus()[i % 3];
        let what = format!("{} on {}", case.name, gpu.name);
        let loss = case.loss();
        let output = case.data.on(gpu, &*loss, case.outputs());
        let rounding = Rounding::new(&*loss, &case.data, case.outputs());
        used = used.max(rounding.check(&what, &Answer::from(&output), &case.truth));
    }
    println!("softmax: {used:.2} of the tolerance");
}

// ---- Ties

/// Of equal classes the first is the argmax, and those with smaller numbers come before the label, wherever components,
/// loads, lanes and parts divide a row.
#[test]
fn ties_go_by_the_classes_numbers() {
    let mut tuning = Tuning::DISCRETE;
    (tuning.workgroup, tuning.lanes) = (32, Lanes::Keeping { fewest: 2, most: 32 });
    (tuning.resident_row, tuning.resident_columns, tuning.resident_short) = (16, 24, 12);
    let options = GpuOptions::new().tuning(TuningChoice::Given(tuning));
    let card = TestGpu::open("as for a graphics card", options);
    let outputs = Outputs::loss().with_argmax().with_rank().with_accuracy().with_top_k(5);
    let numbers = outputs.with_grad();
    for shape in [
        &[9, 3][..],
        &[9, 8],
        &[9, 33],
        &[9, 64],
        &[9, 1000],
        &[9, 1001],
        &[9, 4100],
        &[1, 70_001],
        &[2, 3, 16],
        &[2, 40, 16],
        &[2, 40, 7],
    ] {
        for element_type in [ElementType::F32, ElementType::BF16] {
            let mut data = Data::random(shape, 1);
            // -1, 0 and 1: a third of the classes is at the maximum.
            data.input.iter_mut().for_each(|x| *x = x.round().clamp(-1.0, 1.0));
            let data = data.in_types(Types::all(element_type));
            for outputs in [outputs, numbers] {
                let truth = data.truth(&CrossEntropy::new(), outputs);
                for gpu in in_turn().iter().chain([&card]) {
                    let what = format!("{shape:?} of {element_type:?} on {}", gpu.name);
                    let output = data.on(gpu, &CrossEntropy::new(), outputs);
                    assert_eq!(output.rows.argmax, truth.rows.argmax, "{what}");
                    assert_eq!(output.rows.rank, truth.rows.rank, "{what}");
                    let (got, wanted) = (output.summary, truth.summary);
                    assert_eq!((got.correct, got.top_k), (wanted.correct, wanted.top_k), "{what}");
                }
            }
        }
    }
}

// ---- Combinations

/// One call of one loss.
struct Call {
    name: String,
    loss: Box<dyn Loss>,
    data: Data,
    outputs: Outputs,
}

/// The way in which a call is made.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    /// On host data.
    Host,
    /// On host data, with a budget of little memory.
    Tiny,
    /// Recorded by a host, in one piece.
    Recorded,
    /// In pieces between the steps along the outer axis.
    Steps,
    /// In pieces inside them.
    Inside,
}

const WAYS: [Way; 5] = [Way::Host, Way::Tiny, Way::Recorded, Way::Steps, Way::Inside];

const REDUCTIONS: [Reduction; 4] =
    [Reduction::None, Reduction::Mean, Reduction::Sum, Reduction::BatchMean];

/// A walk through the combinations, which is the same from run to run.
struct Walk(Random);

impl Walk {
    /// Returns true with this probability, in eighths.
    fn comes(&mut self, eighths: usize) -> bool {
        self.0.below(8) < eighths
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.0.below(all.len())]
    }

    /// Draws a call for a tensor of this shape, classes on axis 1.
    fn call(&mut self, shape: &[usize]) -> Call {
        let mut data = Data::random(shape, 1);
        let reduction = self.one_of(&REDUCTIONS);
        let labels = match self.0.below(8) {
            0 => return self.distribution(data),
            1 => return self.entropy(data, reduction),
            2 => return self.nll(data, reduction),
            kind => kind > 3,
        };
        let mut loss = CrossEntropy::new().reduction(reduction);
        let mut name = format!("cross-entropy {shape:?} {reduction:?}");
        if self.comes(3) {
            data = data.holes();
            name += " holes";
        }
        if labels {
            let rows = data.view.rows();
            let label_type = self.one_of(&[LabelType::I32, LabelType::I64, LabelType::I16]);
            if self.comes(4) && shape[1] < 30_000 {
                data = data.labelled(&[1, rows / 2, rows - 1], -100).labels_as(label_type);
            }
        } else {
            data = data.random_probabilities();
            name += " probabilities";
        }
        data = self.weights(data, &mut name);
        if self.comes(3) {
            loss = loss.label_smoothing(0.1);
            name += " smoothing";
        }
        if self.comes(4) {
            loss = loss.logit_scale(self.one_of(&[0.5, 1.7, 3.0]));
            name += " scale";
        }
        if self.comes(4) {
            loss = loss.softcap(self.one_of(&[2.0, 5.0, 30.0]));
            name += " softcap";
        }
        if self.comes(4) {
            loss = loss.z_loss(self.one_of(&[0.001, 0.125]));
            name += " z-loss";
        }
        data = self.upstream(data, reduction);
        let outputs = self.outputs(labels);
        self.finish(name, loss, data, outputs)
    }

    /// Cross-entropy with all its operands and two bytes for each element that is read and written: more tensors
    /// than a kernel may bind by default.
    fn crowded(&mut self, shape: &[usize]) -> Call {
        let mut data = Data::random(shape, 1).random_weight().random_row_weights();
        data = data.random_upstream();
        let mut loss = CrossEntropy::new().reduction(Reduction::None);
        let mut name = format!("crowded {shape:?}");
        if self.comes(3) {
            loss = loss.label_smoothing(0.1);
            name += " smoothing";
        }
        if self.comes(2) {
            loss = loss.softcap(5.0).z_loss(0.125);
            name += " softcap, z-loss";
        }
        let element_type = self.one_of(&[ElementType::F16, ElementType::BF16]);
        let mut outputs = self.outputs(true);
        (outputs.grad, outputs.log_probs) = (true, self.comes(7));
        let data = data.in_types(Types::all(element_type));
        Call { name: format!("{name} {element_type:?}"), loss: Box::new(loss), data, outputs }
    }

    fn distribution(&mut self, data: Data) -> Call {
        let mut data = without_target(data);
        let mut outputs = self.rows_of_distribution();
        if self.comes(6) {
            data = data.random_upstream_elements();
            outputs = outputs.with_grad();
        }
        let name = format!("softmax {:?}", data.shape());
        match self.comes(4) {
            true => self.finish(name, Softmax::probs().axis(1), data, outputs),
            false => {
                self.finish(format!("log-{name}"), Softmax::log_probs().axis(1), data, outputs)
            }
        }
    }

    fn entropy(&mut self, data: Data, reduction: Reduction) -> Call {
        let mut data = without_target(data.holes());
        let mut name = format!("entropy {:?} {reduction:?}", data.shape());
        if self.comes(4) {
            data = data.random_row_weights();
            name += " row weights";
        }
        let data = self.upstream(data, reduction);
        let mut outputs = self.rows_of_distribution();
        (outputs.grad, outputs.row_weights) = (self.comes(6), self.comes(3));
        self.finish(name, Entropy::new().axis(1).reduction(reduction), data, outputs)
    }

    fn nll(&mut self, data: Data, reduction: Reduction) -> Call {
        let mut name = format!("nll {:?} {reduction:?}", data.shape());
        let data = self.weights(data, &mut name).random_row_weights();
        let data = self.upstream(data, reduction);
        let mut outputs = Outputs::loss();
        (outputs.grad, outputs.row_weights) = (self.comes(6), self.comes(4));
        outputs.class_losses = self.comes(4);
        self.finish(name, Nll::new().reduction(reduction), data, outputs)
    }

    fn weights(&mut self, mut data: Data, name: &mut String) -> Data {
        if self.comes(4) {
            data = data.random_weight();
            *name += " weights";
        }
        if self.comes(4) {
            data = data.random_row_weights();
            *name += " row weights";
        }
        data
    }

    fn upstream(&mut self, data: Data, reduction: Reduction) -> Data {
        match (self.comes(4), reduction) {
            (false, _) => data,
            (true, Reduction::None) => data.random_upstream(),
            (true, _) => data.upstream(-1.5),
        }
    }

    fn rows_of_distribution(&mut self) -> Outputs {
        let mut outputs = Outputs::loss();
        (outputs.lse, outputs.argmax) = (self.comes(4), self.comes(4));
        (outputs.entropy, outputs.variance) = (self.comes(4), self.comes(4));
        outputs
    }

    fn outputs(&mut self, labels: bool) -> Outputs {
        let mut outputs = self.rows_of_distribution();
        (outputs.grad, outputs.log_probs) = (self.comes(6), self.comes(2));
        outputs.row_weights = self.comes(3);
        if labels {
            (outputs.rank, outputs.accuracy) = (self.comes(4), self.comes(4));
            (outputs.top_k, outputs.class_losses) = (self.0.below(4) as u32, self.comes(3));
        }
        outputs
    }

    /// Draws the element types.
    fn finish(
        &mut self,
        name: String,
        loss: impl Loss + 'static,
        data: Data,
        mut outputs: Outputs,
    ) -> Call {
        let mut pick = || self.one_of(&[ElementType::F32, ElementType::F16, ElementType::BF16]);
        let types = Types { input: pick(), probabilities: pick(), weight: pick() };
        outputs.in_f32 = self.comes(4);
        let name = format!("{name} {:?}", types.input);
        let data = if self.comes(4) { data.in_types(types) } else { data };
        Call { name, loss: Box::new(loss), data, outputs }
    }
}

fn without_target(data: Data) -> Data {
    let shape = data.shape().to_vec();
    Data::new(&shape, 1, data.input)
}

impl Call {
    /// Makes the call on a device in one way, and compares it with the reference.
    #[track_caller]
    fn check(&self, gpu: &TestGpu, way: Way) -> f64 {
        let what = format!("{} {:?} {way:?} on {}", self.name, self.outputs, gpu.name);
        let truth = self.data.truth(&*self.loss, self.outputs);
        let (answer, extras) = match way {
            Way::Host => on(&what, gpu, &*self.loss, &self.data, self.outputs),
            Way::Tiny => {
                // A part of one row along an inner axis has its neighbours with it.
                let view = self.data.view;
                let budget = match view.elements() {
                    ..16_000 => 12 << 10,
                    _ if view.inner == 1 => 64 << 10,
                    _ => 512 << 10,
                };
                on(&what, &gpu.with_memory_budget(budget), &*self.loss, &self.data, self.outputs)
            }
            _ => self.recorded(gpu, way),
        };
        let rounding = Rounding::new(&*self.loss, &self.data, self.outputs);
        let used = rounding.check(&what, &answer, &Answer::from(&truth));
        used.max(rounding.check_extras(&what, &extras, &Extras::from(&truth)))
    }

    /// Plans for a device whose bindings hold as many bytes of a tensor.
    fn plan(&self, gpu: &Gpu, bytes: Option<u64>) -> Result<Plan, Error> {
        let mut profile: Profile = gpu.kernels().profile().clone();
        if let Some(bytes) = bytes {
            // A piece may start a little after its binding's start and end a little before its end.
            let slack = u64::from(profile.limits.min_storage_buffer_offset_alignment).max(32) + 64;
            profile.limits.max_storage_buffer_binding_size = bytes + slack;
        }
        Plan::new(&*self.loss, &self.data.shapes(), self.outputs, &profile)
    }

    fn recorded(&self, gpu: &TestGpu, way: Way) -> (Answer, Extras) {
        let view = self.data.view;
        let bytes = self.data.bytes()[0].len() as u64 / self.data.view.outer.max(1) as u64;
        let bytes = match way {
            Way::Steps => Some(bytes * if view.outer > 10 { 2 } else { 1 }),
            Way::Inside => Some((bytes / 3).next_multiple_of(32)),
            _ => None,
        };
        let plan = self.plan(gpu, bytes);
        let plan = plan.unwrap_or_else(|error| panic!("{}: {error}", self.name));
        assert!(plan.pieces().len() > 1 || bytes.is_none(), "{}: not cut", self.name);
        let problem = plan.problem().clone();
        let lead = if way == Way::Recorded { 0 } else { 3 };
        let place = Place { lead, arena: way == Way::Steps, ..Place::default() };
        let results = Embedded::new(gpu, &self.data, plan, place).run();
        (results.answer(), results.extras(&problem))
    }
}

/// Makes calls of one shape, each on one device in one way. With SOAK=n in the environment it is a longer walk
/// somewhere else.
#[track_caller]
fn walk(seed: u64, shape: &[usize], ways: &[Way], steps: usize) {
    walk_on(gpus(), seed, shape, ways, steps);
}

/// The same on these devices, by turns.
#[track_caller]
fn walk_on(gpus: &[TestGpu], seed: u64, shape: &[usize], ways: &[Way], steps: usize) {
    let soak: u64 = std::env::var("SOAK").map_or(0, |s| s.parse().unwrap());
    let (seed, steps) = (seed + 100 * soak, if soak > 0 { steps * 4 } else { steps });
    let mut walk = Walk(Random(seed));
    let mut used: f64 = 0.0;
    for step in 0..steps {
        let mut call = walk.call(shape);
        let way = ways[step % ways.len()];
        // The sums of all classes are in memory in addition to every piece.
        call.outputs.class_losses &= way != Way::Tiny || shape[1] < 200;
        used = used.max(call.check(&gpus[walk.0.below(gpus.len())], way));
    }
    println!("{shape:?}: {used:.2} of the tolerance");
}

#[test]
fn combinations_over_short_rows() {
    walk(1, &[133, 7], &WAYS[..4], 6);
    walk(2, &[136, 12], &WAYS[..4], 6);
    walk(3, &[75, 33], &WAYS[..4], 6);
}

/// Rows that a graphics card's groups load and store together.
#[test]
fn combinations_over_staged_rows() {
    let card = |tuning| GpuOptions::new().tuning(TuningChoice::Given(tuning));
    let cards = [
        TestGpu::open("as for a graphics card", card(Tuning::DISCRETE)),
        TestGpu::open("as for a small one", card(Tuning::INTEGRATED).default_limits()),
    ];
    walk_on(&cards, 14, &[1040, 3], &WAYS[..4], 8);
    walk_on(&cards, 15, &[264, 8], &WAYS[..4], 8);
    walk_on(&cards, 16, &[264, 10], &WAYS[..4], 8);
    walk_on(&cards, 17, &[136, 12], &WAYS[..4], 8);
}

#[test]
fn combinations_over_rows() {
    walk(4, &[20, 999], &WAYS, 10);
    walk(5, &[20, 1000], &WAYS, 10);
}

#[test]
fn combinations_over_long_rows() {
    walk(6, &[9, 20_001], &WAYS, 6);
    walk(7, &[5, 70_000], &WAYS, 6);
}

#[test]
fn combinations_over_columns() {
    walk(8, &[5, 6, 37], &WAYS, 8);
    walk(9, &[5, 7, 64], &WAYS, 8);
    walk(10, &[3, 40, 130], &WAYS, 8);
}

#[test]
fn combinations_over_large_vocabularies_of_columns() {
    walk(11, &[3, 4200, 3], &WAYS, 5);
    walk(12, &[2, 16_500, 4], &WAYS, 5);
}

/// Two elements to a word, kernels that share their work, and outputs that were not written before.
#[test]
fn combinations_of_more_tensors_than_bindings() {
    let soak: u64 = std::env::var("SOAK").map_or(0, |s| s.parse().unwrap());
    let steps = if soak > 0 { 300 } else { 24 };
    let gpu = &gpus()[2];
    assert_eq!(gpu.device().limits().max_storage_buffers_per_shader_stage, 8);
    let mut walk = Walk(Random(13 + 100 * soak));
    let (mut used, mut split): (f64, usize) = (0.0, 0);
    for _ in 0..steps {
        let most = walk.one_of(&[40, 200, 1500]);
        let shape = [2 + walk.0.below(70), 1 + walk.0.below(most)];
        let call = walk.crowded(&shape);
        let plan = call.plan(gpu, None).unwrap();
        split += usize::from(plan.specs().any(|spec| spec.phase == Phase::Write));
        used = used.max(call.check(gpu, Way::Recorded));
    }
    println!("{used:.2} of the tolerance, {split} of {steps} plans are split");
    assert!(2 * split > steps, "{split} of {steps} plans are split");
}

// ---- Sums of classes

#[test]
fn sums_of_classes_carry_and_do_not_wrap() {
    let asked = Outputs::loss().with_class_losses();
    let loss = CrossEntropy::new().reduction(Reduction::Sum);
    for gpu in gpus() {
        // Small losses next to large ones of both signs: the carries go through all words.
        let rows: Vec<[f32; 2]> = (0..10_000).map(|i| [(i % 97) as f32 * 1e7, 0.0]).collect();
        let labels: Vec<i64> = (0..10_000).map(|i| i64::from(i % 3 == 0)).collect();
        let sign = |i: usize| if i.is_multiple_of(2) { 1.0 } else { -0.5 };
        let data = Data::rows(&rows, &labels).row_weights((0..10_000).map(sign).collect());
        let (got, wanted) = (data.on(gpu, &loss, asked), data.truth(&loss, asked));
        let (got, wanted) = (got.classes.unwrap(), wanted.classes.unwrap());
        assert_eq!(got.rows, wanted.rows, "{}", gpu.name);
        for class in 0..2 {
            // Every loss is rounded to f32.
            let off = (got.loss[class] - wanted.loss[class]).abs();
            let all = 10_000.0 * 97e7 * 8.0 * UNIT;
            assert!(off <= all, "{}: {} for {}", gpu.name, got.loss[class], wanted.loss[class]);
        }
        // A sum past what the device's integers hold, and one of losses past that.
        for (logit, wanted) in [(4e11, 1.6e12), (1e30, 4e30)] {
            let data = Data::rows(&[[logit, 0.0]; 5], &[1, 1, 1, 1, 0]);
            let classes = data.on(gpu, &loss, asked).classes.unwrap();
            let off = (classes.loss[1] - wanted).abs();
            let reported = off <= wanted * UNIT || classes.loss[1] == f64::INFINITY;
            assert!(reported, "{}: {} for {wanted}", gpu.name, classes.loss[1]);
        }
    }
}

/// The words of a class: its sum in units of 2^-56, of which losses have whole ones, its rows, and its correct rows.
fn sums_of_classes(data: &Data, losses: &[u32], correct: &[u64]) -> Vec<u32> {
    let mut sums = vec![(0i128, 0u32); data.view.classes];
    for (row, &word) in losses.iter().enumerate() {
        let weighs = data.row_weights.as_ref().is_none_or(|weights| weights[row] != 0.0);
        let label = data.label(row).filter(|&label| label >= 0 && weighs);
        if let Some((sum, rows)) = label.map(|label| &mut sums[label as usize]) {
            *sum += (f64::from(f32::from_bits(word)) * 2f64.powi(56)) as i128;
            *rows += 1;
        }
    }
    let words = |((sum, rows), correct): (&(i128, u32), &u64)| {
        let word = |k: u32| (sum >> (32 * k)) as u32;
        [word(0), word(1), word(2), word(3), *rows, *correct as u32, 0]
    };
    sums.iter().zip(correct).flat_map(words).collect()
}

/// Groups with many rows of each class have sums of their own, in which carries and negative losses go through all
/// words. The sums are exact, whatever the groups.
#[test]
fn groups_add_up_their_classes() {
    let asked = Outputs::loss().with_class_losses();
    let card = GpuOptions::new().tuning(TuningChoice::Given(Tuning::DISCRETE));
    let card = TestGpu::open("laid out as for a card", card);
    let rows = [1, 2, 3, 33, 299, 300, 301, 321].map(|c| vec![7 * c + 61, c]);
    let images = [vec![3, 40, 86], vec![3, 2, 10], vec![2, 5, 652]];
    let mut seen = BTreeMap::new();
    for (number, shape) in images.into_iter().chain(rows).enumerate() {
        let mut data = Data::random(&shape, 1).labelled(&[1, 7], -100);
        let all = data.view.rows();
        let weights = (0..all).map(|row| [0.5, -3e5, 0.0, 2e6, -1.0][row % 5]);
        data = data.row_weights(weights.collect());
        let cross_entropy = CrossEntropy::new().reduction(Reduction::None);
        let nll = Nll::new().reduction(Reduction::None);
        for (loss, outputs) in [(&cross_entropy as &dyn Loss, asked.with_accuracy()), (&nll, asked)]
        {
            let gpu = if number % 2 == 0 { &card } else { &in_turn()[0] };
            let mut profile = gpu.kernels().profile().clone();
            profile.tuning.groups = 2;
            if shape[1] == 5 {
                let slack = profile.limits.min_storage_buffer_offset_alignment.max(32) + 32;
                profile.limits.max_storage_buffer_binding_size = 1600 + u64::from(slack);
            }
            let plan = data.plan(loss, outputs, &profile);
            for spec in plan.specs().filter(|spec| spec.group_classes > 0) {
                assert!((shape[1] as u32..321).contains(&spec.group_classes), "{shape:?}: {spec}");
                *seen.entry(format!("{:?} {:?}", spec.kernel, spec.phase)).or_insert(0) += 1;
            }
            let what = format!("{shape:?} on {}: {plan}", gpu.name);
            let place = Place { lead: number % 3, ..Place::default() };
            let results = Embedded::new(gpu, &data, plan, place).run();
            let correct = data.truth(loss, outputs).classes.unwrap().correct;
            let wanted = sums_of_classes(&data, &results.rows.unwrap(), &correct);
            assert_eq!(results.classes.unwrap(), wanted, "{what}");
        }
    }
    let kernels: Vec<&str> = seen.keys().map(String::as_str).collect();
    let wanted = ["Columns Whole", "NllForward Whole", "Rows Merge", "Rows Whole"];
    assert_eq!(kernels, wanted, "{seen:?}");
}

/// One class is at the maximum and all others so far below it that they have little of the probability: the mean square
/// of the distances less their squared mean would lose log2(1 / p) bits, p the probability at the maximum.
#[test]
fn variances_keep_their_digits() {
    let shapes: [(&[usize], isize); 6] = [
        (&[4, 1000], -1),
        (&[3, 1001], -1),
        (&[2, 60_000], -1),
        (&[2, 131_072], -1),
        (&[2, 20, 8], 1),
        (&[2, 7000, 5], 1),
    ];
    for (shape, axis) in shapes {
        let shape_of = Data::random(shape, axis);
        let (view, elements) = (shape_of.view, shape_of.input.len());
        let depth = (view.classes as f32).ln() / 2.0;
        // Not in the same place of each row.
        let logit = |element: usize| {
            let (class, inner) = (element / view.inner % view.classes, element % view.inner);
            let jitter = (class * 7919 % 1013) as f32 / 1e6;
            if class == (3 + 11 * inner) % view.classes { 0.0 } else { -depth - jitter }
        };
        let data = Data::new(shape, axis, (0..elements).map(logit).collect());
        let asked = Outputs::loss().with_variance();
        let loss = Entropy::new().axis(axis);
        let wanted = data.truth(&loss, asked).rows.variance.unwrap();
        assert!(wanted.iter().all(|&variance| variance > 1e-3));
        for gpu in gpus() {
            let got = data.on(gpu, &loss, asked).rows.variance.unwrap();
            for (got, wanted) in got.iter().zip(&wanted) {
                let off = (f64::from(*got) / wanted - 1.0).abs();
                assert!(off < 1e-5, "{}: {shape:?} is {off:e} off", gpu.name);
            }
        }
    }
}

#[test]
fn two_runs_give_the_same_bits() {
    let mut walk = Walk(Random(77));
    for (step, shape) in [&[133, 7][..], &[20, 1000], &[5, 6, 37], &[9, 20_001]].iter().enumerate()
    {
        let call = walk.call(shape);
        let gpu = &gpus()[step % 3];
        let run = || {
            let output = call.data.on(gpu, &*call.loss, call.outputs);
            let rows = output.rows.columns().map(|(_, column)| match column {
                RowColumn::Numbers(numbers) => bits(numbers),
                RowColumn::Words(words) => words.to_vec(),
            });
            let rows: Vec<Vec<u32>> = rows.collect();
            let parts = [Some(output.loss), output.grad, output.log_probs];
            let parts = parts.map(|part| part.map(|part| bits(&part)));
            (parts, rows, bits(&output.z_loss), output.classes, output.summary)
        };
        let first = run();
        for _ in 0..3 {
            assert!(run() == first, "{} on {}", call.name, gpu.name);
        }
    }
}
