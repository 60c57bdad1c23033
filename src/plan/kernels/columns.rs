//! The kernel `columns`: a lane folds whole rows. They are neighbours in memory, or short and follow each other.

use super::class_sums;
use crate::Error;
use crate::kernels::{Geometry, Layout, Residency, Spec, VectorWidth};
use crate::plan::Profile;
use crate::plan::alignment::Alignment;
use crate::plan::loads::{UNROLLED, widest_that};
use crate::tensor::{ClassView, ElementType};

/// Returns the layout in which a lane folds neighbouring rows alone.
pub(super) fn neighbours(
    view: ClassView,
    input: ElementType,
    profile: &Profile,
    widest: VectorWidth,
) -> Result<Layout, Error> {
    let fits = |load: VectorWidth| load <= widest && view.inner.is_multiple_of(load.elements());
    let resident = resident_load(view, input, profile, &fits);
    let load = resident.or(widest_that(fits)).unwrap_or(VectorWidth::One);
    lane_per_row(view.classes, profile, load, resident.is_some())
}

/// Returns the widest of the loads that fit of which a lane keeps every class.
fn resident_load(
    view: ClassView,
    input: ElementType,
    profile: &Profile,
    fits: &impl Fn(VectorWidth) -> bool,
) -> Option<VectorWidth> {
    let tuning = &profile.tuning;
    let is_resident = |load: VectorWidth| {
        view.classes <= UNROLLED
            && view.classes * load.elements() <= tuning.resident_columns as usize
    };
    // A narrow load with every class resident is faster than a wide one with two passes; but not where loads are the
    // cost, nor for single elements of which two share a word.
    if !profile.batch_invariant {
        let narrowest = match input {
            _ if tuning.load == VectorWidth::Eight => widest_that(fits),
            ElementType::F32 => None,
            ElementType::F16 | ElementType::BF16 => {
                widest_that(|l| l <= VectorWidth::Four && fits(l))
            }
        };
        return widest_that(|load| fits(load) && is_resident(load) && Some(load) >= narrowest);
    }
    // The same for any number of positions and any alignment.
    let widest = profile.widest_load(input);
    let narrowest = match input {
        _ if tuning.load == VectorWidth::Eight => widest,
        ElementType::F32 => VectorWidth::One,
        ElementType::F16 | ElementType::BF16 => VectorWidth::Four.min(widest),
    };
    widest_that(|load| fits(load) && is_resident(load)).filter(|_| is_resident(narrowest))
}

/// Returns the layout in which a lane folds alone rows that follow each other.
pub(super) fn short(
    view: ClassView,
    rows: usize,
    profile: &Profile,
    widest: VectorWidth,
) -> Result<Layout, Error> {
    let most_words = profile.tuning.resident_short as usize;
    // Rows without classes have nothing to load.
    let fits = |load: VectorWidth| {
        load <= widest
            && view.classes > 0
            && rows.is_multiple_of(load.elements())
            && view.classes * load.elements() <= most_words
    };
    let load = widest_that(fits).unwrap_or(VectorWidth::One);
    Ok(Layout {
        short: load > VectorWidth::One,
        ..lane_per_row(view.classes, profile, load, true)?
    })
}

/// Returns the most classes of rows that follow each other for which a lane keeps its own rows.
pub(in crate::plan) fn short_classes(profile: &Profile) -> usize {
    let load = profile.widest_load(ElementType::F32).elements();
    (profile.tuning.resident_short as usize / load).min(UNROLLED)
}

fn lane_per_row(
    classes: usize,
    profile: &Profile,
    load: VectorWidth,
    resident: bool,
) -> Result<Layout, Error> {
    let residency = match resident && classes > 0 {
        true => Residency::Resident { loads: classes as u32, full: classes as u32 },
        false => Residency::streaming(classes),
    };
    let geometry = Geometry::lane_per_row(profile)?;
    Ok(Layout {
        load,
        u64_loads: profile.has_u64_loads(load),
        residency,
        ..Layout::plain(geometry)
    })
}

