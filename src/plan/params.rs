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
        let slots = self.workspace.partials();
        let of_problem = Params { slots, ..of_problem(&self.work.problem) };
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
        // Of given states, those of all rows are kept, for pieces of other rows.
        let first_row = if work.problem.states.is_some() { params.row_base } else { 0 };
        let states = |parts| {
            let before = u64::from(parts) * u64::from(params.rows) + u64::from(first_row);
            (self.workspace.states_start() + words_of_state(&work.problem) * before) as u32
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
    let all_classes = problem.all_classes();
    Params {
        // A plane of that many positions has boxes of one class, so this dispatch is not used.
        inner: u32::try_from(view.inner).unwrap_or(u32::MAX),
        all_classes_low: all_classes as u32,
        all_classes_high: (all_classes >> 32) as u32,
        ignore_low: problem.ignore_index as u32,
        ignore_high: (problem.ignore_index >> 32) as u32,
        smoothing: problem.label_smoothing,
        smoothing_share: (f64::from(problem.label_smoothing) / all_classes as f64) as f32,
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
    let first = work.problem.first_class() + classes.start as u64;
    Params {
        // Of the rows of given states, the kernels ask whether there are classes.
        classes: match classes.is_empty() {
            true => u32::from(work.problem.all_classes() > 0 && work.problem.states.is_some()),
            false => classes.len() as u32,
        },
        class_base_low: first as u32,
        class_base_high: (first >> 32) as u32,
        continues: u32::from(work.continues(piece)),
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

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::kernels::{CHUNK, Outcome, Phase, RowFeatures};
    use crate::loss::Shapes;
    use crate::plan::Profile;
    use crate::plan::alignment::Alignment;
    use crate::words::{HEADER_WORDS, TOTALS_WORDS};
    use crate::{
        BceWithLogits, CrossEntropy, ElementType, GaussianNll, LabelType, Loss, Nll, Outputs,
        TargetType,
    };

    const F32: ElementType = ElementType::F32;

    /// Plans of a loss over classes and of two losses of single elements, cut in every direction or not at all, for a
    /// graphics card, a software driver, and rows whose folding is fixed.
    pub(in crate::plan) fn plans() -> Vec<Plan> {
        let card = Profile::portable().with_device_type(wgpu::DeviceType::DiscreteGpu);
        let mut software = Profile::portable().with_device_type(wgpu::DeviceType::Cpu);
        (software.subgroup_size, software.int64) = (Some(8), true);
        let fixed = card.clone().with_batch_invariance(true);
        let mut plans = Vec::new();
        for (profile, bytes) in [card, software, fixed]
            .iter()
            .flat_map(|profile| [8 << 10, 64 << 10, 128 << 20].map(|bytes| (profile, bytes)))
        {
            let mut profile = profile.clone();
            profile.limits.max_storage_buffer_binding_size = bytes;
            profile.limits.max_storage_buffers_per_shader_stage = 16;
            for shape in [
                &[9, 3][..],
                &[4096, 10],
                &[2, 50_257],
                &[3, 100, 7, 7],
                &[1, 30, 5000],
                &[2, 5, 900],
                &[3, 1 << 14, 2],
            ] {
                plans.extend(plans_of(shape, &profile));
            }
        }
        assert!(plans.len() > 200, "{} plans", plans.len());
        plans
    }

    fn plans_of(shape: &[usize], profile: &Profile) -> Vec<Plan> {
        let rows = [&shape[..1], &shape[2..]].concat();
        let labels = TargetType::Labels(LabelType::I64);
        let of_rows = Shapes::new(shape).target(labels, &rows).weight(shape[1]);
        let values = Shapes::new(shape).target(TargetType::Values(F32), shape);
        let var = [&[shape[0], 1], &shape[2..]].concat();
        let of_classes = [&[shape[1]], &vec![1; shape.len() - 2][..]].concat();
        let grad = Outputs::loss().with_grad();
        let asked = grad.with_rank().with_log_probs();
        let cases: [(&dyn Loss, Shapes<'_>, Outputs); 5] = [
            (&CrossEntropy::new(), of_rows, asked),
            (&CrossEntropy::new(), of_rows, Outputs::loss()),
            (&Nll::new(), of_rows, grad),
            (&BceWithLogits::new(), values.pos_weight(F32, &of_classes), grad),
            (&GaussianNll::new(), values.var(F32, &var), grad.with_var_grad()),
        ];
        // Rows with a fixed folding may not fit the smallest bindings.
        cases
            .into_iter()
            .filter_map(|(loss, shapes, outputs)| Plan::new(loss, &shapes, outputs, profile).ok())
            .collect()
    }

    /// Every dispatch over a piece with its parameters, for tensors that start where their buffers do and anywhere.
    fn all_params(plan: &Plan) -> impl Iterator<Item = (&Dispatch, usize, Spec, Params)> {
        plan.all_dispatches()
            .iter()
            .filter_map(|dispatch| Some((dispatch, dispatch.piece?)))
            .flat_map(|(dispatch, piece)| {
                [Alignment::BEST, Alignment::WORST].map(|alignment| {
                    let spec = plan.variant(dispatch, alignment);
                    (dispatch, piece, spec, plan.params(dispatch, &spec))
                })
            })
    }

    #[test]
    fn groups_walk_over_each_block_once() {
        let mut walked = 0;
        for plan in plans() {
            for (dispatch, piece, spec, params) in all_params(&plan) {
                let blocks = plan.work.blocks(&spec, piece, dispatch.parts);
                let mut seen = vec![0; blocks as usize];
                for group in 0..dispatch.groups {
                    for turn in 0..params.turns {
                        let block = group * params.group_step + turn * params.turn_step;
                        if let Some(seen) = seen.get_mut(block as usize) {
                            *seen += 1;
                        }
                    }
                }
                assert!(seen.iter().all(|&times| times == 1), "{params:?} of {spec}\n{plan}");
                walked += usize::from(params.turns > 1);
            }
        }
        assert!(walked > 0, "no group has more than one block");
    }

    /// wgpu is told that all loops end (`device/ablation.rs`). They do if their counters, which go up to these numbers,
    /// do not wrap before, whatever their step; and if no step is 0.
    #[test]
    fn no_counter_wraps() {
        // The largest pieces that there are: bindings of 4 GiB.
        let mut large = Profile::portable().with_device_type(wgpu::DeviceType::DiscreteGpu);
        large.limits.max_storage_buffer_binding_size = u64::MAX;
        large.limits.max_buffer_size = u64::MAX;
        let labels = TargetType::Labels(LabelType::U8);
        let shapes: [&[usize]; 4] =
            [&[1 << 33, 1], &[1, 1 << 33], &[1 << 20, 50_257], &[1, 7, 1 << 31]];
        let large = shapes.iter().map(|shape| {
            let rows = [&shape[..1], &shape[2..]].concat();
            let shapes = Shapes::new(shape).input_type(ElementType::F16).target(labels, &rows);
            Plan::new(&CrossEntropy::new(), &shapes, Outputs::loss().with_grad(), &large).unwrap()
        });
        let mut most = 0;
        for plan in plans().into_iter().chain(large) {
            for dispatch in plan.all_dispatches() {
                for alignment in [Alignment::BEST, Alignment::WORST] {
                    let spec = plan.variant(dispatch, alignment);
                    let params = plan.params(dispatch, &spec);
                    let Params { rows, classes, parts, part_loads, partials, loads, .. } = params;
                    let Params { cleared, groups, turns, summed, .. } = params;
                    let bounds =
                        [rows, classes, part_loads, partials, loads, cleared, turns, summed];
                    let bound = *bounds.iter().max().unwrap();
                    let lanes = spec.layout.geometry.workgroup;
                    let step = lanes * CHUNK.max(groups).max(4 * parts);
                    assert!(bound.checked_add(step).is_some(), "{params:?} of {spec}\n{plan}");
                    assert!(dispatch.piece.is_none() || parts > 0, "{params:?} of {spec}");
                    assert!(spec.kernel != Kernel::ZeroFill || groups > 0, "{params:?} of {spec}");
                    most = most.max(bound);
                }
            }
        }
        assert!(most > 1 << 30, "{most}");
    }

    /// The sum reads as many partials as there are, each has one group that writes it, and all are in the workspace
    /// before the states. A group that writes no partial, but what the sum would, is the only one.
    #[test]
    fn each_partial_is_of_one_group() {
        let mut alone = 0;
        for plan in plans() {
            let (mut next, mut most, mut results) = (0, 0, 0);
            for dispatch in plan.all_dispatches() {
                let (spec, params) = (&dispatch.spec, plan.params(dispatch, &dispatch.spec));
                if spec.kernel == Kernel::ReducePartials {
                    assert_eq!(params.partials, next, "{plan}");
                    (next, most) = (0, most.max(next));
                } else if spec.leaves_partials() {
                    assert_eq!(params.partial_base, next, "{plan}");
                    next += dispatch.groups;
                } else if spec.outcome != Outcome::Partial {
                    assert_eq!((dispatch.groups, next), (1, 0), "{plan}");
                    alone += 1;
                }
                results += usize::from(spec.outcome == Outcome::Result);
            }
            assert_eq!((results, next), (1, 0), "{plan}");
            let slots =
                plan.params(&plan.all_dispatches()[0], &plan.all_dispatches()[0].spec).slots;
            assert!(slots >= most, "{most} partials in {slots}: {plan}");
            let words = u64::from(HEADER_WORDS) + u64::from(TOTALS_WORDS) * u64::from(slots);
            assert_eq!(plan.workspace.states_start(), words, "{plan}");
            assert!(plan.workspace_bytes() >= 4 * words, "{most} partials: {plan}");
        }
        assert!(alone > 0, "no group works alone");
    }

    /// The states of all parts, and what is kept of the labels of cut rows, are in the workspace, and no two of them
    /// share a word.
    #[test]
    fn states_have_space_of_their_own() {
        let mut seen = BTreeMap::<String, usize>::new();
        for plan in plans() {
            let work = &plan.work;
            let counts_rank = u32::from(RowFeatures::of(&work.problem).counts_rank());
            let mut of_labels = BTreeMap::new();
            for (dispatch, piece, spec, params) in all_params(&plan) {
                let words_of_part = match spec.kernel {
                    Kernel::VarianceGrad => 1,
                    Kernel::Rows | Kernel::Columns if spec.phase != Phase::Whole => {
                        words_of_state(&work.problem)
                    }
                    _ => continue,
                };
                let end = params.states as u64
                    + words_of_part * u64::from(dispatch.parts) * u64::from(params.rows);
                assert!(params.states as u64 >= plan.workspace.states_start(), "{spec}\n{plan}");
                let mut last = end;
                if spec.kernel != Kernel::VarianceGrad && work.cuts_rows() {
                    assert!(end <= params.label_weights.into(), "{params:?} of {spec}\n{plan}");
                    last = u64::from(params.label_weights + (1 + counts_rank) * params.rows);
                    let Piece { outer, inner, .. } = &work.pieces[piece];
                    let place = of_labels.entry((outer.start, inner.start));
                    let place = *place.or_insert(params.label_weights);
                    assert_eq!(params.label_weights, place, "{spec}\n{plan}");
                }
                assert!(4 * last <= plan.workspace_bytes(), "{params:?} of {spec}\n{plan}");
                *seen.entry(format!("{:?} {:?}", spec.kernel, spec.phase)).or_default() += 1;
            }
        }
        assert!(seen.len() >= 5, "{seen:?}");
    }

    /// The parts of a row have all of its loads; fixed parts have as many as in any other piece.
    #[test]
    fn parts_cover_their_rows() {
        let (mut parts, mut fixed) = (0, 0);
        for plan in plans() {
            for (dispatch, piece, spec, params) in all_params(&plan) {
                if spec.kernel != Kernel::Rows || !matches!(spec.phase, Phase::Fold | Phase::Write)
                {
                    continue;
                }
                let (classes, load) = (plan.pieces()[piece].classes.len(), spec.layout.load);
                let of_part = params.part_loads as usize * load.elements();
                assert!(
                    of_part * dispatch.parts as usize >= classes,
                    "{params:?} of {spec}\n{plan}"
                );
                parts += usize::from(dispatch.parts > 1);
                if let (Some(part), Phase::Fold) = (plan.work.fixed_part, spec.phase) {
                    assert_eq!(of_part, part, "{spec}\n{plan}");
                    fixed += 1;
                }
            }
        }
        assert!(parts > 0 && fixed > 0, "{parts} in parts, {fixed} in fixed ones");
    }

    /// A piece of single elements has each of them in one load of one dispatch, at the places that its extents give.
    #[test]
    fn each_element_is_in_one_load() {
        let mut pieces = 0;
        for plan in plans().into_iter().filter(|plan| plan.problem().pointwise.is_some()) {
            for alignment in [Alignment::BEST, Alignment::WORST] {
                let mut next = BTreeMap::new();
                for dispatch in
                    plan.all_dispatches().iter().filter(|s| s.spec.kernel == Kernel::Pointwise)
                {
                    let (spec, piece) =
                        (plan.variant(dispatch, alignment), dispatch.piece.unwrap());
                    let params = plan.params(dispatch, &spec);
                    let load = spec.layout.load.elements();
                    let next = next.entry((spec.phase == Phase::Write, piece)).or_insert(0);
                    assert_eq!(params.first_load as usize * load, *next, "{spec}\n{plan}");
                    *next += params.loads as usize * load;
                    let Piece { classes, inner, .. } = &plan.pieces()[piece];
                    let (inner, span) = (inner.len(), classes.len() * inner.len());
                    assert_eq!((params.inner, params.span), (inner as u32, span as u32), "{plan}");
                }
                for ((_, piece), elements) in next {
                    let Piece { outer, classes, inner } = &plan.pieces()[piece];
                    assert_eq!(elements, outer.len() * classes.len() * inner.len(), "{plan}");
                    pieces += 1;
                }
            }
        }
        assert!(pieces > plans().len(), "few tensors are cut");
    }
}
