//! Batch-invariant plans: the fold of a row does not depend on the number of rows, nor on the placement of tensors. The
//! bits themselves are compared by `tests/gpu/invariance.rs`.

use std::collections::BTreeSet;

use wgpu_loss::kernels::{Kernel, Phase, Residency, RowLoads, Spec};
use wgpu_loss::loss::Shapes;
use wgpu_loss::plan::{Plan, Profile};
use wgpu_loss::wgpu::DeviceType;
use wgpu_loss::{CrossEntropy, ElementType, Error, LabelType, Outputs, TargetType};

/// Devices of every kind of tuning, with subgroups and without.
fn profiles() -> Vec<Profile> {
    let kinds = [DeviceType::DiscreteGpu, DeviceType::IntegratedGpu, DeviceType::Cpu];
    let sizes = [None, Some(4), Some(8), Some(32), Some(64)];
    let profile = |kind, size: Option<u32>| {
        let mut profile = Profile::portable().with_device_type(kind);
        profile.subgroup_size = size;
        profile.subgroups_alike = size.is_some_and(|size| size > 4);
        profile.int64 = kind == DeviceType::Cpu && size.is_some();
        profile.limits.max_storage_buffers_per_shader_stage = if size.is_some() { 16 } else { 8 };
        profile
    };
    kinds.into_iter().flat_map(|kind| sizes.map(|size| profile(kind, size))).collect()
}

/// Returns what determines the order of a row's operations; `None` for kernels that fold no logits.
fn order(spec: &Spec) -> Option<String> {
    if !matches!(spec.kernel, Kernel::Rows | Kernel::Columns) || spec.phase == Phase::Write {
        return None;
    }
    let layout = spec.layout;
    let residency = match layout.residency {
        Residency::Resident { .. } => "resident",
        Residency::Chunks => "chunks",
        Residency::Few | Residency::Fours => "streaming",
    };
    // A lane with rows of its own reads their classes one by one, whatever its loads are.
    Some(match spec.kernel {
        Kernel::Columns => format!("columns, {residency}"),
        _ => format!(
            "{:?}, {residency}, {}, {:?}, strided {}, by class {}",
            spec.phase,
            layout.load.elements(),
            layout.geometry,
            layout.row_loads == RowLoads::Strided,
            layout.by_class
        ),
    })
}

/// The orders of all variants of plans of `rows` rows.
fn orders(
    profile: &Profile,
    (classes, apart): (usize, bool),
    element_type: ElementType,
    rows: &[usize],
) -> BTreeSet<BTreeSet<String>> {
    let of = |&rows: &usize| {
        let (shape, labels) = match apart {
            true => (vec![1, classes, rows], vec![1, rows]),
            false => (vec![rows, classes], vec![rows]),
        };
        let shapes = Shapes::new(&shape)
            .input_type(element_type)
            .target(TargetType::Labels(LabelType::I32), &labels);
        let outputs = Outputs::loss().with_grad();
        let plan = Plan::new(&CrossEntropy::new(), &shapes, outputs, profile).unwrap();
        plan.variants().filter_map(|spec| order(&spec)).collect()
    };
    rows.iter().map(of).collect()
}

#[test]
fn the_order_follows_from_the_classes_alone() {
    let classes =
        (1..140).chain([200, 255, 256, 1000, 1001, 1024, 2047, 4100, 8191, 20_000, 50_257]);
    let classes: Vec<usize> = classes.collect();
    let types = [ElementType::F32, ElementType::BF16];
    let (mut compared, mut several) = (0, 0);
    for profile in profiles() {
        let fixed = profile.clone().with_batch_invariance(true);
        for &classes in &classes {
            for (element_type, apart) in types.into_iter().flat_map(|t| [(t, false), (t, true)]) {
                let kind = (classes, apart);
                let rows = [1, 2, 3, 7, 8, 64, 600];
                let found = orders(&fixed, kind, element_type, &rows);
                let what = format!("{kind:?}, {element_type:?}, {profile:?}");
                // There is one set of kernels for any number of rows, with one order for each part of the work.
                assert_eq!(found.len(), 1, "{what}: {found:#?}");
                let found = found.first().unwrap();
                let parts: BTreeSet<_> =
                    found.iter().map(|order| order.split(',').next()).collect();
                assert_eq!(parts.len(), found.len(), "{what}: {found:#?}");
                compared += 1;
                let default = orders(&profile, kind, element_type, &rows);
                several += usize::from(default.len() > 1 || default.first().unwrap().len() > 1);
            }
        }
    }
    // Without the option there are others, so the test can fail.
    assert!(several > compared / 4, "{several} of {compared}");
}

#[test]
fn what_is_never_cut_has_to_fit() {
    let mut profile = Profile::portable().with_batch_invariance(true);
    profile.limits.max_storage_buffer_binding_size = 64 << 10;
    let plan = |profile: &Profile, shape: &[usize]| {
        let labels = [&shape[..1], &shape[2..]].concat();
        let shapes = Shapes::new(shape).target(TargetType::Labels(LabelType::I32), &labels);
        Plan::new(&CrossEntropy::new(), &shapes, Outputs::loss(), profile)
    };
    let default = profile.clone().with_batch_invariance(false);
    // Rows of several parts are divided between them, others are not divided.
    for (shape, cut) in [(&[3, 50_000][..], true), (&[1, 19, 5000], false), (&[2, 9000, 3], true)] {
        assert!(plan(&default, shape).unwrap().pieces().len() > 1, "{shape:?}");
        match plan(&profile, shape) {
            Ok(plan) => {
                assert!(cut, "{shape:?}");
                let starts: BTreeSet<usize> =
                    plan.pieces().iter().map(|p| p.classes.start).collect();
                assert!(
                    starts.len() > 1 && starts.iter().all(|start| start % 2048 == 0),
                    "{starts:?}"
                );
            }
            Err(Error::Limit { needed, allowed, .. }) => {
                assert!(!cut && needed > allowed, "{shape:?}: {needed} of {allowed}");
                // With as much it is planned.
                let mut more = profile.clone();
                more.limits.max_storage_buffer_binding_size = needed;
                assert!(plan(&more, shape).is_ok(), "{shape:?} in {needed}");
            }
            Err(error) => panic!("{shape:?}: {error}"),
        }
    }
}
