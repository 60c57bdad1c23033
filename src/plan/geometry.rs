//! The layout of the lanes of a workgroup over rows, and of groups over the work.

use super::{Lanes, Profile};
use crate::Error;
use crate::kernels::{Geometry, VectorWidth};

/// Neighbouring rows that are under way in a group whose lanes share rows that are neighbours in memory: 128 bytes of
/// each class, a cache line, or half of that if there would be few groups.
const NEIGHBOURS: u32 = 32;
/// Words of a row for which a subgroup has a lane ([`Lanes::Subgroup`]), until all of its lanes share the row.
const SUBGROUP_WORDS: usize = 32;

impl Geometry {
    /// Returns the geometry of kernels with a lane per row or element.
    pub(crate) fn lane_per_row(profile: &Profile) -> Result<Self, Error> {
        let workgroup = largest_workgroup(profile, profile.tuning.workgroup)?;
        Ok(Self { workgroup, lanes: 1, cluster: 1, whole_subgroups: false })
    }

    /// Returns the geometry for rows of `loads` loads each, of which a lane keeps up to `most_loads`.
    pub(crate) fn rows(
        profile: &Profile,
        load: VectorWidth,
        loads: usize,
        most_loads: usize,
    ) -> Result<Self, Error> {
        let flat = Self::lane_per_row(profile)?;
        let (fewest, most, of_lane) = match profile.tuning.lanes {
            Lanes::Keeping { fewest, most } => (fewest as usize, most, most_loads),
            Lanes::Subgroup => {
                let of_lane = most_loads.min(SUBGROUP_WORDS / load.elements());
                (1, profile.subgroup_size.unwrap_or(1), of_lane)
            }
        };
        let wanted = lanes_that_keep(loads, of_lane);
        let lanes = wanted.max(fewest.min(floor_power_of_two(loads)) as u32);
        Ok(flat.with_lanes(lanes.min(most).min(flat.workgroup), profile))
    }

    /// Returns the geometry of workgroups that keep a row each, of `most` lanes at most.
    pub(crate) fn row_each(
        profile: &Profile,
        most: u32,
        loads: usize,
        most_loads: usize,
    ) -> Result<Self, Error> {
        let workgroup = largest_workgroup(profile, most.min(lanes_that_keep(loads, most_loads)))?;
        let flat = Self { workgroup, lanes: 1, cluster: 1, whole_subgroups: false };
        Ok(flat.with_lanes(workgroup, profile))
    }

    /// Returns the same workgroups with `lanes` lanes to a row.
    fn with_lanes(self, lanes: u32, profile: &Profile) -> Self {
        let subgroup = profile.subgroup_size.unwrap_or(1);
        let cluster = lanes.min(subgroup);
        let whole_subgroups = cluster > 1 && cluster == subgroup && profile.subgroups_alike;
        Self { lanes, cluster, whole_subgroups, ..self }
    }

    /// Returns the geometry of lanes that share rows which are neighbours in memory.
    pub(crate) fn strided(profile: &Profile, classes: usize, rows: usize) -> Result<Self, Error> {
        let flat = Self::lane_per_row(profile)?;
        // Batch-invariant lanes are the same for any number of rows.
        let fixed = profile.batch_invariant;
        let few = !fixed && rows < (profile.tuning.fill * NEIGHBOURS / 2) as usize;
        let neighbours = if few { NEIGHBOURS / 2 } else { NEIGHBOURS };
        // No more than there are classes, and no more than keep the device busy twice over.
        let busy = 2 * profile.tuning.fill as usize * flat.workgroup as usize;
        let needed = busy.div_ceil(if fixed { 1 } else { rows.max(1) }).next_power_of_two();
        let most = needed.min(floor_power_of_two(classes)) as u32;
        let lanes = (flat.workgroup / neighbours).max(1).min(most);
        Ok(Self { lanes, ..flat })
    }

    /// Returns the number of groups for `blocks` blocks of work: `most` at most, but `fewest` (and one) at least, which
    /// the device allows. Some of these have no work if the kernel's other variants have more blocks.
    pub(crate) fn groups(profile: &Profile, blocks: u32, fewest: u32, most: u32) -> u32 {
        let most = profile.tuning.groups.min(most).max(fewest);
        let most = blocks.min(most.min(profile.limits.max_compute_workgroups_per_dimension)).max(1);
        // As many as have work: idle groups at the end would leave the core idle that runs them.
        blocks.div_ceil(blocks.div_ceil(most).max(1)).max(fewest).max(1)
    }
}

/// Returns the lanes that keep a row of `loads` loads, `most_loads` each.
fn lanes_that_keep(loads: usize, most_loads: usize) -> u32 {
    loads.div_ceil(most_loads.max(1)).next_power_of_two().min(1 << 31) as u32
}

fn floor_power_of_two(number: usize) -> usize {
    if number == 0 { 1 } else { 1 << number.ilog2() }
}

/// Returns the largest power of two up to `wanted` that the device's limits allow as the lanes of a workgroup. Their
/// memory depends on the kernels and is checked later: `fitted` in `build.rs`.
fn largest_workgroup(profile: &Profile, wanted: u32) -> Result<u32, Error> {
    let limits = &profile.limits;
    let allowed = limits
        .max_compute_invocations_per_workgroup
        .min(limits.max_compute_workgroup_size_x)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Lanes exchange values as whole subgroups only if all subgroups are known to have as many lanes.
    #[test]
    fn clusters_are_subgroups_or_parts_of_them() {
        let mut seen = [0; 2];
        for subgroup_size in [None, Some(1), Some(8), Some(32), Some(128)] {
            for alike in [false, true] {
                let mut profile =
                    Profile::portable().with_device_type(wgpu::DeviceType::DiscreteGpu);
                (profile.subgroup_size, profile.subgroups_alike) = (subgroup_size, alike);
                for loads in [1, 2, 8, 100, 1000, 100_000] {
                    let geometry = Geometry::rows(&profile, VectorWidth::Four, loads, 8).unwrap();
                    let size = subgroup_size.unwrap_or(1);
                    assert_eq!(geometry.cluster, geometry.lanes.min(size), "{geometry:?}");
                    let whole = alike && size > 1 && geometry.lanes >= size;
                    assert_eq!(geometry.whole_subgroups, whole, "{loads}: {profile:?}");
                    seen[usize::from(whole)] += 1;
                }
            }
        }
        assert!(seen.iter().all(|&times| times > 0), "{seen:?}");
    }
}
