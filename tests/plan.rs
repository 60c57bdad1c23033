//! Plans are pure: what they cut, count and refuse is tested without a device.

use wgpu_loss::kernels::Part;
use wgpu_loss::loss::Shapes;
use wgpu_loss::{
    CrossEntropy, ElementType, Error, LabelType, Loss, Nll, Outputs, Plan, Profile, Reduction,
    Softmax, TargetType,
};

const I64: TargetType = TargetType::Labels(LabelType::I64);

fn software() -> Profile {
    let portable = Profile { subgroup_size: Some(8), int64: true, ..Profile::portable() };
    portable.with_device_type(wgpu::DeviceType::Cpu)
}

fn with_binding_limit(bytes: u64) -> Profile {
    let mut profile = Profile::portable();
    profile.limits.max_storage_buffer_binding_size = bytes;
    profile
}

fn plan(
    loss: &dyn Loss,
    input: &[usize],
    labels: &[usize],
    profile: &Profile,
) -> Result<Plan, Error> {
    Plan::new(loss, &Shapes::new(input).target(I64, labels), Outputs::loss(), profile)
}

#[test]
fn pieces_follow_each_other_and_cover_the_outer_axis() {
    let loss = CrossEntropy::new();
    for (shape, labels) in [(vec![1000, 7], vec![1000]), (vec![37, 5, 3, 11], vec![37, 3, 11])] {
        let plan = plan(&loss, &shape, &labels, &with_binding_limit(4096)).expect("a plan");
        let pieces = plan.pieces();
        assert!(pieces.len() > 1, "{shape:?} is not cut");
        assert_eq!((pieces[0].start, pieces[pieces.len() - 1].end), (0, shape[0]));
        assert!(pieces.windows(2).all(|pair| pair[0].end == pair[1].start));
        let row_bytes: usize = shape[1..].iter().product::<usize>() * 4;
        assert!(pieces.iter().all(|piece| !piece.is_empty() && piece.len() * row_bytes <= 4096));
    }
}

#[test]
fn the_labels_count_towards_a_piece_too() {
    // 8 bytes of label and 4 of logits in each row.
    let plan = plan(&CrossEntropy::new(), &[100_000, 1], &[100_000], &with_binding_limit(8192));
    assert!(plan.expect("a plan").pieces().iter().all(|piece| piece.len() * 8 <= 8192));
}

#[test]
fn a_row_larger_than_a_binding_names_the_limit() {
    let error = plan(&CrossEntropy::new(), &[2, 5000], &[2], &with_binding_limit(4096));
    let Err(Error::Limit { limit, needed, allowed, .. }) = error else { panic!("{error:?}") };
    assert_eq!((limit, needed, allowed), ("max_storage_buffer_binding_size", 20_000, 4096));
}

#[test]
fn every_combination_fits_the_default_limits() {
    let outputs = Outputs::loss().with_grad().with_log_probs();
    for target in [(I64, &[8][..]), (TargetType::Probabilities(ElementType::F32), &[8, 12][..])] {
        let shapes = Shapes::new(&[8, 12]).target(target.0, target.1).weight(12).upstream(&[8]);
        let loss = CrossEntropy::new().label_smoothing(0.1).reduction(Reduction::None);
        Plan::new(&loss, &shapes, outputs, &Profile::portable()).expect("at most eight bindings");
    }
}

#[test]
fn a_device_with_few_bindings_is_told_apart() {
    let mut profile = Profile::portable();
    profile.limits.max_storage_buffers_per_shader_stage = 3;
    let shapes = Shapes::new(&[8, 12]).target(I64, &[8]).weight(12);
    let error = Plan::new(&CrossEntropy::new(), &shapes, Outputs::loss(), &profile);
    let limit = "max_storage_buffers_per_shader_stage";
    assert!(matches!(error, Err(Error::Limit { limit: name, .. }) if name == limit), "{error:?}");
}

