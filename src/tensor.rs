//! Tensors as the losses see them: shapes, the class axis, labels in the type they come in.

use crate::Error;

/// A contiguous C-order tensor borrowed from the host.
#[derive(Clone, Copy, Debug)]
pub struct Tensor<'a, T> {
    /// The elements, last axis fastest.
    pub data: &'a [T],
    /// The shape. Its product is the number of elements.
    pub shape: &'a [usize],
}

impl<'a, T> Tensor<'a, T> {
    /// A tensor of `data` in `shape`. Lengths are checked where the tensor is used.
    pub fn new(data: &'a [T], shape: &'a [usize]) -> Self {
        Self { data, shape }
    }

    /// Refuses data of another length than the shape says.
    pub(crate) fn check(&self, what: &'static str) -> Result<(), Error> {
        check_length(what, self.data.len(), self.shape)
    }
}

/// Refuses a length that is not the shape's product.
pub(crate) fn check_length(what: &'static str, given: usize, shape: &[usize]) -> Result<(), Error> {
    let wanted = element_count(what, shape)?;
    if given != wanted {
        return Err(Error::Length { what, given, wanted, shape: shape.to_vec() });
    }
    Ok(())
}

/// The product of a shape; an error where it overflows `usize`.
pub(crate) fn element_count(what: &'static str, shape: &[usize]) -> Result<usize, Error> {
    // A zero anywhere makes the tensor empty, even where the other extents would overflow.
    if shape.contains(&0) {
        return Ok(0);
    }
    let product = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
    product.ok_or(Error::Limit {
        what,
        limit: "address space",
        needed: u64::MAX,
        allowed: usize::MAX as u64,
    })
}

/// The element types labels may have. They are read in this type on the device, never widened.
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

    /// Size of one label in bytes.
    pub fn bytes(self) -> u32 {
        match self {
            LabelType::U8 | LabelType::I8 => 1,
            LabelType::U16 | LabelType::I16 => 2,
            LabelType::U32 | LabelType::I32 => 4,
            LabelType::U64 | LabelType::I64 => 8,
        }
    }

    /// Whether a label can be negative.
    pub fn signed(self) -> bool {
        matches!(self, LabelType::I8 | LabelType::I16 | LabelType::I32 | LabelType::I64)
    }
}

/// Class labels borrowed from the host, in the type they come in.
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
    /// Their type.
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

    /// How many there are.
    pub fn len(&self) -> usize {
        with_labels!(self, slice => slice.len())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The label at a flat index, wide enough for every type.
    ///
    /// # Panics
    /// If `index` is not below [`Labels::len`].
    pub fn get(&self, index: usize) -> i128 {
        with_labels!(self, slice => i128::from(slice[index]))
    }

    /// The labels' bytes, as they are uploaded.
    pub fn bytes(&self) -> &'a [u8] {
        with_labels!(*self, slice => bytemuck::cast_slice(slice))
    }
}

/// What a loss compares its input with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TargetType {
    /// One class per row.
    Labels(LabelType),
    /// One probability per class, in the input's shape.
    Probabilities,
}

/// A tensor seen from its class axis: `(outer, classes, inner)`, contiguous, nothing transposed.
///
/// A *row* is one set of classes: there are `outer * inner` of them, row `o * inner + i` holding the
/// elements `(o * classes + c) * inner + i`. `inner == 1` means that a row's classes are neighbours
/// in memory; otherwise neighbouring rows are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClassView {
    /// Product of the extents before the class axis.
    pub outer: usize,
    /// Extent of the class axis.
    pub classes: usize,
    /// Product of the extents behind the class axis.
    pub inner: usize,
}

impl ClassView {
    /// The view of `shape` from `axis` (negative counts from the end; `None` means axis 1, or 0 for
    /// rank 1), and the axis counted from the front.
    ///
    /// # Errors
    /// [`Error::ClassAxis`] where there is no such axis, [`Error::Limit`] where the shape's product
    /// overflows.
    pub fn new(shape: &[usize], axis: Option<isize>) -> Result<(Self, usize), Error> {
        let axis = axis.unwrap_or(if shape.len() == 1 { 0 } else { 1 });
        let front = if axis < 0 { axis + shape.len() as isize } else { axis };
        if front < 0 || front as usize >= shape.len() {
            return Err(Error::ClassAxis { axis, shape: shape.to_vec() });
        }
        let front = front as usize;
        element_count("input", shape)?;
        let view = Self {
            outer: element_count("input", &shape[..front])?,
            classes: shape[front],
            inner: element_count("input", &shape[front + 1..])?,
        };
        element_count("input", &[view.outer, view.inner])?;
        Ok((view, front))
    }

    /// Number of rows, `outer * inner`.
    pub fn rows(&self) -> usize {
        self.outer * self.inner
    }

    /// Number of elements.
    pub fn elements(&self) -> usize {
        self.rows() * self.classes
    }

    /// Flat index of class 0 of a row; class `c` is `c * inner` further.
    pub fn row_start(&self, row: usize) -> usize {
        row / self.inner * self.classes * self.inner + row % self.inner
    }

    /// Row and class of a flat element index.
    pub fn row_and_class(&self, element: usize) -> (usize, usize) {
        let (plane, i) = (element / self.inner, element % self.inner);
        (plane / self.classes * self.inner + i, plane % self.classes)
    }
}
