//! The kernel `rows`: lanes share a row. Chooses its loads, the lanes and parts of a row, and the words that a lane
//! keeps.

use crate::Error;
use crate::kernels::{Geometry, Layout, Phase, Residency, RowLoads, Spec, VectorWidth, is_half};
use crate::plan::Profile;
use crate::plan::alignment::Alignment;
use crate::plan::loads::{UNROLLED, ragged_load, widest_that};
use crate::tensor::{ClassView, ElementType};

/// The fewest classes for which rows of f32 are read in loads of four though they do not start on one. In shorter rows,
/// the first and the last load are too large a part of a row.
const RAGGED_CLASSES: usize = 64;
/// The same for loads of eight of f16 and bf16, whose single elements cost more: two share a word.
const RAGGED_HALVES: usize = 16;
/// Bytes that states may take for a better use of the device, even for a small tensor.
const STATES_BYTES: u64 = 12 << 10;
/// The most loads of a lane in one part of a row.
const LANE_LOADS: usize = 1 << 13;
/// The fewest classes in a part of a batch-invariant row: a state for each takes 12 bytes for 1,000 logits.
const FIXED_PART_CLASSES: usize = 1 << 11;

/// Returns the layout in which lanes share rows whose classes are neighbours. `written`: in addition to the loss, a tensor
/// with an element for each class is.
pub(super) fn neighbours(
    classes: usize,
    input: ElementType,
    written: bool,
    profile: &Profile,
    alignment: Alignment,
) -> Result<Layout, Error> {
    // Batch-invariant rows are folded as those of aligned tensors, at any offset.
    let fixed = profile.batch_invariant;
    let expected = if fixed { Alignment::BEST } else { alignment };
    let (load, ragged) = load_of(classes, input, profile, expected);
    // A row may begin with the last element of a load. Such rows are not resident: each of their loads would be a
    // special case in the text.
    let by_class = ragged && fixed;
    let lead = if ragged && !by_class { load.elements() - 1 } else { 0 };
    let loads = (lead + classes).div_ceil(load.elements());
    let most_loads = most_loads(load, profile);
    let geometry = Geometry::rows(profile, load, loads, most_loads)?;
    let lanes = geometry.lanes as usize;
    let of_lane = loads.div_ceil(lanes);
    let of_read = (profile.tuning.resident_read as usize / load.elements()).max(1);
    let most_resident = if written { most_loads } else { most_loads.min(of_read) };
    let residency = if of_lane <= most_resident && !ragged {
        resident(loads, lanes)
    } else {
        Residency::streaming(of_lane)
    };
    let as_expected = if ragged { alignment.alike } else { alignment.load >= load };
    let row_loads = match (as_expected, ragged) {
        (false, _) => RowLoads::Loose,
        (true, true) => RowLoads::Ragged,
        (true, false) => RowLoads::Aligned,
    };
    let u64_loads = profile.has_u64_loads(load) && row_loads != RowLoads::Loose;
    Ok(Layout { load, u64_loads, residency, row_loads, by_class, ..Layout::plain(geometry) })
}

/// Returns the loads of rows whose classes are neighbours; true if rows start inside of them.
fn load_of(
    classes: usize,
    input: ElementType,
    profile: &Profile,
    alignment: Alignment,
) -> (VectorWidth, bool) {
    let widest = profile.widest_load(input);
    let fits = |load: VectorWidth| {
        load <= widest.min(alignment.load) && classes.is_multiple_of(load.elements())
    };
    let least = if input == ElementType::F32 { RAGGED_CLASSES } else { RAGGED_HALVES };
    match widest_that(fits).unwrap_or(VectorWidth::One) {
        VectorWidth::One if widest > VectorWidth::One && alignment.alike && classes >= least => {
            (ragged_load(input), true)
        }
        load => (load, false),
    }
}

/// Returns the layout in which lanes share rows that are neighbours.
pub(super) fn strided(classes: usize, rows: usize, profile: &Profile) -> Result<Layout, Error> {
    let geometry = Geometry::strided(profile, classes, rows)?;
    let residency = Residency::streaming(classes.div_ceil(geometry.lanes as usize));
    Ok(Layout { residency, row_loads: RowLoads::Strided, ..Layout::plain(geometry) })
}

