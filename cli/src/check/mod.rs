//! `--check`: compares the result with the f64 reference; one largest relative difference per
//! output.
//!
//! ```text
//! comparison  one output, element by element     words   predicted classes and ranks
//! terms       allowed errors of the numbers of rows, beyond a share of themselves
//! shares      the classes' weights that those errors are made of
//! points      as terms, for losses of single elements
//! ```

mod comparison;
mod points;
mod shares;
mod terms;
mod words;

use wgpu_loss::loss::Function;
use wgpu_loss::reference::{self, Piece};
use wgpu_loss::{
    ClassLosses, Error, Floats, LargeOutput, Output, Outputs, Problem, Reduction, RowColumn,
    RowOutputs, Summary,
};

pub use self::comparison::Compared;
use self::comparison::{Comparison, REDUCED, of_power};
use self::terms::Lost;
use self::words::Words;
use crate::data::{Role, Stop};
use crate::error::Failure;
use crate::question::{Question, is_unreduced};
use crate::stored::Stored;

/// The computed results.
#[derive(Debug, Default)]
pub struct Answer<'a> {
    /// The reduced loss.
    pub loss: Option<f32>,
    /// The reduced z-loss.
    pub z_loss: Option<f32>,
    /// The summary of the rows.
    pub summary: Summary,
    /// The losses of each class.
    pub classes: Option<&'a ClassLosses>,
    /// Outputs of one float for each row or element.
    pub floats: Vec<(LargeOutput, Floats<'a>)>,
    /// Outputs of one whole number for each row.
    pub words: Vec<(LargeOutput, &'a [u32])>,
}

/// Computes everything again in f64 and compares, a range of rows at a time.
pub fn run(
    question: &Question<'_>,
    computed: &Answer<'_>,
    progress: &mut dyn FnMut(u64),
) -> Result<Vec<Compared>, Stop> {
    let problem = question.problem;
    let outputs = terms::outputs(problem, question.outputs);
    let mut all = Comparisons::new(question, computed);
    let (mut failure, mut rows_done) = (None, 0);
    let mut take = |piece: &Piece<'_>| {
        all.add(question, piece).map_err(|failed| {
            failure = Some(failed);
            Error::Stopped
        })?;
        rows_done += piece.output.summary.rows;
        progress(rows_done);
        Ok(())
    };
    let totals = in_f64(question, outputs, &mut take);
    // A failure of ours is returned, not the library's error that the work was stopped.
    if let Some(failure) = failure {
        return Err(failure.into());
    }
    let totals = totals?;
    all.divide(problem.divisor_of(totals.summary.weight));
    let [loss, z_loss] = [&totals.loss, &totals.z_loss].map(|all| all.first().copied());
    let loss_off = match terms::has_terms(problem) || problem.pointwise.is_some() {
        true => all.loss,
        false => {
            let mean = all.sum / totals.summary.weight;
            loss.map_or(0.0, |loss| loss.abs() * confident(problem, mean))
        }
    };

    let mut compared = vec![rows(&computed.summary, &totals.summary)];
    for (what, given, wanted, off) in
        [("loss", computed.loss, loss, loss_off), ("z-loss", computed.z_loss, z_loss, all.z_loss)]
    {
        if let Some(wanted) = wanted {
            compared.push(reduced(what, given, wanted, off));
        }
    }
    let class_off = std::mem::take(&mut all.classes);
    compared.extend(all.done());
    compared.extend(right(question, &computed.summary, &totals.summary)?);
    if let Some(wanted) = &totals.classes {
        let given = computed.classes.cloned().unwrap_or_default();
        compared.push(classes(&given, wanted, &class_off, words::mapped(problem)));
    }
    Ok(compared)
}

