//! Pieces of tensors that do not fit a binding.
//!
//! The outer axis is cut first: rows and images stay whole. If not even one step of it fits, a piece is a box within
//! the step: some of the classes, at some of the positions of the inner axis.

use super::alignment::Alignment;
use super::binding::offset_alignment;
use super::kernels::columns::short_classes;
use super::kernels::folding::Folding;
use super::piece::Piece;
use super::profile::Profile;
use super::workspace::words_of_row;
use crate::loss::{CallTensor, Function};
use crate::tensor::{Axes, ClassView};
use crate::{Error, Problem};

/// The most rows of one piece, so that a row index past the end still fits a u32.
const PIECE_ROWS: u64 = 1 << 31;
/// The most bytes of a binding that are used: kernels, and their compilers, count in u32.
const BINDING_BYTES: u64 = u32::MAX as u64;
/// Bytes that every device can bind: WebGPU has no lower limit.
const EVERY_BINDING: u64 = 128 << 20;
/// Bytes that states may take even on a device with small bindings.
const LEAST_STATES: u64 = 4 << 10;
/// The most pieces, 32 TiB of bindings of 128 MiB: each takes some hundred bytes of the host's memory, and a call of
/// more would take days.
const PIECES: u64 = 1 << 18;

/// Cuts a problem's tensors into pieces that each fit a binding. Pieces with the same rows follow each other.
pub(super) fn cut(problem: &Problem, profile: &Profile) -> Result<Vec<Piece>, Error> {
    let view = problem.view;
    if view.rows() == 0 {
        return Ok(Vec::new());
    }
    if problem.pointwise.is_some() {
        return flat_runs(problem, profile);
    }
    let room = Room::of(problem, profile);
    match room.outer_steps(view) {
        0 => boxes(problem, profile, &room),
        steps => {
            let short = view.inner == 1 && view.classes <= short_classes(profile);
            // Lanes that share rows read them one by one.
            whole_rows(view, steps as usize, short && problem.class_shard.is_none())
        }
    }
}

/// The number of elements of each kind of tensor that fit a binding.
struct Room {
    elements: u64,
    rows: u64,
    classes: u64,
}

impl Room {
    fn of(problem: &Problem, profile: &Profile) -> Self {
        let bytes = usable_bytes(profile);
        let mut room = Self { elements: u64::MAX, rows: PIECE_ROWS, classes: u64::MAX };
        for tensor in problem.tensors() {
            let part = match tensor.axes {
                Axes::Elements => &mut room.elements,
                Axes::Rows => &mut room.rows,
                Axes::Classes => &mut room.classes,
                // Losses of single elements have pieces of their own.
                _ => continue,
            };
            *part = (bytes / tensor.element_bytes).min(*part);
        }
        room
    }

    /// Returns the number of steps of the outer axis that fit.
    fn outer_steps(&self, view: ClassView) -> u64 {
        let (classes, inner) = (view.classes as u64, view.inner as u64);
        if classes > self.classes {
            return 0;
        }
        (self.elements / classes.saturating_mul(inner).max(1)).min(self.rows / inner)
    }
}

/// Returns the bytes of a tensor that fit a binding: a piece may start a little after the aligned offset of its binding,
/// and end within a load.
pub(super) fn usable_bytes(profile: &Profile) -> u64 {
    let slack = offset_alignment(&profile.limits) + 32;
    let limit = profile.limits.max_storage_buffer_binding_size.min(BINDING_BYTES);
    limit.saturating_sub(slack) / 32 * 32
}

