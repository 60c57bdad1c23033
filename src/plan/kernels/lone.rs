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
    let lone = Spec { outcome, sums_weights, ..spec };
    (spec.outcome == Outcome::Partial && work.has_bindings(&lone)).then_some(lone)
}

#[cfg(test)]
mod tests {
    use crate::kernels::{Kernel, Outcome};
    use crate::loss::Shapes;
    use crate::{CrossEntropy, LabelType, Outputs, Plan, Profile, TargetType};

    /// A group that works alone has a lane for each item as far as the device allows it; if there are few, as many lanes as
    /// any other group.
    #[test]
    fn lone_groups_have_lanes_for_their_items() {
        let (plain, costly) = (CrossEntropy::new(), CrossEntropy::new().z_loss(1e-4));
        for (loss, rows, most, bytes, sum, divisor) in [
            (&plain, 8000, 1024, 48 << 10, 1024, 1024),
            (&plain, 8000, 512, 48 << 10, 512, 512),
            (&plain, 8000, 1000, 48 << 10, 512, 512),
            (&plain, 4000, 256, 16 << 10, 256, 256),
            (&plain, 1025, 1024, 48 << 10, 256, 1024),
            (&plain, 1025, 1024, 8 << 10, 512, 512),
            // Loss, weight, count and z-loss of each lane, and some words for all: 1,024 lanes have more than 16 KiB.
            (&costly, 8000, 1024, 16 << 10, 512, 1024),
        ] {
            let mut profile = Profile::portable().with_device_type(wgpu::DeviceType::DiscreteGpu);
            profile.limits.max_compute_invocations_per_workgroup = most;
            profile.limits.max_compute_workgroup_size_x = most;
            profile.limits.max_compute_workgroup_storage_size = bytes;
            let labels = TargetType::Labels(LabelType::I64);
            let (shape, rows) = ([rows, 1000], [rows]);
            let shapes = Shapes::new(&shape).target(labels, &rows).weight(1000);
            let plan = Plan::new(loss, &shapes, Outputs::loss().with_grad(), &profile).unwrap();
            let lanes = |kernel, outcome| {
                let is =
                    |spec: &crate::kernels::Spec| (spec.kernel, spec.outcome) == (kernel, outcome);
                plan.specs().find(is).map(|spec| spec.layout.geometry.workgroup)
            };
            let what = format!("{rows:?} rows, {most} lanes, {bytes} bytes\n{plan}");
            assert_eq!(lanes(Kernel::ReducePartials, Outcome::Result), Some(sum), "{what}");
            assert_eq!(lanes(Kernel::SumRowWeights, Outcome::Divisor), Some(divisor), "{what}");
        }
    }
}
