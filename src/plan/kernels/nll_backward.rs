//! The kernel `nll_backward`, which writes nll's gradient.

use super::labelled::{labelled, with_grad};
use crate::kernels::{Kernel, Layout, RowLoads, Spec, VectorWidth, is_half};
use crate::plan::alignment::Alignment;
use crate::plan::loads::ragged_load;
use crate::plan::work::Work;
use crate::tensor::ClassView;

/// Returns the kernel.
pub(in crate::plan) fn spec(work: &Work) -> Spec {
    with_grad(work, labelled(work, Kernel::NllBackward))
}

/// Returns the kernel laid out for a piece and a gradient of an alignment: in stores of 16 bytes, if the piece's
/// elements follow each other or fill such stores.
pub(in crate::plan) fn laid_out(
    work: &Work,
    spec: Spec,
    piece: usize,
    alignment: Alignment,
) -> Spec {
    let (view, rows) = (work.view_of(piece), work.rows_of(piece));
    let wide = match work.profile.tuning.load {
        VectorWidth::One => VectorWidth::One,
        VectorWidth::Four | VectorWidth::Eight => ragged_load(spec.output),
    };
    let (load, row_loads) = match wide {
        VectorWidth::One => (VectorWidth::One, RowLoads::Aligned),
        _ if alignment.load >= wide && whole_stores(view, rows, wide) => (wide, RowLoads::Aligned),
        _ if alignment.alike && follow(view, rows) => (wide, RowLoads::Ragged),
        _ => (VectorWidth::One, RowLoads::Aligned),
    };
    let neighbours = load > VectorWidth::One && view.inner > 1;
    Spec { layout: Layout { load, row_loads, neighbours, ..spec.layout }, ..spec }
}

/// Returns true if all of a piece's elements follow each other.
fn follow(view: ClassView, rows: usize) -> bool {
    rows >= view.inner
}

/// Returns true if the elements of a piece that starts where a store does fill stores of `load` elements: all together,
/// or those of each class, if rows are neighbours.
fn whole_stores(view: ClassView, rows: usize, load: VectorWidth) -> bool {
    let fill = |elements: usize| elements.is_multiple_of(load.elements());
    match view.inner {
        1 => fill(rows * view.classes),
        inner => fill(inner) && fill(rows.min(inner)),
    }
}

/// Returns the number of stores for the elements of a piece of this view. The first one's start may be another piece's.
/// In words, of which two elements may share one: those of each run of consecutive elements, which may start inside a
/// word.
pub(super) fn stores(spec: &Spec, view: ClassView, rows: u64) -> u64 {
    let (classes, inner) = (view.classes as u64, view.inner as u64);
    let positions = rows.min(inner);
    let load = spec.layout.load.elements() as u64;
    match spec.layout.row_loads {
        RowLoads::Ragged => (rows * classes).div_ceil(load) + 1,
        _ if spec.layout.is_wide() || !is_half(spec.output) => (rows * classes).div_ceil(load),
        _ if positions == inner => rows * classes / 2 + 1,
        _ => classes * (positions / 2 + 1),
    }
}

/// Returns an upper bound of the turns of the loops for one store, in the mean: one for each row of the store, and one
/// that ends the loop. Plans count the turns of words, which are not to be fewer for the same elements.
pub(in crate::plan) fn turns(spec: &Spec, view: ClassView) -> usize {
    let load = spec.layout.load.elements();
    match spec.layout.is_wide() {
        true if view.inner == 1 => 3 + (load - 1).div_ceil(view.classes.max(1)),
        // A store has eight rows, and four words.
        false if is_half(spec.output) && view.classes == 1 => 3,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ElementType;
    use crate::kernels::Geometry;
    use crate::plan::Profile;

    const VIEW: ClassView = ClassView { outer: 3, classes: 5, inner: 7 };

    fn plain() -> Spec {
        Spec::new(Kernel::NllBackward, Geometry::lane_per_row(&Profile::portable()).unwrap())
    }

    /// Each element of a gradient has a lane; of two halves in a word, and of those at the ends of a run, one has it.
    #[test]
    fn each_element_has_a_lane() {
        for (output, rows, wanted) in [
            (ElementType::F32, 21, 21 * 5),
            (ElementType::F32, 4, 4 * 5),
            (ElementType::F16, 21, 21 * 5 / 2 + 1),
            (ElementType::BF16, 4, 5 * (4 / 2 + 1)),
        ] {
            assert_eq!(
                stores(&Spec { output, ..plain() }, VIEW, rows),
                wanted,
                "{rows} of {output:?}"
            );
        }
    }

    /// Stores that start anywhere in the first one reach the last element.
    #[test]
    fn each_element_has_a_store() {
        for load in [VectorWidth::Four, VectorWidth::Eight] {
            let layout = Layout { load, ..plain().layout };
            let ragged = Layout { row_loads: RowLoads::Ragged, ..layout };
            let count = |layout, view, rows| stores(&Spec { layout, ..plain() }, view, rows);
            let n = load.elements() as u64;
            assert_eq!(count(layout, ClassView { inner: 8, ..VIEW }, 8), 5 * 8 / n);
            for (classes, lead) in
                (1..20).flat_map(|classes| (0..n).map(move |lead| (classes, lead)))
            {
                let view = ClassView { outer: 3, classes, inner: 1 };
                let last = lead + 3 * classes as u64;
                assert!(count(ragged, view, 3) * n >= last, "{classes} after {lead}");
            }
        }
    }

    /// Pieces with some positions of each class are written in stores only if these fill them.
    #[test]
    fn stores_are_whole_or_follow_each_other() {
        let view = |inner| ClassView { inner, ..VIEW };
        for (inner, rows, whole, following) in [
            (1, 4, true, true),
            (1, 3, false, true),
            (8, 24, true, true),
            (8, 4, true, false),
            (8, 3, false, false),
            (7, 21, false, true),
            (7, 4, false, false),
        ] {
            let seen =
                (whole_stores(view(inner), rows, VectorWidth::Four), follow(view(inner), rows));
            assert_eq!(seen, (whole, following), "{rows} rows, {inner} apart");
        }
    }

    /// The variant in words, by which a plan bounds its loops, has the most turns for all of a piece.
    #[test]
    fn words_take_the_most_turns() {
        for (output, load) in
            [(ElementType::F32, VectorWidth::Four), (ElementType::F16, VectorWidth::Eight)]
        {
            for (classes, inner) in (1..20).flat_map(|classes| [(classes, 1), (classes, 8)]) {
                let (view, rows) = (ClassView { outer: 100, classes, inner }, 100 * inner as u64);
                let all = |load| {
                    let spec =
                        Spec { output, layout: Layout { load, ..plain().layout }, ..plain() };
                    stores(&spec, view, rows) as usize * turns(&spec, view)
                };
                assert!(all(VectorWidth::One) >= all(load), "{view:?} of {output:?}");
            }
        }
    }
}
