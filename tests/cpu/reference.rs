//! The f64 reference against PyTorch's answers, finite differences, and what must hold of any loss.

use support::close::{Tolerance, assert_close};
use support::fixtures;
use wgpu_loss::{
    CrossEntropy, EmptyMean, Error, Inputs, Labels, Loss, Nll, Output, Outputs, Reduction, Softmax,
    Tensor, reference,
};

const INF: f32 = f32::INFINITY;
const NAN: f32 = f32::NAN;

/// Owned inputs of one call, so that a test can change a part and run again.
#[derive(Clone, Default)]
struct Data {
    shape: Vec<usize>,
    input: Vec<f32>,
    row_shape: Vec<usize>,
    labels: Option<Vec<i64>>,
    probabilities: Option<Vec<f32>>,
    weight: Option<Vec<f32>>,
    upstream: Option<(Vec<f32>, Vec<usize>)>,
}

impl Data {
    /// Rows of logits with a label each: `shape` is (rows, classes).
    fn rows(shape: [usize; 2], input: &[f32], labels: &[i64]) -> Self {
        Data {
            shape: shape.to_vec(),
            input: input.to_vec(),
            row_shape: vec![shape[0]],
            labels: Some(labels.to_vec()),
            ..Data::default()
        }
    }

    /// Random logits, exact multiples of 1/1024 in [-4, 4), in a shape whose class axis is `axis`,
    /// and random labels.
    fn random(shape: &[usize], axis: usize) -> Self {
        let mut random = Random(shape.iter().fold(7, |seed, &d| seed * 31 + d as u64));
        let mut row_shape = shape.to_vec();
        let classes = row_shape.remove(axis);
        let count = shape.iter().product();
        let rows: usize = row_shape.iter().product();
        Data {
            shape: shape.to_vec(),
            input: (0..count).map(|_| random.dyadic(-4.0, 4.0)).collect(),
            row_shape,
            labels: Some((0..rows).map(|_| random.below(classes) as i64).collect()),
            ..Data::default()
        }
    }

    fn weight(mut self, weight: &[f32]) -> Self {
        self.weight = Some(weight.to_vec());
        self
    }

    fn ignoring(mut self, row: usize, label: i64) -> Self {
        self.labels.as_mut().unwrap()[row] = label;
        self
    }

    /// With a random distribution for every row instead of its label.
    fn random_probabilities(mut self) -> Self {
        let mut random = Random(99);
        self.labels = None;
        self.probabilities = Some(self.input.iter().map(|_| random.dyadic(0.0, 1.0)).collect());
        self
    }

    /// With an upstream gradient in (0.5, 2) per row.
    fn random_upstream(mut self) -> Self {
        let mut random = Random(5);
        let rows = self.row_shape.iter().product();
        let upstream = (0..rows).map(|_| random.dyadic(0.5, 2.0)).collect();
        self.upstream = Some((upstream, self.row_shape.clone()));
        self
    }

    fn inputs(&self) -> Inputs<'_> {
        let mut inputs = Inputs::new(Tensor::new(&self.input, &self.shape));
        if let Some(labels) = &self.labels {
            inputs = inputs.labels(labels, &self.row_shape);
        }
        if let Some(probabilities) = &self.probabilities {
            inputs = inputs.probabilities(Tensor::new(probabilities, &self.shape));
        }
        if let Some(weight) = &self.weight {
            inputs = inputs.weight(weight);
        }
        if let Some((upstream, shape)) = &self.upstream {
            inputs = inputs.upstream(Tensor::new(upstream, shape));
        }
        inputs
    }

    fn try_run(&self, loss: &dyn Loss, outputs: Outputs) -> Result<Output<f64>, Error> {
        reference::run(loss, &self.inputs(), outputs)
    }

    /// The loss and the gradient.
    #[track_caller]
    fn run(&self, loss: &dyn Loss) -> Output<f64> {
        self.try_run(loss, Outputs::loss().with_grad()).unwrap()
    }

    /// The loss, the gradient and the log-probabilities.
    #[track_caller]
    fn run_all(&self, loss: &dyn Loss) -> Output<f64> {
        self.try_run(loss, Outputs::loss().with_grad().with_log_probs()).unwrap()
    }
}

/// A small generator: its numbers are arbitrary, but stay the same.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        self.0 >> 33
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// A multiple of 1/1024 in `[from, to)`.
    fn dyadic(&mut self, from: f32, to: f32) -> f32 {
        from + self.below(((to - from) * 1024.0) as usize) as f32 / 1024.0
    }
}

fn unreduced() -> CrossEntropy {
    CrossEntropy::new().reduction(Reduction::None)
}

fn summed() -> CrossEntropy {
    CrossEntropy::new().reduction(Reduction::Sum)
}

fn grad(output: &Output<f64>) -> &[f64] {
    output.grad.as_deref().unwrap()
}

fn log_probs(output: &Output<f64>) -> &[f64] {
    output.log_probs.as_deref().unwrap()
}

// ---- Known answers

/// PyTorch's float64 keeps each number to 1e-12 of itself, but for the log of a sum near 1 and the
/// difference `p - 1`, where it is off by a few 2^-53 times weight and upstream (4 at most here).
const PYTORCH: Tolerance = Tolerance { relative: 1e-12, absolute: 4e-15 };

/// Cases worked out with 50 digits have no such error, and neither has the reference: about ten
/// operations, each within 2^-53.
const EXACT_TRUTH: Tolerance = Tolerance::relative(4e-15);

