//! Rows whose classes are split over several calls: states from the logits of some classes, and losses, statistics and
//! gradients from the states of all. Compared with the reference, which has the rows whole.

use support::answer::{Answer, bits};
use support::data::{Data, Types};
use support::embedded::{Embedded, Place, Results, read_words, submit};
use support::extras::Extras;
use support::gpus::{TestGpu, gpus, in_turn, knows_allocations};
use support::random::Random;
use support::rounding::Rounding;
use support::shards::{Numbers, Run, Shardable, Sharded};
use wgpu_loss::loss::Shapes;
use wgpu_loss::stream::Device;
use wgpu_loss::{
    Bound, Buffers, CrossEntropy, ElementType, Entropy, Error, Gpu, GpuOptions, Inputs, LabelType,
    LargeOutput, Loss, MultiGpu, Outputs, Plan, Profile, Reduction, RowStates, Sink, Softmax,
    Summary, TargetType, reference, wgpu,
};

fn on(gpu: &Gpu) -> impl Fn(&dyn Loss, &Inputs<'_>, Outputs) -> Result<Numbers, Error> {
    |loss, inputs, outputs| gpu.run(loss, inputs, outputs).map(Numbers::from)
}

fn on_cpu(loss: &dyn Loss, inputs: &Inputs<'_>, outputs: Outputs) -> Result<Numbers, Error> {
    reference::run(loss, inputs, outputs).map(Numbers::from)
}

fn everything() -> Outputs {
    Outputs::loss()
        .with_grad()
        .with_log_probs()
        .with_lse()
        .with_argmax()
        .with_entropy()
        .with_variance()
        .with_row_weights()
        .with_accuracy()
}

fn of_probabilities() -> Outputs {
    let mut outputs = everything();
    outputs.accuracy = false;
    outputs
}

fn counts(summary: Summary) -> (u64, u64, u64, u64, Option<u64>) {
    let Summary { rows, live, bad, nonfinite, first_nonfinite, .. } = summary;
    (rows, live, bad, nonfinite, first_nonfinite)
}

/// A call, and the truth about it.
struct Case<'a> {
    what: String,
    loss: &'a dyn Shardable,
    data: &'a Data,
    outputs: Outputs,
    truth: Numbers,
}

impl<'a> Case<'a> {
    fn new(what: &str, loss: &'a dyn Shardable, data: &'a Data, outputs: Outputs) -> Self {
        let truth = on_cpu(loss, &data.inputs(), outputs).unwrap();
        Self { what: what.to_owned(), loss, data, outputs, truth }
    }

    /// Checks the answer of shards; returns the part of the tolerance that it used.
    #[track_caller]
    fn check(&self, run: &Run<'_>, cuts: &[usize]) -> f64 {
        let what = &format!("{}, {:?} cut at {cuts:?}", self.what, self.data.shape());
        let got = Sharded::new(self.loss, self.data, self.outputs, cuts).run(what, run);
        self.compare(what, &got)
    }

    #[track_caller]
    fn compare(&self, what: &str, got: &Numbers) -> f64 {
        let rounding = Rounding::new(self.loss, self.data, self.outputs);
        let (used, _) = rounding.compare(what, &got.answer, &self.truth.answer);
        let (of_extras, _) = rounding.compare_extras(what, &got.extras, &self.truth.extras);
        assert_eq!(counts(got.summary), counts(self.truth.summary), "{what}");
        used.max(of_extras)
    }
}

/// Places at which classes are cut: even, uneven, with shards of no classes, of one, and on no load.
fn cuts(classes: usize, number: usize) -> Vec<usize> {
    let mut cuts = match number % 6 {
        0 => vec![classes / 2],
        1 => vec![classes / 3, classes / 3, classes - classes / 5],
        2 => vec![],
        3 => vec![0, classes / 2 + 1],
        4 => vec![1, classes],
        _ => vec![classes / 4, classes / 2, classes / 2 + 3],
    };
    cuts.iter_mut().for_each(|cut| *cut = (*cut).min(classes));
    cuts.sort_unstable();
    cuts
}

#[test]
fn shards_have_the_answer_of_the_whole() {
    let mut used: f64 = 0.0;
    let mut number = 0;
    for shape in [
        vec![9, 1],
        vec![17, 2],
        vec![8, 3],
        vec![6, 33],
        vec![5, 1000],
        vec![3, 4097],
        vec![2, 3, 7],
        vec![3, 33, 5],
        vec![2, 300, 9],
        vec![1, 2000, 4],
    ] {
        for element_type in ElementType::ALL {
            let data = Data::random(&shape, 1).labelled(&[1], -100);
            let data = data.in_types(Types::all(element_type));
            let reduction = [Reduction::Mean, Reduction::None][number % 2];
            let loss = CrossEntropy::new().reduction(reduction);
            let case = Case::new("plain", &loss, &data, everything());
            for _ in 0..2 {
                for gpu in in_turn() {
                    used = used.max(case.check(&on(gpu), &cuts(shape[1], number)));
                }
                number += 1;
            }
        }
    }
    println!("shards: {used:.2} of the tolerance");
}

