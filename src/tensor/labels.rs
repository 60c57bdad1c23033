//! Class labels of any integer type.

use std::ops::Range;

/// The element types of labels. The device reads them in this type, without widening.
///
/// ```
/// use wgpu_loss::LabelType;
///
/// // The label -100 leaves rows out only if labels can have it.
/// let unsigned: Vec<LabelType> = LabelType::ALL.into_iter().filter(|label| !label.signed()).collect();
/// assert_eq!(unsigned, [LabelType::U8, LabelType::U16, LabelType::U32, LabelType::U64]);
/// assert_eq!(LabelType::U16.bytes(), 2);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum LabelType {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
}

impl LabelType {
    /// Every label type.
    pub const ALL: [LabelType; 8] = [
        LabelType::U8,
        LabelType::I8,
        LabelType::U16,
        LabelType::I16,
        LabelType::U32,
        LabelType::I32,
        LabelType::U64,
        LabelType::I64,
    ];

    /// Returns the size of one label in bytes.
    pub fn bytes(self) -> u32 {
        match self {
            LabelType::U8 | LabelType::I8 => 1,
            LabelType::U16 | LabelType::I16 => 2,
            LabelType::U32 | LabelType::I32 => 4,
            LabelType::U64 | LabelType::I64 => 8,
        }
    }

    /// Returns true if labels of this type can be negative.
    pub fn signed(self) -> bool {
        matches!(self, LabelType::I8 | LabelType::I16 | LabelType::I32 | LabelType::I64)
    }
}

/// Class labels borrowed from the host, of any integer type.
///
/// ```
/// use wgpu_loss::{LabelType, Labels};
///
/// let labels = Labels::from(&[3i16, -1]);
/// assert_eq!((labels.len(), labels.label_type()), (2, LabelType::I16));
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum Labels<'a> {
    U8(&'a [u8]),
    I8(&'a [i8]),
    U16(&'a [u16]),
    I16(&'a [i16]),
    U32(&'a [u32]),
    I32(&'a [i32]),
    U64(&'a [u64]),
    I64(&'a [i64]),
}

/// Runs `$body` with `$slice` bound to the labels' slice, whatever its type.
macro_rules! with_labels {
    ($labels:expr, $slice:ident => $body:expr) => {
        match $labels {
            Labels::U8($slice) => $body,
            Labels::I8($slice) => $body,
            Labels::U16($slice) => $body,
            Labels::I16($slice) => $body,
            Labels::U32($slice) => $body,
            Labels::I32($slice) => $body,
            Labels::U64($slice) => $body,
            Labels::I64($slice) => $body,
        }
    };
}

macro_rules! labels_from {
    ($($variant:ident: $type:ty),*) => {$(
        impl<'a> From<&'a [$type]> for Labels<'a> {
            fn from(labels: &'a [$type]) -> Self {
                Labels::$variant(labels)
            }
        }
        impl<'a, const N: usize> From<&'a [$type; N]> for Labels<'a> {
            fn from(labels: &'a [$type; N]) -> Self {
                Labels::$variant(labels)
            }
        }
        impl<'a> From<&'a Vec<$type>> for Labels<'a> {
            fn from(labels: &'a Vec<$type>) -> Self {
                Labels::$variant(labels)
            }
        }
    )*};
}
labels_from!(U8: u8, I8: i8, U16: u16, I16: i16, U32: u32, I32: i32, U64: u64, I64: i64);

impl<'a> Labels<'a> {
    /// Returns the label type.
    pub fn label_type(&self) -> LabelType {
        match self {
            Labels::U8(_) => LabelType::U8,
            Labels::I8(_) => LabelType::I8,
            Labels::U16(_) => LabelType::U16,
            Labels::I16(_) => LabelType::I16,
            Labels::U32(_) => LabelType::U32,
            Labels::I32(_) => LabelType::I32,
            Labels::U64(_) => LabelType::U64,
            Labels::I64(_) => LabelType::I64,
        }
    }

    /// Returns the number of labels.
    pub fn len(&self) -> usize {
        with_labels!(self, slice => slice.len())
    }

    /// Returns true if there are no labels.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the label at a flat index, as an integer that holds every type.
    ///
    /// # Panics
    /// If `index` is not below [`Labels::len`].
    pub fn get(&self, index: usize) -> i128 {
        with_labels!(self, slice => i128::from(slice[index]))
    }

    /// Returns the labels of a range.
    ///
    /// # Panics
    /// If the range reaches past [`Labels::len`].
    pub fn slice(&self, range: Range<usize>) -> Self {
        match *self {
            Labels::U8(labels) => Labels::U8(&labels[range]),
            Labels::I8(labels) => Labels::I8(&labels[range]),
            Labels::U16(labels) => Labels::U16(&labels[range]),
            Labels::I16(labels) => Labels::I16(&labels[range]),
            Labels::U32(labels) => Labels::U32(&labels[range]),
            Labels::I32(labels) => Labels::I32(&labels[range]),
            Labels::U64(labels) => Labels::U64(&labels[range]),
            Labels::I64(labels) => Labels::I64(&labels[range]),
        }
    }

    /// Returns the labels' bytes, as they are uploaded.
    pub fn bytes(&self) -> &'a [u8] {
        with_labels!(*self, slice => bytemuck::cast_slice(slice))
    }
}
