//! The common part of the kernels that fold logits: their work, in one kernel or in three that share it.

use super::folding::Folding;
use super::labelled::{labelled, with_grad};
use super::{columns, parts, rows};
use crate::kernels::{
    Distribution, Geometry, Kernel, Layout, Phase, Residency, RowFeatures, RowLoads, Spec, Target,
    VectorWidth, is_half,
};
use crate::loss::{Divisor, Upstream};
use crate::plan::alignment::Alignment;
use crate::plan::work::Work;
use crate::{ElementType, Error, Reduction};

/// The number of lanes that merge the parts of a row.
const LANES_OF_MERGE: usize = 8;
/// The most rows for each lane of groups that compute the divisor themselves. All of them read all labels: for more rows,
/// that would take longer than the dispatch that it saves.
const DIVISOR_ROWS: usize = 4;

/// Returns the work, shared by several kernels if one would need too many bindings or would fold rows in another order
/// than the rows' parts require.
pub(in crate::plan) fn shared_out(work: Work) -> Result<Work, Error> {
    if !work.folds_logits() {
        return Ok(work);
    }
    // States are of the same kind whatever the shape: those of shards are merged with each other.
    let splits = work.problem.class_shard.is_some() || !work.has_bindings(&whole(&work));
    let work = Work { splits, ..work };
    let work = Work { fixed_part: parts::fixed(&work)?, ..work };
    Ok(Work { own_divisor: has_own_divisor(&work)?, ..work })
}

/// Returns true if each group computes the divisor of the gradient itself, from all rows: if a lane has few of them, and
/// one kernel does all of the work.
fn has_own_divisor(work: &Work) -> Result<bool, Error> {
    let wanted = work.problem.outputs.grad && work.problem.divisor == Divisor::RowWeights;
    let [piece] = &work.pieces[..] else { return Ok(false) };
    let few = piece.rows() <= DIVISOR_ROWS * work.flat.workgroup as usize;
    let together = !work.splits && !work.cuts_rows();
    Ok(wanted && few && together && parts::of_piece(work, 0, 0)? == 1)
}

/// Returns the kernel that does all of the work on a row, before it is laid out.
pub(in crate::plan) fn whole(work: &Work) -> Spec {
    let problem = &work.problem;
    let outputs = problem.outputs;
    let spec = Spec {
        dense_target: problem.has_dense_target(),
        row_loss: problem.reduction == Reduction::None,
        distribution: match (outputs.log_probs, outputs.probs) {
            (true, _) => Some(Distribution::LogProbs),
            (_, true) => Some(Distribution::Probs),
            _ => None,
        },
        every_row: outputs.of_every_row(),
        own_divisor: work.own_divisor,
        row_features: RowFeatures::of(problem),
        input: problem.input_type,
        output: match outputs.log_probs || outputs.probs {
            true => problem.output_type,
            false => ElementType::F32,
        },
        ..labelled(work, Kernel::Rows)
    };
    if outputs.grad { with_grad(work, spec) } else { spec }
}

/// Returns the kernel that folds parts of rows into states, before it is laid out.
pub(in crate::plan) fn fold(work: &Work) -> Spec {
    let whole = whole(work);
    Spec {
        phase: Phase::Fold,
        grad: false,
        distribution: None,
        row_loss: false,
        upstream: Upstream::Ones,
        sums_weights: false,
        output: ElementType::F32,
        apart: work.profile.batch_invariant && work.cuts_rows(),
        row_features: whole.row_features.without_records(),
        ..whole
    }
}

/// Returns the kernel that merges the states of a piece's rows from those of `parts` parts.
pub(in crate::plan) fn merge(work: &Work, piece: usize, parts: u32) -> Result<Spec, Error> {
    let whole = whole(work);
    let lanes = LANES_OF_MERGE.min(parts as usize);
    let plain = Layout::plain(Geometry::rows(&work.profile, VectorWidth::One, lanes, 1)?);
    let (_, Layout { residency, .. }) = Folding::of_piece(work, piece, Alignment::BEST)?.kernel();
    Ok(Spec {
        phase: Phase::Merge,
        grad: false,
        distribution: None,
        upstream: Upstream::Ones,
        sums_weights: false,
        input: ElementType::F32,
        output: ElementType::F32,
        target: match whole.target {
            Target::Probabilities(_) | Target::Upstream(_) => Target::None,
            target => target,
        },
        layout: Layout { residency, ..plain },
        ..whole
    })
}

/// Returns the kernel that writes gradient and distribution of parts of rows, before it is laid out.
pub(in crate::plan) fn write(work: &Work) -> Spec {
    let whole = whole(work);
    let row_features = whole.row_features.without_records();
    Spec { phase: Phase::Write, row_loss: false, row_features, ..whole }
}

