//! The specialisations of each kernel, their layouts over the data, and their amounts of work. One file for each
//! kernel, by its name in `shaders/kernels/`; the other files have the parts that several kernels share.

pub(super) mod class_sums;
pub(super) mod columns;
pub(super) mod folding;
pub(super) mod label_logits;
mod labelled;
pub(super) mod lone;
pub(super) mod merge_states;
pub(super) mod nll_backward;
pub(super) mod nll_forward;
pub(super) mod parts;
pub(super) mod pointwise;
pub(super) mod reduce_partials;
mod rows;
pub(super) mod softmax;
pub(super) mod sum_row_weights;
pub(super) mod variance_grad;
pub(super) mod zero_fill;

use super::alignment::Alignment;
use super::dispatch::Dispatch;
use super::work::Work;
use crate::kernels::{Kernel, Phase, SUMMED_ROWS, Spec};

impl Work {
    /// Returns the variant of a dispatch's kernel for tensors of an alignment.
    pub fn variant(&self, dispatch: &Dispatch, alignment: Alignment) -> Spec {
        let (spec, Some(piece)) = (dispatch.spec, dispatch.piece) else { return dispatch.spec };
        match (spec.kernel, spec.phase) {
            (_, Phase::Merge) => spec,
            (Kernel::Pointwise | Kernel::VarianceGrad, _) => {
                pointwise::laid_out(self, spec, piece, alignment)
            }
            (Kernel::NllBackward, _) => nll_backward::laid_out(self, spec, piece, alignment),
            // The layout exists: the plan was made with the same profile.
            (Kernel::Rows | Kernel::Columns, _) => {
                softmax::laid_out(self, spec, piece, alignment).unwrap_or(spec)
            }
            _ => spec,
        }
    }

    /// Returns the kernel with the most workgroup memory of any for this problem, a group's sums of classes and stages
    /// left out.
    pub fn heaviest(&self) -> Spec {
        match self.folds_logits() {
            true => softmax::heaviest(self),
            false => reduce_partials::spec(self),
        }
    }

    /// Returns the variants of a dispatch's kernel, for tensors of every alignment.
    pub fn variants(&self, dispatch: &Dispatch) -> impl Iterator<Item = Spec> {
        Alignment::all().map(|alignment| self.variant(dispatch, alignment))
    }

    /// Returns the blocks of work of a kernel over a piece: a group does one in each turn of its walk.
    pub fn blocks(&self, spec: &Spec, piece: usize, parts: u32) -> u32 {
        // A piece has 2^32 - 1 elements at most, even if the host's `usize` has 32 bits.
        let rows = self.rows_of(piece) as u64;
        let load = spec.layout.load.elements() as u64;
        let group = u64::from(spec.layout.geometry.workgroup);
        let of_rows = u64::from(spec.layout.geometry.rows_per_group());
        let (items, per_block) = match (spec.kernel, spec.phase) {
            (Kernel::Rows, _) => (rows::teams(spec, rows, parts), of_rows),
            (Kernel::Columns, _) => (rows, group * load),
            (Kernel::NllBackward, _) => {
                (nll_backward::stores(spec, self.view_of(piece), rows), group)
            }
            (Kernel::Pointwise, _) => (pointwise::elements(self, spec, piece) as u64 / load, group),
            (Kernel::SumRowWeights, _) => (rows, group * u64::from(SUMMED_ROWS)),
            (Kernel::VarianceGrad, Phase::Merge) => (rows, of_rows),
            (Kernel::VarianceGrad, _) => (rows * u64::from(parts), group),
            (
                Kernel::NllForward
                | Kernel::LabelLogits
                | Kernel::MergeStates
                | Kernel::ReducePartials
                | Kernel::ZeroFill,
                _,
            ) => (rows, group),
        };
        items.div_ceil(per_block) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::RowLoads;
    use crate::plan::params::tests::plans;

    /// A tensor that starts elsewhere than a load does is not read in such loads; or row by row in loads that start
    /// as it does, or in words of which loads are made.
    #[test]
    fn variants_have_no_wider_loads_than_tensors_allow() {
        let (mut narrow, mut loose) = (0, 0);
        for plan in plans() {
            for dispatch in plan.all_dispatches() {
                for alignment in Alignment::all() {
                    let spec = plan.variant(dispatch, alignment);
                    let allowed = match spec.layout.row_loads {
                        RowLoads::Loose => true,
                        RowLoads::Ragged => alignment.alike,
                        RowLoads::Aligned | RowLoads::Strided => spec.layout.load <= alignment.load,
                    };
                    assert!(allowed, "{spec} for {alignment:?}\n{plan}");
                    narrow += usize::from(spec.layout.load < dispatch.spec.layout.load);
                    loose += usize::from(spec.layout.row_loads == RowLoads::Loose);
                }
            }
        }
        assert!(narrow > 0 && loose > 0, "{narrow} narrow and {loose} loose");
    }

    /// States and sums in the workspace start where the plan has them, wherever tensors do.
    #[test]
    fn merges_do_not_depend_on_tensors() {
        let mut merges = 0;
        for plan in plans() {
            for dispatch in
                plan.all_dispatches().iter().filter(|dispatch| dispatch.spec.phase == Phase::Merge)
            {
                for alignment in Alignment::all() {
                    assert_eq!(plan.variant(dispatch, alignment), dispatch.spec, "{plan}");
                    merges += 1;
                }
            }
        }
        assert!(merges > 0, "nothing is merged");
    }
}