/// The fewest lanes of a group that shares a stage: a subgroup of most devices.
const STAGING_LANES: u32 = 32;

/// Returns the kernel with the group's short rows staged, in as many lanes as the tuning and the device have the memory
/// for; the kernel as it is if these are too few.
pub(super) fn staged(spec: Spec, classes: usize, profile: &Profile) -> Spec {
    if !spec.layout.short {
        return spec;
    }
    let of_lanes = |workgroup| {
        let geometry = Geometry { workgroup, ..spec.layout.geometry };
        // Only software drivers have loads of 64-bit numbers, and their tables have no stage.
        let layout = Layout { geometry, staged: true, u64_loads: false, ..spec.layout };
        Spec { layout, ..spec }
    };
    let allowed = u64::from(profile.limits.max_compute_workgroup_storage_size);
    // The sums of classes come first: without them rows wait for each other, without a stage only for the memory.
    let sums = if spec.row_features.class_losses { class_sums::bytes(classes) } else { 0 };
    let fits = |staged: &Spec| {
        staged.stage_bytes() <= profile.tuning.staged_short.into()
            && Spec { group_classes: 0, ..*staged }.workgroup_bytes() + sums <= allowed
    };
    let halved = |lanes: &u32| Some(lanes / 2);
    let lanes = std::iter::successors(Some(spec.layout.geometry.workgroup), halved);
    let enough = lanes.take_while(|&lanes| lanes >= STAGING_LANES);
    enough.map(of_lanes).find(fits).unwrap_or(spec)
}

/// Sets the kernel's other loads of four: the labels and the records of neighbouring rows.
pub(super) fn packed(spec: Spec, alignment: Alignment) -> Spec {
    let wide = spec.layout.is_wide();
    let layout = Layout {
        label_packs: wide && spec.label_type().is_some() && alignment.labels,
        record_packs: wide && spec.writes_records() && alignment.records,
        ..spec.layout
    };
    Spec { layout, ..spec }
}

#[cfg(test)]
mod tests {
    use wgpu::DeviceType::{Cpu, DiscreteGpu, IntegratedGpu};

    use super::*;
    use crate::LabelType;
    use crate::kernels::{Kernel, Target};
    use crate::plan::Tuning;

    fn view(classes: usize, inner: usize) -> ClassView {
        ClassView { outer: 3, classes, inner }
    }

    /// Short rows are those of which a lane keeps as many as its widest load has elements.
    #[test]
    fn short_rows_fit_a_lane() {
        let card = Profile::portable().with_device_type(DiscreteGpu);
        let mut software = Profile::portable().with_device_type(Cpu);
        software.int64 = true;
        assert_eq!(short_classes(&card), 64 / 4);
        assert_eq!(short_classes(&software), 256 / 8);
        let wide = Tuning { resident_short: 512, ..Tuning::DISCRETE };
        assert_eq!(short_classes(&card.with_tuning(wide)), UNROLLED);
    }

    /// Labels come in packs where logits come in vectors, and the labels' own place allows it.
    #[test]
    fn labels_are_packed_only_beside_vectors() {
        let geometry = Geometry::lane_per_row(&Profile::portable()).unwrap();
        let labels = Target::Labels(LabelType::I64);
        for (load, target, alignment, packed_labels) in [
            (VectorWidth::Four, labels, Alignment::BEST, true),
            (VectorWidth::One, labels, Alignment::BEST, false),
            (VectorWidth::Four, labels, Alignment::WORST, false),
            (VectorWidth::Four, Target::None, Alignment::BEST, false),
        ] {
            let layout = Layout { load, ..Layout::plain(geometry) };
            let spec = Spec { target, layout, ..Spec::new(Kernel::Columns, geometry) };
            assert_eq!(packed(spec, alignment).layout.label_packs, packed_labels, "{spec}");
        }
    }