fn check_fixtures(file: &str, at_least: usize) {
    let cases = fixtures::load(file);
    assert!(cases.len() >= at_least, "only {} cases in {file}", cases.len());
    for case in cases {
        let tolerance = if case.name.ends_with("_mpmath") { EXACT_TRUTH } else { PYTORCH };
        let (name, truth) = (&case.name, &case.truth);
        let output = reference::run(&*case.loss(), &case.inputs(), case.outputs())
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(output.loss_shape, truth.loss_shape, "{name}");
        assert_close(&format!("{name}: loss"), &output.loss, &truth.loss, tolerance);
        assert_eq!(output.grad.is_some(), truth.grad.is_some(), "{name}");
        if let (Some(got), Some(wanted)) = (&output.grad, &truth.grad) {
            assert_close(&format!("{name}: grad"), got, wanted, tolerance);
        }
        assert_eq!(output.log_probs.is_some(), truth.log_probs.is_some(), "{name}");
        if let (Some(got), Some(wanted)) = (&output.log_probs, &truth.log_probs) {
            assert_close(&format!("{name}: log_probs"), got, wanted, tolerance);
        }
        assert!(output.probs.is_none() && output.timing.is_none());
    }
}

#[test]
fn cross_entropy_is_pytorchs() {
    check_fixtures("cross_entropy", 100);
}

#[test]
fn nll_is_pytorchs() {
    check_fixtures("nll", 30);
}

#[test]
fn numbers_of_the_book() {
    let logits = [
        [3.5, -3.45, 0.23, 1.25],
        [-2.14, 0.54, 2.67, -5.23],
        [-1.34, 5.01, -1.54, -1.17],
        [-2.98, -1.37, 1.54, 5.23],
    ];
    let data = Data::rows([4, 4], logits.as_flattened(), &[0, 2, 1, 3]);
    let output = data.run(&unreduced());
    let wanted = [0.13484927, 0.11987498, 0.00523357, 0.02625655];
    assert_close("loss", &output.loss, &wanted, Tolerance::absolute(1e-7));
    assert_eq!(output.loss_shape, [4]);
}

#[test]
fn confident_rows_keep_their_digits() {
    // x = (30, 0, -1): sum_exp_m1 u = e^-30 + e^-31 = 1.3e-13, loss = log(1 + u) = u - u^2/2 to 1e-26
    // of itself, and dloss/dx_t = -u / (1 + u).
    let u = (-30f64).exp() + (-31f64).exp();
    let data = Data::rows([1, 3], &[30.0, 0.0, -1.0], &[0]);
    let output = data.run_all(&unreduced());
    let tolerance = Tolerance::relative(1e-15);
    assert_close("loss", &output.loss, &[u - u * u / 2.0], tolerance);
    let wanted = [-u, (-30f64).exp(), (-31f64).exp()].map(|g| g / (1.0 + u));
    assert_close("grad", grad(&output), &wanted, tolerance);
    let wanted = [0.0, -30.0, -31.0].map(|d| d - (u - u * u / 2.0));
    assert_close("log_probs", log_probs(&output), &wanted, tolerance);
}

// ---- Gradients

/// Compares the gradient with `(f(x-2h) - 8 f(x-h) + 8 f(x+h) - f(x+2h)) / 12h`, `h = 2^-7`, where
/// `f` is the loss, or its sum with the upstream gradient. All four points are exact in f32.
///
/// The stencil is off by `h^4/30 f'''''`. Along one logit `f = s V log(A + e^x) - s v x`, whose
/// fifth derivative is at most `0.13 s V`: 1.7e-11 for `s V = 1`. No case here has `s V` above 10,
/// from weights that add up to 5 and an upstream gradient below 2. The rounding of `f`, below 256
/// and good to 2^-52 of itself, adds at most 1.1e-11.
#[track_caller]
fn check_gradient(loss: &dyn Loss, data: &Data) {
    let h = 1.0 / 128.0;
    let scale = data.upstream.as_ref().map_or(&[1.0][..], |(upstream, _)| upstream);
    let value = |element: usize, step: f32| {
        let mut data = data.clone();
        data.input[element] += step * h;
        let losses = data.try_run(loss, Outputs::loss()).unwrap().loss;
        let weighed =
            losses.iter().enumerate().map(|(row, l)| l * f64::from(scale[row % scale.len()]));
        weighed.sum::<f64>()
    };
    let differences: Vec<f64> = (0..data.input.len())
        .map(|e| {
            let f = [-2.0, -1.0, 1.0, 2.0].map(|step| value(e, step));
            assert!(f.iter().all(|f| f.abs() < 256.0));
            (f[0] - 8.0 * f[1] + 8.0 * f[2] - f[3]) / (12.0 * f64::from(h))
        })
        .collect();
    assert!(differences.iter().any(|d| d.abs() > 0.01), "nothing to compare");
    let output = data.run(loss);
    assert_close("grad", grad(&output), &differences, Tolerance::absolute(2e-10));
}

const WEIGHT: [f32; 5] = [0.5, 1.5, 0.0, 2.0, 1.0];

#[test]
fn gradient_of_labels_is_the_slope() {
    for reduction in [Reduction::Mean, Reduction::Sum, Reduction::BatchMean, Reduction::None] {
        check_gradient(&CrossEntropy::new().reduction(reduction), &Data::random(&[4, 5], 1));
    }
    check_gradient(&unreduced(), &Data::random(&[4, 5], 1).random_upstream());
    check_gradient(&CrossEntropy::new(), &Data::random(&[7], 0));
}

