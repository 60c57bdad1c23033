//! The sums of classes: as the device writes them, and as callers receive them.

use crate::Error;
use crate::words::{
    CLASS_CORRECT_AT, CLASS_FLAGS_AT, CLASS_ROWS_AT, CLASS_UNIT, CLASS_WORDS, HAS_NEG_INF,
    HAS_POS_INF,
};

/// Bytes of the sums of one class on the device, which [`class_losses`] reads.
pub const CLASS_BYTES: u64 = 4 * CLASS_WORDS as u64;

/// The device's sums are in units of one over this.
const UNITS: f64 = (1u64 << CLASS_UNIT) as f64;

/// The losses of each class, over the live rows with this label. [`class_losses`] reads them from a host's own buffer.
///
/// ```
/// use wgpu_loss::{CrossEntropy, Inputs, Outputs, Tensor, reference};
///
/// let inputs = Inputs::new(Tensor::new(&[0.0; 9], &[3, 3])).labels(&[2u8, 0, 2], &[3]);
/// let outputs = Outputs::loss().with_class_losses();
/// let output = reference::run(&CrossEntropy::new(), &inputs, outputs)?;
/// let classes = output.classes.expect("they were asked for");
/// let means = classes.loss.iter().zip(&classes.rows).map(|(loss, &rows)| loss / rows as f64);
/// for (class, mean) in means.enumerate() {
///     // No row has the label 1.
///     assert_eq!(mean.is_nan(), class == 1);
/// }
/// # Ok::<(), wgpu_loss::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct ClassLosses {
    /// The sum of the rows' losses, each as reduction `none` gives it.
    pub loss: Vec<f64>,
    /// The number of rows.
    pub rows: Vec<u64>,
    /// The number of rows that are predicted right, where [`Outputs::accuracy`](crate::Outputs::accuracy) is on; zeros
    /// otherwise.
    pub correct: Vec<u64>,
}

impl ClassLosses {
    /// Adds the losses of further rows. A class that only one side has keeps that side's losses.
    ///
    /// ```
    /// use wgpu_loss::ClassLosses;
    ///
    /// // Of two batches.
    /// # let batch = |rows: &[u64]| { let mut of = ClassLosses::default(); of.rows = rows.into(); of };
    /// let (first, second) = (batch(&[2, 1]), batch(&[0, 3]));
    /// let mut all = ClassLosses::default();
    /// all.append(&first);
    /// all.append(&second);
    /// assert_eq!(all.rows, [2, 4]);
    /// ```
    pub fn append(&mut self, next: &ClassLosses) {
        // All fields are named, so that the compiler reports a new one that is missing here.
        let ClassLosses { loss, rows, correct } = next;
        add_each(&mut self.loss, loss);
        add_each(&mut self.rows, rows);
        add_each(&mut self.correct, correct);
    }
}

fn add_each<T: Copy + Default + std::ops::AddAssign>(sums: &mut Vec<T>, next: &[T]) {
    sums.resize(sums.len().max(next.len()), T::default());
    sums.iter_mut().zip(next).for_each(|(sum, &next)| *sum += next);
}

/// The sums of classes in units of 2^-56.
#[derive(Clone, Debug, Default, PartialEq)]
struct ClassSums(Vec<ClassSum>);

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct ClassSum {
    /// In units of 2^-56.
    loss: i128,
    rows: u64,
    correct: u64,
    flags: u32,
}

impl ClassSums {
    /// Adds the device's sums of a piece, [`CLASS_BYTES`] for each class.
    pub fn add(&mut self, bytes: &[u8]) {
        let classes = bytes.len() / CLASS_BYTES as usize;
        self.0.resize(classes.max(self.0.len()), ClassSum::default());
        for (sum, bytes) in self.0.iter_mut().zip(bytes.chunks_exact(CLASS_BYTES as usize)) {
            let words: Vec<u32> = bytemuck::pod_collect_to_vec(bytes);
            let loss = words[..CLASS_ROWS_AT as usize]
                .iter()
                .rev()
                .fold(0, |high, &word| high << 32 | u128::from(word));
            let (loss, fills) = sum.loss.overflowing_add(loss as i128);
            sum.flags |= match fills {
                true if loss < 0 => HAS_POS_INF,
                true => HAS_NEG_INF,
                false => 0,
            };
            sum.loss = loss;
            sum.rows += u64::from(words[CLASS_ROWS_AT as usize]);
            sum.correct += u64::from(words[CLASS_CORRECT_AT as usize]);
            sum.flags |= words[CLASS_FLAGS_AT as usize];
        }
    }