/// Few long rows, which groups share: their parts are merged on the device.
#[test]
fn long_rows_have_states_in_parts() {
    let mut used: f64 = 0.0;
    for (number, shape) in
        [vec![3, 50_257], vec![2, 151_936], vec![1, 70_000, 2]].iter().enumerate()
    {
        let data = Data::random(shape, 1);
        let loss = CrossEntropy::new().label_smoothing(0.1);
        let case = Case::new("long", &loss, &data, everything());
        for gpu in in_turn() {
            used = used.max(case.check(&on(gpu), &cuts(shape[1], number)));
        }
    }
    println!("long: {used:.2} of the tolerance");
}

#[test]
fn options_hold_across_shards() {
    let mut used: f64 = 0.0;
    let mut random = Random(77);
    for number in 0..60 {
        let shape: &[usize] = [&[6, 33][..], &[2, 50, 3], &[3, 1001], &[12, 8]][number % 4];
        let mut loss = CrossEntropy::new().reduction(
            [Reduction::None, Reduction::Mean, Reduction::Sum, Reduction::BatchMean]
                [random.below(4)],
        );
        let smoothed = random.below(2) == 0;
        if smoothed {
            loss = loss.label_smoothing(0.2);
        }
        if random.below(3) == 0 {
            loss = loss.softcap(3.0);
        }
        if random.below(3) == 0 {
            loss = loss.logit_scale(1.5);
        }
        if random.below(3) == 0 {
            loss = loss.z_loss(1e-2);
        }
        let mut data = Data::random(shape, 1);
        let labels = random.below(3) > 0;
        if !labels {
            data = data.random_probabilities();
        } else if !smoothed && random.below(2) == 0 {
            data = data.holes();
        }
        if random.below(2) == 0 {
            data = data.random_weight();
        }
        if random.below(2) == 0 {
            data = data.random_row_weights();
        }
        let unreduced = loss.clone() == loss.clone().reduction(Reduction::None);
        if random.below(2) == 0 {
            data = if unreduced { data.random_upstream() } else { data.upstream(0.7) };
        }
        let data = data.in_types(Types {
            input: ElementType::ALL[random.below(3)],
            probabilities: ElementType::ALL[random.below(3)],
            weight: ElementType::ALL[random.below(3)],
        });
        let outputs = if labels { everything() } else { of_probabilities() };
        let what = format!("{number}: {loss:?}");
        let case = Case::new(&what, &loss, &data, outputs);
        for gpu in in_turn() {
            used = used.max(case.check(&on(gpu), &cuts(shape[1], random.below(6))));
        }
    }
    println!("options: {used:.2} of the tolerance");
}

/// Outputs that need no further field of the state, so that its words are the fewest.
#[test]
fn outputs_may_be_few() {
    let data = Data::random(&[40, 21], 1);
    let loss = CrossEntropy::new();
    for outputs in [
        Outputs::loss(),
        Outputs::loss().with_grad(),
        Outputs::loss().with_lse(),
        Outputs::loss().with_accuracy(),
        Outputs::loss().with_entropy(),
        Outputs::loss().with_log_probs(),
        Outputs::loss().with_row_weights(),
    ] {
        let case = Case::new("few", &loss, &data, outputs);
        for gpu in in_turn() {
            case.check(&on(gpu), &[5, 6]);
        }
    }
}

/// The loss is the sum of two distances from the maximum, which the states keep: 1e-12 stays 1e-12, at logits of 10,000.
#[test]
fn confident_rows_keep_their_digits() {
    for gpu in gpus() {
        for label in [0, 3, 5] {
            let mut logits = [1e4f32; 6];
            logits[label] += 27.6;
            let lead = f64::from(logits[label]) - 1e4;
            let data = Data::rows(&[logits], &[label as i64]);
            let loss = CrossEntropy::new();
            let outputs = Outputs::loss().with_grad();
            let sharded = Sharded::new(&loss, &data, outputs, &[1, 2]);
            let got = sharded.run(&gpu.name, &on(gpu)).answer;
            let wanted = (5.0 * (-lead).exp()).ln_1p();
            assert!((got.loss[0] / wanted - 1.0).abs() < 2e-5, "{got:?} and not {wanted:e}");
            let grad = got.grad.unwrap()[label];
            assert!((grad / -wanted - 1.0).abs() < 2e-5, "{grad:e} and not {:e}", -wanted);
        }
    }
}

/// A row of NaN or +inf is NaN on all shards, and no other row is; a shard of -inf alone adds nothing.
#[test]
fn what_is_no_number_stays_in_its_row() {
    let inf = f32::INFINITY;
    let rows = [
        [1.0, 2.0, 3.0, 4.0],
        [f32::NAN, 2.0, 3.0, 4.0],
        [1.0, 2.0, inf, 4.0],
        [-inf, -inf, 3.0, 4.0],
        [-inf; 4],
        [1.0, 2.0, -inf, -inf],
    ];
    let data = Data::rows(&rows, &[0, 0, 0, 3, 1, 0]);
    for gpu in gpus() {
        for reduction in [Reduction::None, Reduction::Sum] {
            let loss = CrossEntropy::new().reduction(reduction);
            let case = Case::new(&gpu.name, &loss, &data, everything());
            for cuts in [vec![2], vec![0, 1, 3]] {
                case.check(&on(gpu), &cuts);
            }
        }
    }
}

