//! The search for an adapter's best numbers: candidates are measured by the device's clock, and only those with right
//! results count.
//!
//! ```text
//! fields    the numbers, and the candidates for each
//! cases     the shapes, their tensors and the right answers
//! ```

mod cases;
mod fields;

use std::cell::Cell;
use std::time::Duration;

use self::cases::{Case, Cases};
pub use self::fields::Field;
use super::stopwatch::Stopwatch;
use super::{Clock, Gpu, Timer};
use crate::plan::Tuning;
use crate::{Bound, Error};

/// The factor by which a candidate must be faster to win: less is noise, or not worth the change.
const WORTH: f64 = 1.03;
/// The most sweeps over the fields; a further one only if the last has changed something.
const SWEEPS: usize = 2;
/// The fewest elements that are measured.
const FEWEST_ELEMENTS: usize = 1 << 12;

/// Options of [`Gpu::tune`]: by default all numbers, in ten minutes at most.
///
/// ```
/// use std::time::Duration;
/// use wgpu_loss::gpu::{Field, TuneOptions};
///
/// let options = TuneOptions::new().fields([Field::Groups]).limit(Duration::from_secs(60));
/// ```
#[derive(Clone, Debug)]
pub struct TuneOptions {
    elements: Option<usize>,
    samples: usize,
    limit: Duration,
    fields: Vec<Field>,
}

impl TuneOptions {
    /// Returns the options for all numbers, in ten minutes at most.
    pub fn new() -> Self {
        Self {
            elements: None,
            samples: 7,
            limit: Duration::from_secs(600),
            fields: Field::ALL.to_vec(),
        }
    }

    /// Sets the approximate number of elements of each shape. The default is more than caches hold: 64 Mi on a discrete
    /// GPU, 16 Mi on an integrated one, 2 Mi in software, and no more than a binding holds.
    pub fn elements(mut self, elements: usize) -> Self {
        self.elements = Some(elements);
        self
    }

    /// Sets the number of samples of each time: 7 by default.
    pub fn samples(mut self, samples: usize) -> Self {
        self.samples = samples;
        self
    }

    /// Sets the time after which no further candidate is tried. The one under way is finished.
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Sets the numbers to tune, in this order. The others stay as the table has them.
    pub fn fields(mut self, fields: impl Into<Vec<Field>>) -> Self {
        self.fields = fields.into();
        self
    }
}

impl Default for TuneOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// The progress of a search, which [`Gpu::tune`] passes on before each candidate is tried.
///
/// ```
/// use wgpu_loss::gpu::Progress;
///
/// /// A line for a terminal, as in "12 of 80: groups 512".
/// fn line(progress: &Progress) -> String {
///     let Progress { done, of, field, value, .. } = progress;
///     format!("{done} of {of}: {} {value}", field.name())
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Candidates that have been tried.
    pub done: usize,
    /// All candidates that are known so far.
    pub of: usize,
    /// The number that is being tuned.
    pub field: Field,
    /// The value that is being tried.
    pub value: String,
}

/// The result of a search by [`Gpu::tune`].
///
/// ```
/// use wgpu_loss::gpu::Tuned;
/// use wgpu_loss::{Error, Gpu};
///
/// /// Stores what a search has found, if it is another tuning than the table's.
/// fn keep(gpu: &Gpu, tuned: &Tuned) -> Result<(), Error> {
///     if !tuned.complete {
///         println!("only {} candidates were tried", tuned.tried);
///     }
///     if tuned.tuning != tuned.table {
///         tuned.tuning.store(gpu.info())?;
///     }
///     Ok(())
/// }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Tuned {
    /// The numbers that the search began with: [`Tuning::of`] the kind of adapter.
    pub table: Tuning,
    /// The best numbers: those of the table, unless others are 3 % faster.
    pub tuning: Tuning,
    /// The numbers that were tuned, one by one.
    pub gains: Vec<Gain>,
    /// The table's and the best numbers' times of all shapes.
    pub shapes: Vec<ShapeTimes>,
    /// The approximate number of elements of each shape.
    pub elements: usize,
    /// The clock of all times; the wall clock, if it was used for some.
    pub clock: Clock,
    /// Candidates that were tried.
    pub tried: usize,
    /// Candidates that were dropped because they do not compile or give wrong results: drivers' bugs.
    pub dropped: usize,
    /// True if all candidates were tried within the time.
    pub complete: bool,
}