    /// Groups have as many lanes as fit the stage and the device, and none where these would be too few.
    #[test]
    fn short_rows_are_staged_in_as_many_lanes_as_fit() {
        let card = Profile::portable().with_device_type(DiscreteGpu);
        let of_bytes =
            |bytes| card.clone().with_tuning(Tuning { staged_short: bytes, ..card.tuning });
        let mut roomy = card.clone();
        roomy.limits.max_compute_workgroup_storage_size = 32 << 10;
        let mut narrow = card.clone();
        narrow.limits.max_compute_workgroup_storage_size = 4 << 10;
        for (profile, classes, wanted) in [
            (&card, 2, Some(256)),
            (&card, 5, Some(128)),
            (&card, 10, Some(64)),
            (&card, 16, Some(32)),
            (&roomy, 16, Some(64)),
            (&narrow, 5, Some(32)),
            (&narrow, 10, None),
            (&of_bytes(0), 2, None),
            (&of_bytes(5120), 10, Some(32)),
            (&of_bytes(5119), 10, None),
        ] {
            for rows in [64, 66] {
                let layout = short(view(classes, 1), rows, profile, VectorWidth::Four).unwrap();
                let geometry = layout.geometry;
                let spec = Spec { layout, ..Spec::new(Kernel::Columns, geometry) };
                let spec = staged(spec, classes, profile);
                let wanted = wanted.filter(|_| rows == 64);
                let lanes = spec.layout.staged.then_some(spec.layout.geometry.workgroup);
                assert_eq!(lanes, wanted, "{rows} rows of {classes}: {spec}");
                let unstaged = Layout { staged: false, geometry, ..spec.layout };
                assert_eq!(unstaged, layout, "{spec}");
            }
        }
    }

    #[test]
    fn no_lane_keeps_more_than_its_share() {
        let mut seen = [0; 2];
        for kind in [Cpu, DiscreteGpu, IntegratedGpu] {
            for fixed in [false, true] {
                let mut profile =
                    Profile::portable().with_device_type(kind).with_batch_invariance(fixed);
                profile.int64 = kind == Cpu;
                for (input, classes) in [ElementType::F32, ElementType::F16]
                    .into_iter()
                    .flat_map(|input| (1..70).map(move |classes| (input, classes)))
                {
                    for inner in [1, 4, 8] {
                        let widest = profile.widest_load(input);
                        let layout =
                            neighbours(view(classes, inner), input, &profile, widest).unwrap();
                        let words = classes * layout.load.elements();
                        let most = profile.tuning.resident_columns as usize;
                        let resident = layout.residency.is_resident();
                        assert!(!resident || classes <= UNROLLED && words <= most, "{layout:?}");
                        seen[usize::from(resident)] += 1;
                    }
                }
            }
        }
        assert!(seen.iter().all(|&times| times > 0), "{seen:?}");
    }

    /// A card keeps a column by narrower loads than its widest: of f32 by any, of halves by four at least. A software
    /// driver, to which loads are the cost, does not.
    #[test]
    fn columns_are_kept_by_narrower_loads_where_these_cost_less() {
        let card = Profile::portable().with_device_type(DiscreteGpu);
        let mut software = Profile::portable().with_device_type(Cpu);
        software.int64 = true;
        software = software.with_tuning(Tuning { resident_columns: 64, ..Tuning::SOFTWARE });
        for (profile, input, classes, wanted) in [
            (&card, ElementType::F32, 16, Some(VectorWidth::Four)),
            (&card, ElementType::F32, 20, Some(VectorWidth::One)),
            (&card, ElementType::F16, 8, Some(VectorWidth::Eight)),
            (&card, ElementType::F16, 12, Some(VectorWidth::Four)),
            (&card, ElementType::F16, 20, None),
            (&software, ElementType::F32, 8, Some(VectorWidth::Eight)),
            (&software, ElementType::F32, 10, None),
        ] {
            for fixed in [false, true] {
                let profile = profile.clone().with_batch_invariance(fixed);
                let widest = profile.widest_load(input);
                let layout = neighbours(view(classes, 16), input, &profile, widest).unwrap();
                let resident = layout.residency.is_resident().then_some(layout.load);
                assert_eq!(resident, wanted, "{classes} of {input:?}, fixed {fixed}: {layout:?}");
            }
        }
    }
}
