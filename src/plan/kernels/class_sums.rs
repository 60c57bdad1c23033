//! The part of kernels that adds up losses by class.

use crate::plan::dispatch::Dispatch;
use crate::plan::work::Work;
use crate::words::CLASS_WORDS;

/// The most classes for which a group has memory: 9 KB, so that a GPU's core has several groups at a time, and software
/// drivers clear and add them in few of their [turns](crate::plan::loop_limits).
const MOST: usize = 320;
/// Numbers of classes are rounded up to this, so that many of them have one kernel.
const STEP: usize = 32;
/// The fewest rows of a group for each class. Most of the classes are among so many rows. A row takes three atomics, and
/// so do the group's sums of a class in the end: with fewer rows, nothing would be saved.
const ROWS: usize = 2;

/// Returns the number of classes whose sums a group of this dispatch adds up in its own memory; 0 if it has not the
/// memory or the rows for it.
pub(in crate::plan) fn of_group(work: &Work, dispatch: &Dispatch, piece: usize) -> u32 {
    let spec = &dispatch.spec;
    let classes = work.problem.view.classes;
    let rows = work.rows_of(piece) / dispatch.groups.max(1) as usize;
    let counts = spec.row_features.class_losses && spec.counts();
    if !counts || classes > MOST || rows < ROWS * classes {
        return 0;
    }
    // The kernel's variants need no more memory than the heaviest, or leave enough (`columns::staged`).
    let of_kernel = work.heaviest().workgroup_bytes().max(spec.workgroup_bytes());
    match of_kernel + bytes(classes)
        <= work.profile.limits.max_compute_workgroup_storage_size.into()
    {
        true => group_classes(classes),
        false => 0,
    }
}

/// Returns the bytes of a group's sums of `classes` classes.
pub(super) fn bytes(classes: usize) -> u64 {
    4 * u64::from(CLASS_WORDS) * u64::from(group_classes(classes))
}

fn group_classes(classes: usize) -> u32 {
    classes.next_multiple_of(STEP) as u32
}

#[cfg(test)]
mod tests {
    use crate::kernels::Kernel;
    use crate::loss::Shapes;
    use crate::plan::Plan;
    use crate::{CrossEntropy, LabelType, Loss, Nll, Outputs, Profile, TargetType};

    /// Groups add up few classes of many rows, and only if they have the memory.
    #[test]
    fn groups_have_sums_of_few_classes_of_many_rows() {
        let card = Profile::portable().with_device_type(wgpu::DeviceType::DiscreteGpu);
        for (classes, rows, bytes, wanted) in [
            (1, 8, 16 << 10, 32),
            (10, 24, 16 << 10, 32),
            (10, 16, 16 << 10, 0),
            (32, 64, 16 << 10, 32),
            (33, 72, 16 << 10, 64),
            (320, 640, 16 << 10, 320),
            (320, 632, 16 << 10, 0),
            (321, 10_000, 48 << 10, 0),
            (320, 640, 10 << 10, 0),
        ] {
            let mut profile = card.clone();
            profile.limits.max_compute_workgroup_storage_size = bytes;
            profile.tuning.groups = 1;
            let shape = [rows, classes];
            let (labels, of_labels) = (TargetType::Labels(LabelType::U8), [rows]);
            let shapes = Shapes::new(&shape).target(labels, &of_labels);
            for loss in [&CrossEntropy::new() as &dyn Loss, &Nll::new()] {
                let outputs = Outputs::loss().with_class_losses().with_grad();
                let plan = Plan::new(loss, &shapes, outputs, &profile).unwrap();
                for spec in plan.specs() {
                    use Kernel::{Columns, NllForward, Rows};
                    let counts = matches!(spec.kernel, Columns | NllForward | Rows);
                    let wanted = if counts { wanted } else { 0 };
                    assert_eq!(spec.group_classes, wanted, "{rows} of {classes}: {spec}\n{plan}");
                }
            }
        }
    }
}
