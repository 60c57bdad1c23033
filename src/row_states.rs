//! The states of rows as data of the host: their words, and their merge in f64.

use crate::Error;
#[cfg(feature = "reference")]
use crate::Problem;
use crate::loss::StateField;
use crate::words::{HAS_NAN, NO_CLASS};

/// The states of rows over some of their classes: what remains of those classes for the loss, when they are merged with
/// the states over all others.
///
/// ```text
/// state                        m, s, ...           m = max_c z_c,  s = sum_c exp(z_c - m) - 1
/// of two sets, m >= m'         m, s + (1 + s') exp(m' - m), ...
/// log(sum_c exp z_c)           m + log1p(s)
/// ```
///
/// Rows whose classes are split over several devices or machines have their loss in two calls on each:
///
/// 1. with [`Outputs::only_states`](crate::Outputs::only_states), from the logits of its own classes
///    ([`CrossEntropy::class_shard`](crate::CrossEntropy::class_shard)) and all labels, its states;
/// 2. from the states of all shards ([`Inputs::states`](crate::Inputs::states)), the loss, the summary and the outputs
///    of rows, which are the same for all; and, where they are asked for, gradient and log-probabilities of its own
///    classes, from its logits.
///
/// Both calls have the same loss and the same other outputs; a gradient may be asked for in the second alone. Nothing
/// but states is exchanged: labels, row weights and class weights are there everywhere. One record of 16 to 36 bytes
/// for each row has a word for each of [`Problem::state_fields`](crate::Problem::state_fields); the records follow
/// each other in the order of the labels, and the shards' one another, as an allgather leaves them.
///
/// ```
/// use wgpu_loss::{CrossEntropy, Inputs, Outputs, Tensor, reference};
///
/// let labels = [4i64, 0]; // of two rows of five classes
/// let outputs = Outputs::loss().with_grad();
/// let shards = [(0, vec![1.0, 2.0, 0.5, 3.0, 0.0, -1.0]), (3, vec![0.25, 4.0, 1.5, 2.0])];
/// let (mut states, mut gradients) = (Vec::new(), Vec::new());
/// for (first, logits) in &shards {
///     let shape = [2, logits.len() / 2];
///     let inputs = Inputs::new(Tensor::new(logits, &shape)).labels(&labels, &[2]);
///     let loss = CrossEntropy::new().class_shard(*first, 5);
///     let output = reference::run(&loss, &inputs, outputs.only_states())?;
///     states.extend(output.states.expect("states were asked for").into_words());
/// }
/// for (first, logits) in &shards {
///     let shape = [2, logits.len() / 2];
///     let inputs = Inputs::new(Tensor::new(logits, &shape)).labels(&labels, &[2]);
///     let loss = CrossEntropy::new().class_shard(*first, 5);
///     let output = reference::run(&loss, &inputs.states(&states, 2), outputs)?;
///     gradients.push(output.grad.expect("the gradient was asked for"));
///     assert!((output.loss[0] - 0.3602).abs() < 1e-4);
/// }
/// assert_eq!((gradients[0].len(), gradients[1].len()), (6, 4));
/// assert!(gradients.concat().iter().sum::<f64>().abs() < 1e-7);
/// # Ok::<(), wgpu_loss::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowStates {
    fields: Vec<StateField>,
    words: Vec<u32>,
}

impl RowStates {
    /// Returns the states of whole records of these fields.
    ///
    /// # Errors
    /// [`Error::Option`] if there are no fields, [`Error::Length`] if the words fill no whole records.
    pub fn new(fields: Vec<StateField>, words: Vec<u32>) -> Result<Self, Error> {
        if fields.is_empty() {
            return Err(Error::Option {
                option: "the fields of states",
                given: "none".into(),
                wanted: "those of Problem::state_fields",
            });
        }
        let given = words.len();
        let shape = vec![given.div_ceil(fields.len()), fields.len()];
        let wanted = shape[0] * shape[1];
        match given == wanted {
            true => Ok(Self { fields, words }),
            false => Err(Error::Length { what: "states", given, wanted, shape }),
        }
    }

