//! Rows whose classes are split over several calls, on the reference: compared with the same rows in one call.

use support::answer::Answer;
use support::data::{Data, Types};
use support::extras::Extras;
use support::rounding::Rounding;
use support::shards::{Numbers, Shardable, Sharded};
use wgpu_loss::{
    Bce, CrossEntropy, ElementType, EmptyMean, Entropy, Error, Inputs, Loss, Nll, Outputs,
    Reduction, RowStates, Softmax, StateField, Tensor, reference,
};

fn run(loss: &dyn Loss, inputs: &Inputs<'_>, outputs: Outputs) -> Result<Numbers, Error> {
    reference::run(loss, inputs, outputs).map(Numbers::from)
}

fn everything() -> Outputs {
    // The reference's numbers are not rounded to the input's type.
    Outputs::loss()
        .in_f32()
        .with_grad()
        .with_log_probs()
        .with_lse()
        .with_argmax()
        .with_entropy()
        .with_variance()
        .with_row_weights()
        .with_accuracy()
}

fn without_accuracy(mut outputs: Outputs) -> Outputs {
    outputs.accuracy = false;
    outputs
}

/// Checks the shards' answer against that of the reference in one call; returns the part of the tolerance that it used.
#[track_caller]
fn check(what: &str, loss: &dyn Shardable, data: &Data, outputs: Outputs, cuts: &[usize]) -> f64 {
    let what = &format!("{what}, cut at {cuts:?}");
    let got = Sharded::new(loss, data, outputs, cuts).run(what, &run);
    let truth = reference::run(loss, &data.inputs(), outputs).unwrap();
    let rounding = Rounding::new(loss, data, outputs);
    let (used, _) = rounding.compare(what, &got.answer, &Answer::from(&truth));
    let (of_extras, _) = rounding.compare_extras(what, &got.extras, &Extras::from(&truth));
    let counts = |s: wgpu_loss::Summary| (s.rows, s.live, s.bad, s.nonfinite, s.first_nonfinite);
    assert_eq!(counts(got.summary), counts(truth.summary), "{what}");
    used.max(of_extras)
}

/// Places at which classes are cut: none, one, uneven ones, with shards of no classes.
fn cuts(classes: usize) -> Vec<Vec<usize>> {
    let mut all = vec![
        vec![],
        vec![classes / 2],
        vec![0],
        vec![classes],
        vec![classes / 3, classes / 3, classes - classes / 5],
        vec![1.min(classes), classes / 7 + 1.min(classes)],
    ];
    all.iter_mut().for_each(|cuts| cuts.sort_unstable());
    all
}

#[test]
fn shards_of_any_classes_have_the_answer_of_the_whole() {
    let mut used: f64 = 0.0;
    for shape in [
        vec![7, 1],
        vec![5, 2],
        vec![9, 3],
        vec![6, 33],
        vec![3, 1000],
        vec![2, 5, 3],
        vec![3, 33, 2],
    ] {
        let data = Data::random(&shape, 1).labelled(&[1], -100);
        for cuts in cuts(shape[1]) {
            for reduction in
                [Reduction::None, Reduction::Mean, Reduction::Sum, Reduction::BatchMean]
            {
                let loss = CrossEntropy::new().reduction(reduction);
                used = used.max(check(&format!("{shape:?}"), &loss, &data, everything(), &cuts));
            }
        }
    }
    println!("shards: {used:.2} of the tolerance");
}