#[test]
fn gradient_with_weights_is_the_slope() {
    let data = Data::random(&[6, 5], 1).weight(&WEIGHT).ignoring(2, -100);
    check_gradient(&CrossEntropy::new(), &data);
    check_gradient(&unreduced(), &data.random_upstream());
}

#[test]
fn gradient_with_smoothing_is_the_slope() {
    for smoothing in [0.1, 1.0] {
        let data = Data::random(&[5, 5], 1).ignoring(4, -100);
        let loss = CrossEntropy::new().label_smoothing(smoothing);
        check_gradient(&loss, &data);
        check_gradient(&loss, &data.weight(&WEIGHT));
    }
}

#[test]
fn gradient_of_probabilities_is_the_slope() {
    let data = Data::random(&[4, 5], 1).random_probabilities();
    check_gradient(&CrossEntropy::new(), &data);
    check_gradient(&unreduced(), &data.clone().random_upstream());
    let loss = CrossEntropy::new().label_smoothing(0.25);
    check_gradient(&loss, &data.weight(&WEIGHT));
}

#[test]
fn gradient_along_a_middle_axis_is_the_slope() {
    let data = Data::random(&[2, 5, 3], 1).weight(&WEIGHT).ignoring(4, -100);
    check_gradient(&CrossEntropy::new(), &data);
    check_gradient(&CrossEntropy::new().label_smoothing(0.1), &data);
    let data = Data::random(&[2, 3, 5, 2], 2).random_probabilities().random_upstream();
    check_gradient(&unreduced().class_axis(-2), &data.weight(&WEIGHT));
}

#[test]
fn gradient_of_nll_is_the_slope() {
    let data = Data::random(&[4, 5], 1).weight(&WEIGHT).ignoring(1, -100);
    check_gradient(&Nll::new(), &data);
    let data = Data::random(&[2, 5, 3], 1).random_upstream();
    check_gradient(&Nll::new().reduction(Reduction::None), &data);
}

// ---- Properties

/// Losses and tensors that between them use every way a target is given.
fn varied() -> Vec<(&'static str, CrossEntropy, Data)> {
    let data = Data::random(&[9, 5], 1);
    vec![
        ("labels", unreduced(), data.clone()),
        ("weights", unreduced(), data.clone().weight(&WEIGHT)),
        ("smoothing", unreduced().label_smoothing(0.1), data.clone().weight(&WEIGHT)),
        ("probabilities", unreduced(), data.clone().random_probabilities().weight(&WEIGHT)),
        ("middle axis", unreduced(), Data::random(&[2, 5, 4], 1).weight(&WEIGHT)),
    ]
}

#[test]
fn a_shift_of_all_logits_changes_nothing() {
    for (name, loss, data) in varied() {
        let wanted = data.run_all(&loss);
        for shift in [1000.0, -1000.0, 0.5] {
            let mut shifted = data.clone();
            shifted.input.iter_mut().for_each(|x| *x += shift);
            let output = shifted.run_all(&loss);
            // The shifted logits are exact in f32, so that their differences are the same bits.
            assert_eq!(output.loss, wanted.loss, "{name}");
            assert_eq!(output.grad, wanted.grad, "{name}");
            assert_eq!(output.log_probs, wanted.log_probs, "{name}");
        }
    }
}

#[test]
fn the_order_of_the_classes_does_not_matter() {
    let reversed = |rows: &[f32]| -> Vec<f32> {
        rows.chunks(5).flat_map(|row| row.iter().rev().copied()).collect()
    };
    for (name, loss, data) in varied().into_iter().filter(|(_, _, data)| data.shape.len() == 2) {
        let mut other = data.clone();
        other.input = reversed(&data.input);
        other.probabilities = data.probabilities.as_deref().map(reversed);
        other.weight = data.weight.as_deref().map(reversed);
        if let Some(labels) = &mut other.labels {
            labels.iter_mut().for_each(|label| *label = 4 - *label);
        }
        let (wanted, output) = (data.run_all(&loss), other.run_all(&loss));
        // Sums over five classes in another order: a few 2^-53 of the largest, which is below 16.
        let tolerance = Tolerance { relative: 2e-15, absolute: 2e-15 };
        assert_close(name, &output.loss, &wanted.loss, tolerance);
        let back = |rows: &[f64]| -> Vec<f64> {
            rows.chunks(5).flat_map(|row| row.iter().rev().copied()).collect()
        };
        assert_close(name, &back(grad(&output)), grad(&wanted), tolerance);
        assert_close(name, &back(log_probs(&output)), log_probs(&wanted), tolerance);
        assert_ne!(grad(&output), grad(&wanted), "{name}");
    }
}

