//! How lanes are laid over rows: a property of the adapter and the number of classes.

use super::Profile;
use crate::Error;

/// The layout of one dispatch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Geometry {
    /// Lanes of a workgroup, a power of two.
    pub workgroup: u32,
    /// Lanes that share a row, a power of two up to `workgroup`.
    pub lanes: u32,
    /// Lanes that merge by subgroup shuffles; 1 where there are none.
    pub cluster: u32,
}

/// Groups at most: enough to fill a large GPU about twice over, few enough that their partials stay
/// small and one group can sum them. Groups walk over the rest of the work.
const GROUPS_GPU: u32 = 1024;
/// A software driver runs one group per core; more only cost their start and their final tree.
const GROUPS_CPU: u32 = 64;

/// How the groups of a dispatch share its blocks of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Walk {
    /// Groups that run at the same time work on neighbouring blocks.
    Together,
    /// Each group has a stretch of neighbouring blocks to itself.
    Apart,
}

impl Walk {
    /// A GPU runs its groups side by side and likes them in the same pages of memory. A core that
    /// runs one group after another wants its next block where its prefetcher already is.
    pub fn on(profile: &Profile) -> Self {
        if profile.is_software() { Walk::Apart } else { Walk::Together }
    }
}

impl Geometry {
    /// For kernels with a lane per row or element.
    pub fn lane_per_row(profile: &Profile) -> Result<Self, Error> {
        // A software driver runs a group as a loop over its subgroups, and every barrier switches
        // between them.
        let wanted = if profile.is_software() { 64 } else { 256 };
        Ok(Self { workgroup: largest_workgroup(profile, wanted)?, lanes: 1, cluster: 1 })
    }

    /// For rows of `packs` loads each.
    pub fn rows(profile: &Profile, packs: usize) -> Result<Self, Error> {
        let flat = Self::lane_per_row(profile)?;
        let wanted =
            if profile.is_software() { lanes_software(profile, packs) } else { lanes_gpu(packs) };
        let lanes = wanted.min(flat.workgroup);
        let cluster = lanes.min(profile.subgroup_size.unwrap_or(1));
        Ok(Self { workgroup: flat.workgroup, lanes, cluster })
    }

    /// Rows under way in one group.
    pub fn rows_per_group(&self) -> u32 {
        self.workgroup / self.lanes
    }

    /// How many groups to start for `blocks` blocks of work, where `fewest` are needed.
    pub fn groups(profile: &Profile, blocks: u32, fewest: u32) -> u32 {
        let most = if profile.is_software() { GROUPS_CPU } else { GROUPS_GPU };
        let most = most.max(fewest).min(profile.limits.max_compute_workgroups_per_dimension);
        blocks.min(most)
    }
}

/// A lane should have several loads of its own, and a row enough lanes to be read at full width.
fn lanes_gpu(packs: usize) -> u32 {
    match packs {
        0..=4 => 1,
        5..=16 => 4,
        17..=64 => 8,
        65..=256 => 16,
        257..=1024 => 32,
        1025..=4096 => 128,
        _ => 256,
    }
}

/// One subgroup per row: wider rows would wait at barriers, narrower ones leave lanes idle. Rows that
/// would keep a lane in its loops for too long (see [`super::loops`]) take more.
fn lanes_software(profile: &Profile, packs: usize) -> u32 {
    let subgroup = if packs < 16 { 1 } else { profile.subgroup_size.unwrap_or(1) };
    let enough = packs.div_ceil(LANE_PACKS).next_power_of_two() as u32;
    subgroup.max(enough)
}

/// Packs of a lane at most, on a software driver, as long as there are lanes to share them.
const LANE_PACKS: usize = 8192;

/// The largest power of two up to `wanted` that the device's limits allow as a workgroup.
fn largest_workgroup(profile: &Profile, wanted: u32) -> Result<u32, Error> {
    let limits = &profile.limits;
    // wgpu does not check sizes that come from constants, so they are checked here. Per lane:
    // three words of the totals' tree and at most a state of six words.
    let by_memory = limits.max_compute_workgroup_storage_size.saturating_sub(64) / 36;
    let allowed = limits
        .max_compute_invocations_per_workgroup
        .min(limits.max_compute_workgroup_size_x)
        .min(by_memory)
        .min(wanted);
    if allowed == 0 {
        return Err(Error::Limit {
            what: "a workgroup of one lane",
            limit: "max_compute_invocations_per_workgroup",
            needed: 1,
            allowed: 0,
        });
    }
    Ok(1 << allowed.ilog2())
}