#[test]
fn every_option_holds_across_shards() {
    let plain = CrossEntropy::new();
    let losses = [
        ("smoothing", plain.clone().label_smoothing(0.2)),
        ("scale", plain.clone().logit_scale(3.0)),
        ("cap", plain.clone().softcap(2.0).logit_scale(1.5)),
        ("z-loss", plain.clone().z_loss(1e-2).reduction(Reduction::None)),
        (
            "all",
            plain.clone().label_smoothing(0.1).softcap(5.0).z_loss(1e-3).reduction(Reduction::Sum),
        ),
    ];
    let mut used: f64 = 0.0;
    for (what, loss) in losses {
        for shape in [vec![6, 33], vec![2, 50, 3]] {
            let labels = Data::random(&shape, 1);
            for data in [
                labels.clone(),
                labels.clone().random_weight(),
                labels.clone().random_weight().random_row_weights(),
                labels.clone().holes(),
                labels.clone().random_probabilities(),
                labels.clone().random_probabilities().random_weight().random_row_weights(),
                labels.clone().random_weight().in_types(Types::all(ElementType::F16)),
                labels.clone().random_probabilities().in_types(Types::all(ElementType::BF16)),
            ] {
                let holes = data.input.contains(&f32::NEG_INFINITY);
                if holes && what != "scale" && what != "z-loss" {
                    continue;
                }
                let outputs = match data.label(0) {
                    Some(_) => everything(),
                    None => without_accuracy(everything()),
                };
                for cuts in cuts(shape[1]) {
                    used = used.max(check(what, &loss, &data, outputs, &cuts));
                }
            }
        }
    }
    println!("options: {used:.2} of the tolerance");
}

