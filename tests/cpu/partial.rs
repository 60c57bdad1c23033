//! Partials add up to the call over all rows, in any grouping and after any journey; what does not belong together is
//! refused, and so is everything that is no partial.

use support::random::Random;
use wgpu_loss::reference::{self, Cpu};
use wgpu_loss::stream::Device;
use wgpu_loss::{
    Bce, BceWithLogits, CrossEntropy, EmptyMean, Entropy, Error, GaussianNll, Inputs, KlDiv, Loss,
    Nll, Output, Outputs, Partial, PoissonNll, Reduction, Softmax, Tensor,
};

const CLASSES: usize = 7;

/// Rows with labels, some of them ignored, and positive floats for losses that need them.
struct Rows {
    logits: Vec<f32>,
    labels: Vec<i64>,
    probabilities: Vec<f32>,
    weights: Vec<f32>,
}

impl Rows {
    fn new(rows: usize) -> Self {
        let mut random = Random(rows as u64);
        let mut floats = |count: usize, size: f32| -> Vec<f32> {
            (0..count).map(|_| random.uniform(-0.5 * size, 0.5 * size)).collect()
        };
        let logits = floats(rows * CLASSES, 12.0);
        let probabilities = floats(rows * CLASSES, 1.0).iter().map(|x| x + 0.5).collect();
        let weights = floats(rows, 2.0).iter().map(|x| x.abs()).collect();
        let labels = (0..rows).map(|row| if row % 9 == 4 { -100 } else { (row * 5 % 7) as i64 });
        Self { labels: labels.collect(), logits, probabilities, weights }
    }

