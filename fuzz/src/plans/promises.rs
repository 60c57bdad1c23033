//! The promises of every plan, calculated from shapes and limits alone, in 128 bits.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;

use wgpu_loss::kernels::{Access, Spec};
use wgpu_loss::loss::Upstream;
use wgpu_loss::plan::{Piece, Plan, Profile};
use wgpu_loss::{CLASS_BYTES, ClassView, Reduction, TargetType};

use super::Tensors;
use crate::draw::Draw;
use support::texts::{parsed_kernel, workgroup_bytes};

/// Largest number of dispatches of a plan of which all variants are checked.
const MOST_VARIED: usize = 40;
/// Number of turns after which llvmpipe ends the loops of an invocation.
const TURNS: u64 = 65_535;

/// Checks that a plan keeps its promises.
///
/// # Panics
/// If it breaks one.
pub fn check(plan: &Plan, profile: &Profile, tensors: &Tensors, draw: &Draw<'_>) {
    let what = || format!("{plan}\n{:?}\n{profile:#?}", plan.problem());
    let view = plan.problem().view;
    match plan.problem().states {
        None => tiles(plan.pieces(), view, &what),
        // The rows of states have pieces of their own, without classes.
        Some(_) => {
            let has_classes = |piece: &Piece| !piece.classes.is_empty();
            let (elements, rows): (Vec<_>, Vec<_>) =
                plan.pieces().iter().cloned().partition(has_classes);
            if view.classes > 0 {
                tiles(&rows, ClassView { classes: 0, ..view }, &what);
            }
            if !elements.is_empty() {
                tiles(&elements, view, &what);
            }
        }
    }
    bindings(plan, profile, tensors, &what);
    workspace(plan, profile, &what);
    groups(plan, profile, &what);
    let specs: Vec<Spec> = match plan.dispatches() {
        0..=MOST_VARIED => plan.variants().chain(plan.specs()).collect(),
        _ => plan.specs().collect(),
    };
    specs.iter().for_each(|spec| geometry(spec, profile, &what));
    // Texts are parsed slowly: one of some plans. Only states of no rows have none.
    if draw.comes(1) && !specs.is_empty() {
        let spec = specs[draw.below(specs.len())];
        let allowed = u64::from(profile.limits.max_compute_workgroup_storage_size);
        let needed = bytes_of_text(&spec);
        assert!(needed <= allowed, "{needed} bytes of workgroup memory: {spec:?}\n{}", what());
    }
    if profile.device_type == wgpu::DeviceType::Cpu {
        let turns = plan.longest_loops();
        assert!(turns < TURNS, "{turns} turns: {}", what());
    }
}

/// Asserts that the pieces have every element once: they divide the outer axis, each part of it the inner axis, and
/// each part of that the classes.
fn tiles(pieces: &[Piece], view: ClassView, what: &dyn Fn() -> String) {
    if pieces.is_empty() {
        let rows = view.outer as u128 * view.inner as u128;
        assert!(rows == 0, "no pieces: {}", what());
        return;
    }
    let mut pieces = pieces.to_vec();
    pieces.sort_by_key(|piece| (piece.outer.start, piece.inner.start, piece.classes.start));
    let steps: Vec<&[Piece]> = pieces.chunk_by(|a, b| a.outer == b.outer).collect();
    let mut sound = divide(steps.iter().map(|step| &step[0].outer), view.outer);
    for step in steps {
        let stretches: Vec<&[Piece]> = step.chunk_by(|a, b| a.inner == b.inner).collect();
        sound &= divide(stretches.iter().map(|stretch| &stretch[0].inner), view.inner);
        for stretch in stretches {
            sound &= divide(stretch.iter().map(|piece| &piece.classes), view.classes);
        }
    }
    assert!(sound, "{pieces:?} are not the whole: {}", what());
}

/// Returns true if ranges that are not empty follow each other from 0 to `whole`.
fn divide<'a>(ranges: impl Iterator<Item = &'a Range<usize>>, whole: usize) -> bool {
    let mut end = 0;
    for range in ranges {
        if range.start != end || (range.is_empty() && whole > 0) {
            return false;
        }
        end = range.end;
    }
    end == whole
}