/// Returns runs of elements that follow each other: whole steps of the outer axis; or, if not even one fits, whole
/// classes of a step; or positions of one class.
fn flat_runs(problem: &Problem, profile: &Profile) -> Result<Vec<Piece>, Error> {
    let view = problem.view;
    let bytes = usable_bytes(profile);
    // The most steps of a piece along an axis, if it has `below` elements of a tensor for each step.
    let most = |has: fn(Axes) -> bool, below: fn([usize; 3]) -> usize| {
        let of_tensor = |tensor: CallTensor| {
            let elements = below(tensor.axes.extents(&view)) as u64;
            let step = elements.saturating_mul(tensor.element_bytes);
            match has(tensor.axes) {
                true => bytes / step.max(1),
                false if step > bytes => 0,
                false => u64::MAX,
            }
        };
        let in_bytes = problem.tensors().map(of_tensor).min().unwrap_or(u64::MAX);
        let all = below([1, view.classes, view.inner]) as u64;
        in_bytes.min(PIECE_ROWS / all.max(1))
    };
    let outer = most(Axes::has_outer, |[_, classes, inner]| classes.saturating_mul(inner));
    let classes = most(Axes::has_classes, |[_, _, inner]| inner);
    let inner = most(Axes::has_inner, |_| 1);
    let (outer, classes, inner) = match (outer, classes, inner) {
        (1.., ..) => (outer, view.classes as u64, view.inner as u64),
        (0, 1.., _) => (1, classes, view.inner as u64),
        (0, 0, 1..) => (1, 1, inner),
        (0, 0, 0) => {
            return Err(Error::Limit {
                what: "a piece of one element",
                limit: "max_storage_buffer_binding_size",
                needed: offset_alignment(&profile.limits) + 64,
                allowed: profile.limits.max_storage_buffer_binding_size,
            });
        }
    };
    let axes =
        [(view.outer, outer), (view.classes, classes), (view.inner, inner)].map(|(whole, most)| {
            let fits = most >= whole as u64;
            (whole, if fits { whole } else { stretch(whole as u64, most) as usize })
        });
    let count = axes
        .iter()
        .fold(1u64, |count, &(whole, step)| count.saturating_mul(whole.div_ceil(step) as u64));
    check_count(count)?;
    let cut = |(whole, step): (usize, usize)| {
        (0..whole).step_by(step).map(move |start| start..whole.min(start + step))
    };
    let mut pieces = Vec::new();
    for outer in cut(axes[0]) {
        for classes in cut(axes[1]) {
            for inner in cut(axes[2]) {
                pieces.push(Piece { outer: outer.clone(), classes: classes.clone(), inner });
            }
        }
    }
    Ok(pieces)
}

/// The most rows that a lane reads together. After as many rows, a row starts on a load again.
const TOGETHER: usize = 8;

/// Cuts the outer axis in steps of `step` at most. Short rows are read several at a time: the remaining ones form a
/// piece of their own. Two rows of an odd number of elements may share a word, so a piece starts at an even row, if it
/// has more than one.
fn whole_rows(view: ClassView, step: usize, short: bool) -> Result<Vec<Piece>, Error> {
    let outer = view.outer;
    let step = match (view.inner, step) {
        (1, TOGETHER..) => step / TOGETHER * TOGETHER,
        (1, 2..) => step / 2 * 2,
        _ => step,
    };
    let body = match short && outer >= TOGETHER && step >= TOGETHER {
        true => outer / TOGETHER * TOGETHER,
        false => outer,
    };
    check_count(body.div_ceil(step) as u64)?;
    let starts = (0..body).step_by(step).chain((body < outer).then_some(body));
    let piece = |start: usize| {
        let end = if start < body { body.min(start.saturating_add(step)) } else { outer };
        Piece { outer: start..end, classes: 0..view.classes, inner: 0..view.inner }
    };
    Ok(starts.map(piece).collect())
}

/// Cuts steps of the outer axis that do not fit into boxes of some classes at some positions.
///
/// The span of a box from its first element to its last is `(classes - 1) * inner + positions`. As many
/// positions as the states of their rows may have memory for come first, then as many classes as fit.
fn boxes(problem: &Problem, profile: &Profile, room: &Room) -> Result<Vec<Piece>, Error> {
    let view = problem.view;
    let (classes, inner) = (view.classes as u64, view.inner as u64);
    let positions = room.elements.min(room.rows).min(rows_with_states(problem, profile));
    if positions == 0 || room.classes == 0 {
        return Err(Error::Limit {
            what: "a piece of one logit",
            limit: "max_storage_buffer_binding_size",
            needed: offset_alignment(&profile.limits) + 64,
            allowed: profile.limits.max_storage_buffer_binding_size,
        });
    }
    let positions = stretch(inner, positions);
    let depth = ((room.elements - positions) / inner + 1).min(room.classes);
    let depth = match fixed_unit(problem, profile)? {
        None => stretch(classes.max(1), depth),
        Some(Unit { classes: unit, all_positions })
            if depth < unit || all_positions && positions < inner =>
        {
            return Err(Error::Limit {
                what: "a part of a row, which batch invariance keeps whole (with what lies between its classes)",
                limit: "max_storage_buffer_binding_size",
                needed: least_binding(
                    problem,
                    profile,
                    unit,
                    if all_positions { inner } else { 1 },
                ),
                allowed: profile.limits.max_storage_buffer_binding_size,
            });
        }
        Some(Unit { classes: unit, .. }) => {
            depth.min(classes).next_multiple_of(unit).min(depth / unit * unit)
        }
    };
    let per_step = inner.div_ceil(positions).saturating_mul(classes.div_ceil(depth).max(1));
    check_count(per_step.saturating_mul(view.outer as u64))?;

    let cut = |whole: usize, step: u64| {
        let step = step as usize;
        let stretch_at = move |start: usize| start..whole.min(start.saturating_add(step));
        (0..whole.max(1)).step_by(step).map(stretch_at)
    };
    let mut pieces = Vec::new();
    for step in 0..view.outer {
        for inner in cut(view.inner, positions) {
            for classes in cut(view.classes, depth) {
                pieces.push(Piece { outer: step..step + 1, classes, inner: inner.clone() });
            }
        }
    }
    Ok(pieces)
}