    /// Calls `visit` with the inputs of some rows for a loss by name.
    fn with<T>(
        &self,
        name: &str,
        rows: std::ops::Range<usize>,
        visit: impl FnOnce(&Inputs<'_>) -> T,
    ) -> T {
        let elements = rows.start * CLASSES..rows.end * CLASSES;
        let (shape, row_shape) = ([rows.len(), CLASSES], [rows.len()]);
        let logits = Tensor::new(&self.logits[elements.clone()], &shape);
        let probabilities = Tensor::new(&self.probabilities[elements], &shape);
        let labels = &self.labels[rows.clone()];
        let weights = Tensor::new(&self.weights[rows], &row_shape);
        let of_logits = Inputs::new(logits);
        visit(&match name {
            "labels" => of_logits.labels(labels, &row_shape),
            "row weights" => of_logits.labels(labels, &row_shape).row_weights(weights),
            "probabilities" => of_logits.probabilities(probabilities),
            "alone" => of_logits,
            "bce" => Inputs::new(probabilities).target(probabilities),
            "gaussian" => of_logits.target(probabilities).var(probabilities),
            _ => of_logits.target(probabilities),
        })
    }

    fn partial(&self, case: &Case, rows: std::ops::Range<usize>) -> Partial {
        let (name, loss, outputs) = case;
        let made = self.with(name, rows, |inputs| Cpu.partial(&**loss, inputs, *outputs, &mut ()));
        made.expect("a partial")
    }

    fn output(&self, case: &Case, rows: std::ops::Range<usize>) -> Output<f64> {
        let (name, loss, outputs) = case;
        self.with(name, rows, |inputs| reference::run(&**loss, inputs, *outputs))
            .expect("an output")
    }
}

type Case = (&'static str, Box<dyn Loss>, Outputs);

/// Every loss, with the outputs that are sums over rows.
fn cases() -> Vec<Case> {
    let sums = Outputs::loss().with_accuracy().with_top_k(2).with_class_losses();
    let (none, loss) = (Outputs::loss(), Outputs::loss());
    let mut cases: Vec<Case> = vec![
        ("labels", Box::new(CrossEntropy::new().z_loss(1e-3).label_smoothing(0.1)), sums),
        ("row weights", Box::new(CrossEntropy::new().softcap(5.0)), sums),
        ("probabilities", Box::new(CrossEntropy::new()), loss),
        ("labels", Box::new(Nll::new()), loss.with_class_losses()),
        ("alone", Box::new(Entropy::new()), loss),
        ("alone", Box::new(Softmax::probs()), none),
        ("bce", Box::new(Bce::new()), loss),
        ("values", Box::new(BceWithLogits::new()), loss),
        ("values", Box::new(KlDiv::new()), loss),
        ("gaussian", Box::new(GaussianNll::new().full(true)), loss),
        ("values", Box::new(PoissonNll::new()), loss),
    ];
    for reduction in [Reduction::Sum, Reduction::BatchMean, Reduction::None] {
        cases.push(("row weights", Box::new(CrossEntropy::new().reduction(reduction)), sums));
        cases.push(("values", Box::new(BceWithLogits::new().reduction(reduction)), loss));
    }
    cases
}

fn bits(output: &Output<f64>) -> Vec<u64> {
    let classes = output.classes.iter().flat_map(|classes| &classes.loss);
    let weight = [output.summary.weight];
    let numbers = output.loss.iter().chain(&output.z_loss).chain(classes).chain(&weight);
    numbers.map(|x| x.to_bits()).collect()
}

fn merged(partials: impl IntoIterator<Item = Partial>) -> Partial {
    let mut partials = partials.into_iter();
    let mut all = partials.next().expect("a partial");
    partials.for_each(|next| all.merge(&next).expect("the same question"));
    all
}

#[test]
fn any_grouping_gives_the_bits_of_any_other_and_the_result_of_one_call() {
    let rows = Rows::new(240);
    for case in cases() {
        let shard = |number: usize| rows.partial(&case, number * 10..(number + 1) * 10);
        let all = merged((0..24).map(shard));
        let output = all.finish().expect("an output");
        for group in [2, 5, 23] {
            let starts = (0..24).step_by(group);
            let groups = starts.map(|from| merged((from..24.min(from + group)).map(shard)));
            let grouped = merged(groups);
            assert_eq!(grouped, all, "{} in groups of {group}", all.loss());
            assert_eq!(bits(&grouped.finish().expect("an output")), bits(&output));
        }
        let wanted = rows.output(&case, 0..240);
        let reduced = wanted.loss_shape.is_empty();
        for (got, wanted) in [(&output.loss, &wanted.loss), (&output.z_loss, &wanted.z_loss)] {
            let wanted = if reduced { &wanted[..] } else { &[] };
            assert_eq!(got.len(), wanted.len(), "{}", all.loss());
            for (got, wanted) in got.iter().zip(wanted) {
                assert!((got - wanted).abs() <= 1e-14 * wanted.abs(), "{}: {got}", all.loss());
            }
        }
        let (got, wanted_weight) = (output.summary.weight, wanted.summary.weight);
        assert!((got - wanted_weight).abs() <= 1e-14 * wanted_weight, "{}", all.loss());
        let mut summary = wanted.summary;
        summary.weight = got;
        assert_eq!(summary, output.summary, "{}", all.loss());
        let rows_of = |output: &Output<f64>| output.classes.clone().map(|c| (c.rows, c.correct));
        assert_eq!(rows_of(&output), rows_of(&wanted), "{}", all.loss());
    }
}

#[test]
fn a_partial_comes_back_from_bytes_and_from_text_as_it_was() {
    let rows = Rows::new(60);
    for case in cases() {
        let partial = rows.partial(&case, 0..60);
        for back in [
            Partial::from_bytes(&partial.to_bytes()).expect("a partial"),
            Partial::from_json(&partial.to_json()).expect("a partial"),
        ] {
            assert_eq!(back, partial);
            assert_eq!(bits(&back.finish().unwrap()), bits(&partial.finish().unwrap()));
            assert_eq!(
                back.standard_error().map(f64::to_bits),
                partial.standard_error().map(f64::to_bits)
            );
        }
    }
}

/// Infinite and NaN sums, labels beyond an i64, bad values.
#[test]
fn faults_of_rows_travel_too() {
    let inf = f32::INFINITY;
    let labelled = |logits: [f32; 4], labels: [u64; 2]| {
        let inputs = Inputs::new(Tensor::new(&logits, &[2, 2])).labels(&labels, &[2]);
        Cpu.partial(&CrossEntropy::new(), &inputs, Outputs::loss(), &mut ()).expect("a partial")
    };
    let probabilities =
        Inputs::new(Tensor::new(&[0.5, 1.5], &[2])).target(Tensor::new(&[0.0; 2], &[2]));
    let refused = Cpu.partial(&Bce::new(), &probabilities, Outputs::loss(), &mut ()).unwrap();
    for partial in [
        labelled([0.0, -inf, 1.0, 2.0], [1, 0]),
        labelled([0.0, f32::NAN, 1.0, 2.0], [1, 0]),
        labelled([0.0, 0.5, 1.0, 2.0], [u64::MAX, 1 << 63]),
        refused,
    ] {
        let texts = |partial: &Partial| format!("{:?} {:?}", partial.finish(), partial.summary());
        let bytes = Partial::from_bytes(&partial.to_bytes()).expect("a partial");
        let json = Partial::from_json(&partial.to_json()).expect("a partial");
        assert_eq!([texts(&bytes), texts(&json)], [texts(&partial), texts(&partial)]);
    }
    // Positions are those in the whole.
    let mut all = labelled([0.0; 4], [0, 1]);
    all.merge(&labelled([0.0; 4], [1, 9])).unwrap();
    all.merge(&labelled([0.0; 4], [8, 0])).unwrap();
    let Err(Error::BadTargets { count, rows, first, value, .. }) = all.finish() else {
        panic!("{all:?}")
    };
    assert_eq!((count, rows, first, value), (2, 6, 3, 9));
}

#[test]
fn partials_of_other_questions_are_refused_by_name() {
    let rows = Rows::new(20);
    let of =
        |name, loss: CrossEntropy, outputs| rows.partial(&(name, Box::new(loss), outputs), 0..20);
    let plain = || CrossEntropy::new();
    let (loss, base) = (Outputs::loss(), of("labels", plain(), Outputs::loss()));
    for (what, other) in [
        ("label_smoothing", of("labels", plain().label_smoothing(0.1), loss)),
        ("logit_scale", of("labels", plain().logit_scale(0.5), loss)),
        ("softcap", of("labels", plain().softcap(3.0), loss)),
        ("z_loss", of("labels", plain().z_loss(1e-3), loss)),
        ("ignore_index", of("labels", plain().ignore_index(3), loss)),
        ("reduction", of("labels", plain().reduction(Reduction::Sum), loss)),
        ("empty_mean", of("labels", plain().empty_mean(EmptyMean::Zero), loss)),
        ("accuracy", of("labels", plain(), loss.with_accuracy())),
        ("top_k", of("labels", plain(), loss.with_top_k(3))),
        ("class_losses", of("labels", plain(), loss.with_class_losses())),
        ("row weights", of("row weights", plain(), loss)),
        ("target", of("probabilities", plain(), loss)),
        ("loss", rows.partial(&("labels", Box::new(Nll::new()), loss), 0..20)),
    ] {
        let (mut a, mut b) = (base.clone(), other.clone());
        for (into, from) in [(&mut a, &other), (&mut b, &base)] {
            let before = into.clone();
            let Err(Error::Merge { what: named, given, wanted }) = into.merge(from) else {
                panic!("{what} is not compared")
            };
            assert_eq!(named, what);
            assert_ne!(given, wanted);
            assert_eq!(*into, before);
        }
    }
    let classes = Inputs::new(Tensor::new(&[0.0; 6], &[2, 3])).labels(&[0u8, 1], &[2]);
    let other = Cpu.partial(&plain(), &classes, loss, &mut ()).unwrap();
    let error = base.clone().merge(&other).unwrap_err().to_string();
    assert_eq!(
        error,
        "partials of different calls cannot be merged: number of classes is 3, but was 7 before"
    );
    let element = |loss: KlDiv| rows.partial(&("values", Box::new(loss), Outputs::loss()), 0..20);
    let error = element(KlDiv::new()).merge(&element(KlDiv::new().log_target(true))).unwrap_err();
    assert!(error.to_string().contains("log_target is true, but was false"), "{error}");
}

#[test]
fn the_gradient_of_a_mean_needs_all_rows() {
    let rows = Rows::new(20);
    let refused = rows.with("labels", 0..20, |inputs| {
        Cpu.partial(&CrossEntropy::new(), inputs, Outputs::loss().with_grad(), &mut ())
    });
    assert!(matches!(refused, Err(Error::Option { option: "divisor", .. })), "{refused:?}");
    // A partial has no stream of its own.
    assert!(refused.unwrap_err().to_string().contains("a stream takes it"));
    // A stream is told the divisor; so are the others, and the mean is by that divisor.
    let of = |range: std::ops::Range<usize>, divisor| {
        let loss = CrossEntropy::new();
        let mut stream = reference::stream(&loss, Outputs::loss().with_grad()).divisor(divisor);
        rows.with("labels", range, |inputs| stream.push(inputs, &mut ())).unwrap();
        stream.partial().unwrap()
    };
    let mut all = of(0..10, 40.0);
    all.merge(&of(10..20, 40.0)).unwrap();
    let sum =
        ("labels", Box::new(CrossEntropy::new().reduction(Reduction::Sum)) as _, Outputs::loss());
    let wanted = rows.output(&sum, 0..20).loss[0] / 40.0;
    assert!((all.finish().unwrap().loss[0] - wanted).abs() <= 1e-15 * wanted);
    let sum = all.clone().reduced(Reduction::Sum).finish().unwrap().loss[0];
    assert!((sum - 40.0 * wanted).abs() <= 1e-14 * sum);
    assert!(
        matches!(all.merge(&of(0..10, 41.0)), Err(Error::Merge { what, .. }) if what == "divisor")
    );
}

/// States are of rows; a partial of them would have all rows, and none with a loss.
#[test]
fn partials_are_of_losses() {
    let rows = Rows::new(20);
    let only_states = Outputs::loss().only_states();
    let refused = rows.with("labels", 0..20, |inputs| {
        Cpu.partial(&CrossEntropy::new(), inputs, only_states, &mut ())
    });
    assert!(matches!(refused, Err(Error::Option { option: "only_states", .. })), "{refused:?}");
    // From states, there is a loss.
    let loss = || CrossEntropy::new().class_shard(0, CLASSES as u64);
    let (partial, wanted) = rows.with("labels", 0..20, |inputs| {
        let states = reference::run(&loss(), inputs, only_states).unwrap().states.unwrap();
        let given = inputs.states(states.words(), 1);
        let partial = Cpu.partial(&loss(), &given, Outputs::loss(), &mut ()).unwrap();
        (partial, reference::run(&CrossEntropy::new(), inputs, Outputs::loss()).unwrap())
    });
    let got = partial.finish().unwrap();
    assert_eq!(got.summary.live, wanted.summary.live);
    assert!((got.loss[0] / wanted.loss[0] - 1.0).abs() < 1e-6);
}

#[test]
fn the_standard_error_is_that_of_the_rows() {
    let rows = Rows::new(500);
    let case = |reduction| -> Case {
        ("labels", Box::new(CrossEntropy::new().reduction(reduction)), Outputs::loss())
    };
    let each = rows.output(&case(Reduction::None), 0..500);
    let live: Vec<f64> =
        each.loss.iter().zip(&rows.labels).filter(|(_, l)| **l >= 0).map(|(x, _)| *x).collect();
    let n = live.len() as f64;
    let mean = live.iter().sum::<f64>() / n;
    let squares = live.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>();
    let wanted = (squares / (n * (n - 1.0))).sqrt();
    let shards = [0..100, 100..101, 101..101, 101..500];
    let all = merged(shards.map(|shard| rows.partial(&case(Reduction::None), shard)));
    let got = all.standard_error().expect("rows came one by one");
    assert!((got - wanted).abs() <= 1e-12 * wanted, "{got} is not {wanted}");
    let output = all.clone().reduced(Reduction::Mean).finish().unwrap();
    assert!((output.loss[0] - mean).abs() <= 1e-14 * mean);
    assert!(all.finish().unwrap().loss.is_empty());
    // Not known, or not that of the mean.
    assert_eq!(rows.partial(&case(Reduction::Mean), 0..500).standard_error(), None);
    assert_eq!(rows.partial(&case(Reduction::None), 0..1).standard_error(), None);
    let weighted: Case =
        ("row weights", Box::new(CrossEntropy::new().reduction(Reduction::None)), Outputs::loss());
    assert_eq!(rows.partial(&weighted, 0..500).standard_error(), None);
    // Weights that add up to the number of rows are weights; a loss that is no number has no error that is one.
    let labelled = |logits: [f32; 4], weights: Option<&[f32]>| {
        let inputs = Inputs::new(Tensor::new(&logits, &[2, 2])).labels(&[0u8, 1], &[2]);
        let weighted = |weights| inputs.row_weights(Tensor::new(weights, &[2]));
        let inputs = weights.map_or(inputs, weighted);
        let loss = CrossEntropy::new().reduction(Reduction::None);
        Cpu.partial(&loss, &inputs, Outputs::loss(), &mut ()).unwrap().standard_error()
    };
    assert_eq!(labelled([0.0, 1.0, 2.0, 3.0], Some(&[0.5, 1.5])), None);
    for bad in [f32::NEG_INFINITY, f32::NAN] {
        assert!(labelled([bad, 1.0, 2.0, 3.0], None).is_some_and(f64::is_nan));
    }
    // Squares of a part of the rows are none; no rows change nothing.
    let mut part = rows.partial(&case(Reduction::None), 0..100).reduced(Reduction::Mean);
    let before = part.standard_error();
    part.merge(&rows.partial(&case(Reduction::Mean), 9..9)).unwrap();
    assert_eq!(part.standard_error(), before);
    part.merge(&rows.partial(&case(Reduction::Mean), 100..200)).unwrap();
    assert_eq!(part.standard_error(), None);
}

#[test]
fn a_partial_of_no_rows_is_the_same_after_it_was_sent() {
    let rows = Rows::new(20);
    let sums = Outputs::loss().with_accuracy().with_class_losses();
    let question = ("labels", Box::new(CrossEntropy::new()) as _, sums);
    let partial = rows.partial(&question, 3..3);
    assert_eq!(Partial::from_bytes(&partial.to_bytes()), Ok(partial.clone()));
    assert_eq!(Partial::from_json(&partial.to_json()), Ok(partial));
}

#[test]
fn nothing_but_a_partial_is_read() {
    let rows = Rows::new(40);
    let sums = Outputs::loss().with_accuracy().with_class_losses();
    let partial = rows.partial(&("labels", Box::new(CrossEntropy::new()), sums), 0..40);
    let bytes = partial.to_bytes();
    let is_refused =
        |bytes: &[u8]| matches!(Partial::from_bytes(bytes), Err(Error::Partial { .. }));
    for cut in 0..bytes.len() {
        assert!(is_refused(&bytes[..cut]), "cut after {cut} bytes");
    }
    for at in 0..bytes.len() {
        for bit in [1, 0x80] {
            let mut damaged = bytes.clone();
            damaged[at] ^= bit;
            assert!(is_refused(&damaged), "byte {at}");
        }
    }
    assert!(is_refused(&[&bytes[..], b"!"].concat()));
    let json = partial.to_json();
    for (from, to, reason) in [
        (r#""version":1"#, r#""version":2"#, "version 2"),
        (r#""loss":"cross_entropy""#, r#""loss":"hinge""#, "hinge"),
        (r#""live":36"#, r#""live":41"#, "contradict"),
        (r#""correct":"#, r#""correct":999"#, "contradict"),
        (r#""bad":0"#, r#""bad":1"#, "contradict"),
        (r#""rows":40"#, r#""rows":-1"#, "invalid value"),
        (r#""first_bad":null"#, r#""first_bad":[3,9]"#, "contradict"),
        (r#""class_rows":["#, r#""class_rows":[1,"#, "contradict"),
        (r#""classes":7"#, r#""classes":18446744073709551615"#, "contradict"),
        (r#""batch":40"#, r#""batch":40,"more":1"#, "unknown field"),
        (r#""loss_sum":["#, r#""loss_sum":["one","#, "no number"),
        (r#""weighs_rows":false"#, r#""weighs_rows":0"#, "invalid type"),
    ] {
        assert_eq!(json.matches(from).count(), 1, "{from} in {json}");
        let error = Partial::from_json(&json.replace(from, to)).expect_err(to).to_string();
        assert!(error.contains(reason), "{to}: {error}");
    }
}

/// A forged partial may have any numbers, and is merged without a panic.
#[test]
fn counts_do_not_overflow() {
    let rows = Rows::new(10);
    let partial = rows.partial(&("labels", Box::new(CrossEntropy::new()), Outputs::loss()), 0..10);
    let most = u64::MAX.to_string();
    let json = partial.to_json().replace(r#""rows":10"#, &format!(r#""rows":{most}"#));
    let forged = Partial::from_json(&json).expect("counts that agree");
    let mut all = forged.clone();
    all.merge(&forged).expect("the same question");
    assert_eq!(all.summary().rows, u64::MAX);
    assert_eq!(all.finish().unwrap().summary.rows, u64::MAX);
}

/// Bytes with a right checksum, and text, that are no longer as they were written: refused, or a partial that can be used.
#[test]
fn forged_partials_break_nothing() {
    let rows = Rows::new(12);
    let sums = Outputs::loss().with_accuracy().with_class_losses();
    let rows_of = |reduction| {
        let loss = CrossEntropy::new().reduction(reduction);
        rows.partial(&("labels", Box::new(loss), sums), 0..12)
    };
    let mut random = Random(3);
    let mut read = [0; 2];
    for partial in [rows_of(Reduction::Mean), rows_of(Reduction::None)] {
        let (bytes, json) = (partial.to_bytes(), partial.to_json());
        for _ in 0..20_000 {
            let mut content = bytes[..bytes.len() - 4].to_vec();
            let mut text = json.clone().into_bytes();
            for _ in 0..1 + random.below(3) {
                let at = 12 + random.below(content.len() - 12);
                content[at] = [0, 1, 0x7f, 0x80, 0xff, random.bits() as u8][random.below(6)];
                let at = random.below(text.len());
                let letters = b"0123456789-e.\"[]{},:nul";
                text[at] = letters[random.below(letters.len())];
            }
            content.extend(crc32fast::hash(&content).to_le_bytes());
            let text = String::from_utf8(text).expect("ASCII");
            for (count, forged) in
                read.iter_mut().zip([Partial::from_bytes(&content), Partial::from_json(&text)])
            {
                let Ok(forged) = forged else { continue };
                *count += 1;
                let mut all = forged.clone();
                let _ =
                    (all.merge(&forged), all.merge(&partial), all.finish(), all.standard_error());
                let again =
                    Partial::from_bytes(&forged.to_bytes()).expect("what was read is written");
                assert_eq!(again.to_json(), forged.to_json());
            }
        }
    }
    assert!(read.iter().all(|&count| count > 1000), "{read:?}");
}

/// Sums at the end of the range of f64, whose roundings overflow.
#[test]
fn sums_at_the_end_of_the_range_end() {
    let rows = Rows::new(10);
    let partial = rows.partial(&("labels", Box::new(CrossEntropy::new()), Outputs::loss()), 0..10);
    let json = partial.to_json();
    let (head, rest) = json.split_once(r#""loss_sum":["#).expect("a sum");
    let (_, tail) = rest.split_once(']').expect("its end");
    let sum = "-1.7976931348623157e308,2.9937604643020797e292";
    let forged = format!("{head}\"loss_sum\":[{sum}]{tail}");
    let forged = Partial::from_json(&forged).expect("two finite numbers");
    assert_eq!(forged.finish().unwrap().loss[0], f64::NEG_INFINITY);
    assert_eq!(Partial::from_json(&forged.to_json()).expect("a partial"), forged);
}