    /// Returns the losses of `classes` classes for callers; zeros if there was no piece.
    pub fn losses(mut self, classes: usize) -> ClassLosses {
        self.0.resize(classes, ClassSum::default());
        // A NaN, or infinities of both signs, gives NaN.
        let loss = |sum: &ClassSum| match sum.flags {
            0 => sum.loss as f64 / UNITS,
            HAS_POS_INF => f64::INFINITY,
            HAS_NEG_INF => f64::NEG_INFINITY,
            _ => f64::NAN,
        };
        ClassLosses {
            loss: self.0.iter().map(loss).collect(),
            rows: self.0.iter().map(|sum| sum.rows).collect(),
            correct: self.0.iter().map(|sum| sum.correct).collect(),
        }
    }
}

/// Reads the bytes of sums of classes that were bound with [`Buffers::classes`](crate::Buffers::classes):
/// [`CLASS_BYTES`] for each class. Four words, the low one first, are the sum of losses as a number of 128 bits in
/// two's complement, in units of 2^-56; three further words are the rows, the rows predicted right (where accuracy is
/// on) and flags: 1 for a NaN, 2 for a loss of `+inf` (or above 2^39), 4 for `-inf`.
///
/// ```
/// use wgpu_loss::{CLASS_BYTES, class_losses};
///
/// // Three rows of one class, two of them right, whose losses add up to 1.5.
/// let words = [0u32, 0x0180_0000, 0, 0, 3, 2, 0];
/// let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
/// assert_eq!(bytes.len() as u64, CLASS_BYTES);
/// let classes = class_losses(&bytes)?;
/// assert_eq!((classes.loss[0], classes.rows[0], classes.correct[0]), (1.5, 3, 2));
/// # Ok::<(), wgpu_loss::Error>(())
/// ```
///
/// # Errors
/// [`Error::Length`] if the bytes are not a whole number of classes.
pub fn class_losses(bytes: &[u8]) -> Result<ClassLosses, Error> {
    if !(bytes.len() as u64).is_multiple_of(CLASS_BYTES) {
        let wanted = bytes.len().next_multiple_of(CLASS_BYTES as usize);
        let (given, shape) = (bytes.len(), vec![wanted]);
        return Err(Error::Length { what: "sums of classes", given, wanted, shape });
    }
    let mut sums = ClassSums::default();
    sums.add(bytes);
    Ok(sums.losses(bytes.len() / CLASS_BYTES as usize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_batches_are_added_field_by_field() {
        let of = |loss: &[f64], rows: &[u64], correct: &[u64]| ClassLosses {
            loss: loss.into(),
            rows: rows.into(),
            correct: correct.into(),
        };
        let mut all = ClassLosses::default();
        all.append(&of(&[1.5, 2.0], &[1, 2], &[0, 1]));
        all.append(&of(&[0.5, 1.0, 4.0], &[3, 4, 5], &[2, 3, 4]));
        assert_eq!(all, of(&[2.0, 3.0, 4.0], &[4, 6, 5], &[2, 4, 4]));
    }

    #[test]
    fn words_are_fixed_point_numbers() {
        // 1.5, -2^-56, and 1 with the flag of an infinite loss.
        let words = [
            [0, 0x0180_0000, 0, 0, 3, 2, 0],
            [u32::MAX, u32::MAX, u32::MAX, u32::MAX, 1, 0, 0],
            [0, 0x0100_0000, 0, 0, 2, 0, HAS_POS_INF],
            [0, 0, 0, 0, 1, 0, 1 | HAS_NEG_INF],
        ];
        let bytes: &[u8] = bytemuck::cast_slice(&words);
        let mut sums = ClassSums::default();
        sums.add(bytes);
        sums.add(bytes);
        let got = sums.losses(4);
        assert_eq!(got.loss[..3], [3.0, -2.0 / UNITS, f64::INFINITY]);
        assert!(got.loss[3].is_nan());
        assert_eq!((got.rows, got.correct), (vec![6, 2, 4, 2], vec![4, 0, 0, 0]));
        assert!(class_losses(&bytes[1..]).is_err());
    }
}