#[test]
fn bad_labels_are_the_same_error_for_all() {
    let data = Data::random(&[4, 10], 1).labelled(&[2], 10).labelled(&[3], -7);
    let loss = CrossEntropy::new();
    for gpu in gpus() {
        for outputs in [Outputs::loss(), Outputs::loss().with_grad()] {
            let sharded = Sharded::new(&loss, &data, outputs, &[3, 7, 10]);
            let run = on(gpu);
            let words: Vec<u32> =
                sharded.states(&run).iter().flat_map(|states| states.words()).copied().collect();
            for answer in sharded.answers(&run, &words, 4) {
                let wanted = Error::BadTargets {
                    count: 2,
                    rows: 4,
                    first: 2,
                    value: 10,
                    classes: 10,
                    ignore_index: -100,
                };
                assert_eq!(answer.unwrap_err(), wanted);
            }
        }
    }
}

/// A machine without a GPU takes part: its states and its answer are those of the reference.
#[test]
fn the_reference_and_devices_exchange_states() {
    for (number, shape) in [vec![7, 33], vec![2, 40, 3]].iter().enumerate() {
        for loss in [
            CrossEntropy::new(),
            CrossEntropy::new().label_smoothing(0.1).softcap(4.0).z_loss(1e-3),
        ] {
            let data = Data::random(shape, 1).random_weight();
            for gpu in in_turn() {
                let sharded = Sharded::new(&loss, &data, everything(), &cuts(shape[1], number));
                let run = on(gpu);
                let by_gpu = sharded.states(&run);
                let by_cpu = sharded.states(&on_cpu);
                // Every second shard is the reference's.
                let words: Vec<u32> = (0..sharded.count())
                    .flat_map(|k| if k % 2 == 0 { &by_gpu[k] } else { &by_cpu[k] }.words())
                    .copied()
                    .collect();
                let case = Case::new("mixed", &loss, &data, everything());
                for run in [&run as &Run<'_>, &on_cpu] {
                    let answers = sharded.answers(run, &words, sharded.count());
                    let answers: Vec<Numbers> = answers.into_iter().map(Result::unwrap).collect();
                    case.compare("mixed", &sharded.together("mixed", &answers));
                }
            }
        }
    }
}

/// Budgets that hold some rows, one row, or a part of one. Losses have the same bits for every shard of a device.
#[test]
fn small_budgets_make_no_difference() {
    for (shape, budget) in [
        (vec![40, 100], 12 << 10),
        (vec![2, 30, 50], 12 << 10),
        (vec![3, 20_000], 64 << 10),
        (vec![2, 9000, 2], 48 << 10),
    ] {
        for element_type in [ElementType::F32, ElementType::BF16] {
            let data = Data::random(&shape, 1).random_weight().in_types(Types::all(element_type));
            let loss = CrossEntropy::new().label_smoothing(0.1);
            let case = Case::new("budget", &loss, &data, everything());
            for gpu in in_turn() {
                let small = gpu.with_memory_budget(budget + 4 * shape[1] as u64);
                case.check(&on(&small), &cuts(shape[1], 1));
            }
        }
    }
}

/// Losses and gradients from states are computed one after the other, each within the whole budget.
#[test]
fn the_buffers_of_losses_are_freed_before_those_of_gradients() {
    /// Measures the device's memory while the gradient is written.
    struct Measuring<'a>(&'a Gpu, u64);

    impl Sink for Measuring<'_> {
        fn write(&mut self, what: LargeOutput, _: u64, _: &[u8]) -> Result<(), Error> {
            if what == LargeOutput::Grad {
                self.1 = self.1.max(allocated(self.0));
            }
            Ok(())
        }
    }

    /// Returns the bytes of tensors that are on a device.
    fn allocated(gpu: &Gpu) -> u64 {
        let report = gpu.device().generate_allocator_report().expect("an allocator's report");
        let all = report.allocations;
        all.iter().filter(|one| one.name.ends_with("of a piece")).map(|one| one.size).sum()
    }

    const BUDGET: u64 = 8 << 20;
    let data = Data::random(&[400_000, 2], 1);
    let loss = CrossEntropy::new().class_shard(0, 2);
    let gpu = TestGpu::open("its own", GpuOptions::new()).with_memory_budget(BUDGET);
    if !knows_allocations(&gpu) {
        return;
    }
    let (inputs, outputs) = (data.inputs(), Outputs::loss().with_grad().with_lse());
    let states = gpu.run(&loss, &inputs, outputs.only_states()).unwrap().states.unwrap();
    let inputs = inputs.states(states.words(), 1);
    let mut sink = Measuring(&gpu, 0);
    gpu.run_into(&loss, &inputs, outputs, &mut sink).unwrap();
    println!("{} bytes of {BUDGET}", sink.1);
    assert!(sink.1 <= BUDGET, "{} bytes in a budget of {BUDGET}", sink.1);
}

/// The largest logit stands in several shards, and may be the label's.
#[test]
fn shards_may_tie() {
    let rows =
        [[1.0, 3.0, 3.0, 0.0], [3.0, 1.0, 0.0, 3.0], [2.0; 4], [0.0, 3.0, -1.0, 3.0], [0.0; 4]];
    for labels in [[1, 0, 0, 1, 2], [2, 3, 3, 3, 1], [0, 1, 2, 2, 0]] {
        let data = Data::rows(&rows, &labels);
        let loss = CrossEntropy::new();
        let case = Case::new("ties", &loss, &data, everything());
        for cuts in [vec![2], vec![1, 2, 3]] {
            let same = |run: &Run<'_>| {
                let got = Sharded::new(&loss, &data, everything(), &cuts).run("ties", run);
                case.compare("ties", &got);
                assert_eq!(got.summary.correct, case.truth.summary.correct, "{labels:?} {cuts:?}");
            };
            same(&on_cpu);
            gpus().iter().for_each(|gpu| same(&on(gpu)));
        }
    }
}