/// The gain from tuning one number: a part of the result of [`Gpu::tune`].
///
/// ```
/// use wgpu_loss::gpu::Tuned;
///
/// fn tell(tuned: &Tuned) {
///     for gain in tuned.gains.iter().filter(|gain| gain.times > 1.0) {
///         println!("{} = {}: {:.2} times as fast", gain.field.name(), gain.field.value(&tuned.tuning), gain.times);
///     }
/// }
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Gain {
    /// The number.
    pub field: Field,
    /// The speed of the winner relative to the table's value, over the shapes for which it makes a difference; 1 if the
    /// table's value stays.
    pub times: f64,
}

/// The times of a shape: a part of the result of [`Gpu::tune`].
///
/// ```
/// use wgpu_loss::gpu::ShapeTimes;
///
/// fn line(times: &ShapeTimes) -> String {
///     let what = if times.grad { "loss and gradient" } else { "loss" };
///     format!("{:?} {what}: {:?}, now {:?}", times.shape, times.table, times.tuned)
/// }
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ShapeTimes {
    /// The logits' shape; the classes are on axis 1.
    pub shape: Vec<usize>,
    /// True if the gradient was computed in addition to the loss.
    pub grad: bool,
    /// The median time with the table's numbers.
    pub table: Duration,
    /// The median time with the best numbers.
    pub tuned: Duration,
}

impl Gpu {
    /// Searches for better numbers than the table's for this adapter: one number after the other, each value against
    /// the present best one, over shapes of cross-entropy with and without gradient. A value wins if it is 3 % faster
    /// (in the geometric mean over those shapes for which it makes a difference) twice in a row. The results of all
    /// candidates are compared with the table's, and the table's with the reference: a candidate that is wrong or does
    /// not compile is dropped, with a warning in the log.
    ///
    /// Nothing is stored: call [`Tuning::store`] for that. The device's tuning does not change, but the kernels of all
    /// candidates stay compiled. The device should be opened with all that its adapter offers, as are the devices that
    /// look for stored numbers; and device and machine should be otherwise idle.
    ///
    /// ```no_run
    /// use wgpu_loss::Gpu;
    /// use wgpu_loss::gpu::TuneOptions;
    ///
    /// let gpu = Gpu::new()?;
    /// let tuned = gpu.tune(&TuneOptions::new(), |p| eprintln!("{} of {}", p.done, p.of))?;
    /// println!("{:?} in {:?}", tuned.tuning, tuned.tuning.store(gpu.info())?);
    /// # Ok::<(), wgpu_loss::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Device`] if the device fails, has no memory left, or computes wrong losses with the table's numbers.
    pub fn tune(
        &self,
        options: &TuneOptions,
        progress: impl FnMut(&Progress),
    ) -> Result<Tuned, Error> {
        let table = Tuning::of(self.info.device_type);
        let elements = elements(self, options);
        let mut cases = Cases::new(self, elements)?;
        cases.set_proofs(table)?;
        let mut search = Search {
            cases,
            timer: self.timer()?,
            options,
            started: Stopwatch::start(),
            present: table,
            gains: options.fields.iter().map(|&field| Gain { field, times: 1.0 }).collect(),
            clock: Cell::new(Clock::Timestamps),
            of: 0,
            tried: 0,
            dropped: 0,
            complete: true,
            progress,
        };
        search.sweep_all()?;
        search.finish(table, elements)
    }
}

