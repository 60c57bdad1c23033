//! The iterations of the loops of one invocation, for drivers that limit them.
//!
//! llvmpipe ends the loops of an invocation, without an error, after 65,535 iterations in all. Results would be wrong
//! and look right, so plans for software drivers stay below that: more groups with less work each, more lanes for a
//! long row.

use super::dispatch::Dispatch;
use super::kernels::nll_backward;
use super::kernels::parts::loads;
use super::work::Work;
use crate::Error;
use crate::kernels::{CHUNK, Kernel, Phase, Residency, Spec};

/// The most iterations of an invocation; the rest is for the loops of the final tree, of the sums of classes in workgroup
/// memory (some 2,000 turns at most), and of a group that finds the divisor itself (as many at most, where a row has a group
/// of few lanes).
const MOST: usize = 60_000;

/// Returns the fewest groups of a dispatch over a piece, whatever variant of its kernel the buffers allow.
pub(super) fn fewest_groups(work: &Work, dispatch: &Dispatch, piece: usize) -> Result<u32, Error> {
    if !work.profile.is_software() {
        return Ok(1);
    }
    let of_variants = work.variants(dispatch).map(|spec| groups_of(work, &spec, piece, dispatch));
    of_variants.reduce(|a, b| Ok(a?.max(b?))).unwrap_or(Ok(1))
}

/// Returns the fewest groups of a variant.
fn groups_of(work: &Work, spec: &Spec, piece: usize, dispatch: &Dispatch) -> Result<u32, Error> {
    let turns = turns_of_block(work, spec, piece, dispatch.parts);
    if turns > MOST {
        return Err(Error::Limit {
            what: "one row",
            limit: "number of loop turns (this is a software driver)",
            needed: turns as u64,
            allowed: MOST as u64,
        });
    }
    let groups = work.blocks(spec, piece, dispatch.parts).div_ceil((MOST / turns) as u32);
    let allowed = work.profile.limits.max_compute_workgroups_per_dimension;
    if groups > allowed {
        return Err(Error::Limit {
            what: "one piece (this is a software driver)",
            limit: "max_compute_workgroups_per_dimension",
            needed: groups.into(),
            allowed: allowed.into(),
        });
    }
    Ok(groups)
}

/// Returns an error for more partials than one group can sum.
pub(super) fn check_partials(work: &Work, spec: &Spec, partials: u32) -> Result<(), Error> {
    check(work, "the sum of all groups' partials", turns_over_partials(spec, partials))
}

/// Returns an error for more zeros than the groups of a dispatch can write.
pub(super) fn check_zero_fill(work: &Work, dispatch: &Dispatch) -> Result<(), Error> {
    check(work, "zeros", turns_of_zero_fill(dispatch))
}

/// Returns the most iterations of one invocation's loops, over all of a dispatch's work.
pub(super) fn turns(work: &Work, dispatch: &Dispatch) -> u64 {
    let Some(piece) = dispatch.piece else {
        return match dispatch.spec.kernel {
            Kernel::ZeroFill => turns_of_zero_fill(dispatch) as u64,
            _ => turns_over_partials(&dispatch.spec, dispatch.partials) as u64,
        };
    };
    let of_variant = |spec: Spec| {
        let of_group = work.blocks(&spec, piece, dispatch.parts).div_ceil(dispatch.groups);
        u64::from(of_group) * turns_of_block(work, &spec, piece, dispatch.parts) as u64
    };
    work.variants(dispatch).map(of_variant).max().unwrap_or(0)
}

/// Returns an error for a loop that a software driver would end early.
fn check(work: &Work, what: &'static str, turns: usize) -> Result<(), Error> {
    if work.profile.is_software() && turns > MOST {
        return Err(Error::Limit {
            what,
            limit: "number of loop turns (this is a software driver)",
            needed: turns as u64,
            allowed: MOST as u64,
        });
    }
    Ok(())
}

/// Returns the iterations of the loop that writes zeros.
fn turns_of_zero_fill(dispatch: &Dispatch) -> usize {
    let lanes = u64::from(dispatch.groups) * u64::from(dispatch.spec.layout.geometry.workgroup);
    u64::from(dispatch.partials).div_ceil(lanes) as usize + 1
}

/// Returns the iterations of the loops over partials: one each for the sums and for the first bad label.
fn turns_over_partials(spec: &Spec, partials: u32) -> usize {
    2 * (partials.div_ceil(spec.layout.geometry.workgroup) as usize + 1)
}

