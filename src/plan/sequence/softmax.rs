//! The dispatches that fold logits.

use std::ops::Range;

use crate::Error;
use crate::kernels::{RowFeatures, Spec};
use crate::plan::alignment::Alignment;
use crate::plan::builder::PlanBuilder;
use crate::plan::dispatch::Dispatch;
use crate::plan::kernels::{label_logits, parts, softmax};
use crate::plan::piece::Piece;
use crate::plan::workspace::words_of_row;

/// Adds the dispatches; returns the number of partials that they write.
pub(super) fn lay_out(plan: &mut PlanBuilder) -> Result<u32, Error> {
    // Pieces with the same rows are boxes of those rows' classes.
    let of_rows: Vec<usize> =
        plan.work.pieces.chunk_by(Piece::shares_rows).map(<[Piece]>::len).collect();
    let groups = plan.most_groups(of_rows.len());
    let (mut partials, mut first) = (0, 0);
    for pieces in of_rows {
        partials = over_rows(plan, first..first + pieces, groups, partials)?;
        first += pieces;
    }
    Ok(partials)
}

/// Adds the dispatches for the rows of some pieces, which all have the same rows, after `partials` partials; returns
/// the number of partials so far.
fn over_rows(
    plan: &mut PlanBuilder,
    pieces: Range<usize>,
    groups: u32,
    partials: u32,
) -> Result<u32, Error> {
    let first = pieces.start;
    let parts = parts::of_piece(&plan.work, first, first)?;
    let cuts = plan.work.cuts_rows();
    if parts == 1 && !cuts && !plan.work.splits {
        let whole = softmax::whole(&plan.work);
        let spec = softmax::laid_out(&plan.work, whole, first, Alignment::BEST)?;
        return plan.add_with_partials(Dispatch {
            groups,
            partials,
            ..Dispatch::over(spec, first)
        });
    }
    let in_all = parts::in_all(&plan.work, parts);
    let words = words_of_row(&plan.work.problem, in_all.into(), cuts);
    plan.reserve_rows(words * plan.work.rows_of(first) as u64);
    if cuts && RowFeatures::of(&plan.work.problem).counts_rank() {
        let mark = label_logits::spec(&plan.work);
        for piece in pieces.clone() {
            plan.add(Dispatch { partials, parts, ..Dispatch::over(mark, piece) })?;
        }
    }
    over_parts(plan, softmax::fold(&plan.work), pieces.clone())?;
    let merge = softmax::merge(&plan.work, first, in_all)?;
    let merge = Dispatch { groups, partials, parts: in_all, ..Dispatch::over(merge, first) };
    let written = plan.add_with_partials(merge)?;
    let write = softmax::write(&plan.work);
    if write.writes() {
        over_parts(plan, write, pieces)?;
    }
    Ok(written)
}

/// Adds a dispatch over the parts of each of some pieces, which all have the same rows.
pub(super) fn over_parts(
    plan: &mut PlanBuilder,
    spec: Spec,
    pieces: Range<usize>,
) -> Result<(), Error> {
    let first = pieces.start;
    for piece in pieces {
        let parts = parts::of_piece(&plan.work, piece, first)?;
        let spec = softmax::laid_out(&plan.work, spec, piece, Alignment::BEST)?;
        plan.add(Dispatch { parts, ..Dispatch::over(spec, piece) })?;
    }
    Ok(())
}
