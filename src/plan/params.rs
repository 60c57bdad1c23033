//! The parameters of a dispatch over its piece.

use super::dispatch::Dispatch;
use super::kernels::{parts, pointwise};
use super::piece::Piece;
use super::work::Work;
use super::workspace::words_of_state;
use super::{Params, Plan};
use crate::kernels::{Kernel, Spec};
use crate::loss::Divisor;
use crate::tensor::Axes;
use crate::{EmptyMean, Problem};

impl Plan {
    /// Returns the parameters of every dispatch, for tensors that start where their buffers do.
    #[doc(hidden)]
    pub fn parameters(&self) -> impl Iterator<Item = Params> + '_ {
        self.dispatches.iter().map(|dispatch| self.params(dispatch, &dispatch.spec))
    }

    /// Returns the parameters of a dispatch run by `spec`, the variant of its kernel that the buffers allow. The binder
    /// sets the origins.
    pub(crate) fn params(&self, dispatch: &Dispatch, spec: &Spec) -> Params {
        let of_problem = of_problem(&self.work.problem);
        let Some(piece) = dispatch.piece else {
            return match spec.kernel {
                Kernel::ZeroFill => {
                    Params { cleared: dispatch.partials, groups: dispatch.groups, ..of_problem }
                }
                _ => Params { partials: dispatch.partials, ..of_problem },
            };
        };
        let of_piece = of_piece(&self.work, piece, of_problem);
        let walking = of_walk(&self.work, dispatch, spec, piece, of_piece);
        let params = self.of_parts(dispatch, spec, piece, walking);
        of_elements(&self.work, dispatch, spec, piece, params)
    }

    /// Sets the parts of rows, and the offset of their states in the workspace.
    fn of_parts(&self, dispatch: &Dispatch, spec: &Spec, piece: usize, params: Params) -> Params {
        let work = &self.work;
        let states = |parts| {
            let words = words_of_state(&work.problem) * u64::from(parts);
            (self.workspace.states_start() + words * u64::from(params.rows)) as u32
        };
        let before = if spec.apart { parts::before(work, piece) } else { 0 };
        Params {
            parts: dispatch.parts,
            part_loads: parts::loads(work, spec, piece, dispatch.parts) as u32,
            states: states(before),
            label_weights: states(parts::in_all(work, dispatch.parts)),
            ..params
        }
    }
}

/// Returns the numbers of the problem, the same for all dispatches.
fn of_problem(problem: &Problem) -> Params {
    let view = problem.view;
    let all_classes = view.classes as u64;
    Params {
        // A plane of that many positions has boxes of one class, so this dispatch is not used.
        inner: u32::try_from(view.inner).unwrap_or(u32::MAX),
        all_classes_low: all_classes as u32,
        all_classes_high: (all_classes >> 32) as u32,
        ignore_low: problem.ignore_index as u32,
        ignore_high: (problem.ignore_index >> 32) as u32,
        smoothing: problem.label_smoothing,
        smoothing_share: (f64::from(problem.label_smoothing) / view.classes as f64) as f32,
        divisor: match problem.divisor {
            Divisor::Known(divisor) => divisor as f32,
            Divisor::RowWeights => 0.0,
        },
        empty_mean: match problem.empty_mean {
            EmptyMean::Nan => f32::NAN.to_bits(),
            EmptyMean::Zero => 0,
        },
        logit_scale: problem.logits.scale,
        softcap: problem.logits.softcap.unwrap_or(1.0),
        z_loss: problem.z_loss,
        top_k: problem.outputs.top_k,
        ..Params::default()
    }
}

/// Sets a piece's rows and classes.
fn of_piece(work: &Work, piece: usize, params: Params) -> Params {
    let Piece { outer, classes, inner } = &work.pieces[piece];
    Params {
        classes: classes.len() as u32,
        class_base_low: classes.start as u32,
        class_base_high: (classes.start as u64 >> 32) as u32,
        rows: work.rows_of(piece) as u32,
        row_base: (outer.start * work.problem.view.inner + inner.start) as u32,
        ..params
    }
}

/// Sets the groups' walk over blocks of work, and the offset of their partials.
fn of_walk(work: &Work, dispatch: &Dispatch, spec: &Spec, piece: usize, params: Params) -> Params {
    let turns = work.blocks(spec, piece, dispatch.parts).div_ceil(dispatch.groups);
    let (group_step, turn_step) = match work.profile.tuning.together {
        true => (1, dispatch.groups),
        false => (turns, 1),
    };
    Params { turns, group_step, turn_step, partial_base: dispatch.partials, ..params }
}

/// Sets the parameters of the kernels of single elements, for losses of these.
fn of_elements(
    work: &Work,
    dispatch: &Dispatch,
    spec: &Spec,
    piece: usize,
    params: Params,
) -> Params {
    let Some(loss) = &work.problem.pointwise else { return params };
    let extents = work.extents_of(piece);
    let sums = work.sums_of(piece);
    let Piece { outer, classes, inner } = &work.pieces[piece];
    let first = [outer.start, classes.start, inner.start];
    let params = Params {
        eps: loss.eps,
        inner: extents.inner as u32,
        span: (extents.classes * extents.inner) as u32,
        row_base: Axes::Elements.place(&work.problem.view, first) as u32,
        summed: sums.classes as u32,
        sum_inner: sums.inner as u32,
        ..params
    };
    if spec.kernel != Kernel::Pointwise {
        return Params { continues: dispatch.partials, ..params };
    }
    let load = spec.layout.load.elements();
    Params {
        loads: (pointwise::elements(work, spec, piece) / load) as u32,
        first_load: (pointwise::first(work, spec, piece) / load) as u32,
        ..params
    }
}