#[test]
fn reductions_are_sums_of_the_unreduced() {
    for (name, loss, data) in varied() {
        let data = if data.labels.is_some() { data.ignoring(3, -100) } else { data };
        let rows = data.run(&loss);
        let weight_of =
            |label: i64| data.weight.as_ref().map_or(1.0, |w| f64::from(w[label as usize]));
        let weight: f64 = match &data.labels {
            Some(labels) => labels.iter().filter(|&&l| l >= 0).map(|&l| weight_of(l)).sum(),
            None => data.row_shape.iter().product::<usize>() as f64,
        };
        assert!((rows.summary.weight - weight).abs() < 1e-12, "{name}");
        let sum: f64 = rows.loss.iter().sum();
        let batch = data.shape[0] as f64;
        for (reduction, divisor) in
            [(Reduction::Sum, 1.0), (Reduction::Mean, weight), (Reduction::BatchMean, batch)]
        {
            let output = data.run(&loss.clone().reduction(reduction));
            assert!(output.loss_shape.is_empty());
            let tolerance = Tolerance::relative(4e-16);
            assert_close(name, &output.loss, &[sum / divisor], tolerance);
            let wanted: Vec<f64> = grad(&rows).iter().map(|g| g / divisor).collect();
            assert_close(name, grad(&output), &wanted, tolerance);
        }
    }
}

#[test]
fn one_hot_probabilities_are_labels() {
    for smoothing in [0.0, 0.1] {
        let labels = Data::random(&[6, 5], 1).weight(&WEIGHT);
        let mut probabilities = labels.clone();
        let mut one_hot = vec![0.0; 30];
        for (row, &label) in labels.labels.as_ref().unwrap().iter().enumerate() {
            one_hot[row * 5 + label as usize] = 1.0;
        }
        (probabilities.labels, probabilities.probabilities) = (None, Some(one_hot));
        let loss = unreduced().label_smoothing(smoothing);
        let (a, b) = (labels.run_all(&loss), probabilities.run_all(&loss));
        assert_close("loss", &b.loss, &a.loss, Tolerance::relative(1e-15));
        assert_eq!(b.grad, a.grad);
        assert_eq!(b.log_probs, a.log_probs);
    }
}

#[test]
fn every_label_type_reads_the_same() {
    let data = Data::random(&[2, 5, 4], 1).weight(&WEIGHT).ignoring(6, 77);
    let loss = CrossEntropy::new().ignore_index(77);
    let wanted = data.run(&loss);
    assert_eq!(wanted.summary.ignored(), 1);
    let labels = data.labels.clone().unwrap();
    macro_rules! check {
        ($($type:ty),*) => {$(
            let narrow: Vec<$type> = labels.iter().map(|&label| label as $type).collect();
            let output = reference::run(
                &loss,
                &data.inputs().labels(&narrow, &data.row_shape),
                Outputs::loss().with_grad(),
            )
            .unwrap();
            assert_eq!(output.loss, wanted.loss);
            assert_eq!(output.grad, wanted.grad);
            assert_eq!(output.summary, wanted.summary);
        )*};
    }
    check!(u8, i8, u16, i16, u32, i32, u64, i64);
}

#[test]
fn columns_are_rows_seen_from_another_side() {
    let (planes, classes, inner) = (2, 5, 37);
    let rows = Data::random(&[planes * inner, classes], 1).weight(&WEIGHT);
    let mut columns = rows.clone();
    columns.shape = vec![planes, classes, inner];
    columns.row_shape = vec![planes, inner];
    let transpose = |rows: &[f64]| -> Vec<f64> {
        (0..rows.len())
            .map(|e| {
                let (plane, class, i) = (e / inner / classes, e / inner % classes, e % inner);
                rows[(plane * inner + i) * classes + class]
            })
            .collect()
    };
    let wide: Vec<f64> = rows.input.iter().map(|&x| f64::from(x)).collect();
    columns.input = transpose(&wide).into_iter().map(|x| x as f32).collect();
    for loss in [unreduced(), CrossEntropy::new().label_smoothing(0.1)] {
        let (a, b) = (rows.run_all(&loss), columns.run_all(&loss));
        assert_eq!(b.loss, a.loss);
        assert_eq!(grad(&b), transpose(grad(&a)));
        assert_eq!(log_probs(&b), transpose(log_probs(&a)));
    }
}

#[test]
fn many_rows_add_up_and_come_out_the_same_on_any_number_of_threads() {
    let data = Data::random(&[20_000, 3], 1).weight(&[0.5, 1.0, 2.0]).ignoring(11, -100);
    let rows = data.run(&unreduced());
    let sum: f64 = rows.loss.iter().sum();
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| data.run_all(&CrossEntropy::new()))
    };
    let one = run(1);
    // 20,000 additions in another order.
    assert_close("mean", &one.loss, &[sum / rows.summary.weight], Tolerance::relative(2e-12));
    assert_eq!((one.summary.rows, one.summary.live), (20_000, 19_999));
    for threads in [2, 3, 8] {
        let output = run(threads);
        assert_eq!(output.loss[0].to_bits(), one.loss[0].to_bits());
        assert_eq!(output.grad, one.grad);
        assert_eq!(output.log_probs, one.log_probs);
        assert_eq!(output.summary, one.summary);
    }
}

#[test]
fn upstream_scales_the_gradient_alone() {
    for (name, loss, data) in varied() {
        let loss = loss.reduction(Reduction::Mean);
        let wanted = data.run(&loss);
        for shape in [vec![], vec![1], vec![1, 1]] {
            let mut scaled = data.clone();
            scaled.upstream = Some((vec![-4.0], shape));
            let output = scaled.run(&loss);
            assert_eq!(output.loss, wanted.loss, "{name}");
            let quadruple: Vec<f64> = grad(&wanted).iter().map(|g| -4.0 * g).collect();
            assert_eq!(grad(&output), quadruple, "{name}");
        }
    }
}

// ---- Ignored and bad labels