/// More shards than lanes read at a time, some of them without classes.
#[test]
fn shards_may_be_many() {
    for shape in [vec![7, 33], vec![2, 40, 3]] {
        let data = Data::random(&shape, 1);
        let loss = CrossEntropy::new().label_smoothing(0.1);
        let case = Case::new("many", &loss, &data, everything());
        let cuts: Vec<usize> = (0..20).map(|cut| cut * 3 / 2).collect();
        for gpu in in_turn() {
            case.check(&on(gpu), &cuts);
            let profile = gpu.kernels().profile().clone();
            Host { gpu, profile, place: Place::default() }.check(&case, &cuts);
        }
    }
}

/// Several GPUs share the pieces of losses, and then those of gradients.
#[test]
fn several_gpus_compute_from_states() {
    let open = || {
        let options = gpus()[0].options.clone();
        TestGpu::open("one of two", options).with_memory_budget(12 << 10)
    };
    let both = MultiGpu::new(vec![open(), open()]).unwrap();
    let on_both = |loss: &dyn Loss, inputs: &Inputs<'_>, outputs| {
        both.run(loss, inputs, outputs).map(Numbers::from)
    };
    for shape in [vec![300, 33], vec![3, 20, 50]] {
        let data = Data::random(&shape, 1).random_weight();
        let loss = CrossEntropy::new().label_smoothing(0.1);
        Case::new("both", &loss, &data, everything()).check(&on_both, &[10, 20]);
    }
    let shares = both.shares();
    assert!(shares.iter().all(|share| share.pieces > 0 && share.failure.is_none()), "{shares:?}");
}

/// Two runs have the same bits, and so have shards of other sizes that ask for no gradient.
#[test]
fn bits_are_the_same() {
    let data = Data::random(&[100, 77], 1).random_weight();
    let loss = CrossEntropy::new();
    for gpu in gpus() {
        let run = on(gpu);
        let sharded = Sharded::new(&loss, &data, Outputs::loss().with_grad(), &[7, 60]);
        let words: Vec<u32> =
            sharded.states(&run).iter().flat_map(|states| states.words()).copied().collect();
        let again: Vec<u32> =
            sharded.states(&run).iter().flat_map(|states| states.words()).copied().collect();
        assert_eq!(words, again);
        let with = sharded.answers(&run, &words, 3);
        let empty = data.of_classes(77..77);
        let none = loss.clone().class_shard(77, 77);
        let without = gpu.run(&none, &empty.inputs().states(&words, 3), Outputs::loss()).unwrap();
        for answer in with {
            let of_shard = answer.unwrap().answer.loss[0] as f32;
            assert_eq!(bits(&[of_shard]), bits(&without.loss));
        }
    }
}

/// Answers convert without a loss.
#[test]
fn nothing_but_states_is_returned_with_states() {
    let data = Data::random(&[3, 9], 1);
    let loss = CrossEntropy::new().class_shard(0, 9).reduction(Reduction::None).z_loss(1e-3);
    for gpu in in_turn() {
        let output = gpu.run(&loss, &data.inputs(), everything().only_states()).unwrap();
        let (answer, extras) = (Answer::from(&output), Extras::from(&output));
        assert!(answer.loss.is_empty() && answer.grad.is_none() && answer.elements.is_none());
        assert!(extras.z_loss.is_empty() && extras.rows.columns().next().is_none());
        assert_eq!(output.states.unwrap().rows(), 3);
    }
}

/// A sink for the bytes of states.
struct States(Vec<u8>);

impl Sink for States {
    fn write(&mut self, what: LargeOutput, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        assert_eq!(what, LargeOutput::States);
        self.0[offset as usize..][..bytes.len()].copy_from_slice(bytes);
        Ok(())
    }
}

/// States go to a sink in pieces as to memory, from a device and from the reference; and a bound call reads them.
#[test]
fn states_go_to_sinks_and_into_bound_calls() {
    for shape in [vec![300, 40], vec![2, 30, 70]] {
        let data = Data::random(&shape, 1);
        let loss = CrossEntropy::new().class_shard(2, 50);
        let asked = Outputs::loss().with_argmax();
        for gpu in in_turn() {
            let whole = gpu.run(&loss, &data.inputs(), asked.only_states()).unwrap();
            let words = whole.states.unwrap().into_words();
            let small = gpu.with_memory_budget(24 << 10);
            let mut sink = States(vec![0xee; 4 * words.len()]);
            let inputs = data.inputs();
            small.run_into(&loss, &inputs, asked.only_states(), &mut sink).unwrap();
            let in_pieces: Vec<u32> = bytemuck::pod_collect_to_vec(&sink.0);
            assert_eq!(in_pieces.len(), words.len());
            let max = |words: &[u32]| words.iter().step_by(5).copied().collect::<Vec<_>>();
            assert_eq!(max(&in_pieces), max(&words));

            reference::run_into(&loss, &inputs, asked.only_states(), &mut sink).unwrap();
            let of_cpu = reference::run(&loss, &inputs, asked.only_states()).unwrap();
            assert_eq!(bytemuck::cast_slice::<u32, u8>(of_cpu.states.unwrap().words()), sink.0);

            let given = inputs.states(&words, 1);
            let bound = gpu.bind(&loss, &given, asked.with_grad()).unwrap();
            submit(gpu, |pass| bound.record(pass));
            let result = read_words(gpu, bound.result().buffer);
            let decoded = bound.decode(bytemuck::cast_slice(&result)).unwrap();
            let wanted = gpu.run(&loss, &given, asked.with_grad()).unwrap();
            assert!((decoded.loss / wanted.loss[0] - 1.0).abs() < 1e-6);
        }
    }
}

