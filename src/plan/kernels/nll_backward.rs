//! The kernel `nll_backward`, which writes nll's gradient.

use super::labelled::{labelled, with_grad};
use crate::kernels::{Kernel, Spec, is_half};
use crate::plan::work::Work;
use crate::tensor::ClassView;

/// Returns the kernel.
pub(in crate::plan) fn spec(work: &Work) -> Spec {
    with_grad(work, labelled(work, Kernel::NllBackward))
}

/// Returns the number of lanes for the elements of a piece of this view: one for each element. If two elements share a
/// word, one for each word of each run of consecutive elements, which may start inside a word.
pub(super) fn lanes(spec: &Spec, view: ClassView, rows: u64) -> u64 {
    let (classes, inner) = (view.classes as u64, view.inner as u64);
    let positions = rows.min(inner);
    match positions == inner {
        _ if !is_half(spec.output) => rows * classes,
        true => rows * classes / 2 + 1,
        false => classes * (positions / 2 + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ElementType;
    use crate::kernels::Geometry;
    use crate::plan::Profile;

    /// Each element of a gradient has a lane; of two halves in a word, and of those at the ends of a run, one has it.
    #[test]
    fn each_element_has_a_lane() {
        let geometry = Geometry::lane_per_row(&Profile::portable()).unwrap();
        let plain = Spec::new(Kernel::NllBackward, geometry);
        let view = ClassView { outer: 3, classes: 5, inner: 7 };
        for (output, rows, wanted) in [
            (ElementType::F32, 21, 21 * 5),
            (ElementType::F32, 4, 4 * 5),
            (ElementType::F16, 21, 21 * 5 / 2 + 1),
            (ElementType::BF16, 4, 5 * (4 / 2 + 1)),
        ] {
            assert_eq!(
                lanes(&Spec { output, ..plain }, view, rows),
                wanted,
                "{rows} of {output:?}"
            );
        }
    }
}