#[test]
fn an_ignored_row_counts_for_nothing_even_where_it_is_nan() {
    let input = [1.0, 2.0, NAN, 1.0, INF, INF, 0.0, 3.0];
    let mut data = Data::rows([4, 2], &input, &[1, -100, -100, 0]);
    data.upstream = Some((vec![1.0, NAN, INF, 1.0], vec![4]));
    for loss in [unreduced(), unreduced().label_smoothing(0.1)] {
        let output = data.run(&loss);
        assert_eq!(output.loss[1..3], [0.0; 2]);
        assert_eq!(grad(&output)[2..6], [0.0; 4]);
        assert!(output.loss[0] > 0.0 && output.loss[3] > 0.0);
        let summary = output.summary;
        assert_eq!((summary.rows, summary.live, summary.ignored()), (4, 2, 2));
        assert_eq!((summary.weight, summary.nonfinite, summary.bad), (2.0, 0, 0));
        let mean = Data { upstream: None, ..data.clone() }.run(&loss.reduction(Reduction::Mean));
        assert_eq!(mean.loss[0], (output.loss[0] + output.loss[3]) / 2.0);
    }
    let output = data.run(&Nll::new().reduction(Reduction::None));
    assert_eq!(output.loss, [-2.0, 0.0, 0.0, 0.0]);
    assert_eq!(grad(&output), [0.0, -1.0, 0.0, 0.0, 0.0, 0.0, -1.0, 0.0]);
}

#[test]
fn an_ignored_row_still_has_a_distribution() {
    let output = Data::rows([2, 2], &[0.0, 0.0, 0.0, -INF], &[-100, -100]).run_all(&unreduced());
    let ln2 = std::f64::consts::LN_2;
    assert_close(
        "log_probs",
        log_probs(&output),
        &[-ln2, -ln2, 0.0, -f64::INFINITY],
        Tolerance::EXACT,
    );
}

#[test]
fn ignore_index_comes_before_the_range_and_is_compared_in_full() {
    let input = [0.0; 6];
    let run = |loss: &dyn Loss, labels: Labels<'_>| {
        let inputs = Inputs::new(Tensor::new(&input, &[2, 3])).labels(labels, &[2]);
        reference::run(loss, &inputs, Outputs::loss())
    };
    let first_bad = |result: Result<Output<f64>, Error>| match result {
        Err(Error::BadTargets { first, value, .. }) => (first, value),
        other => panic!("{other:?}"),
    };
    for ignore in [-1, 7, i64::MAX, i64::MIN, 1] {
        let output = run(&unreduced().ignore_index(ignore), (&[0, ignore]).into()).unwrap();
        assert_eq!(output.summary.ignored(), 1, "{ignore}");
        assert_eq!(output.loss[1], 0.0);
        let output = run(&Nll::new().ignore_index(ignore), (&[0, ignore]).into()).unwrap();
        assert_eq!(output.summary.ignored(), 1, "{ignore}");
    }
    // The same bits in another type are another label.
    let loss = unreduced().ignore_index(-1);
    assert_eq!(first_bad(run(&loss, (&[0, u64::MAX]).into())), (1, i128::from(u64::MAX)));
    assert_eq!(first_bad(run(&loss, (&[255u8, 0]).into())), (0, 255));
    assert_eq!(first_bad(run(&loss, (&[1i64 << 32, -1]).into())), (0, 1 << 32));
    assert_eq!(first_bad(run(&loss, (&[2u32, 3]).into())), (1, 3));
}

#[test]
fn bad_labels_are_counted_and_the_first_is_named() {
    let mut labels = vec![0; 10_000];
    for (row, label) in [(9_000, -1), (4_097, 2), (9_999, 5), (17, -100)] {
        labels[row] = label;
    }
    let data = Data::rows([10_000, 2], &[0.5; 20_000], &labels);
    let wanted = Error::BadTargets {
        count: 3,
        rows: 10_000,
        first: 4_097,
        value: 2,
        classes: 2,
        ignore_index: -100,
    };
    for reduction in [Reduction::Mean, Reduction::None] {
        let loss = CrossEntropy::new().reduction(reduction);
        let outputs = Outputs::loss().with_grad();
        assert_eq!(data.try_run(&loss, outputs).unwrap_err(), wanted);
        assert_eq!(data.try_run(&Nll::new().reduction(reduction), outputs).unwrap_err(), wanted);
    }
    let columns = Data { shape: vec![1, 2, 10_000], row_shape: vec![1, 10_000], ..data };
    assert_eq!(columns.try_run(&CrossEntropy::new(), Outputs::loss()).unwrap_err(), wanted);
}

// ---- Infinities and NaN

#[test]
fn a_row_without_a_distribution_is_nan_and_the_others_are_not() {
    let rows = [
        [1.0, 2.0, 3.0],
        [1.0, NAN, 3.0],
        [-INF, -INF, -INF],
        [INF, 0.0, 1.0],
        [INF, INF, -INF],
        [-INF, 0.0, 1.0],
    ];
    let labels = Data::rows([6, 3], rows.as_flattened(), &[2; 6]);
    let mut probabilities = labels.clone();
    probabilities.labels = None;
    probabilities.probabilities = Some([0.0, 0.5, 0.5].repeat(6));
    let unweighted = labels.clone().weight(&[1.0, 1.0, 0.0]);
    for data in [&labels, &probabilities, &unweighted] {
        let output = data.run_all(&unreduced());
        for row in 0..6 {
            let nan = (1..5).contains(&row);
            assert_eq!(output.loss[row].is_nan(), nan, "row {row}");
            for class in row * 3..row * 3 + 3 {
                assert_eq!(grad(&output)[class].is_nan(), nan, "row {row}");
                assert_eq!(log_probs(&output)[class].is_nan(), nan, "row {row}");
            }
        }
        assert_eq!((output.summary.live, output.summary.nonfinite), (6, 4));
        assert_eq!(output.summary.first_nonfinite, Some(1));
        assert!(data.run(&summed()).loss[0].is_nan());
    }
    // Only live rows are counted.
    let summary = labels.ignoring(1, -100).ignoring(3, -100).run(&unreduced()).summary;
    assert_eq!((summary.nonfinite, summary.first_nonfinite), (2, Some(2)));
}