/// Returns the approximate number of elements of a shape.
fn elements(gpu: &Gpu, options: &TuneOptions) -> usize {
    let mi = 1 << 20;
    let wanted = options.elements.unwrap_or(match gpu.info.device_type {
        wgpu::DeviceType::Cpu => 2 * mi,
        wgpu::DeviceType::IntegratedGpu => 16 * mi,
        _ => 64 * mi,
    });
    let limits = &gpu.kernels.profile().limits;
    let bytes = limits.max_buffer_size.min(limits.max_storage_buffer_binding_size);
    // The tensor is in one piece: a part of the binding is left for offsets.
    let fit = usize::try_from(bytes / 4).unwrap_or(usize::MAX) / 16 * 15;
    wanted.min(fit).max(FEWEST_ELEMENTS)
}

/// The comparison of a candidate with the present best.
enum Verdict {
    /// It is this many times as fast, over the shapes for which it makes a difference.
    Times(f64),
    /// It makes no difference.
    Same,
    /// It cannot be used, for this reason.
    Unfit(String),
}

/// A search under way.
struct Search<'a, F> {
    cases: Cases<'a>,
    timer: Timer<'a>,
    options: &'a TuneOptions,
    started: Stopwatch,
    present: Tuning,
    gains: Vec<Gain>,
    clock: Cell<Clock>,
    of: usize,
    tried: usize,
    dropped: usize,
    complete: bool,
    progress: F,
}

impl<F: FnMut(&Progress)> Search<'_, F> {
    /// Sweeps over the fields, and once more if anything has changed.
    fn sweep_all(&mut self) -> Result<(), Error> {
        for _ in 0..SWEEPS {
            let before = self.present;
            self.of = self.tried + self.candidates();
            for index in 0..self.options.fields.len() {
                self.tune_field(index)?;
            }
            if self.present == before {
                break;
            }
        }
        Ok(())
    }

    /// Returns the number of candidates of one sweep.
    fn candidates(&self) -> usize {
        let profile = self.cases.profile();
        let count = |field: &Field| field.candidates(&self.present, profile).len();
        self.options.fields.iter().map(count).sum()
    }

    /// Tries the values of one field, each against the best so far.
    fn tune_field(&mut self, index: usize) -> Result<(), Error> {
        let field = self.options.fields[index];
        for candidate in field.candidates(&self.present, self.cases.profile()) {
            if self.started.elapsed() >= self.options.limit {
                self.complete = false;
                return Ok(());
            }
            let value = field.value(&candidate);
            let (done, of) = (self.tried, self.of);
            (self.progress)(&Progress { done, of, field, value: value.clone() });
            self.tried += 1;
            match self.times_as_fast(candidate)? {
                Verdict::Times(times) if times >= WORTH => {
                    log::info!("{} {value}: {times:.3} times as fast", field.name());
                    self.present = candidate;
                    self.gains[index].times *= times;
                }
                Verdict::Times(_) | Verdict::Same => {}
                Verdict::Unfit(reason) => {
                    log::warn!("{} {value} is dropped: {reason}", field.name());
                    self.dropped += 1;
                }
            }
        }
        Ok(())
    }

    /// Compares a candidate with the present best. One that would win has to win again, and the lesser of the two
    /// results counts: among many candidates, some are fast by chance.
    fn times_as_fast(&self, candidate: Tuning) -> Result<Verdict, Error> {
        let first = self.compare(candidate)?;
        match first {
            Verdict::Times(times) if times >= WORTH => match self.compare(candidate)? {
                Verdict::Times(again) => Ok(Verdict::Times(times.min(again))),
                other => Ok(other),
            },
            first => Ok(first),
        }
    }

    fn compare(&self, candidate: Tuning) -> Result<Verdict, Error> {
        let mut logarithms = Vec::new();
        for case in &self.cases.all {
            let plan = self.cases.plan(case, self.present)?;
            let other = match self.cases.plan(case, candidate) {
                Ok(other) if other.same_work(&plan) => continue,
                Ok(other) => other,
                Err(error) => return Ok(Verdict::Unfit(error.to_string())),
            };
            let bound = self.cases.bind(case, plan)?;
            let other = match self.cases.bind(case, other) {
                Ok(other) => other,
                Err(error) => return Ok(Verdict::Unfit(error.to_string())),
            };
            if !self.cases.is_right(case, &other)? {
                return Ok(Verdict::Unfit(format!("wrong answers for {:?}", case.shape)));
            }
            let [present, other] = self.measure([&bound, &other])?;
            logarithms.push((present.as_secs_f64() / other.as_secs_f64()).ln());
        }
        Ok(match geometric_mean(&logarithms) {
            Some(times) => Verdict::Times(times),
            None => Verdict::Same,
        })
    }
}