/// No rows, and no classes at all.
#[test]
fn nothing_is_split_too() {
    for shape in [vec![0, 5], vec![3, 0], vec![0, 0]] {
        let data = Data::new(&shape, 1, Vec::new()).probabilities(Vec::new());
        let loss = CrossEntropy::new().reduction(Reduction::Sum);
        let outputs = Outputs::loss().with_grad().with_lse().with_entropy().with_argmax();
        let case = Case::new("nothing", &loss, &data, outputs);
        for gpu in in_turn() {
            let got = Sharded::new(&loss, &data, outputs, &[0]).run("nothing", &on(gpu));
            assert_eq!(got.answer.loss, case.truth.answer.loss, "{shape:?}");
            let rows = |numbers: &Numbers| format!("{:?}", numbers.extras.rows);
            assert_eq!(rows(&got), rows(&case.truth), "{shape:?}");
            assert_eq!(counts(got.summary), counts(case.truth.summary), "{shape:?}");
            let by_cpu = Sharded::new(&loss, &data, outputs, &[0]).run("nothing", &on_cpu);
            assert_eq!(rows(&by_cpu), rows(&case.truth), "{shape:?}");

            let profile = gpu.kernels().profile().clone();
            let host = Host { gpu, profile, place: Place::default() };
            let shard = loss.clone().class_shard(0, shape[1] as u64);
            let states = host.states(&shard, &data, outputs, None);
            if shape[0] == 0 {
                assert!(states.is_empty());
                let plan = host.plan(&shard, &data.shapes(), outputs.only_states());
                assert_eq!(plan.dispatches(), 0, "{plan}");
            } else {
                let merged = host.states(&shard, &data, outputs, Some((&states, 1)));
                assert_eq!(merged, states);
            }
        }
    }
}

/// Losses without a target.
#[test]
fn distributions_hold_across_shards() {
    let mut used: f64 = 0.0;
    let rows = Outputs::loss().with_lse().with_argmax().with_entropy().with_variance();
    for (number, shape) in [vec![6, 33], vec![2, 40, 3], vec![3, 1001]].iter().enumerate() {
        let data = Data::new(shape, 1, Data::random(shape, 1).input).holes();
        let weighted = data.clone().random_row_weights();
        for element_type in [ElementType::F32, ElementType::F16] {
            let [data, weighted] =
                [&data, &weighted].map(|data| data.clone().in_types(Types::all(element_type)));
            let [probs, log_probs] = [Softmax::probs(), Softmax::log_probs()].map(|s| s.axis(1));
            let [each, mean] = [Reduction::None, Reduction::Mean]
                .map(|reduction| Entropy::new().axis(1).reduction(reduction));
            let cases = [
                Case::new("probs", &probs, &data, rows),
                Case::new("log-probs", &log_probs, &data, rows),
                Case::new("entropy", &each, &data, rows.with_grad()),
                Case::new("mean", &mean, &weighted, Outputs::loss().with_grad()),
            ];
            for case in cases {
                for gpu in in_turn() {
                    used = used.max(case.check(&on(gpu), &cuts(shape[1], number)));
                    let profile = gpu.kernels().profile().clone();
                    let host = Host { gpu, profile, place: Place { lead: 3, ..Place::default() } };
                    used = used.max(host.check(&case, &cuts(shape[1], number + 1)));
                }
            }
        }
    }
    println!("distributions: {used:.2} of the tolerance");
}

// ---- Recorded into a host's passes

/// A host's plans of shards, and the places of its tensors.
struct Host<'a> {
    gpu: &'a Gpu,
    profile: Profile,
    place: Place,
}