#[test]
fn the_first_row_without_a_distribution_is_named_among_many() {
    let mut data = Data::rows([10_000, 2], &[0.5; 20_000], &[0; 10_000]);
    for row in [9_999, 4_097, 9_000] {
        data.input[row * 2] = NAN;
    }
    for loss in [&CrossEntropy::new() as &dyn Loss, &Nll::new()] {
        let summary = data.try_run(loss, Outputs::loss()).unwrap().summary;
        assert_eq!((summary.nonfinite, summary.first_nonfinite), (3, Some(4_097)));
    }
}

#[test]
fn a_target_at_minus_infinity_costs_infinity_and_has_a_gradient() {
    let data =
        Data::rows([2, 3], &[0.0, -INF, 0.0, 1.0, 1.0, -INF], &[1, 0]).weight(&[1.0, 2.0, 1.0]);
    let output = data.run_all(&unreduced());
    let ln2 = std::f64::consts::LN_2;
    assert_close("loss", &output.loss, &[f64::INFINITY, ln2], Tolerance::EXACT);
    assert_eq!(grad(&output), [1.0, -2.0, 1.0, -0.5, 0.5, 0.0]);
    let wanted = [-ln2, -f64::INFINITY, -ln2, -ln2, -ln2, -f64::INFINITY];
    assert_close("log_probs", log_probs(&output), &wanted, Tolerance::EXACT);
    assert_eq!(output.summary.nonfinite, 0);

    // Without weight it costs nothing.
    let output = data.weight(&[1.0, 0.0, 1.0]).run(&unreduced());
    assert_close("loss", &output.loss, &[0.0, ln2], Tolerance::EXACT);
    assert_eq!(grad(&output), [0.0, 0.0, 0.0, -0.5, 0.5, 0.0]);
}

#[test]
fn probabilities_at_minus_infinity() {
    let mut data = Data::rows([4, 3], &[0.0, -INF, 0.0].repeat(4), &[]);
    data.labels = None;
    data.probabilities = Some(vec![0.5, 0.0, 0.5, 0.0, 0.25, 0.75, 0.5, -0.25, 0.0, 0.0, 0.0, 0.0]);
    let output = data.run(&unreduced());
    let ln2 = std::f64::consts::LN_2;
    // A class that is not wanted costs nothing; one that is costs infinity; a negative share, as
    // weights may make it, minus infinity; no share at all, nothing.
    let wanted = [ln2, f64::INFINITY, -f64::INFINITY, 0.0];
    assert_close("loss", &output.loss, &wanted, Tolerance::EXACT);
    let wanted = [0.0, 0.0, 0.0, 0.5, -0.25, -0.25, -0.375, 0.25, 0.125, 0.0, 0.0, 0.0];
    assert_eq!(grad(&output), wanted);
    assert_eq!(output.summary.nonfinite, 0);

    // Smoothing wants every class a little.
    let output = data.run(&unreduced().label_smoothing(0.5));
    assert!(output.loss[0] == f64::INFINITY);
    assert!(grad(&output).iter().all(|g| g.is_finite()));
}

#[test]
fn the_largest_and_smallest_logits_do_not_overflow() {
    let data = Data::rows([2, 2], &[f32::MAX, f32::MIN, f32::MIN, f32::MIN], &[1, 0]);
    let output = data.run_all(&unreduced());
    let wanted = [2.0 * f64::from(f32::MAX), std::f64::consts::LN_2];
    assert_close("loss", &output.loss, &wanted, Tolerance::EXACT);
    assert_eq!(grad(&output), [1.0, -1.0, -0.5, 0.5]);
}

// ---- Nothing there

