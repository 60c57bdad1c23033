//! The kernels of one group that works alone: its lanes, and what it does of other kernels' work.

use crate::kernels::{Geometry, Layout, Outcome, Spec};
use crate::plan::work::Work;

/// Returns a kernel with as many lanes as one group needs for `items` items, one for each lane at a time: those of other
/// kernels, or if there are more items, the most that the device and its memory allow.
pub(in crate::plan) fn laid_out(work: &Work, spec: Spec, items: u32) -> Spec {
    let with = |geometry| Spec { layout: Layout { geometry, ..spec.layout }, ..spec };
    if items <= work.flat.workgroup {
        return spec;
    }
    let allowed = u64::from(work.profile.limits.max_compute_workgroup_storage_size);
    let lanes = |&lanes: &u32| with(Geometry { workgroup: lanes, ..work.flat });
    let more = (work.flat.workgroup.ilog2() + 1..=most_lanes(work).ilog2()).rev();
    let fits = more.map(|power| lanes(&(1 << power)));
    fits.into_iter().find(|spec| spec.workgroup_bytes() <= allowed).unwrap_or(spec)
}

/// Returns the most lanes of such a group.
pub(in crate::plan) fn most_lanes(work: &Work) -> u32 {
    let limits = &work.profile.limits;
    let allowed =
        limits.max_compute_invocations_per_workgroup.min(limits.max_compute_workgroup_size_x);
    let most = work.profile.tuning.lone_lanes.min(allowed).max(1);
    (1 << most.ilog2()).max(work.flat.workgroup)
}

/// Returns a kernel that does what `sum`, the sum over its only partial, would do; `None` if that would bind more than
/// the device allows.
pub(in crate::plan) fn summing(work: &Work, spec: Spec, sum: &Spec) -> Option<Spec> {
    let Spec { outcome, sums_weights, .. } = *sum;
    let alone = Spec { outcome, sums_weights, ..spec };
    (spec.outcome == Outcome::Partial && work.has_bindings(&alone)).then_some(alone)
}