/// Returns an upper bound of the iterations of the loops for one block of work.
fn turns_of_block(work: &Work, spec: &Spec, piece: usize, parts: u32) -> usize {
    let view = work.view_of(piece);
    let lanes = spec.layout.geometry.lanes as usize;
    let merges = 2 * (lanes.ilog2() as usize + 1);
    let of_lane = match (spec.kernel, spec.phase) {
        (Kernel::Rows | Kernel::VarianceGrad, Phase::Merge) => {
            return 2 + (parts as usize).div_ceil(lanes) + merges;
        }
        (Kernel::MergeStates, _) => return 2 + parts as usize,
        (Kernel::VarianceGrad, _) => return 2 + view.classes.div_ceil(parts as usize),
        (Kernel::Rows, _) => (loads(work, spec, piece, parts) + 1).div_ceil(lanes),
        (Kernel::Columns, _) => view.classes,
        (Kernel::NllBackward, _) => return nll_backward::turns(spec, view),
        _ => return 2,
    };
    // Loads of four with up to three single ones, and two of a ragged row's ends; an iteration that ends each loop,
    // once per chunk. Four that are not finite are read again in a loop of their own.
    let chunks = of_lane.div_ceil(CHUNK as usize);
    let of_four = if spec.layout.finite_path { 6 } else { 1 };
    let pass = match spec.layout.residency {
        Residency::Resident { .. } => 0,
        Residency::Few => of_lane + 1,
        Residency::Fours | Residency::Chunks => of_lane / 4 * of_four + 8 * chunks,
    };
    let passes = 1 + usize::from(spec.grad || spec.distribution.is_some());
    let rows = if spec.layout.pairs { 2 } else { 1 };
    1 + rows * (pass * passes + merges)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::Shapes;
    use crate::{CrossEntropy, LabelType, Outputs, Plan, Profile, TargetType};

    fn software() -> Profile {
        Profile::portable().with_device_type(wgpu::DeviceType::Cpu)
    }

    fn plan(shape: &[usize], outputs: Outputs, profile: &Profile) -> Result<Plan, Error> {
        let rows = [&shape[..1], &shape[2..]].concat();
        let shapes = Shapes::new(shape).target(TargetType::Labels(LabelType::U8), &rows);
        Plan::new(&CrossEntropy::new(), &shapes, outputs, profile)
    }

    /// A lane that folds a row alone takes all of its classes, four in a turn, and once more for the gradient.
    #[test]
    fn each_pass_over_a_row_has_its_turns() {
        const CLASSES: usize = 10_000;
        let turns = |outputs| {
            let plan = plan(&[1, CLASSES, 64], outputs, &software()).unwrap();
            assert!(plan.specs().any(|spec| spec.kernel == Kernel::Columns), "{plan}");
            plan.longest_loops()
        };
        let pass = CLASSES as u64 / 4;
        let (loss, grad) = (turns(Outputs::loss()), turns(Outputs::loss().with_grad()));
        assert!(loss >= pass && grad >= loss + pass, "{loss} turns, {grad} with a gradient");
    }

    /// Two loops, each of which has a turn for the partials of a workgroup, and one that ends it.
    #[test]
    fn partials_are_read_twice() {
        let plan = plan(&[9, 3], Outputs::loss(), &software()).unwrap();
        let spec = plan.specs().last().unwrap();
        let lanes = spec.layout.geometry.workgroup;
        for (partials, turns) in [(0, 2), (1, 4), (lanes, 4), (lanes + 1, 6), (10 * lanes, 22)] {
            assert_eq!(turns_over_partials(&spec, partials), turns, "{partials}");
        }
    }

    /// One group would sum for too long; a GPU has no such limit.
    #[test]
    fn partials_that_one_group_cannot_sum_are_refused() {
        let shape = [1, 1, 1 << 35];
        let mut profile = software();
        profile.limits.max_compute_workgroups_per_dimension = u32::MAX;
        let error = plan(&shape, Outputs::loss(), &profile).map(|plan| plan.longest_loops());
        let named =
            matches!(error, Err(Error::Limit { what: "the sum of all groups' partials", .. }));
        assert!(named, "{error:?}");
        let card = profile.with_device_type(wgpu::DeviceType::DiscreteGpu);
        assert!(plan(&shape, Outputs::loss(), &card).is_ok());
    }
}
