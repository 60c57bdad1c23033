//! The parts in which the kernel `rows` folds rows that several groups share.

use super::folding::Folding;
use super::rows;
use crate::Error;
use crate::kernels::{Phase, RowLoads, Spec};
use crate::plan::alignment::Alignment;
use crate::plan::work::Work;
use crate::plan::workspace::words_of_state;

/// Returns the classes in each part of batch-invariant rows; `None` if rows are not cut into fixed parts.
pub(super) fn fixed(work: &Work) -> Result<Option<usize>, Error> {
    if !work.profile.batch_invariant || work.pieces.is_empty() {
        return Ok(None);
    }
    let folding = Folding::of_piece(work, 0, Alignment::BEST)?;
    Ok(folding.fixed_part(work.problem.view.classes, &work.profile))
}

/// Returns the number of parts in which a piece's rows are folded. The number for the first of the pieces with the same
/// rows is enough for all: no other is larger.
pub(in crate::plan) fn of_piece(work: &Work, piece: usize, first: usize) -> Result<u32, Error> {
    if work.profile.batch_invariant {
        let classes = work.pieces[piece].classes.len();
        return Ok(work.fixed_part.map_or(1, |part| classes.div_ceil(part)).max(1) as u32);
    }
    let Folding::Rows(layout) = Folding::of_piece(work, first, Alignment::BEST)? else {
        return Ok(1);
    };
    let (view, rows) = (work.view_of(first), work.rows_of(first));
    let state_words = words_of_state(&work.problem);
    Ok(rows::parts(&layout, view, rows, &work.profile, state_words) as u32)
}

/// Returns the number of parts with states: `parts`, which the pieces of a row use in turns; or, if parts are fixed,
/// those of the whole row.
pub(in crate::plan) fn in_all(work: &Work, parts: u32) -> u32 {
    match work.fixed_part {
        Some(part) => work.problem.view.classes.div_ceil(part) as u32,
        None => parts,
    }
}

/// Returns the number of fixed parts of a piece's rows before the piece.
pub(in crate::plan) fn before(work: &Work, piece: usize) -> u32 {
    work.fixed_part.map_or(0, |part| work.pieces[piece].classes.start / part) as u32
}

/// Returns the number of loads in each of `parts` parts of a piece's rows.
pub(in crate::plan) fn loads(work: &Work, spec: &Spec, piece: usize, parts: u32) -> usize {
    let load = spec.layout.load.elements();
    // One more for rows that start inside a load, except when they are folded by class: fixed parts begin at the same
    // class of every row.
    let by_class = spec.layout.by_class && spec.phase == Phase::Fold;
    let more = usize::from(spec.layout.row_loads == RowLoads::Ragged && !by_class);
    let loads = work.pieces[piece].classes.len().div_ceil(load) + more;
    let even = loads.div_ceil(parts as usize);
    work.fixed_part.map_or(even, |part| even.max(part / load))
}