impl Host<'_> {
    fn plan(&self, loss: &dyn Loss, shapes: &Shapes<'_>, outputs: Outputs) -> Plan {
        Plan::new(loss, shapes, outputs, &self.profile).unwrap()
    }

    /// Returns the states that a pass writes: those of the data's logits, or those of `given`, merged.
    #[track_caller]
    fn states(
        &self,
        loss: &dyn Loss,
        data: &Data,
        outputs: Outputs,
        given: Option<(&[u32], usize)>,
    ) -> Vec<u32> {
        let shapes = data.shapes();
        let shapes = given.map_or(shapes, |(_, shards)| shapes.states(shards));
        let plan = self.plan(loss, &shapes, outputs.only_states());
        let words = given.map_or(&[][..], |(words, _)| words);
        let place = Place { in_place: false, ..self.place };
        Embedded::from_states(self.gpu, data, plan, place, words).run().states.unwrap()
    }

    /// Returns the results of a pass from states.
    #[track_caller]
    fn answers(
        &self,
        loss: &dyn Loss,
        data: &Data,
        outputs: Outputs,
        (words, shards): (&[u32], usize),
    ) -> Results {
        let plan = self.plan(loss, &data.shapes().states(shards), outputs);
        Embedded::from_states(self.gpu, data, plan, self.place, words).run()
    }

    /// Checks a call in shards; returns the part of the tolerance that it used.
    #[track_caller]
    fn check(&self, case: &Case<'_>, cuts: &[usize]) -> f64 {
        let what = &format!("{}, {:?} cut at {cuts:?}", case.what, case.data.shape());
        let sharded = Sharded::new(case.loss, case.data, case.outputs, cuts);
        let states: Vec<u32> = sharded
            .shards()
            .flat_map(|(loss, data)| self.states(&*loss, data, case.outputs, None))
            .collect();
        let shards = sharded.count();
        let (loss, data) = sharded.shards().next().unwrap();
        let merged = self.states(&*loss, data, case.outputs, Some((&states, shards)));
        self.check_merged(case, &states, shards, &merged);
        let mut used: f64 = 0.0;
        for given in [(&states[..], shards), (&merged[..], 1)] {
            let numbers = |(loss, data): (Box<dyn Loss>, &Data)| {
                let results = self.answers(&*loss, data, case.outputs, given);
                let problem = loss.problem(&data.shapes().states(1), case.outputs).unwrap();
                let (answer, extras) = (results.answer(), results.extras(&problem));
                Numbers { answer, extras, states: None, summary: results.summary }
            };
            let answers: Vec<Numbers> = sharded.shards().map(numbers).collect();
            used = used.max(case.compare(what, &sharded.together(what, &answers)));
        }
        used
    }

    /// Checks states that the device has merged against those that the host merges.
    #[track_caller]
    fn check_merged(&self, case: &Case<'_>, states: &[u32], shards: usize, merged: &[u32]) {
        let problem = case.loss.problem(&case.data.shapes(), case.outputs).unwrap();
        let fields = problem.state_fields();
        let of_shard = |words: &[u32]| RowStates::new(fields.clone(), words.to_vec()).unwrap();
        let mut wanted = of_shard(&states[..merged.len()]);
        for shard in states.chunks(merged.len()).skip(1) {
            wanted.merge(&of_shard(shard)).unwrap();
        }
        assert_eq!(states.len(), shards * merged.len());
        for ((field, &got), &wanted) in fields.iter().cycle().zip(merged).zip(wanted.words()) {
            let [a, b] = [got, wanted].map(f32::from_bits);
            let near = (a - b).abs() <= 64.0 * f32::EPSILON * b.abs();
            assert!(got == wanted || near, "{}: {field:?} is {a:e} and not {b:e}", case.what);
        }
    }
}

/// A gradient in place is each shard's own; states are at any word of a buffer, and no other word is written.
#[test]
fn recorded_passes_read_and_write_states_anywhere() {
    let mut used: f64 = 0.0;
    let places = [
        Place::default(),
        Place { lead: 1, ..Place::default() },
        Place { lead: 5, in_place: true, ..Place::default() },
        Place { lead: 2, arena: true, ..Place::default() },
    ];
    let mut number = 0;
    for shape in [vec![9, 3], vec![7, 33], vec![3, 1001], vec![2, 40, 3], vec![2, 20_000]] {
        for place in places {
            let element_type = ElementType::ALL[number % 3];
            let data = Data::random(&shape, 1).random_weight().random_row_weights();
            let data = data.in_types(Types::all(element_type));
            let loss = match number % 2 {
                0 => CrossEntropy::new().label_smoothing(0.1).reduction(Reduction::None),
                _ => CrossEntropy::new().z_loss(1e-3),
            };
            let outputs = if number % 3 == 2 { Outputs::loss().with_grad() } else { everything() };
            let case = Case::new(&format!("{place:?}"), &loss, &data, outputs);
            for gpu in in_turn() {
                let profile = gpu.kernels().profile().clone();
                let host = Host { gpu, profile, place };
                used = used.max(host.check(&case, &cuts(shape[1], number)));
            }
            number += 1;
        }
    }
    println!("recorded: {used:.2} of the tolerance");
}

/// Shards that no binding holds are cut once more; batch-invariant rows are folded in parts of their own.
#[test]
fn shards_may_be_larger_than_a_binding() {
    let mut used: f64 = 0.0;
    let mut cut = 0;
    for (shape, bytes) in
        [(vec![3, 9000], 8 << 10), (vec![2, 700, 6], 4 << 10), (vec![2, 200_000], 256 << 10)]
    {
        for (number, invariant) in [false, true].into_iter().enumerate() {
            let bytes = if invariant { 256 << 10 } else { bytes };
            let data = Data::random(&shape, 1).random_weight();
            let data = data.in_types(Types::all(ElementType::ALL[number]));
            let loss = CrossEntropy::new().label_smoothing(0.1);
            let case = Case::new("cut", &loss, &data, everything());
            for gpu in in_turn() {
                let mut profile = gpu.kernels().profile().clone().with_batch_invariance(invariant);
                profile.limits.max_storage_buffer_binding_size = bytes;
                let host = Host { gpu, profile, place: Place::default() };
                let sharded = Sharded::new(&loss, &data, everything(), &[100]);
                let (of_last, last) = sharded.shards().last().unwrap();
                let plan = host.plan(&*of_last, &last.shapes(), everything().only_states());
                cut += plan.pieces().len() - 1;
                used = used.max(host.check(&case, &[100]));
            }
        }
    }
    assert!(cut > 4, "nothing was cut");
    println!("cut: {used:.2} of the tolerance");
}