#[test]
fn a_mean_over_nothing_is_what_was_asked_for_and_moves_nothing() {
    let ignored = Data::rows([2, 2], &[0.0, 1.0, 2.0, 3.0], &[-100, -100]);
    let weightless = Data::rows([2, 2], &[0.0, 1.0, 2.0, 3.0], &[0, 0]).weight(&[0.0, 1.0]);
    let no_rows = Data::rows([0, 2], &[], &[]);
    let mut no_distributions = no_rows.clone();
    (no_distributions.labels, no_distributions.probabilities) = (None, Some(vec![]));
    let mean = CrossEntropy::new();
    let smooth = mean.clone().label_smoothing(0.5);
    let batchmean = mean.clone().reduction(Reduction::BatchMean);
    for (loss, data) in [
        (&mean, &ignored),
        (&mean, &weightless),
        (&smooth, &weightless),
        (&mean, &no_rows),
        (&mean, &no_distributions),
        (&batchmean, &no_rows),
        (&batchmean, &no_distributions),
    ] {
        let output = data.run(loss);
        assert!(output.loss.len() == 1 && output.loss[0].is_nan());
        assert_eq!(grad(&output), vec![0.0; data.input.len()]);
        let output = data.run(&loss.clone().empty_mean(EmptyMean::Zero));
        assert_eq!(output.loss, [0.0]);
        assert_eq!(grad(&output), vec![0.0; data.input.len()]);
    }
    for data in [&ignored, &weightless, &no_rows] {
        assert!(data.run(&Nll::new()).loss[0].is_nan());
        let output = data.run(&Nll::new().empty_mean(EmptyMean::Zero));
        assert_eq!(output.loss, [0.0]);
        assert_eq!(grad(&output), vec![0.0; data.input.len()]);
    }
    // A mean over something is not touched by the option, and sums are 0 as they are.
    let something = Data::rows([1, 2], &[0.0, 0.0], &[0]);
    let output = something.run(&mean.empty_mean(EmptyMean::Zero));
    assert_eq!(output.loss, [std::f64::consts::LN_2]);
    assert_eq!(ignored.run(&summed()).loss, [0.0]);
    assert_eq!(no_rows.run(&summed()).loss, [0.0]);
    assert!(no_rows.run(&unreduced()).loss.is_empty());
}

#[test]
fn a_row_without_a_distribution_stays_nan_under_an_empty_mean() {
    let data = Data::rows([2, 2], &[NAN, 0.0, 1.0, 2.0], &[0, 0]).weight(&[0.0, 1.0]);
    let output = data.run(&CrossEntropy::new());
    assert!(grad(&output)[..2].iter().all(|g| g.is_nan()));
    assert_eq!(grad(&output)[2..], [0.0, 0.0]);
}

#[test]
fn one_class_is_certain() {
    let output = Data::rows([2, 1], &[5.0, -5.0], &[0, 0]).run_all(&unreduced());
    assert_eq!(output.loss, [0.0, 0.0]);
    assert_eq!(grad(&output), [0.0, 0.0]);
    assert_eq!(log_probs(&output), [0.0, 0.0]);
}

/// The data of tensors without elements.
const NOTHING: [f32; 0] = [];

#[test]
fn no_classes() {
    // However many rows the shape has: none of them has an element.
    for rows in [3, 1 << 50] {
        let shape = [rows, 0];
        let inputs =
            Inputs::new(Tensor::new(&NOTHING, &shape)).probabilities(Tensor::new(&NOTHING, &shape));
        let outputs = Outputs::loss().with_grad().with_log_probs();
        let output = reference::run(&CrossEntropy::new(), &inputs, outputs).unwrap();
        assert_eq!(output.loss, [0.0]);
        assert_eq!((output.summary.rows, output.summary.live), (rows as u64, rows as u64));
        assert_eq!((output.summary.weight, output.summary.nonfinite), (rows as f64, 0));
        assert_eq!((grad(&output), log_probs(&output)), (&[][..], &[][..]));
        let inputs = Inputs::new(Tensor::new(&NOTHING, &shape));
        let output = reference::run(&Softmax::probs(), &inputs, Outputs::loss()).unwrap();
        assert_eq!((output.probs, output.summary.live), (Some(vec![]), rows as u64));
    }
    let shape = [3, 0];
    let inputs =
        Inputs::new(Tensor::new(&NOTHING, &shape)).probabilities(Tensor::new(&NOTHING, &shape));
    assert_eq!(reference::run(&unreduced(), &inputs, Outputs::loss()).unwrap().loss, [0.0; 3]);

    // No label is a class of nothing.
    let error = Data::rows([2, 0], &[], &[-100, 0]).try_run(&unreduced(), Outputs::loss());
    assert!(matches!(
        error,
        Err(Error::BadTargets { count: 1, first: 1, value: 0, classes: 0, .. })
    ));
    let output = Data::rows([2, 0], &[], &[-100, -100]).run(&unreduced());
    assert_eq!(output.loss, [0.0, 0.0]);
}

// ---- NLL

#[test]
fn nll_takes_infinities_as_they_are_and_nan_as_nan() {
    let loss = Nll::new().reduction(Reduction::None);
    let input = [-INF, 0.0, INF, 0.0, NAN, 0.0, 0.0, NAN, -INF, -1.5];
    let data = Data::rows([5, 2], &input, &[0, 0, 0, 0, 1]).weight(&[2.0, 4.0]);
    let output = data.run(&loss);
    let inf = f64::INFINITY;
    assert_close("loss", &output.loss, &[inf, -inf, f64::NAN, 0.0, 6.0], Tolerance::EXACT);
    let nan = f64::NAN;
    // The gradient does not depend on the input.
    let wanted = [-2.0, 0.0, -2.0, 0.0, -2.0, 0.0, -2.0, 0.0, 0.0, -4.0];
    assert_close("grad", grad(&output), &wanted, Tolerance::EXACT);
    assert_eq!((output.summary.nonfinite, output.summary.first_nonfinite), (1, Some(2)));
    assert_eq!((output.summary.live, output.summary.weight), (5, 12.0));

    // A weight of 0 removes an infinity, but does not hide a NaN.
    let output = data.weight(&[0.0, 4.0]).run(&loss);
    assert_close("loss", &output.loss, &[0.0, 0.0, nan, 0.0, 6.0], Tolerance::EXACT);
}