#[test]
fn workspace_stays_small() {
    let gpu = Profile { subgroup_size: Some(32), ..Profile::portable() };
    let gpu = gpu.with_device_type(wgpu::DeviceType::DiscreteGpu);
    let mut wide = gpu.clone();
    wide.limits.max_storage_buffer_binding_size = 1 << 31;
    for profile in [Profile::portable(), software(), gpu, wide] {
        // Few rows of many classes have states in the workspace, many rows have partials.
        let shapes: [&[usize]; 9] = [
            &[1, 1],
            &[1 << 20, 10],
            &[1 << 24, 3],
            &[1 << 10, 32_000],
            &[4, 151_936],
            &[1, 4_000_000],
            &[300, 50_257],
            &[64, 1000, 7, 7],
            &[1, 20_000, 3],
        ];
        for shape in shapes {
            let mut labels = shape.to_vec();
            labels.remove(1);
            let plan = plan(&CrossEntropy::new(), shape, &labels, &profile).expect("a plan");
            let elements: usize = shape.iter().product();
            let allowed = (64 << 10) + 16 * elements as u64 / 1000;
            assert!(plan.workspace_bytes() <= allowed, "{shape:?}:\n{plan}");
            assert!(plan.to_string().contains(&plan.workspace_bytes().to_string()), "{plan}");
        }
    }
}

#[test]
fn few_long_rows_are_shared_by_groups() {
    let gpu = Profile { subgroup_size: Some(32), ..Profile::portable() };
    for shape in [[4, 151_936], [1, 4_000_000]] {
        let plan = plan(&CrossEntropy::new(), &shape, &shape[..1], &gpu).expect("a plan");
        let parts: Vec<_> = plan.specs().map(|spec| spec.part).collect();
        assert_eq!(parts[..2], [Part::Fold, Part::Merge], "{plan}");
        // Enough groups for each processor of a large GPU.
        let fold = plan.to_string();
        let groups: u32 = fold.split(' ').next().and_then(|n| n.parse().ok()).expect("a number");
        assert!(groups >= 128, "{plan}");
    }
}

#[test]
fn workgroups_respect_the_devices_limits() {
    let mut profile = Profile::portable();
    profile.limits.max_compute_invocations_per_workgroup = 48;
    profile.limits.max_compute_workgroup_storage_size = 1024;
    let plan = plan(&CrossEntropy::new(), &[9, 50_257], &[9], &profile).expect("a plan");
    for spec in plan.specs() {
        let geometry = spec.geometry;
        assert!(geometry.workgroup <= 16, "{geometry:?}: 40 bytes for each lane, 1024 in all");
        assert!(geometry.workgroup.is_power_of_two() && geometry.lanes <= geometry.workgroup);
    }
}

/// llvmpipe ends an invocation's loops after 65,535 turns in all, and says nothing.
#[test]
fn software_drivers_get_no_endless_loops() {
    let outputs = Outputs::loss().with_grad();
    for (shape, labels) in [
        (vec![300_000_000, 1], vec![300_000_000]),
        (vec![1, 3_000_001], vec![1]),
        (vec![1, 300_001, 7], vec![1, 7]),
        (vec![2, 15_000, 700], vec![2, 700]),
        (vec![1, 1 << 29], vec![1]),
    ] {
        let mut profile = software();
        profile.limits.max_storage_buffer_binding_size = 1 << 32;
        for subgroup_size in [None, Some(4), Some(8)] {
            profile.subgroup_size = subgroup_size;
            let shapes = Shapes::new(&shape).target(I64, &labels);
            let plan = Plan::new(&CrossEntropy::new(), &shapes, outputs, &profile).expect("a plan");
            assert!(plan.longest_loops() < 65_535, "{shape:?}: {}", plan.longest_loops());
        }
    }
}

#[test]
fn nothing_at_all_is_a_plan_too() {
    for shape in [[0, 10], [0, 1 << 40]] {
        let plan = plan(&CrossEntropy::new(), &shape, &[0], &Profile::portable()).expect("a plan");
        assert_eq!((plan.pieces().len(), plan.dispatches()), (0, 1));
    }
    let huge = Shapes::new(&[1 << 62, 0, 1 << 62]);
    Plan::new(&Softmax::probs(), &huge, Outputs::loss(), &Profile::portable()).expect("a plan");
}

#[test]
fn a_gradient_by_the_mean_weighs_the_labels_first() {
    let profile = Profile::portable();
    let count = |loss: &dyn Loss, outputs| {
        let shapes = Shapes::new(&[6, 5]).target(I64, &[6]);
        Plan::new(loss, &shapes, outputs, &profile).expect("a plan").dispatches()
    };
    let grad = Outputs::loss().with_grad();
    assert_eq!(count(&CrossEntropy::new(), Outputs::loss()), 2);
    assert_eq!(count(&CrossEntropy::new(), grad), 4);
    assert_eq!(count(&CrossEntropy::new().reduction(Reduction::Sum), grad), 2);
    assert_eq!(count(&Nll::new(), grad), 5);
}
