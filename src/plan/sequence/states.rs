//! The dispatches of problems that return the states of rows, or take them.

use std::ops::Range;

use super::softmax::over_parts;
use crate::Error;
use crate::kernels::{Layout, Spec, StatePlace};
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
            // The same kernel for all shards, whatever their classes.
            layout: Layout::plain(merge.layout.geometry),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::{Kernel, Outcome, Phase};
    use crate::loss::Shapes;
    use crate::{CrossEntropy, LabelType, Outputs, Plan, Profile, TargetType};

    const OF: usize = 200_000;

    /// Plans of a call in shards of few and of many classes, and of none.
    fn plans(
        rows: &[usize],
        shards: Option<usize>,
        outputs: Outputs,
        profile: &Profile,
    ) -> Vec<Plan> {
        [0, 7, 1000, 150_001]
            .into_iter()
            .map(|classes| {
                let shape = [&rows[..1], &[classes], &rows[1..]].concat();
                let labels = TargetType::Labels(LabelType::I64);
                let mut shapes = Shapes::new(&shape).target(labels, rows).weight(OF);
                shapes.states = shards;
                let loss = CrossEntropy::new().class_shard(40_000, OF as u64);
                Plan::new(&loss, &shapes, outputs, profile).unwrap()
            })
            .collect()
    }

    fn profiles() -> Vec<Profile> {
        let card = Profile::portable().with_device_type(wgpu::DeviceType::DiscreteGpu);
        let software = Profile::portable().with_device_type(wgpu::DeviceType::Cpu);
        let mut small = card.clone();
        small.limits.max_storage_buffer_binding_size = 1 << 20;
        vec![card.clone(), card.with_batch_invariance(true), software, small]
    }

    /// Losses from states have the same dispatches for every shard, with and without a gradient: the same sums in the
    /// same order, and so the same bits.
    #[test]
    fn all_shards_plan_their_losses_alike() {
        let asked = Outputs::loss().with_lse();
        for profile in profiles() {
            for rows in [&[1][..], &[100], &[3000], &[2, 90], &[40_000]] {
                for shards in [1, 8] {
                    if rows[0] * shards > 100_000 {
                        continue;
                    }
                    let losses = |plan: &Plan| {
                        let dispatches = plan.all_dispatches().iter().filter(|dispatch| {
                            dispatch.spec.phase == Phase::Merge
                                || dispatch.spec.outcome == Outcome::Result
                        });
                        let same = |dispatch: &Dispatch| {
                            let spec = Spec { states_to: StatePlace::Nowhere, ..dispatch.spec };
                            Dispatch { spec, ..dispatch.clone() }
                        };
                        dispatches.map(same).collect::<Vec<_>>()
                    };
                    let with = plans(rows, Some(shards), asked.with_grad(), &profile);
                    let without = plans(rows, Some(shards), asked, &profile);
                    let first = losses(&with[0]);
                    assert!(!first.is_empty());
                    for plan in with.iter().chain(&without) {
                        assert_eq!(losses(plan), first, "{plan}\n{}", with[0]);
                    }
                }
            }
        }
    }

    /// States are written once to the call's tensor, by the fold itself or by a merge after it, and what the workspace
    /// keeps of them has space there.
    #[test]
    fn states_are_written_once_and_have_space() {
        let (mut direct, mut merged) = (0, 0);
        for profile in profiles() {
            for rows in [&[1][..], &[3000], &[2, 90]] {
                for plan in plans(rows, None, Outputs::loss().only_states(), &profile) {
                    let mut written = 0;
                    for dispatch in plan.all_dispatches() {
                        let spec = dispatch.spec;
                        let piece = dispatch.piece.unwrap();
                        let params = plan.params(dispatch, &spec);
                        if spec.states_to == StatePlace::Tensor {
                            written += plan.pieces()[piece].rows();
                            direct += usize::from(spec.kernel == Kernel::Rows);
                            merged += usize::from(spec.kernel == Kernel::MergeStates);
                        } else {
                            let states = u64::from(dispatch.parts) * u64::from(params.rows);
                            let end = u64::from(params.states) + 4 * states;
                            assert!(4 * end <= plan.workspace_bytes(), "{plan}");
                        }
                    }
                    assert_eq!(written, rows.iter().product::<usize>(), "{plan}");
                }
            }
        }
        assert!(direct > 0 && merged > 0, "{direct} direct and {merged} merged");
    }
}