/// The bits of a row's state and loss do not depend on the other rows, where that is asked for.
#[test]
fn rows_keep_their_bits_among_others() {
    for shape in [vec![5, 100], vec![5, 9001], vec![5, 30, 4]] {
        let data = Data::random(&shape, 1);
        let loss = CrossEntropy::new().reduction(Reduction::None);
        for gpu in in_turn() {
            let profile = gpu.kernels().profile().clone().with_batch_invariance(true);
            let host = Host { gpu, profile, place: Place::default() };
            let of = |data: &Data| {
                let sharded = Sharded::new(&loss, data, everything(), &[shape[1] / 3]);
                let states: Vec<u32> = sharded
                    .shards()
                    .flat_map(|(loss, data)| host.states(&*loss, data, everything(), None))
                    .collect();
                let of_shard = |(loss, data): (Box<dyn Loss>, &Data)| {
                    host.answers(&*loss, data, everything(), (&states, 2))
                };
                sharded.shards().map(of_shard).collect::<Vec<Results>>()
            };
            let all = of(&data);
            for step in 0..shape[0] {
                let alone = of(&data.step(step));
                for (alone, all) in alone.iter().zip(&all) {
                    let part = |numbers: &Option<Vec<u32>>| {
                        let numbers = numbers.as_ref().unwrap();
                        let of_step = numbers.len() / shape[0];
                        numbers[step * of_step..][..of_step].to_vec()
                    };
                    assert_eq!(alone.rows, Some(part(&all.rows)));
                    assert_eq!(alone.grad, Some(part(&all.grad)));
                    assert_eq!(alone.records, Some(part(&all.records)));
                }
            }
        }
    }
}

/// The states of several shards are in one binding, or the plan says that they are not.
#[test]
fn states_that_no_binding_holds_are_refused() {
    let mut profile = Profile::portable();
    profile.limits.max_storage_buffer_binding_size = 64 << 10;
    let shapes = Shapes::new(&[4000, 5]).target(TargetType::Labels(LabelType::U8), &[4000]);
    let loss = CrossEntropy::new().class_shard(0, 10);
    let plan = |shards| Plan::new(&loss, &shapes.states(shards), Outputs::loss(), &profile);
    assert_eq!(plan(1).unwrap().pieces().len(), 1);
    match plan(2) {
        Err(Error::Limit { limit: "max_storage_buffer_binding_size", needed, .. }) => {
            assert_eq!(needed, 4000 * 16 * 2);
        }
        other => panic!("{:?}", other.map(|plan| plan.to_string())),
    }
}

/// Plans of one shard may ignore tensors that the host's others read, and no more than these.
#[test]
fn superfluous_tensors_of_shards_are_refused() {
    let gpu = &gpus()[0];
    let descriptor = wgpu::BufferDescriptor {
        label: None,
        size: 4096,
        usage: wgpu::BufferUsages::STORAGE,
        mapped_at_creation: false,
    };
    let buffers: Vec<wgpu::Buffer> =
        (0..4).map(|_| gpu.device().create_buffer(&descriptor)).collect();
    let [logits, target, states, spare] =
        std::array::from_fn(|at| buffers[at].as_entire_buffer_binding());
    let shapes = Shapes::new(&[40, 5]).target(TargetType::Labels(LabelType::U8), &[40]);
    let loss = CrossEntropy::new().class_shard(0, 10);
    let bind = |shapes: &Shapes<'_>, outputs, buffers: &Buffers<'_>| {
        let plan = Plan::new(&loss, shapes, outputs, gpu.kernels().profile()).unwrap();
        Bound::new(gpu.kernels(), plan, buffers).map(drop)
    };
    let own = Buffers::new(logits).target(target);
    let (fold, given) = (own.clone().states(states.clone()), own.given_states(states));
    let (loss, only_states) = (Outputs::loss(), Outputs::loss().only_states());
    let close = shapes.states(2);
    assert_eq!(bind(&shapes, only_states, &fold), Ok(()));
    // Another plan's weights, which this one knows nothing of.
    let weighted = given.clone().row_weights(spare.clone()).weight(spare.clone());
    assert_eq!(bind(&close, loss, &weighted), Ok(()));
    let refused = |what| Err(Error::Binding { what, needed: false });
    let more = fold.clone().row_weights(spare.clone());
    assert_eq!(bind(&shapes, only_states, &more), refused("row weights"));
    assert_eq!(
        bind(&shapes, only_states, &fold.given_states(spare.clone())),
        refused("given states")
    );
    assert_eq!(bind(&close, loss, &given.var(spare)), refused("var"));
}

/// Rows that no binding holds have pieces, which are the same for all shards.
#[test]
fn rows_of_states_are_cut_too() {
    let mut pieces = 0;
    for shape in [vec![3000, 7], vec![1, 5, 2500], vec![40, 3, 70]] {
        let data = Data::random(&shape, 1).random_weight();
        let loss = CrossEntropy::new();
        let case = Case::new("rows", &loss, &data, everything());
        for gpu in in_turn() {
            let mut profile = gpu.kernels().profile().clone();
            profile.limits.max_storage_buffer_binding_size = 16 << 10;
            let host = Host { gpu, profile, place: Place { lead: 1, ..Place::default() } };
            let sharded = Sharded::new(&loss, &data, everything(), &[2]);
            let problem = loss.problem(&data.shapes(), everything()).unwrap();
            let states = sharded.shards().map(|(loss, data)| {
                let words = host.states(&*loss, data, everything(), None);
                RowStates::new(problem.state_fields(), words).unwrap()
            });
            let merge = |mut all: RowStates, next: RowStates| {
                all.merge(&next).unwrap();
                all
            };
            let merged = states.reduce(merge).unwrap();
            let answers = sharded.shards().map(|(loss, data)| {
                let shapes = data.shapes().states(1);
                pieces += host.plan(&*loss, &shapes, everything()).pieces().len();
                let results = host.answers(&*loss, data, everything(), (merged.words(), 1));
                let problem = loss.problem(&shapes, everything()).unwrap();
                let (answer, extras) = (results.answer(), results.extras(&problem));
                Numbers { answer, extras, states: None, summary: results.summary }
            });
            let answers: Vec<Numbers> = answers.collect();
            case.compare("rows", &sharded.together("rows", &answers));
        }
    }
    assert!(pieces > 20, "{pieces} pieces");
}