#[test]
fn nll_of_log_probabilities_is_cross_entropy() {
    let data = Data::random(&[3, 5, 4], 1).weight(&WEIGHT).ignoring(7, -100);
    let cross_entropy = data.run_all(&CrossEntropy::new());
    let mut gathered = data.clone();
    gathered.input = log_probs(&cross_entropy).iter().map(|&y| y as f32).collect();
    // The log-probabilities are rounded to f32.
    let nll = gathered.run(&Nll::new());
    assert_close("loss", &nll.loss, &cross_entropy.loss, Tolerance::relative(6e-8));
    assert_eq!(nll.summary, cross_entropy.summary);
}

// ---- Softmax

#[test]
fn softmax_is_a_distribution_along_its_axis() {
    let data = Data { labels: None, ..Data::random(&[3, 5, 4], 1) };
    for (axis, stride, classes) in [(0, 20, 3), (1, 4, 5), (-2, 4, 5), (-1, 1, 4)] {
        let probs = data.try_run(&Softmax::probs().axis(axis), Outputs::loss()).unwrap();
        let logs = data.try_run(&Softmax::log_probs().axis(axis), Outputs::loss()).unwrap();
        for output in [&probs, &logs] {
            assert!(
                output.loss.is_empty() && output.loss_shape.is_empty() && output.grad.is_none()
            );
            assert_eq!(output.summary.rows, (60 / classes) as u64);
            assert_eq!(output.summary.live, output.summary.rows);
            assert_eq!(output.summary.weight, output.summary.rows as f64);
        }
        assert!(probs.log_probs.is_none() && logs.probs.is_none());
        let (p, log_p) = (probs.probs.unwrap(), logs.log_probs.unwrap());
        let exp: Vec<f64> = log_p.iter().map(|y| y.exp()).collect();
        assert_close("probs", &p, &exp, Tolerance::relative(2e-15));
        for first in (0..60).filter(|e| e / stride % classes == 0) {
            let sum: f64 = (0..classes).map(|class| p[first + class * stride]).sum();
            assert!((sum - 1.0).abs() < 1e-15);
            // Differences of log-probabilities are differences of logits.
            let next = first + stride;
            let wanted = f64::from(data.input[next]) - f64::from(data.input[first]);
            assert!((log_p[next] - log_p[first] - wanted).abs() < 1e-14);
        }
    }
}

#[test]
fn softmax_is_what_cross_entropy_says_beside_the_loss() {
    let data = Data::random(&[3, 5, 4], 1);
    let with_loss = data.run_all(&CrossEntropy::new());
    let data = Data { labels: None, ..data };
    let alone = data.try_run(&Softmax::log_probs().axis(1), Outputs::loss()).unwrap();
    assert_eq!(alone.log_probs, with_loss.log_probs);
}

#[test]
fn softmax_of_infinities() {
    let x = [0.0, -INF, 0.0, NAN, 1.0, 2.0, -INF, -INF, -INF, INF, 1.0, 1.0];
    let inputs = Inputs::new(Tensor::new(&x, &[4, 3]));
    let nan = [f64::NAN; 9];
    let output = reference::run(&Softmax::probs(), &inputs, Outputs::loss()).unwrap();
    let probs = output.probs.unwrap();
    assert_close("probs", &probs[..3], &[0.5, 0.0, 0.5], Tolerance::EXACT);
    assert_close("probs", &probs[3..], &nan, Tolerance::EXACT);
    assert_eq!((output.summary.nonfinite, output.summary.first_nonfinite), (3, Some(1)));
    let output = reference::run(&Softmax::log_probs(), &inputs, Outputs::loss()).unwrap();
    let logs = output.log_probs.unwrap();
    let ln2 = std::f64::consts::LN_2;
    assert_close("logs", &logs[..3], &[-ln2, -f64::INFINITY, -ln2], Tolerance::EXACT);
    assert_close("logs", &logs[3..], &nan, Tolerance::EXACT);
}

#[test]
fn softmax_of_a_scalar_is_one() {
    let inputs = Inputs::new(Tensor::new(&[-3.0], &[]));
    let output = reference::run(&Softmax::probs(), &inputs, Outputs::loss()).unwrap();
    assert_eq!(output.probs, Some(vec![1.0]));
}

// ---- Refusals

#[test]
fn what_does_not_fit_is_refused() {
    let good = Data::random(&[4, 5], 1);
    let outputs = Outputs::loss();
    let short = Data { input: good.input[1..].to_vec(), ..good.clone() };
    let error = short.try_run(&CrossEntropy::new(), outputs).unwrap_err();
    assert!(matches!(error, Error::Length { what: "input", given: 19, wanted: 20, .. }));
    let short = Data { labels: Some(vec![0; 3]), ..good.clone() };
    for loss in [&CrossEntropy::new() as &dyn Loss, &Nll::new()] {
        let error = short.try_run(loss, outputs).unwrap_err();
        assert!(matches!(error, Error::Length { what: "labels", given: 3, wanted: 4, .. }));
        let error = Data { labels: None, ..good.clone() }.try_run(loss, outputs).unwrap_err();
        assert!(matches!(error, Error::Target { given: "no target", .. }));
    }
    let error = good.clone().weight(&[1.0; 4]).try_run(&Nll::new(), outputs).unwrap_err();
    assert!(matches!(error, Error::Shape { what: "weight", .. }));
    let error = good.try_run(&Softmax::probs(), outputs).unwrap_err();
    assert!(matches!(error, Error::Target { given: "labels", .. }));
}