/// Compares an output whose tensors are all in memory.
pub fn output(question: &Question<'_>, output: &Output<f32>) -> Result<Vec<Compared>, Stop> {
    let problem = question.problem;
    let unreduced = is_unreduced(problem);
    let reduced = |losses: &[f32]| losses.first().copied().filter(|_| !unreduced);
    let tensors = [
        (LargeOutput::Grad, &output.grad),
        (LargeOutput::Distribution, &output.log_probs),
        (LargeOutput::Distribution, &output.probs),
        (LargeOutput::TargetGrad, &output.target_grad),
        (LargeOutput::VarGrad, &output.var_grad),
    ];
    // They are returned as f32; rounded to their types they are what the device wrote.
    let mut stored = Vec::new();
    for (what, floats) in tensors {
        if let (Some(floats), Some(of)) = (floats, problem.float_type_of(what)) {
            let floats = Stored::new(of, floats.len(), floats.iter().copied());
            stored.push((what, floats.map_err(|error| Failure::Failed(error.to_string()))?));
        }
    }
    let mut answer = Answer {
        loss: reduced(&output.loss),
        z_loss: reduced(&output.z_loss),
        summary: output.summary,
        classes: output.classes.as_ref(),
        floats: stored.iter().map(|(what, floats)| (*what, floats.floats())).collect(),
        words: Vec::new(),
    };
    if unreduced {
        answer.floats.push((LargeOutput::RowLoss, Floats::F32(&output.loss)));
        if problem.z_loss != 0.0 {
            answer.floats.push((LargeOutput::ZLoss, Floats::F32(&output.z_loss)));
        }
    }
    for (what, column) in output.rows.columns() {
        match column {
            RowColumn::Numbers(floats) => answer.floats.push((what, Floats::F32(floats))),
            RowColumn::Words(words) => answer.words.push((what, words)),
        }
    }
    run(question, &answer, &mut |_| ())
}