/// The loss is the sum of two distances from the maximum, which the states keep: 1e-12 stays 1e-12.
#[test]
fn confident_rows_keep_their_digits() {
    // The label leads by 27.6 at logits of 10,000, in each shard in turn.
    let lead = 27.6f32;
    for label in 0..6 {
        let mut logits = [1e4f32; 6];
        logits[label] += lead;
        let lead = f64::from(logits[label]) - 1e4;
        let data = Data::rows(&[logits], &[label as i64]);
        let loss = CrossEntropy::new();
        for cuts in [vec![], vec![3], vec![1, 2], vec![0, 5]] {
            let outputs = Outputs::loss().with_grad();
            let got = Sharded::new(&loss, &data, outputs, &cuts).run("confident", &run).answer;
            let wanted = (5.0 * (-lead).exp()).ln_1p();
            assert!((got.loss[0] / wanted - 1.0).abs() < 1e-6, "{got:?} and not {wanted:e}");
            let grad = got.grad.unwrap()[label];
            assert!((grad / -wanted - 1.0).abs() < 1e-6, "{grad:e} and not {:e}", -wanted);
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
    for reduction in [Reduction::None, Reduction::Sum] {
        let loss = CrossEntropy::new().reduction(reduction);
        for cuts in [vec![], vec![2], vec![1, 2, 3], vec![0, 2, 4]] {
            check("no numbers", &loss, &data, everything(), &cuts);
            let got = Sharded::new(&loss, &data, everything(), &cuts).run("no numbers", &run);
            assert_eq!((got.summary.nonfinite, got.summary.first_nonfinite), (3, Some(1)));
            let grad = got.answer.grad.unwrap();
            let lost: Vec<bool> =
                grad.chunks(4).map(|row| row.iter().all(|x| x.is_nan())).collect();
            assert_eq!(lost, [false, true, true, false, true, false]);
        }
    }
}

#[test]
fn a_mean_over_nothing_is_the_same_everywhere() {
    let data = Data::random(&[3, 10], 1).labelled(&[0, 1, 2], -100);
    for (empty, wanted) in [(EmptyMean::Nan, f64::NAN), (EmptyMean::Zero, 0.0)] {
        let loss = CrossEntropy::new().empty_mean(empty);
        let got = Sharded::new(&loss, &data, everything(), &[4]).run("empty", &run).answer;
        assert_eq!(got.loss[0].to_bits(), wanted.to_bits());
        assert!(got.grad.unwrap().iter().all(|&x| x == 0.0));
    }
}

/// A label of another shard is none of a bad one; one that is no class is the same error for all.
#[test]
fn bad_labels_are_the_same_error_for_all() {
    let data = Data::random(&[4, 10], 1).labelled(&[2], 10).labelled(&[3], -7);
    let loss = CrossEntropy::new();
    let sharded = Sharded::new(&loss, &data, Outputs::loss().with_grad(), &[3, 7, 10]);
    let states = sharded.states(&run);
    let words: Vec<u32> = states.iter().flat_map(|states| states.words()).copied().collect();
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

/// States merged beforehand are as good as those of all shards, in any number.
#[test]
fn merged_states_are_states() {
    let data = Data::random(&[5, 40], 1).random_weight();
    let loss = CrossEntropy::new().label_smoothing(0.1);
    let sharded = Sharded::new(&loss, &data, everything(), &[10, 11, 30]);
    let states = sharded.states(&run);
    let whole = sharded.run("in one", &run);
    let mut merged = states[0].clone();
    states[1..].iter().for_each(|next| merged.merge(next).unwrap());
    let answers = sharded.answers(&run, merged.words(), 1);
    let answers: Vec<Numbers> = answers.into_iter().map(Result::unwrap).collect();
    let together = sharded.together("merged", &answers);
    let rounding = Rounding::new(&loss, &data, everything()).between_two();
    rounding.check("merged", &together.answer, &whole.answer);
    rounding.check_extras("merged", &together.extras, &whole.extras);

    // In another order, and in pairs: the same but for rounding.
    let pair = |a: &RowStates, b: &RowStates| {
        let mut merged = a.clone();
        merged.merge(b).unwrap();
        merged
    };
    let pairs = pair(&pair(&states[3], &states[1]), &pair(&states[2], &states[0]));
    for (field, words) in
        pairs.fields().iter().cycle().zip(pairs.words().iter().zip(merged.words()))
    {
        match field {
            StateField::Flags | StateField::Argmax | StateField::LabelLogit => {
                assert_eq!(words.0, words.1)
            }
            _ => {
                let [a, b] = [words.0, words.1].map(|word| f32::from_bits(*word));
                assert!((a - b).abs() <= 4.0 * f32::EPSILON * b.abs(), "{field:?}: {a} and {b}");
            }
        }
    }
    // A call of both merges alone.
    let shard = loss.clone().class_shard(0, 40);
    let inputs = data.inputs();
    let words: Vec<u32> = states.iter().flat_map(|states| states.words()).copied().collect();
    let output =
        reference::run(&shard, &inputs.states(&words, 4), everything().only_states()).unwrap();
    assert_eq!(output.states.unwrap().rows(), 5);
}

/// Numbers of classes beyond 32 bits: labels, smoothing, and errors count all of them.
#[test]
fn classes_are_counted_in_64_bits() {
    let (first, of) = (1 << 40, (1 << 40) + 3);
    let logits = [1.0, 2.0, 3.0];
    let labels = [first as i64 + 1, 7];
    let two = [logits, logits].concat();
    let inputs = Inputs::new(Tensor::new(&two, &[2, 3])).labels(&labels, &[2]);
    let loss = CrossEntropy::new().class_shard(first, of).label_smoothing(0.5);
    let states =
        reference::run(&loss, &inputs, Outputs::loss().only_states()).unwrap().states.unwrap();
    let of_row = |row: usize| &states.words()[6 * row..6 * row + 6];
    assert_eq!(of_row(0)[3], 2f32.to_bits());
    assert_eq!(of_row(1)[3], 0);
    let share = f32::from_bits(of_row(0)[5]);
    assert!((f64::from(share) / (1.5 / of as f64) - 1.0).abs() < 1e-6);
}

#[test]
fn what_does_not_fit_is_named() {
    let labels = [0i64; 2];
    let inputs = Inputs::new(Tensor::new(&[0.0; 6], &[2, 3])).labels(&labels, &[2]);
    let states = Outputs::loss().only_states();
    let shard = |first, of| CrossEntropy::new().class_shard(first, of);
    let option = |loss: CrossEntropy, inputs: &Inputs<'_>, outputs| match reference::run(
        &loss, inputs, outputs,
    ) {
        Err(Error::Option { option, .. }) => option,
        other => panic!("{other:?}"),
    };
    assert_eq!(option(shard(1, 3), &inputs, states), "class_shard");
    assert_eq!(option(shard(u64::MAX - 1, u64::MAX), &inputs, states), "class_shard");
    assert_eq!(option(shard(0, 3), &inputs, Outputs::loss()), "class_shard");
    assert_eq!(option(shard(0, 3), &inputs, states.with_rank()), "rank");
    assert_eq!(option(shard(0, 3), &inputs, states.with_top_k(2)), "top_k");
    assert_eq!(option(shard(0, 3), &inputs, states.with_class_losses()), "class_losses");
    assert_eq!(option(shard(0, 3), &inputs.states(&[], 0), Outputs::loss()), "states");
    let length = reference::run(&shard(0, 9), &inputs.states(&[0; 23], 3), Outputs::loss());
    let shape = vec![3, 2, 4];
    assert_eq!(length.unwrap_err(), Error::Length { what: "states", given: 23, wanted: 24, shape });
    let weights = [1.0f32; 3];
    let weighted = reference::run(&shard(0, 9), &inputs.weight(&weights), states);
    let wanted = Error::Shape { what: "weight", given: vec![3], wanted: vec![9] };
    assert_eq!(weighted.unwrap_err(), wanted);
    let fields = |outputs: Outputs| {
        let output = reference::run(&shard(0, 3), &inputs, outputs.only_states()).unwrap();
        output.states.unwrap()
    };
    let (mut few, more) = (fields(Outputs::loss()), fields(Outputs::loss().with_argmax()));
    assert!(matches!(few.merge(&more), Err(Error::Option { option: "the fields of states", .. })));
    let one = RowStates::new(few.fields().to_vec(), few.words()[..4].to_vec()).unwrap();
    assert!(matches!(few.merge(&one), Err(Error::Shape { what: "states", .. })));
    assert!(RowStates::new(few.fields().to_vec(), vec![0; 5]).is_err());
    let no_fields = RowStates::new(vec![], vec![]);
    assert!(matches!(no_fields, Err(Error::Option { option: "the fields of states", .. })));
    let whole = CrossEntropy::new();
    let mut stream = reference::stream(&whole, states);
    assert!(matches!(stream.push(&inputs, &mut ()), Err(Error::Option { option: "states", .. })));
    let none = Inputs::new(inputs.input);
    let nll = reference::run(&Nll::new(), &none.labels(&labels, &[2]), states);
    assert!(matches!(nll, Err(Error::Option { option: "states", .. })));
    let bce = reference::run(&Bce::new(), &none.target(inputs.input), states);
    assert!(matches!(bce, Err(Error::Option { option: "outputs", .. })));
    let given = none.labels(&labels, &[2]).states(&[0; 8], 1);
    let nll = reference::run(&Nll::new(), &given, Outputs::loss());
    let operand = Error::Operand { loss: "nll", operand: "states", wanted: false };
    assert_eq!(nll.unwrap_err(), operand);
    let softmax = Softmax::probs().class_shard(0, 9);
    let upstream = reference::run(&softmax, &none.upstream(inputs.input), states.with_grad());
    assert!(matches!(upstream, Err(Error::Option { option: "grad", .. })));
}

/// Losses without a target.
#[test]
fn distributions_hold_across_shards() {
    let mut used: f64 = 0.0;
    for shape in [vec![6, 33], vec![2, 40, 3], vec![4, 1]] {
        let data = Data::new(&shape, 1, Data::random(&shape, 1).input).holes();
        let weighted = data.clone().random_row_weights();
        let rows = Outputs::loss().with_lse().with_argmax().with_entropy().with_variance();
        for cuts in cuts(shape[1]) {
            for log in [false, true] {
                let softmax = if log { Softmax::log_probs() } else { Softmax::probs() };
                used = used.max(check("softmax", &softmax.axis(1), &data, rows, &cuts));
            }
            for reduction in [Reduction::None, Reduction::Mean] {
                let entropy = Entropy::new().axis(1).reduction(reduction);
                for (data, outputs) in [(&data, rows), (&weighted, Outputs::loss().with_grad())] {
                    used = used.max(check("entropy", &entropy, data, outputs, &cuts));
                }
            }
        }
    }
    println!("distributions: {used:.2} of the tolerance");
}