/// Asserts that the bytes that a piece binds of each tensor are within the limit, wherever in its buffer the tensor
/// starts.
fn bindings(plan: &Plan, profile: &Profile, tensors: &Tensors, what: &dyn Fn() -> String) {
    let limit = profile.limits.max_storage_buffer_binding_size.min(u32::MAX.into());
    let slack = profile.limits.min_storage_buffer_offset_alignment.max(32) + 32;
    let all = spans(plan, tensors);
    for piece in plan.pieces() {
        for (name, bytes, span) in &all {
            let needed = span(piece) * u128::from(*bytes) + u128::from(slack);
            let fits = needed <= u128::from(limit) || span(piece) == 0;
            assert!(fits, "{needed} bytes of {name} for {piece:?}: {}", what());
        }
    }
}

/// Elements from the first that a piece has of a tensor to the last.
type Span<'a> = Box<dyn Fn(&Piece) -> u128 + 'a>;

/// The tensors of a call: name, bytes of an element, and how much of it a piece spans.
fn spans<'a>(plan: &'a Plan, tensors: &'a Tensors) -> Vec<(&'static str, u32, Span<'a>)> {
    let problem = plan.problem();
    let view = problem.view;
    let elements = move |piece: &Piece| -> u128 {
        let flat = |o: usize, c: usize, i: usize| {
            (o as u128 * view.classes as u128 + c as u128) * view.inner as u128 + i as u128
        };
        if piece.classes.is_empty() {
            return 0;
        }
        let first = flat(piece.outer.start, piece.classes.start, piece.inner.start);
        flat(piece.outer.end - 1, piece.classes.end - 1, piece.inner.end - 1) + 1 - first
    };
    let rows = move |piece: &Piece| -> u128 {
        let flat = |o: usize, i: usize| o as u128 * view.inner as u128 + i as u128;
        let first = flat(piece.outer.start, piece.inner.start);
        flat(piece.outer.end - 1, piece.inner.end - 1) + 1 - first
    };
    let mut all: Vec<(&'static str, u32, Span<'a>)> =
        vec![("the input", problem.input_type.bytes(), Box::new(elements))];
    let outputs = problem.outputs;
    if outputs.grad || outputs.log_probs {
        all.push(("gradient or distribution", problem.output_type.bytes(), Box::new(elements)));
    }
    if problem.pointwise.is_some() {
        if problem.reduction == Reduction::None {
            all.push(("losses", 4, Box::new(elements)));
        }
        let target = tensors.target.as_ref().map(|(t, shape)| (element_bytes(*t), shape));
        let typed = |given: &'a Option<(wgpu_loss::ElementType, Vec<usize>)>| {
            given.as_ref().map(|(t, shape)| (t.bytes(), shape))
        };
        for (name, operand) in [
            ("the target", target),
            ("element weights", typed(&tensors.element_weight)),
            ("pos_weight", typed(&tensors.pos_weight)),
            ("variances", typed(&tensors.var)),
        ] {
            let Some((bytes, shape)) = operand else { continue };
            let of_operand = move |piece: &Piece| {
                let flat = |o: usize, c: usize, i: usize| {
                    (o as u128 * view.classes as u128 + c as u128) * view.inner as u128 + i as u128
                };
                let first = flat(piece.outer.start, piece.classes.start, piece.inner.start);
                let last = flat(piece.outer.end - 1, piece.classes.end - 1, piece.inner.end - 1);
                let at = |element| broadcast_index(&tensors.input, shape, element);
                at(last) + 1 - at(first)
            };
            all.push((name, bytes, Box::new(of_operand)));
        }
        return all;
    }
    match problem.target {
        Some(TargetType::Labels(label_type)) => {
            all.push(("labels", label_type.bytes(), Box::new(rows)));
        }
        Some(TargetType::Probabilities(t) | TargetType::Values(t)) => {
            all.push(("probabilities", t.bytes(), Box::new(elements)));
        }
        // No other target has a class axis.
        _ => {}
    }
    // A shard has the weights of all classes in one binding.
    if let Some(weight_type) = problem.weight_type.filter(|_| problem.class_shard.is_none()) {
        let classes = |piece: &Piece| piece.classes.len() as u128;
        all.push(("class weights", weight_type.bytes(), Box::new(classes)));
    }
    if problem.row_weights || problem.reduction == Reduction::None {
        all.push(("row weights or losses", 4, Box::new(rows)));
    }
    match problem.upstream {
        Upstream::PerRow if outputs.grad => all.push(("upstream", 4, Box::new(rows))),
        Upstream::PerElement(t) => all.push(("upstream", t.bytes(), Box::new(elements))),
        _ => {}
    }
    if let Some(1) = problem.states {
        all.push(("states", 4 * problem.state_fields().len() as u32, Box::new(rows)));
    }
    let record = problem.record().len() as u32;
    if record > 0 && !outputs.states {
        all.push(("records", 4 * record, Box::new(rows)));
    }
    all
}