/// Returns a kernel whose rows of f32 would be read twice with more lanes to a row, if these keep it: workgroups of up to
/// `resident_lanes` lanes, a row to each.
pub(super) fn kept_by_more_lanes(
    spec: Spec,
    classes: usize,
    profile: &Profile,
) -> Result<Spec, Error> {
    let Layout { load, residency, row_loads, .. } = spec.layout;
    let most = profile.tuning.resident_lanes;
    let read_twice = spec.phase == Phase::Whole && spec.writes() && !residency.is_resident();
    let more = most > profile.tuning.workgroup;
    // Classes' shares would be resident too: twice the registers, of which so many lanes have few.
    let plain =
        row_loads == RowLoads::Aligned && spec.input == ElementType::F32 && !spec.dense_target;
    // Batch-invariant rows are cut into parts wherever they are not resident, before it is known what is written.
    if !more || !read_twice || !plain || profile.batch_invariant {
        return Ok(spec);
    }
    let loads = classes.div_ceil(load.elements());
    let most_loads = most_loads(load, profile);
    let geometry = Geometry::row_each(profile, most, loads, most_loads)?;
    let residency = resident(loads, geometry.lanes as usize);
    let kept = Spec { layout: Layout { geometry, residency, ..spec.layout }, ..spec };
    let fits = loads.div_ceil(geometry.lanes as usize) <= most_loads
        && kept.workgroup_bytes() <= profile.limits.max_compute_workgroup_storage_size.into();
    Ok(if fits { kept } else { spec })
}

/// Returns the most loads that a lane keeps of a row.
fn most_loads(load: VectorWidth, profile: &Profile) -> usize {
    (profile.tuning.resident_row as usize / load.elements()).min(UNROLLED)
}

/// Returns the residency of `loads` loads in registers of `lanes` lanes.
fn resident(loads: usize, lanes: usize) -> Residency {
    Residency::Resident { loads: loads.div_ceil(lanes) as u32, full: (loads / lanes) as u32 }
}

/// Sets the parts of the kernel that depend on its inputs and outputs: rows of `classes` classes that share words, and
/// the weights of neighbouring classes in loads of four.
pub(super) fn packed(spec: Spec, rows: usize, classes: usize, alignment: Alignment) -> Spec {
    let layout = spec.layout;
    let ragged = layout.row_loads == RowLoads::Ragged;
    // Every second row starts in the middle of a pair of elements.
    let odd = rows > 1 && classes % 2 == 1;
    let layout = Layout {
        pairs: ragged && odd && spec.writes() && is_half(spec.output),
        weight_packs: layout.is_wide()
            && !ragged
            && spec.weight.is_some()
            && spec.dense_target
            // A shard's first weight is one of many.
            && !spec.shard
            && alignment.weights,
        ..layout
    };
    Spec { layout, ..spec }
}

/// Returns the units that lanes sharing a row compute at a time, of `rows` rows: a row, two, or one of the parts of
/// those.
pub(super) fn teams(spec: &Spec, rows: u64, parts: u32) -> u64 {
    let teams = if spec.layout.pairs { rows.div_ceil(2) } else { rows };
    match spec.phase {
        Phase::Fold | Phase::Write => teams * u64::from(parts),
        Phase::Whole | Phase::Merge => teams,
    }
}

/// Returns the classes in each part of a batch-invariant row of `classes`; `None` if it is not cut into parts.
pub(super) fn fixed_part(layout: &Layout, classes: usize, profile: &Profile) -> Option<usize> {
    if layout.residency.is_resident() {
        return None;
    }
    let of_lanes = layout.load.elements() * layout.geometry.lanes as usize;
    let loads = FIXED_PART_CLASSES.div_ceil(of_lanes).max(profile.tuning.part_loads as usize);
    let part = of_lanes * loads.min(LANE_LOADS);
    (classes >= 2 * part).then_some(part)
}