/// Numbers of classes beyond 32 bits: the label's logit is in its shard's states, and in no other's.
#[test]
fn classes_are_counted_in_64_bits() {
    let data = Data::random(&[40, 9], 1);
    for (first, of) in [(1 << 40, 1 << 41), ((1 << 32) - 4, 1 << 33), (1 << 33, (1 << 33) + 9)] {
        let loss = CrossEntropy::new().label_smoothing(0.5).class_shard(first, of);
        // Some labels are before, some are after the shard, and some have its low words alone.
        let label = |row: usize| match row % 5 {
            0 => row as i64,
            1 => of as i64 - 1,
            2 => (first & 0xffff_ffff) as i64 + 3,
            _ => first as i64 + (row % 9) as i64,
        };
        let labels: Vec<i64> = (0..40).map(label).collect();
        let data = data.clone().labels(LabelType::I64, &labels);
        for gpu in in_turn() {
            let outputs = Outputs::loss().only_states();
            let [a, b] =
                [on(gpu)(&loss, &data.inputs(), outputs), on_cpu(&loss, &data.inputs(), outputs)]
                    .map(|numbers| numbers.unwrap().states.unwrap());
            for (a, b) in a.words().chunks(6).zip(b.words().chunks(6)) {
                assert_eq!((a[0], a[2], a[3]), (b[0], b[2], b[3]));
                for (a, b) in a.iter().zip(b) {
                    let [a, b] = [*a, *b].map(f32::from_bits);
                    assert!((a - b).abs() <= 64.0 * f32::EPSILON * b.abs(), "{a} and {b}");
                }
            }
            let answer =
                on(gpu)(&loss, &data.inputs().states(a.words(), 1), Outputs::loss().with_grad());
            let wanted =
                on_cpu(&loss, &data.inputs().states(a.words(), 1), Outputs::loss().with_grad());
            let (answer, wanted) = (answer.unwrap().answer, wanted.unwrap().answer);
            assert!((answer.loss[0] / wanted.loss[0] - 1.0).abs() < 1e-6);
            for (a, b) in answer.grad.unwrap().iter().zip(&wanted.grad.unwrap()) {
                assert!((a - b).abs() < 1e-6 / 40.0, "{a} and {b}");
            }
        }
    }
}

/// Weights of any sign, of zero and of no number, over classes at -inf: infinite and NaN losses are those of whole rows.
#[test]
fn losses_that_are_no_numbers_are_those_of_whole_rows() {
    let inf = f32::INFINITY;
    let rows = [
        [1.0, 2.0, 3.0, 4.0],
        [-inf, 2.0, 3.0, 4.0],
        [1.0, -inf, 3.0, 4.0],
        [1.0, 2.0, -inf, 4.0],
        [-inf, -inf, 3.0, 4.0],
        [1.0, 2.0, 3.0, -inf],
    ];
    let data = Data::rows(&rows, &[0, 1, 1, 2, 3, 3]);
    for weights in [[1.0, -2.0, 0.0, 3.0], [1.0, f32::NAN, 1.0, 1.0], [1.0, 1.0, inf, 0.5]] {
        for smoothing in [0.0, 0.2, 1.0] {
            let loss = CrossEntropy::new().reduction(Reduction::None).label_smoothing(smoothing);
            for data in [
                data.clone().weight(&weights),
                data.clone().weight(&weights).row_weights(vec![1.0, -1.0, 0.0, 2.0, -0.5, -1.0]),
                data.clone().row_weights(vec![1.0, f32::NAN, inf, 0.0, 1.0, 1.0]),
            ] {
                let wanted = on_cpu(&loss, &data.inputs(), Outputs::loss()).unwrap();
                let same = |got: &Numbers, what: &str| {
                    for (got, wanted) in got.answer.loss.iter().zip(&wanted.answer.loss) {
                        let near = (got - wanted).abs() <= 1e-5 * wanted.abs();
                        let same =
                            got.to_bits() == wanted.to_bits() || got.is_nan() && wanted.is_nan();
                        assert!(
                            near || same,
                            "{what}: {weights:?} {smoothing}: {got} and not {wanted}"
                        );
                    }
                    assert_eq!(counts(got.summary), counts(wanted.summary), "{what}");
                };
                for cuts in [vec![2], vec![1, 2, 3]] {
                    let sharded = Sharded::new(&loss, &data, Outputs::loss(), &cuts);
                    same(&sharded.run("cpu", &on_cpu), "cpu");
                    for gpu in in_turn() {
                        same(&sharded.run("gpu", &on(gpu)), &gpu.name);
                    }
                }
            }
        }
    }
}