/// Returns a kernel that reads a piece's logits, laid out for tensors of an alignment.
pub(in crate::plan) fn laid_out(
    work: &Work,
    spec: Spec,
    piece: usize,
    alignment: Alignment,
) -> Result<Spec, Error> {
    let (kernel, layout) = Folding::of_piece(work, piece, alignment)?.kernel();
    let layout = if spec.phase == Phase::Whole { layout } else { layout.streaming() };
    let spec = Spec { kernel, layout, ..spec };
    let classes = work.problem.view.classes;
    let spec = match kernel {
        Kernel::Columns => {
            columns::staged(columns::packed(spec, alignment), classes, &work.profile)
        }
        _ => {
            let spec = rows::kept_by_more_lanes(spec, classes, &work.profile)?;
            rows::packed(spec, work.rows_of(piece), classes, alignment)
        }
    };
    // Two paths take more registers than the 64 that each of 1,024 lanes has on NVIDIA's processors.
    let crowded = spec.layout.geometry.workgroup > work.profile.tuning.workgroup;
    let finite_path = work.profile.tuning.branches && has_finite_path(&spec) && !crowded;
    Ok(Spec { layout: Layout { finite_path, ..spec.layout }, ..spec })
}

/// Returns true if loads without NaN and infinities can have a path of their own: if several loads of a lane are looked at
/// together, in the form in which they are read.
fn has_finite_path(spec: &Spec) -> bool {
    let Layout { load, residency, row_loads, by_class, .. } = spec.layout;
    let together = match (spec.kernel, residency) {
        (_, Residency::Few) | (Kernel::Columns, Residency::Resident { .. }) => false,
        (_, Residency::Resident { .. } | Residency::Fours | Residency::Chunks) => true,
    };
    let in_order = matches!(row_loads, RowLoads::Aligned | RowLoads::Ragged) && !by_class;
    let whole = match is_half(spec.input) {
        true => load == VectorWidth::Eight,
        false => load > VectorWidth::One,
    };
    together && in_order && whole && !spec.row_features.scaled
}

/// Returns the kernel with the most workgroup memory of any for this problem, in workgroups of that size: all lanes
/// share a row, keep it, and merge without subgroups.
pub(in crate::plan) fn heaviest(work: &Work) -> Spec {
    let shared = Geometry { lanes: work.flat.workgroup, ..work.flat };
    let residency = Residency::Resident { loads: 1, full: 1 };
    Spec { layout: Layout { residency, ..Layout::plain(shared) }, ..whole(work) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::Shapes;
    use crate::{CrossEntropy, LabelType, Loss, Outputs, Plan, Profile, Softmax, TargetType};

    /// The distribution is written once, by the kernel that has the whole row or by the last of those that share it;
    /// and kernels know if rows that do not count have outputs too.
    #[test]
    fn the_distribution_is_written_once_as_it_is_requested() {
        let mut parts = [0; 2];
        for bytes in [4 << 10, 128 << 20] {
            let mut profile = Profile::portable();
            profile.limits.max_storage_buffer_binding_size = bytes;
            let shapes = Shapes::new(&[3, 5000]);
            let labelled = shapes.target(TargetType::Labels(LabelType::U8), &[3]);
            let cross_entropy = CrossEntropy::new();
            let cases = [
                (&cross_entropy as &dyn Loss, labelled, Outputs::loss(), None, false),
                (&cross_entropy, labelled, Outputs::loss().with_entropy(), None, true),
                (
                    &cross_entropy,
                    labelled,
                    Outputs::loss().with_log_probs(),
                    Some(Distribution::LogProbs),
                    true,
                ),
                (
                    &Softmax::log_probs(),
                    shapes,
                    Outputs::loss(),
                    Some(Distribution::LogProbs),
                    true,
                ),
                (&Softmax::probs(), shapes, Outputs::loss(), Some(Distribution::Probs), true),
            ];
            for (loss, shapes, outputs, elements, every_row) in cases {
                let plan = Plan::new(loss, &shapes, outputs, &profile).unwrap();
                for spec in plan.specs().filter(|spec| spec.is_softmax()) {
                    let writes = matches!(spec.phase, Phase::Whole | Phase::Write);
                    assert_eq!(spec.distribution, elements.filter(|_| writes), "{spec}\n{plan}");
                    assert_eq!(spec.every_row, every_row, "{spec}\n{plan}");
                    parts[usize::from(spec.phase == Phase::Merge)] += 1;
                }
            }
        }
        assert!(parts.iter().all(|&times| times > 0), "{parts:?}");
    }
}