/// The sizes that boxes are multiples of if the cuts must not change the folding of rows.
struct Unit {
    /// The classes of a part of a row, or all of them.
    classes: u64,
    /// A step of the outer axis is not cut: lanes that each fold whole neighbouring rows cannot share one.
    all_positions: bool,
}

/// Returns the unit of batch-invariant rows; `None` if rows may be cut anywhere.
fn fixed_unit(problem: &Problem, profile: &Profile) -> Result<Option<Unit>, Error> {
    // nll reads one element of each row.
    if !profile.batch_invariant || problem.function == Function::Nll {
        return Ok(None);
    }
    let classes = problem.view.classes;
    let parts = problem.class_shard.is_some();
    let folding = Folding::fixed(problem, problem.view.rows(), profile, Alignment::BEST, parts)?;
    Ok(Some(Unit {
        classes: folding.fixed_part(classes, profile).unwrap_or(classes.max(1)) as u64,
        all_positions: matches!(folding, Folding::Columns(_)),
    }))
}

/// Returns the bytes of a binding that holds `classes` classes of `positions` neighbouring rows.
fn least_binding(problem: &Problem, profile: &Profile, classes: u64, positions: u64) -> u64 {
    let bytes = |tensor: CallTensor| {
        let elements = match tensor.axes {
            Axes::Elements => {
                (classes - 1).saturating_mul(problem.view.inner as u64).saturating_add(positions)
            }
            Axes::Classes => classes,
            Axes::Rows => positions,
            _ => 0,
        };
        elements.saturating_mul(tensor.element_bytes)
    };
    let most = problem.tensors().map(bytes).max().unwrap_or(0);
    most.saturating_add(offset_alignment(&profile.limits) + 64)
}

/// Returns the fewest bytes of a binding for a box of one row, which holds a unit that is never cut; 0 if rows may be
/// cut anywhere.
pub(crate) fn least_box(problem: &Problem, profile: &Profile) -> Result<u64, Error> {
    let unit = fixed_unit(problem, profile)?;
    Ok(unit.map_or(0, |unit| least_binding(problem, profile, unit.classes, 1)))
}

/// Returns the number of rows whose states have memory: 8 bytes for each 1,000 logits, or a thirty-second of a
/// binding's bytes if that is more. Fewer positions would make many small dispatches.
fn rows_with_states(problem: &Problem, profile: &Profile) -> u64 {
    if problem.function == Function::Nll {
        return u64::MAX;
    }
    let limit = profile.limits.max_storage_buffer_binding_size.min(BINDING_BYTES);
    let bytes = (problem.view.elements() as u64 / 1000 * 8).max(limit / 32);
    let bytes = bytes.clamp(LEAST_STATES, largest_binding(profile) / 2);
    bytes / (4 * words_of_row(problem, 1, true))
}

/// Returns the most bytes of a binding for a buffer that is not cut. A profile with a lower limit than devices have
/// limits the tensors alone.
pub(super) fn largest_binding(profile: &Profile) -> u64 {
    profile.limits.max_storage_buffer_binding_size.clamp(EVERY_BINDING, BINDING_BYTES)
}

