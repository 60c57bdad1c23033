//! The layout of a kernel's lanes over its data.

#[cfg(feature = "gpu")]
use serde::{Deserialize, Serialize};

use super::geometry::Geometry;

/// Every property of the layout of lanes over the data that a kernel's text depends on: it changes the order of the
/// computation and its loads, but not its result beyond rounding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Layout {
    /// Lanes of a workgroup, and of a row.
    pub geometry: Geometry,
    /// The elements that one load of the input brings.
    pub load: VectorWidth,
    /// Loads of eight are read and written as 64-bit numbers.
    pub u64_loads: bool,
    /// The use of the elements that are loaded.
    pub residency: Residency,
    /// For [`Kernel::Rows`](super::Kernel::Rows): the way in which loads find a row's classes.
    pub row_loads: RowLoads,
    /// For [`Kernel::Rows`](super::Kernel::Rows): rows that do not start where loads do are folded by class, at any
    /// offset, so that the lane of a class does not depend on the row's offset. Only with [`RowLoads::Ragged`] and
    /// [`RowLoads::Loose`].
    pub by_class: bool,
    /// For [`Kernel::Rows`](super::Kernel::Rows): rows are computed two at a time, because words that are written hold
    /// elements of both. Only with [`RowLoads::Ragged`].
    pub pairs: bool,
    /// Loads without NaN and infinities have a path of their own, for drivers that skip a branch which no lane takes.
    pub finite_path: bool,
    /// For [`Kernel::Rows`](super::Kernel::Rows): the weights of four classes come in one load.
    pub weight_packs: bool,
    /// For [`Kernel::Columns`](super::Kernel::Columns): a lane's rows follow each other.
    pub short: bool,
    /// With `short`: a group's rows are loaded and stored through workgroup memory, so that neighbouring lanes access
    /// neighbouring loads.
    pub staged: bool,
    /// For [`Kernel::Columns`](super::Kernel::Columns): the labels of four rows come in one load.
    pub label_packs: bool,
    /// For [`Kernel::Columns`](super::Kernel::Columns): the records of four rows go in whole loads.
    pub record_packs: bool,
    /// For [`Kernel::NllBackward`](super::Kernel::NllBackward): the elements of a store are of rows that are neighbours
    /// in memory, and not of neighbouring classes.
    pub neighbours: bool,
}

impl Layout {
    /// Returns the plainest layout: single elements, folded and dropped. The layout of kernels that fold no logits.
    pub fn plain(geometry: Geometry) -> Self {
        Self {
            geometry,
            load: VectorWidth::One,
            u64_loads: false,
            residency: Residency::Few,
            row_loads: RowLoads::Aligned,
            by_class: false,
            pairs: false,
            finite_path: false,
            weight_packs: false,
            short: false,
            staged: false,
            label_packs: false,
            record_packs: false,
            neighbours: false,
        }
    }

    /// Returns the layout for streaming rows.
    pub fn streaming(self) -> Self {
        match self.residency {
            Residency::Resident { loads, .. } => {
                Self { residency: Residency::streaming(loads as usize), ..self }
            }
            _ => self,
        }
    }

    /// Returns true if a load brings several elements, so that the arithmetic is of vectors; `WIDE` in the shaders.
    pub fn is_wide(&self) -> bool {
        self.load > VectorWidth::One
    }
}

/// The way in which the loads of [`Kernel::Rows`](super::Kernel::Rows) find a row's classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RowLoads {
    /// Rows start where loads do.
    Aligned,
    /// A row's classes are `inner` apart.
    Strided,
    /// Rows start inside of loads, and have a part of their first and last one.
    Ragged,
    /// Tensors start anywhere, and a load is assembled from single words.
    Loose,
}

impl RowLoads {
    /// Returns true if rows start at any element, so that offsets of loads are counted in elements.
    pub fn start_anywhere(self) -> bool {
        matches!(self, RowLoads::Ragged | RowLoads::Loose)
    }
}

/// The number of elements in one load; a part of a [`Tuning`](crate::plan::Tuning).
///
/// ```
/// use wgpu_loss::kernels::VectorWidth;
/// use wgpu_loss::plan::Tuning;
///
/// // Loads of single words, to see what wider ones gain.
/// let mut tuning = Tuning::DISCRETE;
/// assert_eq!(tuning.load.elements(), 4);
/// tuning.load = VectorWidth::One;
/// tuning.check()?;
/// # Ok::<(), wgpu_loss::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "gpu", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "gpu", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum VectorWidth {
    /// One.
    One,
    /// Four: 16 bytes of f32, the widest load of a GPU.
    Four,
    /// Eight: 16 bytes of f16 or bf16. Software drivers load eight f32 as well, as 64-bit numbers: they load component
    /// by component, of any width.
    Eight,
}

impl VectorWidth {
    /// Returns the number of elements; `PACK` in the shaders.
    pub fn elements(self) -> usize {
        match self {
            VectorWidth::One => 1,
            VectorWidth::Four => 4,
            VectorWidth::Eight => 8,
        }
    }
}

/// The use of the elements that a lane reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Residency {
    /// Kept in registers: `loads` loads, the first `full` of which every lane of a row has. No element is read twice.
    /// The numbers are in the text.
    Resident {
        /// Loads of a lane, at most.
        loads: u32,
        /// Loads that every lane has.
        full: u32,
    },
    /// Folded and dropped, a few: one plain loop. Every further loop costs a software driver a masked iteration.
    Few,
    /// Folded, enough to load four at a time.
    Fours,
    /// So many that they are summed in chunks of [`CHUNK`], which limits the length of sums.
    Chunks,
}

/// Loads that a lane folds before it starts a new sum. The rounding error of a sum grows with its length; starting a
/// new one costs a software driver a few masked iterations.
pub const CHUNK: u32 = 512;

impl Residency {
    /// Returns the residency for lanes that fold `loads` loads each, too many to be resident.
    pub fn streaming(loads: usize) -> Self {
        match loads {
            0..8 => Residency::Few,
            loads if loads <= CHUNK as usize => Residency::Fours,
            _ => Residency::Chunks,
        }
    }

    /// Returns true if the elements are resident.
    pub fn is_resident(self) -> bool {
        matches!(self, Residency::Resident { .. })
    }
}