    /// Returns the field of each word of a record.
    pub fn fields(&self) -> &[StateField] {
        &self.fields
    }

    /// Returns the number of rows.
    pub fn rows(&self) -> usize {
        self.words.len() / self.fields.len()
    }

    /// Returns the records, one after the other.
    pub fn words(&self) -> &[u32] {
        &self.words
    }

    /// Returns the records, one after the other.
    pub fn into_words(self) -> Vec<u32> {
        self.words
    }

    /// Merges each row's state with that of the same row over other classes. The order matters to rounding alone: merge
    /// shards in their order, so that the bits are the same everywhere.
    ///
    /// ```
    /// use wgpu_loss::StateField::{Flags, LabelLogit, Max, SumExpM1};
    /// use wgpu_loss::{Error, RowStates};
    ///
    /// let fields = vec![Max, SumExpM1, Flags, LabelLogit];
    /// let state = |max: f32, label_logit: f32| vec![max.to_bits(), 0, 0, label_logit.to_bits()];
    /// let mut states = RowStates::new(fields.clone(), state(1.0, 0.0))?;
    /// states.merge(&RowStates::new(fields, state(2.0, 2.0))?)?;
    /// let sum = (-1f32).exp();
    /// assert_eq!(states.words(), [2f32.to_bits(), sum.to_bits(), 0, 2f32.to_bits()]);
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Option`] for states of other fields, [`Error::Shape`] for another number of rows.
    pub fn merge(&mut self, other: &Self) -> Result<(), Error> {
        if self.fields != other.fields {
            return Err(Error::Option {
                option: "the fields of states",
                given: format!("{:?}", other.fields),
                wanted: "states that are merged have the same",
            });
        }
        if self.words.len() != other.words.len() {
            let (given, wanted) = (vec![other.rows()], vec![self.rows()]);
            return Err(Error::Shape { what: "states", given, wanted });
        }
        let size = self.fields.len();
        for (mine, other) in self.words.chunks_exact_mut(size).zip(other.words.chunks_exact(size)) {
            let merged = RowState::of(&self.fields, mine).merge(&RowState::of(&self.fields, other));
            merged.write(&self.fields, mine);
        }
        Ok(())
    }
}

/// Returns an error for other words than `shards` states of each row of a problem.
#[cfg(feature = "reference")]
pub(crate) fn check_states(problem: &Problem, words: &[u32], shards: usize) -> Result<(), Error> {
    let shape = [shards, problem.view.rows(), problem.state_fields().len()];
    crate::tensor::check_length("states", words.len(), &shape)
}

/// Returns the states of each row of a problem, merged from those of `shards` shards.
#[cfg(feature = "reference")]
pub(crate) fn merged_states(problem: &Problem, words: &[u32], shards: usize) -> Vec<u32> {
    use rayon::prelude::*;

    let fields = problem.state_fields();
    let of_shard = words.len() / shards;
    let mut merged = words[..of_shard].to_vec();
    // Rows in runs: a thread has some work.
    let run = 1024 * fields.len();
    merged.par_chunks_mut(run).enumerate().for_each(|(number, run_words)| {
        for (k, record) in run_words.chunks_exact_mut(fields.len()).enumerate() {
            let at = number * run + k * fields.len();
            let shard = |shard: usize| &words[shard * of_shard + at..][..fields.len()];
            let states = (0..shards).map(|number| RowState::of(&fields, shard(number)));
            let whole = states.reduce(|all, next| all.merge(&next)).unwrap_or(RowState::NONE);
            whole.write(&fields, record);
        }
    });
    merged
}

/// The state of a row in f64; fields that are not there have the value of no classes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct RowState {
    pub max: f64,
    pub sum_exp_m1: f64,
    pub flags: u32,
    /// The word of an f32.
    pub label_logit: u32,
    pub weighted_gap: f64,
    pub weight_sum: f64,
    pub argmax: u32,
    pub exp_gap_sum: f64,
    pub squares: f64,
}

impl Default for RowState {
    fn default() -> Self {
        Self::NONE
    }
}

impl RowState {
    /// The state of no classes.
    pub const NONE: Self = Self {
        max: f32::MIN as f64,
        sum_exp_m1: -1.0,
        flags: 0,
        label_logit: 0,
        weighted_gap: 0.0,
        weight_sum: 0.0,
        argmax: NO_CLASS,
        exp_gap_sum: 0.0,
        squares: 0.0,
    };

    /// Returns the state of a record.
    pub fn of(fields: &[StateField], words: &[u32]) -> Self {
        let mut state = Self::NONE;
        for (&field, &word) in fields.iter().zip(words) {
            let number = f64::from(f32::from_bits(word));
            match field {
                StateField::Max => state.max = number,
                StateField::SumExpM1 => state.sum_exp_m1 = number,
                StateField::Flags => state.flags = word,
                StateField::LabelLogit => state.label_logit = word,
                StateField::WeightedGap => state.weighted_gap = number,
                StateField::WeightSum => state.weight_sum = number,
                StateField::Argmax => state.argmax = word,
                StateField::ExpGapSum => state.exp_gap_sum = number,
                StateField::Squares => state.squares = number,
            }
        }
        state
    }

    /// Writes the state as a record, its numbers rounded to f32.
    pub fn write(&self, fields: &[StateField], words: &mut [u32]) {
        let rounded = |number: f64| (number as f32).to_bits();
        for (&field, word) in fields.iter().zip(words) {
            *word = match field {
                StateField::Max => rounded(self.max),
                StateField::SumExpM1 => rounded(self.sum_exp_m1),
                StateField::Flags => self.flags,
                StateField::LabelLogit => self.label_logit,
                StateField::WeightedGap => rounded(self.weighted_gap),
                StateField::WeightSum => rounded(self.weight_sum),
                StateField::Argmax => self.argmax,
                StateField::ExpGapSum => rounded(self.exp_gap_sum),
                StateField::Squares => rounded(self.squares),
            };
        }
    }

    /// Returns the state of both sets of classes together.
    pub fn merge(&self, other: &Self) -> Self {
        let (above, below) = if self.max >= other.max { (self, other) } else { (other, self) };
        // At an infinite distance nothing is left of the lower set.
        let d = (above.max - below.max).min(f64::MAX);
        let e = (-d).exp();
        let fallen = 1.0 + below.sum_exp_m1;
        Self {
            max: above.max,
            sum_exp_m1: above.sum_exp_m1 + e * fallen,
            flags: self.flags | other.flags,
            label_logit: self.label_logit | other.label_logit,
            weighted_gap: above.weighted_gap
                + below.weighted_gap
                + if below.weight_sum == 0.0 { 0.0 } else { below.weight_sum * d },
            weight_sum: self.weight_sum + other.weight_sum,
            argmax: match above.max == below.max {
                true => above.argmax.min(below.argmax),
                false => above.argmax,
            },
            exp_gap_sum: above.exp_gap_sum + e * (below.exp_gap_sum + d * fallen),
            squares: above.squares + e * below.squares + Self::apart(above, below, d, e),
        }
    }

    /// Returns the part of the merged squares that two sets' different means add.
    fn apart(above: &Self, below: &Self, d: f64, e: f64) -> f64 {
        let (of_above, of_below) = (1.0 + above.sum_exp_m1, e * (1.0 + below.sum_exp_m1));
        match of_below > 0.0 {
            true => {
                let means = above.mean_gap() - (below.mean_gap() + d);
                of_above * of_below / (of_above + of_below) * means * means
            }
            false => 0.0,
        }
    }

    /// Returns the mean distance from the maximum.
    fn mean_gap(&self) -> f64 {
        self.exp_gap_sum / (1.0 + self.sum_exp_m1.max(0.0))
    }

    /// Returns true if a class is NaN or `+inf`, or has a share that is not finite.
    pub fn has_nan(&self) -> bool {
        self.flags & HAS_NAN != 0
    }
}
