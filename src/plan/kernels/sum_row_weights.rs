//! The kernel `sum_row_weights`, which sums the rows' weights.

use super::labelled::labelled;
use super::lone;
use crate::kernels::{Kernel, Outcome, SUMMED_ROWS, Spec, Target};
use crate::plan::work::Work;

/// The most turns of one group over the rows. More take longer than the dispatch that they save.
const TURNS: usize = 4;

/// Returns the kernel: for rows without labels, it reads the row weights alone.
pub(in crate::plan) fn spec(work: &Work) -> Spec {
    let spec = labelled(work, Kernel::SumRowWeights);
    match spec.target {
        Target::Labels(_) => spec,
        _ => Spec { target: Target::None, weight: None, ..spec },
    }
}

/// Returns the kernel for one group that leaves the divisor itself, if there are few rows.
pub(in crate::plan) fn of_few_rows(work: &Work) -> Option<Spec> {
    let [piece] = &work.pieces[work.row_pieces()] else { return None };
    let lanes = piece.rows().div_ceil(SUMMED_ROWS as usize);
    let few = lanes <= TURNS * lone::most_lanes(work) as usize;
    let spec = Spec { outcome: Outcome::Divisor, ..spec(work) };
    // A cut row's weight is with one of its pieces; those of a shard have the weights of all classes.
    let whole = !work.cuts_rows() || work.problem.class_shard.is_some();
    (few && whole).then(|| lone::laid_out(work, spec, lanes as u32))
}
