//! Rows whose classes are split over several calls: states from the logits of some classes, and losses, statistics and
//! gradients from the states of all. Compared with the reference, which has the rows whole.

use support::answer::{Answer, bits};
use support::data::{Data, Types};
use support::extras::Extras;
use support::gpus::{gpus, in_turn};
use support::random::Random;
use support::rounding::Rounding;
use support::shards::{Numbers, Run, Sharded};
use wgpu_loss::{
    CrossEntropy, ElementType, Error, Gpu, Inputs, Outputs, Reduction, Summary, reference,
};

fn on(gpu: &Gpu) -> impl Fn(&CrossEntropy, &Inputs<'_>, Outputs) -> Result<Numbers, Error> {
    |loss, inputs, outputs| gpu.run(loss, inputs, outputs).map(Numbers::from)
}

fn on_cpu(loss: &CrossEntropy, inputs: &Inputs<'_>, outputs: Outputs) -> Result<Numbers, Error> {
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
    loss: &'a CrossEntropy,
    data: &'a Data,
    outputs: Outputs,
    truth: Numbers,
}

impl<'a> Case<'a> {
    fn new(what: &str, loss: &'a CrossEntropy, data: &'a Data, outputs: Outputs) -> Self {
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
            for answer in sharded.from_states(&run, &words, 4) {
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
                    let answers = sharded.from_states(run, &words, sharded.count());
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
        let with = sharded.from_states(&run, &words, 3);
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