/// Returns the number of parts of a row, so that `rows` rows keep the device busy and no lane folds for too long.
/// `state_words`: the words of a part's state.
pub(super) fn parts(
    layout: &Layout,
    view: ClassView,
    rows: usize,
    profile: &Profile,
    state_words: u64,
) -> usize {
    if layout.residency.is_resident() || rows == 0 {
        return 1;
    }
    let Layout { geometry, load, .. } = layout;
    let tuning = &profile.tuning;
    let loads_of_lane = view.classes.div_ceil(load.elements() * geometry.lanes as usize);
    let busy = tuning.fill as usize * geometry.rows_per_group() as usize;
    let wanted = busy / rows;
    // Limits scratch memory for states to 16 bytes for each 1,000 logits, and some KiB.
    let (rows, classes) = (rows as u64, view.classes as u64);
    let memory = STATES_BYTES + rows * classes / 1000 * 16;
    let affordable = (memory / (rows * 4 * state_words)) as usize;
    let allowed = loads_of_lane / tuning.part_loads as usize;
    wanted
        .min(allowed)
        .min(affordable.saturating_sub(1))
        .max(loads_of_lane.div_ceil(LANE_LOADS))
        .max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::Kernel;

    /// A row that starts on a load stays in registers if these suffice; one that starts inside of a load does not.
    #[test]
    fn rows_that_start_on_a_load_are_resident() {
        let profile = Profile::portable().with_device_type(wgpu::DeviceType::DiscreteGpu);
        let layout = |classes| {
            neighbours(classes, ElementType::F32, true, &profile, Alignment::BEST).unwrap()
        };
        for (classes, row_loads, resident) in [
            (1000, RowLoads::Aligned, true),
            (1001, RowLoads::Ragged, false),
            (RAGGED_CLASSES - 1, RowLoads::Aligned, true),
            (100_000, RowLoads::Aligned, false),
        ] {
            let layout = layout(classes);
            let found = (layout.row_loads, layout.residency.is_resident());
            assert_eq!(found, (row_loads, resident), "{classes}: {layout:?}");
        }
    }

    /// Rows of f32 that are written are read once if a workgroup of the device keeps them, and workgroup memory allows
    /// it; all other long rows have workgroups as everything else.
    #[test]
    fn rows_that_would_be_read_twice_are_kept_by_more_lanes() {
        use crate::loss::Shapes;
        use crate::{CrossEntropy, LabelType, Outputs, Plan, Softmax, TargetType};

        let mut card = Profile::portable().with_device_type(wgpu::DeviceType::DiscreteGpu);
        card.limits.max_compute_invocations_per_workgroup = 1024;
        card.limits.max_compute_workgroup_size_x = 1024;
        (card.subgroup_size, card.subgroups_alike) = (Some(32), true);
        let mut small = card.clone();
        small.limits.max_compute_workgroup_storage_size = 8 << 10;
        let (loss, grad) = (Outputs::loss(), Outputs::loss().with_grad());
        let labels = TargetType::Labels(LabelType::I64);
        for (profile, classes, input, outputs, wanted) in [
            (&card, 8192, ElementType::F32, grad, 256),
            (&card, 8196, ElementType::F32, grad, 512),
            (&card, 32_000, ElementType::F32, grad, 1024),
            (&card, 32_768, ElementType::F32, grad, 1024),
            (&card, 32_772, ElementType::F32, grad, 256),
            (&card, 32_001, ElementType::F32, grad, 256),
            (&card, 32_000, ElementType::F32, loss, 256),
            (&card, 32_000, ElementType::BF16, grad, 256),
            (&small, 32_000, ElementType::F32, grad, 256),
            (&Profile::portable(), 32_000, ElementType::F32, grad, 256),
            (&card.clone().with_batch_invariance(true), 32_000, ElementType::F32, grad, 256),
        ] {
            let shape = [1000, classes];
            let shapes = Shapes::new(&shape).input_type(input).target(labels, &[1000]);
            let plan = Plan::new(&CrossEntropy::new(), &shapes, outputs, profile).unwrap();
            let rows = |spec: &Spec| spec.kernel == Kernel::Rows && spec.phase != Phase::Merge;
            let lanes: Vec<_> =
                plan.specs().filter(rows).map(|s| s.layout.geometry.lanes).collect();
            assert!(
                lanes.iter().all(|&lanes| lanes == wanted),
                "{lanes:?} and not {wanted}: {plan}"
            );
            let kept = wanted > 256 || classes == 8192;
            let mut specs = plan.specs().filter(rows);
            assert!(specs.all(|spec| spec.layout.residency.is_resident() == kept), "{plan}");
        }
        let shape = [1000, 32_000];
        let plan = Plan::new(&Softmax::probs(), &Shapes::new(&shape), loss, &card).unwrap();
        assert_eq!(plan.specs().next().unwrap().layout.geometry.lanes, 1024, "{plan}");
    }
}
