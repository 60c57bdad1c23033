//! The dispatches of problems that return the states of rows, or take them.

use std::ops::Range;

use super::softmax::over_parts;
use crate::Error;
use crate::kernels::{Spec, StatePlace};
use crate::loss::Divisor;
use crate::plan::builder::PlanBuilder;
use crate::plan::dispatch::Dispatch;
use crate::plan::kernels::{merge_states, parts, reduce_partials, softmax};
use crate::plan::piece::Piece;
use crate::plan::workspace::words_of_state;

/// Adds the dispatches.
pub(super) fn lay_out(plan: &mut PlanBuilder) -> Result<(), Error> {
    match (plan.work.problem.outputs.states, plan.work.problem.states) {
        (true, Some(shards)) => merge(plan, shards as u32),
        (false, Some(shards)) => from_states(plan, shards as u32),
        (_, None) => of_logits(plan),
    }
}

/// Adds the dispatches that merge the states of shards.
fn merge(plan: &mut PlanBuilder, shards: u32) -> Result<(), Error> {
    let spec = merge_states::spec(&plan.work, StatePlace::Tensor);
    for piece in plan.work.row_pieces() {
        plan.add(Dispatch { parts: shards, ..Dispatch::over(spec, piece) })?;
    }
    Ok(())
}

/// Adds the dispatches that fold logits: into the call's tensor, or where rows have several parts, by way of the
/// workspace.
fn of_logits(plan: &mut PlanBuilder) -> Result<(), Error> {
    for pieces in of_same_rows(plan, 0..plan.work.pieces.len()) {
        let first = pieces.start;
        let in_all = parts::in_all(&plan.work, parts::of_piece(&plan.work, first, first)?);
        let fold = softmax::fold(&plan.work);
        if in_all == 1 && pieces.len() == 1 {
            let (states_from, states_to) = (StatePlace::Nowhere, StatePlace::Tensor);
            over_parts(plan, Spec { states_from, states_to, apart: true, ..fold }, pieces)?;
            continue;
        }
        plan.reserve_rows(words_of_state(&plan.work.problem) * rows(plan, first, in_all));
        over_parts(plan, fold, pieces)?;
        let merge = merge_states::spec(&plan.work, StatePlace::Workspace);
        plan.add(Dispatch { parts: in_all, ..Dispatch::over(merge, first) })?;
    }
    Ok(())
}

/// Adds the dispatches that compute losses from states, and write elements from these and the logits.
fn from_states(plan: &mut PlanBuilder, shards: u32) -> Result<(), Error> {
    let problem = &plan.work.problem;
    if problem.outputs.grad && problem.divisor == Divisor::RowWeights {
        super::find_divisor(plan)?;
    }
    let writes = plan.work.problem.writes_elements();
    if writes {
        let all = plan.work.problem.view.rows() as u64;
        plan.reserve_rows(words_of_state(&plan.work.problem) * all);
    }
    let of_rows = plan.work.row_pieces();
    let groups = plan.most_groups(of_rows.len());
    let mut partials = 0;
    for piece in of_rows {
        let merge = softmax::merge(&plan.work, piece, shards)?;
        let spec = Spec {
            states_from: StatePlace::Tensor,
            states_to: if writes { StatePlace::Workspace } else { StatePlace::Nowhere },
            ..merge
        };
        let merge = Dispatch { groups, partials, parts: shards, ..Dispatch::over(spec, piece) };
        partials = plan.add_with_partials(merge)?;
    }
    plan.over_partials(reduce_partials::spec(&plan.work), partials)?;
    for pieces in of_same_rows(plan, plan.work.element_pieces()) {
        let write = softmax::write(&plan.work);
        over_parts(plan, write, pieces)?;
    }
    Ok(())
}

/// Returns some of the pieces in runs that have the same rows.
fn of_same_rows(plan: &PlanBuilder, pieces: Range<usize>) -> Vec<Range<usize>> {
    let mut end = pieces.start;
    let runs = plan.work.pieces[pieces].chunk_by(Piece::shares_rows).map(|run| {
        end += run.len();
        end - run.len()..end
    });
    runs.collect()
}

/// Returns the number of states of a piece's rows in so many parts.
fn rows(plan: &PlanBuilder, piece: usize, parts: u32) -> u64 {
    plan.work.rows_of(piece) as u64 * u64::from(parts)
}