/// Computes everything again in f64, a piece at a time.
fn in_f64(
    question: &Question<'_>,
    outputs: Outputs,
    take: &mut dyn FnMut(&Piece<'_>) -> Result<(), Error>,
) -> Result<Output<f64>, Stop> {
    let loss = question.formula.loss();
    if question.data.in_place() {
        let whole = question.data.whole()?;
        return Ok(reference::run_pieces(loss, &whole.inputs(), outputs, take)?);
    }
    let mut stream = reference::stream(loss, outputs);
    if let Some(divisor) = question.divisor()? {
        stream = stream.divisor(divisor);
    }
    question.batches(&mut |batch| stream.push_pieces(batch, &mut *take))?;
    Ok(stream.finish()?)
}

/// Returns the allowed error of the loss of a confident row, or of the mean of several, relative to the loss. The loss
/// is a sum of powers `e^-d` of distances `d` that are about minus its logarithm; the mean of many has no more relative
/// error than a row whose loss is the mean.
fn confident(problem: &Problem, loss: f64) -> f64 {
    let softmax = problem.function == Function::CrossEntropy;
    if softmax && loss > 0.0 && loss < 1.0 { of_power(loss.ln()) / loss } else { 0.0 }
}

/// Compares a reduced loss, whose allowed error is `off` beyond [`REDUCED`] of itself.
fn reduced(what: &'static str, given: Option<f32>, wanted: f64, off: f64) -> Compared {
    let given = [given.unwrap_or(f32::NAN)];
    let mut loss = Comparison::new(what, Some(Floats::F32(&given)), &[]);
    loss.compared.tolerance = REDUCED;
    loss.add(0, &[wanted], |_| off);
    loss.compared
}

/// Compares the number of rows that count: a whole number, which has to be the same.
fn rows(given: &Summary, wanted: &Summary) -> Compared {
    count("live rows", given.live, wanted.live)
}

fn count(what: &'static str, given: u64, wanted: u64) -> Compared {
    let largest = given.abs_diff(wanted) as f64 / wanted.max(1) as f64;
    Compared { largest, ..Compared::exact(what, 1) }
}

/// Compares the number of rows that are predicted right. Scaled or capped logits are rounded, and unequal ones may
/// become equal.
fn right(
    question: &Question<'_>,
    given: &Summary,
    wanted: &Summary,
) -> Result<Vec<Compared>, Failure> {
    let mut compared = Vec::new();
    let counts = [
        ("right rows", question.outputs.accuracy, given.correct, wanted.correct),
        ("top rows", question.outputs.top_k > 0, given.top_k, wanted.top_k),
    ];
    for (what, asked, given, wanted) in counts {
        let as_good = || words::doubtful(question, given.abs_diff(wanted));
        match asked && given != wanted && as_good()? {
            true => compared.push(count(what, wanted, wanted)),
            false if asked => compared.push(count(what, given, wanted)),
            false => {}
        }
    }
    Ok(compared)
}

/// Returns an output of rows, if it was requested.
fn numbers(rows: &RowOutputs<f64>, what: LargeOutput) -> Option<&[f64]> {
    rows.columns().find_map(|(other, column)| match column {
        RowColumn::Numbers(numbers) if other == what => Some(numbers),
        _ => None,
    })
}

fn found<T: Copy>(all: &[(LargeOutput, T)], what: LargeOutput) -> Option<T> {
    all.iter().find(|(other, _)| *other == what).map(|(_, found)| *found)
}

/// Compares the losses of each class, whose allowed errors are `off`. A GPU adds them in units of 2^-56, and cuts off
/// the rest of each.
fn classes(given: &ClassLosses, wanted: &ClassLosses, off: &[f64], mapped: bool) -> Compared {
    let losses: Vec<f32> = given.loss.iter().map(|&loss| loss as f32).collect();
    let shape = [wanted.loss.len()];
    let mut compared = Comparison::new("class losses", Some(Floats::F32(&losses)), &shape);
    let of = |class: usize| {
        2f64.powi(-56) * wanted.rows[class] as f64 + off.get(class).copied().unwrap_or(0.0)
    };
    compared.add(0, &wanted.loss, of);
    let mut compared = compared.done();
    // For rounded logits, any number of right predictions up to the number of rows passes.
    let right = mapped || given.correct == wanted.correct;
    if given.rows != wanted.rows || !right {
        (compared.largest, compared.worst) = (f64::INFINITY, None);
    }
    compared
}

/// Comparisons of all outputs that have a number for each row or element.
struct Comparisons<'a> {
    floats: Vec<(LargeOutput, Comparison<'a>)>,
    words: Vec<(LargeOutput, Words<'a>)>,
    /// The sum of all losses, where they are reduced.
    sum: f64,
    /// The allowed error of the reduced loss and then of the z-loss, beyond a share of themselves.
    loss: f64,
    z_loss: f64,
    /// The allowed errors of the losses of each class.
    classes: Vec<f64>,
    /// The gradient with respect to variances that elements share, as far as it is summed, and its allowed error.
    variance: Option<[Vec<f64>; 2]>,
}

impl<'a> Comparisons<'a> {
    fn new(question: &Question<'a>, answer: &Answer<'a>) -> Self {
        let problem = question.problem;
        let name = if problem.outputs.log_probs { "log-probs" } else { "probs" };
        let var = question.data.get(Role::Var).map_or(&[][..], |given| given.shape);
        let variances = var.iter().product::<usize>();
        let shares = question.outputs.var_grad && var != problem.input_shape;
        let (elements, rows) = (&problem.input_shape[..], &problem.row_shape[..]);
        let unreduced = is_unreduced(problem);
        let all = [
            (LargeOutput::RowLoss, "loss", rows, unreduced),
            (LargeOutput::ZLoss, "z-loss", rows, unreduced),
            (LargeOutput::Grad, "gradient", elements, true),
            (LargeOutput::TargetGrad, "target's gradient", elements, true),
            (LargeOutput::VarGrad, "variance's gradient", var, true),
            (LargeOutput::Distribution, name, elements, true),
            (LargeOutput::Lse, "lse", rows, true),
            (LargeOutput::Entropy, "entropy", rows, true),
            (LargeOutput::Variance, "variance", rows, true),
            (LargeOutput::RowWeights, "row weights", rows, true),
        ];
        let floats =
            all.into_iter().filter(|(.., wanted)| *wanted).filter_map(|(what, name, shape, _)| {
                Some((what, Comparison::new(name, Some(found(&answer.floats, what)?), shape)))
            });
        let words = [(LargeOutput::Argmax, "argmax"), (LargeOutput::Rank, "rank")];
        let words = words.into_iter().filter_map(|(what, name)| {
            Some((what, Words::new(name, found(&answer.words, what)?, problem)))
        });
        Self {
            floats: floats.collect(),
            words: words.collect(),
            sum: 0.0,
            loss: 0.0,
            z_loss: 0.0,
            classes: Vec::new(),
            variance: shares.then(|| [vec![0.0; variances], vec![0.0; variances]]),
        }
    }

    /// Compares the reference's next piece.
    fn add(&mut self, question: &Question<'_>, piece: &Piece<'_>) -> Result<(), Failure> {
        let (output, rows) = (piece.output, &piece.output.rows);
        let mut of_variance = Vec::new();
        let lost = match question.problem.pointwise {
            Some(_) => points::lost(question.formula, piece, &mut of_variance),
            None => terms::lost(question.problem, piece),
        };
        self.add_sums(&lost, piece, question.problem);
        self.add_variance(piece, &of_variance);
        for &mut (what, ref mut comparison) in &mut self.floats {
            let distribution = output.probs.as_deref().or(output.log_probs.as_deref());
            let (wanted, off) = match what {
                LargeOutput::RowLoss => (Some(&output.loss[..]), &lost.loss[..]),
                LargeOutput::ZLoss => (Some(&output.z_loss[..]), &lost.z_loss[..]),
                LargeOutput::Grad => (output.grad.as_deref(), &lost.grad[..]),
                LargeOutput::TargetGrad => (output.target_grad.as_deref(), &lost.target_grad[..]),
                LargeOutput::VarGrad if self.variance.is_some() => continue,
                LargeOutput::VarGrad => (output.var_grad.as_deref(), &of_variance[..]),
                LargeOutput::Distribution => (distribution, &lost.distribution[..]),
                what => (numbers(rows, what), lost.of_rows(what)),
            };
            let (Some(wanted), mut at) = (wanted, 0) else { continue };
            for run in piece.runs(what) {
                let wanted = &wanted[at..at + (run.end - run.start) as usize];
                let off = |i: usize| off.get(at + i).copied().unwrap_or(0.0);
                comparison.add(run.start as usize, wanted, off);
                at += wanted.len();
            }
        }
        for (what, words) in &mut self.words {
            let wanted = rows.columns().find(|(other, _)| other == what);
            let Some((_, RowColumn::Words(wanted))) = wanted else { continue };
            let first = piece.runs(*what).next().map_or(0, |run| run.start as usize);
            words.add(question, first, wanted)?;
        }
        Ok(())
    }

    /// Adds a piece's allowed errors of sums over rows.
    fn add_sums(&mut self, lost: &Lost, piece: &Piece<'_>, problem: &Problem) {
        let sum = |all: &[f64]| all.iter().sum::<f64>();
        self.sum +=
            if problem.reduction == Reduction::None { 0.0 } else { sum(&piece.output.loss) };
        self.loss += sum(&lost.loss) + REDUCED * lost.sizes;
        self.z_loss += sum(&lost.z_loss);
        if problem.outputs.class_losses {
            self.classes.resize(problem.view.classes, 0.0);
            for (label, off) in lost.labels.iter().zip(&lost.loss) {
                if let Some(class) = label {
                    self.classes[*class] += off;
                }
            }
        }
    }

    /// Adds a piece's part of the gradient with respect to variances that elements share, and of its allowed error.
    fn add_variance(&mut self, piece: &Piece<'_>, off: &[f64]) {
        let (Some([sums, offs]), Some(parts)) = (&mut self.variance, &piece.output.var_grad) else {
            return;
        };
        let places = piece.runs(LargeOutput::VarGrad).flatten();
        for (place, (part, off)) in places.zip(parts.iter().zip(off)) {
            sums[place as usize] += part;
            offs[place as usize] += off;
        }
    }

    /// Divides the allowed errors of sums over rows by the sums' divisor.
    fn divide(&mut self, divisor: f64) {
        for off in [&mut self.loss, &mut self.z_loss] {
            *off = if divisor == 0.0 { 0.0 } else { *off / divisor.abs() };
        }
    }

    fn done(mut self) -> impl Iterator<Item = Compared> {
        let of_variance = self.floats.iter_mut().find(|(what, _)| *what == LargeOutput::VarGrad);
        if let (Some([sums, offs]), Some((_, comparison))) = (&self.variance, of_variance) {
            comparison.add(0, sums, |i| offs[i]);
        }
        let floats = self.floats.into_iter().map(|(_, comparison)| comparison.done());
        floats.chain(self.words.into_iter().map(|(_, words)| words.done()))
    }
}

#[cfg(test)]
mod tests {
    use wgpu_loss::loss::Shapes;
    use wgpu_loss::{CrossEntropy, LabelType, Loss, Outputs, TargetType};

    use super::*;

    /// An error that WGSL grants `exp` passes, and one several times as large fails.
    #[test]
    fn confident_losses_are_as_exact_as_powers() {
        let target = TargetType::Labels(LabelType::U8);
        let shapes = Shapes::new(&[1, 2]).target(target, &[1]);
        let problem = CrossEntropy::new().problem(&shapes, Outputs::loss()).unwrap();
        for d in 1..70 {
            let d = f64::from(d);
            let wanted = (-d).exp().ln_1p();
            let off = wanted * confident(&problem, wanted);
            let passed = |units: f64| {
                let given = wanted * (1.0 + units * f64::from(f32::EPSILON));
                reduced("loss", Some(given as f32), wanted, off).passed()
            };
            assert!(passed(3.0 + 2.0 * d), "{d}");
            assert!(!passed(4.0 * (8.0 + 2.0 * d)), "{d}");
        }
    }
}
