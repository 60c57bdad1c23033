//! Floats of the element types of logits, class probabilities and class weights.

use std::ops::Range;

use half::{bf16, f16};
#[cfg(feature = "reference")]
use rayon::prelude::*;

#[cfg(feature = "reference")]
use crate::Error;

/// The element types of logits, class probabilities, class weights and gradients. Arithmetic is f32 in all of them.
///
/// ```
/// use wgpu_loss::ElementType;
///
/// /// The element type of this name, as in a file's header.
/// fn named(name: &str) -> Option<ElementType> {
///     ElementType::ALL.into_iter().find(|element_type| element_type.name() == name)
/// }
///
/// assert_eq!(named("bf16").map(ElementType::bytes), Some(2));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ElementType {
    /// IEEE single precision.
    #[default]
    F32,
    /// IEEE half precision: 11 bits of precision, up to 65504.
    F16,
    /// The upper half of an f32: 8 bits of precision, the range of f32.
    BF16,
}

impl ElementType {
    /// Every element type.
    pub const ALL: [ElementType; 3] = [ElementType::F32, ElementType::F16, ElementType::BF16];

    /// Returns the size of one element in bytes.
    pub fn bytes(self) -> u32 {
        match self {
            ElementType::F32 => 4,
            ElementType::F16 | ElementType::BF16 => 2,
        }
    }

    /// Returns its name: `f32`, `f16` or `bf16`.
    pub fn name(self) -> &'static str {
        match self {
            ElementType::F32 => "f32",
            ElementType::F16 => "f16",
            ElementType::BF16 => "bf16",
        }
    }
}

/// Floats borrowed from the host, of any element type.
///
/// ```
/// use wgpu_loss::{ElementType, Floats, half::bf16};
///
/// let floats = Floats::from(&[bf16::ONE; 3]);
/// assert_eq!((floats.len(), floats.element_type()), (3, ElementType::BF16));
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum Floats<'a> {
    F32(&'a [f32]),
    F16(&'a [f16]),
    BF16(&'a [bf16]),
}

/// Runs `$body` with `$slice` bound to the floats' slice, whatever its type.
macro_rules! with_floats {
    ($floats:expr, $slice:ident => $body:expr) => {
        match $floats {
            $crate::Floats::F32($slice) => $body,
            $crate::Floats::F16($slice) => $body,
            $crate::Floats::BF16($slice) => $body,
        }
    };
}
#[cfg(feature = "reference")]
pub(crate) use with_floats;

/// Floats that the library owns, of any element type.
#[cfg(feature = "reference")]
#[derive(Clone, Debug)]
pub(crate) enum OwnedFloats {
    F32(Vec<f32>),
    F16(Vec<f16>),
    BF16(Vec<bf16>),
}

#[cfg(feature = "reference")]
impl OwnedFloats {
    /// Rounds numbers to a type. They are rounded to f32 first: `half` rounds an f64 that is close to a tie as if it
    /// were the tie.
    pub fn rounded(element_type: ElementType, numbers: &[f64]) -> Self {
        fn all<T: Send>(numbers: &[f64], narrow: impl Fn(f32) -> T + Sync) -> Vec<T> {
            numbers.par_iter().map(|&number| narrow(number as f32)).collect()
        }
        match element_type {
            ElementType::F32 => Self::F32(all(numbers, |x| x)),
            ElementType::F16 => Self::F16(all(numbers, f16::from_f32)),
            ElementType::BF16 => Self::BF16(all(numbers, bf16::from_f32)),
        }
    }

    /// Gathers the elements at the given indices, one after another.
    ///
    /// # Errors
    /// [`Error::Limit`] if they do not fit into memory.
    pub fn gathered(
        what: &'static str,
        floats: Floats<'_>,
        runs: impl Iterator<Item = Range<usize>>,
        count: usize,
    ) -> Result<Self, Error> {
        fn all<T: Copy>(
            what: &'static str,
            from: &[T],
            runs: impl Iterator<Item = Range<usize>>,
            count: usize,
        ) -> Result<Vec<T>, Error> {
            let mut elements = Vec::new();
            elements.try_reserve_exact(count).map_err(|_| Error::Limit {
                what,
                limit: "memory in bytes",
                needed: (count as u64).saturating_mul(size_of::<T>() as u64),
                allowed: isize::MAX as u64,
            })?;
            runs.for_each(|run| elements.extend_from_slice(&from[run]));
            Ok(elements)
        }
        Ok(match floats {
            Floats::F32(from) => Self::F32(all(what, from, runs, count)?),
            Floats::F16(from) => Self::F16(all(what, from, runs, count)?),
            Floats::BF16(from) => Self::BF16(all(what, from, runs, count)?),
        })
    }

    /// Borrows the floats.
    pub fn borrow(&self) -> Floats<'_> {
        match self {
            Self::F32(floats) => Floats::F32(floats),
            Self::F16(floats) => Floats::F16(floats),
            Self::BF16(floats) => Floats::BF16(floats),
        }
    }
}

macro_rules! floats_from {
    ($($variant:ident: $type:ty),*) => {$(
        impl<'a> From<&'a [$type]> for Floats<'a> {
            fn from(floats: &'a [$type]) -> Self {
                Floats::$variant(floats)
            }
        }
        impl<'a, const N: usize> From<&'a [$type; N]> for Floats<'a> {
            fn from(floats: &'a [$type; N]) -> Self {
                Floats::$variant(floats)
            }
        }
        impl<'a> From<&'a Vec<$type>> for Floats<'a> {
            fn from(floats: &'a Vec<$type>) -> Self {
                Floats::$variant(floats)
            }
        }
    )*};
}
floats_from!(F32: f32, F16: f16, BF16: bf16);

impl<'a> Floats<'a> {
    /// Returns the element type.
    pub fn element_type(&self) -> ElementType {
        match self {
            Floats::F32(_) => ElementType::F32,
            Floats::F16(_) => ElementType::F16,
            Floats::BF16(_) => ElementType::BF16,
        }
    }

    /// Returns the number of elements.
    pub fn len(&self) -> usize {
        with_floats!(self, slice => slice.len())
    }

    /// Returns true if there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the element at a flat index; every type fits an f32.
    ///
    /// # Panics
    /// If `index` is not below [`Floats::len`].
    pub fn get(&self, index: usize) -> f32 {
        match self {
            Floats::F32(floats) => floats[index],
            Floats::F16(floats) => floats[index].to_f32(),
            Floats::BF16(floats) => floats[index].to_f32(),
        }
    }

    /// Returns all elements as f32.
    pub fn iter(&self) -> impl Iterator<Item = f32> + 'a {
        let floats = *self;
        (0..self.len()).map(move |index| floats.get(index))
    }

    /// Returns the elements of a range.
    ///
    /// # Panics
    /// If the range reaches past [`Floats::len`].
    pub fn slice(&self, range: Range<usize>) -> Self {
        match *self {
            Floats::F32(floats) => Floats::F32(&floats[range]),
            Floats::F16(floats) => Floats::F16(&floats[range]),
            Floats::BF16(floats) => Floats::BF16(&floats[range]),
        }
    }

    /// Returns the elements' bytes, as they are uploaded.
    pub fn bytes(&self) -> &'a [u8] {
        with_floats!(*self, slice => bytemuck::cast_slice(slice))
    }
}
