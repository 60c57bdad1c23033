//! Pieces of tensors that do not fit a binding.

use std::ops::Range;

use super::layout::short_classes;
use super::{Extent, Profile, bound_slots, offset_alignment};
use crate::tensor::ClassView;
use crate::{Error, Problem};

/// Rows of one piece at most, so that a row index past the end still fits a u32.
const PIECE_ROWS: u64 = 1 << 31;

/// Cuts the outer axis into pieces whose tensors each fit a binding.
pub(super) fn cut(problem: &Problem, profile: &Profile) -> Result<Vec<Range<usize>>, Error> {
    let view = problem.view;
    let rows = view.rows() as u64;
    if rows > u64::from(u32::MAX - 1) {
        return Err(Error::Limit {
            what: "the number of rows",
            limit: "range of a u32 row index",
            needed: rows,
            allowed: u64::from(u32::MAX - 1),
        });
    }
    if rows == 0 {
        return Ok(Vec::new());
    }
    // A piece may start that much behind the aligned offset of its binding, and end within a load.
    let slack = offset_alignment(&profile.limits) + 32;
    let limit = profile.limits.max_storage_buffer_binding_size;
    let allowed = limit.saturating_sub(slack) / 32 * 32;
    let too_large = |what, needed| Error::Limit {
        what,
        limit: "max_storage_buffer_binding_size",
        needed,
        allowed: limit,
    };
    let mut step = PIECE_ROWS / (view.inner as u64).max(1);
    for slot in bound_slots(problem) {
        let extent = Extent::of(slot, problem);
        match extent.outer_bytes() {
            Some(0) => {}
            Some(bytes) => step = step.min(allowed / bytes),
            None if extent.bytes() > allowed => {
                return Err(too_large(slot.name(), extent.bytes()));
            }
            None => {}
        }
        if step == 0 {
            return Err(too_large(slot.name(), extent.outer_bytes().unwrap_or(0)));
        }
    }
    Ok(pieces_of(view, step as usize, short_classes(profile)))
}

/// Rows that a lane reads together at most. As many rows as that start on a load again.
const TOGETHER: usize = 8;

/// The outer axis in steps of `step` at most. Short rows are read several at a time: those that are
/// left over make a piece of their own. Two rows of an odd number of elements may share a word, so a
/// piece starts at an even row, if it has more than one.
fn pieces_of(view: ClassView, step: usize, short_classes: usize) -> Vec<Range<usize>> {
    let outer = view.outer;
    let step = match (view.inner, step) {
        (1, TOGETHER..) => step / TOGETHER * TOGETHER,
        (1, 2..) => step / 2 * 2,
        _ => step,
    };
    let short = view.inner == 1 && view.classes <= short_classes && outer >= TOGETHER;
    let body = match short && step >= TOGETHER {
        true => outer / TOGETHER * TOGETHER,
        false => outer,
    };
    let starts = (0..body).step_by(step).chain((body < outer).then_some(body));
    let mut pieces: Vec<Range<usize>> = Vec::new();
    for start in starts {
        let end = if start < body { body.min(start + step) } else { outer };
        pieces.push(start..end);
    }
    pieces
}