impl<F> Search<'_, F> {
    /// Measures two works under the same conditions.
    fn measure(&self, works: [&Bound; 2]) -> Result<[Duration; 2], Error> {
        let times = self.timer.in_turns(self.options.samples, &works)?;
        if times[0].clock == Clock::Wall {
            self.clock.set(Clock::Wall);
        }
        Ok([times[0].median(), times[1].median()])
    }

    /// Compares the table with the winners. Gains that were won one by one have to hold together.
    fn finish(mut self, table: Tuning, elements: usize) -> Result<Tuned, Error> {
        let mut shapes = Vec::new();
        let mut logarithms = Vec::new();
        for case in &self.cases.all {
            let (times, same) = self.beside_table(case, table)?;
            if !same {
                logarithms.push((times.table.as_secs_f64() / times.tuned.as_secs_f64()).ln());
            }
            shapes.push(times);
        }
        if geometric_mean(&logarithms).is_none_or(|times| times < WORTH) {
            self.present = table;
            self.gains.iter_mut().for_each(|gain| gain.times = 1.0);
            shapes.iter_mut().for_each(|times| times.tuned = times.table);
        }
        Ok(Tuned {
            table,
            tuning: self.present,
            gains: self.gains,
            shapes,
            elements,
            clock: self.clock.get(),
            tried: self.tried,
            dropped: self.dropped,
            complete: self.complete,
        })
    }

    /// Measures a case by the table's numbers and the winners'; returns true if the plans are the same.
    fn beside_table(&self, case: &Case, table: Tuning) -> Result<(ShapeTimes, bool), Error> {
        let plans = [self.cases.plan(case, table)?, self.cases.plan(case, self.present)?];
        let same = plans[0].same_work(&plans[1]);
        let [plan, other] = plans;
        let (bound, other) = (self.cases.bind(case, plan)?, self.cases.bind(case, other)?);
        let [table, tuned] = self.measure([&bound, &other])?;
        let tuned = if same { table } else { tuned };
        let shape = case.shape.clone();
        Ok((ShapeTimes { shape, grad: case.outputs.grad, table, tuned }, same))
    }
}

/// Returns the geometric mean of numbers given by their logarithms; `None` if there are none.
fn geometric_mean(logarithms: &[f64]) -> Option<f64> {
    let mean = logarithms.iter().sum::<f64>() / logarithms.len() as f64;
    (!logarithms.is_empty()).then(|| mean.exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_have_a_geometric_mean() {
        assert_eq!(geometric_mean(&[]), None);
        let mean = geometric_mean(&[0.5f64.ln(), 8f64.ln()]).unwrap();
        assert!((mean - 2.0).abs() < 1e-12);
    }

    #[test]
    fn shapes_have_about_as_many_elements() {
        for elements in [FEWEST_ELEMENTS, 50_000, 1 << 21, 1 << 24, 1 << 26] {
            for shape in cases::shapes(elements) {
                let count: usize = shape.iter().product();
                assert!((1..=elements).contains(&count), "{elements}: {shape:?}");
            }
        }
    }
}