fn element_bytes(target: TargetType) -> u32 {
    match target {
        TargetType::Labels(label_type) => label_type.bytes(),
        TargetType::Probabilities(t) | TargetType::Values(t) => t.bytes(),
        other => panic!("no target of type {other:?}"),
    }
}

/// Returns the element of an operand that goes with an element of the input, by NumPy's broadcasting.
fn broadcast_index(input: &[usize], operand: &[usize], mut element: u128) -> u128 {
    // A variance may lack its last axis.
    let lacks = operand.len() + 1 == input.len() && *operand == input[..operand.len()];
    let operand = if lacks { [operand, &[1]].concat() } else { operand.to_vec() };
    let (mut index, mut stride) = (0, 1);
    for (from_last, &extent) in input.iter().rev().enumerate() {
        let at = element % extent as u128;
        element /= extent as u128;
        if let Some(&own) = operand.iter().rev().nth(from_last) {
            index += if own > 1 { at * stride } else { 0 };
            stride *= own as u128;
        }
    }
    index
}

/// Asserts that the workspace, which is never divided, fits a binding. A limit below the 128 MiB that every device has
/// applies to the tensors alone.
fn workspace(plan: &Plan, profile: &Profile, what: &dyn Fn() -> String) {
    let limit = profile.limits.max_storage_buffer_binding_size;
    let limit = limit.clamp(128 << 20, u32::MAX.into());
    let bytes = plan.workspace_bytes();
    assert!(bytes <= limit, "{bytes} bytes of workspace: {}", what());
    if plan.problem().outputs.class_losses {
        let needed = u128::from(CLASS_BYTES) * plan.problem().view.classes as u128;
        assert!(needed <= u128::from(limit), "{needed} bytes of sums of classes: {}", what());
    }
}

/// Asserts that the number of groups is at most the device's, and at least one. The plan's text states them.
fn groups(plan: &Plan, profile: &Profile, what: &dyn Fn() -> String) {
    let most = u64::from(profile.limits.max_compute_workgroups_per_dimension);
    if plan.dispatches() > 1000 {
        return;
    }
    for line in plan.to_string().lines().take(plan.dispatches()) {
        let groups = line.split(' ').next().and_then(|number| number.parse::<u64>().ok());
        assert!(groups.is_some_and(|groups| (1..=most).contains(&groups)), "{line}: {}", what());
    }
}

/// The device takes the kernel.
fn geometry(spec: &Spec, profile: &Profile, what: &dyn Fn() -> String) {
    let limits = &profile.limits;
    let g = spec.layout.geometry;
    let most =
        limits.max_compute_invocations_per_workgroup.min(limits.max_compute_workgroup_size_x);
    let fits = g.workgroup <= most && g.lanes <= g.workgroup && g.cluster <= g.lanes;
    let sound = [g.workgroup, g.lanes, g.cluster].iter().all(|lanes| lanes.is_power_of_two());
    assert!(fits && sound, "{spec:?}: {}", what());
    let reaches = profile.subgroup_size.unwrap_or(1);
    assert!(g.cluster <= reaches, "{spec:?} shuffles past {reaches} lanes: {}", what());
    let storage = |(_, access): &(_, Access)| *access != Access::Uniform;
    let bound = spec.slots().iter().filter(|slot| storage(slot)).count();
    let most = limits.max_storage_buffers_per_shader_stage as usize;
    assert!(bound <= most, "{spec:?} binds {bound} buffers: {}", what());
    assert!(profile.int64 || !spec.layout.u64_loads, "{spec:?} has 64 bits: {}", what());
    assert!(profile.f16 || !spec.native_f16, "{spec:?} has f16: {}", what());
}

/// Workgroup memory that a kernel's text asks for.
fn bytes_of_text(spec: &Spec) -> u64 {
    thread_local! {
        static KNOWN: RefCell<HashMap<Spec, u64>> = RefCell::default();
    }
    let bytes = || {
        let (module, info) = parsed_kernel(spec);
        workgroup_bytes(&module, &info)
    };
    KNOWN.with_borrow_mut(|known| *known.entry(*spec).or_insert_with(bytes))
}