/// Returns the length of equal stretches of `most` at most that cover `whole`. Long ones are multiples of 64, so that
/// all of them start alike in their loads.
fn stretch(whole: u64, most: u64) -> u64 {
    let most = if most > 64 { most / 64 * 64 } else { most };
    let even = whole.div_ceil(whole.div_ceil(most));
    if even > 64 { even.next_multiple_of(64).min(most) } else { even }
}

fn check_count(pieces: u64) -> Result<(), Error> {
    if pieces > PIECES {
        return Err(Error::Limit {
            what: "cutting the tensors into pieces that fit a binding",
            limit: "number of pieces",
            needed: pieces,
            allowed: PIECES,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use super::*;
    use crate::loss::{Loss, Shapes};
    use crate::tensor::TensorSlot;
    use crate::{CrossEntropy, LabelType, Outputs, Plan, TargetType};

    fn problem(shape: &[usize], label: LabelType) -> Problem {
        let mut labels = shape.to_vec();
        labels.remove(1);
        let shapes = Shapes::new(shape).target(TargetType::Labels(label), &labels).weight(shape[1]);
        CrossEntropy::new().label_smoothing(0.1).problem(&shapes, Outputs::loss()).unwrap()
    }

    fn bytes(slot: TensorSlot, problem: &Problem, piece: &Piece) -> Range<u64> {
        piece.bytes_of(&problem.tensor(slot).expect("a tensor"))
    }

    #[test]
    fn a_box_binds_its_part_of_every_tensor() {
        // Past 2^32 elements: 2 images of 19 classes at 2^32 positions.
        let problem = problem(&[2, 19, 1 << 16, 1 << 16], LabelType::U8);
        let piece = Piece { outer: 1..2, classes: 17..19, inner: 5..1005 };
        let first = ((19 + 17) << 32) + 5;
        let logits = 4 * first..4 * (first + (1 << 32) + 1000);
        assert_eq!(bytes(TensorSlot::Logits, &problem, &piece), logits);
        assert_eq!(bytes(TensorSlot::Target, &problem, &piece), (1 << 32) + 5..(1 << 32) + 1005);
        assert_eq!(bytes(TensorSlot::Weight, &problem, &piece), 4 * 17..4 * 19);
        let whole = Piece { outer: 0..2, classes: 0..19, inner: 0..1 << 32 };
        assert_eq!(bytes(TensorSlot::Logits, &problem, &whole), 0..(4 * 38) << 32);
    }

    #[test]
    fn parameters_count_past_32_bits() {
        let problem = problem(&[3, 5_000_000_000], LabelType::I64);
        let plan = Plan::of(problem, &Profile::portable()).unwrap();
        let mut next = 0;
        for step in plan.all_dispatches().iter().filter(|step| step.spec.is_softmax()) {
            let Piece { outer, classes, .. } = &plan.pieces()[step.piece.unwrap()];
            let params = plan.params(step, &step.spec);
            let wide = |low: u32, high: u32| u64::from(high) << 32 | u64::from(low);
            let base = wide(params.class_base_low, params.class_base_high);
            assert_eq!(base, classes.start as u64);
            let all = wide(params.all_classes_low, params.all_classes_high);
            assert_eq!((all, params.rows), (5_000_000_000, 1));
            assert_eq!(params.row_base as usize, outer.start);
            assert_eq!(params.smoothing_share, (0.1_f32 as f64 / 5e9) as f32);
            assert!(params.part_loads * params.parts >= params.classes / 4);
            if step.spec.phase == crate::kernels::Phase::Fold {
                assert_eq!((outer.start as u64 * 5_000_000_000) + base, next);
                next += u64::from(params.classes);
            }
        }
        assert_eq!(next, 15_000_000_000);
    }

    #[test]
    fn stretches_are_even_and_cover() {
        for whole in (1..600).chain([1000, 4097, 1 << 20]) {
            for most in (1..200).chain([1000, 4096]) {
                let step = stretch(whole, most);
                assert!((1..=most).contains(&step), "{whole} by {most}: {step}");
                assert!(step <= 64 || step.is_multiple_of(64), "{whole} by {most}: {step}");
                let rounded = if most > 64 { most / 64 * 64 } else { most };
                assert_eq!(whole.div_ceil(step), whole.div_ceil(rounded), "{whole} by {most}");
            }
        }
    }
}
