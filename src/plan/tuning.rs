//! The numbers that differ between adapters: the words that a lane keeps, the lanes that share a row, the number of
//! groups.

#[cfg(feature = "gpu")]
use serde::{Deserialize, Serialize};

use crate::kernels::VectorWidth;

/// The layout of work on a kind of adapter. Each number is a bound, which plans apply.
///
/// ```
/// use wgpu_loss::kernels::VectorWidth;
/// use wgpu_loss::plan::{Lanes, Tuning};
///
/// let mut tuning = Tuning::DISCRETE;
/// tuning.workgroup = 64;
/// tuning.lanes = Lanes::Keeping { fewest: 4, most: 64 };
/// tuning.load = VectorWidth::Four;
/// tuning.check()?;
/// # Ok::<(), wgpu_loss::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "gpu", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "gpu", serde(deny_unknown_fields))]
#[non_exhaustive]
pub struct Tuning {
    /// Lanes of a workgroup, a power of two.
    pub workgroup: u32,
    /// The most groups of a dispatch; they walk over the rest of the work. Each leaves a partial, and one group has to
    /// sum them all.
    pub groups: u32,
    /// Groups of a dispatch that keep the device busy. If there would be fewer, groups share rows.
    pub fill: u32,
    /// True if groups that run at the same time work on neighbouring blocks, false if each has a contiguous range of
    /// its own.
    pub together: bool,
    /// Lanes that share a row.
    pub lanes: Lanes,
    /// Resident words of a lane, of a row that lanes share.
    pub resident_row: u32,
    /// The same of a row that is only read, if that is fewer: nothing is written that a second read would be for.
    pub resident_read: u32,
    /// The most lanes that share a row of f32 of which a gradient or a distribution is written, in a workgroup of their
    /// own, if all of it is resident then: it is read once instead of twice.
    pub resident_lanes: u32,
    /// Resident words of a lane, of neighbouring rows.
    pub resident_columns: u32,
    /// Resident words of a lane, of short rows, each of which it folds alone.
    pub resident_short: u32,
    /// The most bytes of workgroup memory through which a group loads and stores short rows; 0 if its lanes load and store
    /// their rows themselves.
    pub staged_short: u32,
    /// The most lanes of a group that works alone: it sums the partials of all groups, or the weights of few rows.
    pub lone_lanes: u32,
    /// The fewest loads of a lane in a part of a shared row.
    pub part_loads: u32,
    /// The widest load.
    pub load: VectorWidth,
    /// True if a branch that no lane of a subgroup takes costs nothing; false for drivers that compute both sides.
    pub branches: bool,
    /// True if the driver rounds to f16 where it does so exactly ([`Profile::f16_rounds`](super::Profile)): a GPU has an
    /// instruction for it.
    pub rounds_f16: bool,
}

/// The number of lanes that share a row of neighbouring classes; a part of a [`Tuning`].
///
/// ```
/// use wgpu_loss::plan::{Lanes, Tuning};
///
/// // At least 32 lanes share a row that has a load for each of them.
/// let mut tuning = Tuning::DISCRETE;
/// tuning.lanes = Lanes::Keeping { fewest: 32, most: 256 };
/// tuning.check()?;
/// # Ok::<(), wgpu_loss::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "gpu", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "gpu", serde(rename_all = "snake_case", deny_unknown_fields))]
#[non_exhaustive]
pub enum Lanes {
    /// As many as can keep the row, from `fewest` (if it has as many loads) to `most`.
    Keeping {
        /// The fewest lanes.
        fewest: u32,
        /// The most lanes.
        most: u32,
    },
    /// A lane for every 32 words of the row, up to one subgroup.
    Subgroup,
}

impl Tuning {
    /// A GPU with memory of its own.
    ///
    /// 256 lanes and up to 1024 groups are a few groups for each of some 130 processors. Eight lanes read 128 bytes of
    /// a row at a time, a whole cache line. A lane that keeps 64 words of a column or of short rows has that many loads
    /// in flight and leaves room for 16 or more subgroups on a processor; a row is kept in 32 words, since more lanes
    /// can share it. 1024 lanes keep rows of up to 32,768 f32: with gradient 1.26 times as fast as 256 lanes that read
    /// them twice, on an H200. Without a second read to spare they are slower, and so they are for f16 and bf16
    /// (`docs/gpu.md`).
    ///
    /// The lanes of a group load short rows together: a lane's four rows of ten classes are 160 bytes, so that each of its
    /// loads would be in another cache line than its neighbours'. 18 KiB hold the rows of 64 lanes of 16 classes, or of
    /// 256 lanes of two. Such groups are small, so that many fit a processor, which then has some 80 KB under way.
    pub const DISCRETE: Self = Self {
        workgroup: 256,
        groups: 1024,
        fill: 512,
        together: true,
        lanes: Lanes::Keeping { fewest: 8, most: 256 },
        resident_row: 32,
        resident_read: 32,
        resident_lanes: 1024,
        resident_columns: 64,
        resident_short: 64,
        staged_short: 18 << 10,
        lone_lanes: 1024,
        part_loads: 4,
        load: VectorWidth::Four,
        branches: true,
        rounds_f16: true,
    };

    /// A GPU that shares the processor's memory: fewer processors, and fewer registers for each lane. A stage for 64 lanes
    /// of the longest short rows.
    pub const INTEGRATED: Self = Self {
        workgroup: 128,
        groups: 512,
        fill: 64,
        lanes: Lanes::Keeping { fewest: 8, most: 128 },
        resident_row: 16,
        resident_read: 16,
        resident_lanes: 128,
        resident_columns: 32,
        resident_short: 32,
        staged_short: 9 << 10,
        lone_lanes: 512,
        ..Self::DISCRETE
    };

    /// A driver that runs on the processor's cores, one subgroup after another.
    ///
    /// The driver takes each subgroup of a group through all of the group's work before the next one, up to a barrier:
    /// a group of several subgroups would read its range of memory once for each of them, in small parts of each page.
    /// So a group has eight lanes, one subgroup, and so has a row. A group runs on one core: a few dozen groups
    /// suffice, each along a contiguous range, which suits the core's prefetcher. Loads cost more than arithmetic, by
    /// the component, and registers spill to the stack, which is cheap: keeping pays up to long rows, until compiling
    /// takes too long. Workgroup memory is memory like any other, and a barrier ends the work of each subgroup. llvmpipe's
    /// rounding to f16 is exact, and takes up to 1.3 times as long as ours.
    pub const SOFTWARE: Self = Self {
        workgroup: 8,
        groups: 64,
        fill: 32,
        together: false,
        lanes: Lanes::Subgroup,
        resident_row: 128,
        resident_read: 64,
        resident_lanes: 8,
        resident_columns: 256,
        resident_short: 256,
        staged_short: 0,
        lone_lanes: 8,
        part_loads: 512,
        load: VectorWidth::Eight,
        branches: false,
        rounds_f16: false,
    };

    /// Returns the tuning of a kind of adapter.
    pub fn of(device_type: wgpu::DeviceType) -> Self {
        match device_type {
            wgpu::DeviceType::Cpu => Self::SOFTWARE,
            wgpu::DeviceType::IntegratedGpu => Self::INTEGRATED,
            wgpu::DeviceType::DiscreteGpu
            | wgpu::DeviceType::VirtualGpu
            | wgpu::DeviceType::Other => Self::DISCRETE,
        }
    }
}
