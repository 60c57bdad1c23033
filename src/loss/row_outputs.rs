//! Outputs of a loss that have one element for each row.

use super::LargeOutput;

/// Lists the outputs in the order of a row's record: field, type of an element, variant of [`LargeOutput`], and the
/// type of a column: numbers or words.
macro_rules! row_outputs {
    ($($(#[$doc:meta])* $field:ident: $element:ty, $what:ident, $column:ident;)*) => {
        /// The requested outputs of each row, in the labels' shape: see [`Outputs`](crate::Outputs).
        ///
        /// ```
        /// use wgpu_loss::{CrossEntropy, Inputs, LargeOutput, Outputs, Tensor, reference};
        ///
        /// let inputs = Inputs::new(Tensor::new(&[0.0, 0.0, -1.0, 2.0], &[2, 2])).labels(&[0u8, 0], &[2]);
        /// let outputs = Outputs::loss().with_lse().with_rank();
        /// let rows = reference::run(&CrossEntropy::new(), &inputs, outputs)?.rows;
        /// assert_eq!(rows.rank, Some(vec![0, 1]));
        /// assert!((rows.lse.as_ref().expect("it was asked for")[0] - 2f64.ln()).abs() < 1e-15);
        /// let names: Vec<LargeOutput> = rows.columns().map(|(what, _)| what).collect();
        /// assert_eq!(names, [LargeOutput::Lse, LargeOutput::Rank]);
        /// # Ok::<(), wgpu_loss::Error>(())
        /// ```
        #[derive(Clone, Debug, PartialEq)]
        #[non_exhaustive]
        pub struct RowOutputs<T> {
            $($(#[$doc])* pub $field: Option<Vec<$element>>,)*
        }

        impl<T> Default for RowOutputs<T> {
            fn default() -> Self {
                Self { $($field: None),* }
            }
        }

        impl<T> RowOutputs<T> {
            /// Returns the requested outputs, in the order of a row's record.
            pub fn columns(&self) -> impl Iterator<Item = (LargeOutput, RowColumn<'_, T>)> {
                let all = [$((LargeOutput::$what, self.$field.as_deref().map(RowColumn::$column)),)*];
                all.into_iter().filter_map(|(what, column)| Some((what, column?)))
            }

            /// Returns each field, for writing.
            fn places(&mut self) -> impl Iterator<Item = (LargeOutput, Place<'_, T>)> {
                [$((LargeOutput::$what, Place::$column(&mut self.$field)),)*].into_iter()
            }
        }
    };
}

row_outputs! {
    /// `log(sum_c exp z_c)`.
    lse: T, Lse, Numbers;
    /// The predicted class.
    argmax: u32, Argmax, Words;
    /// The number of classes that come before the label's.
    rank: u32, Rank, Words;
    /// The entropy of the distribution.
    entropy: T, Entropy, Numbers;
    /// The variance of the distribution's log-probabilities.
    variance: T, Variance, Numbers;
    /// The row's part of the mean's divisor.
    weights: T, RowWeights, Numbers;
}

/// One of [`RowOutputs`]: an element for each row.
///
/// ```
/// use wgpu_loss::{RowColumn, RowOutputs};
///
/// /// The lines of a table with tabs between its columns, without a head.
/// fn lines(rows: &RowOutputs<f32>) -> Vec<String> {
///     let mut lines = Vec::new();
///     for (_, column) in rows.columns() {
///         let cells: Vec<String> = match column {
///             RowColumn::Numbers(numbers) => numbers.iter().map(f32::to_string).collect(),
///             RowColumn::Words(words) => words.iter().map(u32::to_string).collect(),
///         };
///         lines.resize(cells.len(), String::new());
///         lines.iter_mut().zip(cells).for_each(|(line, cell)| *line += &format!("{cell}\t"));
///     }
///     lines
/// }
///
/// let mut rows = RowOutputs::default();
/// (rows.lse, rows.argmax) = (Some(vec![0.5, 2.0]), Some(vec![7, 1]));
/// assert_eq!(lines(&rows), ["0.5\t7\t", "2\t1\t"]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RowColumn<'a, T> {
    /// Numbers.
    Numbers(&'a [T]),
    /// Classes or ranks.
    Words(&'a [u32]),
}

enum Place<'a, T> {
    Numbers(&'a mut Option<Vec<T>>),
    Words(&'a mut Option<Vec<u32>>),
}

impl RowOutputs<f32> {
    /// Makes the outputs from words: `column` returns those of an output, numbers as their bits, or `None` if it was
    /// not requested.
    pub(crate) fn of_words(mut column: impl FnMut(LargeOutput) -> Option<Vec<u32>>) -> Self {
        let mut rows = Self::default();
        for (what, place) in rows.places() {
            match place {
                Place::Words(words) => *words = column(what),
                Place::Numbers(numbers) => {
                    *numbers = column(what).map(bytemuck::allocation::cast_vec);
                }
            }
        }
        rows
    }

    /// Makes the outputs from rows' records as a device writes them ([`Buffers::records`](crate::Buffers::records)).
    /// `record` lists the outputs of one record, as [`Problem::record`](super::Problem::record) returns them.
    ///
    /// ```
    /// use wgpu_loss::{LargeOutput, RowOutputs};
    ///
    /// let words = [0.5f32.to_bits(), 7, 2.5f32.to_bits(), 1];
    /// let rows = RowOutputs::of_records(&[LargeOutput::Lse, LargeOutput::Rank], &words);
    /// assert_eq!((rows.lse, rows.rank), (Some(vec![0.5, 2.5]), Some(vec![7, 1])));
    /// ```
    pub fn of_records(record: &[LargeOutput], words: &[u32]) -> Self {
        Self::of_words(|what| {
            let place = record.iter().position(|&other| other == what)?;
            Some(words.chunks_exact(record.len()).map(|record| record[place]).collect())
        })
    }
}

impl<T: Copy> RowOutputs<T> {
    /// Returns the same outputs with `number` applied to each number. Classes and ranks stay as they are.
    pub fn map<U>(&self, number: impl Fn(T) -> U) -> RowOutputs<U> {
        let mut rows = RowOutputs::default();
        for (what, place) in rows.places() {
            let Some((_, column)) = self.columns().find(|(other, _)| *other == what) else {
                continue;
            };
            match (place, column) {
                (Place::Numbers(to), RowColumn::Numbers(from)) => {
                    *to = Some(from.iter().map(|&x| number(x)).collect());
                }
                (Place::Words(to), RowColumn::Words(from)) => *to = Some(from.to_vec()),
                // Unreachable: both sides are the same field, of one type.
                _ => {}
            }
        }
        rows
    }
}
