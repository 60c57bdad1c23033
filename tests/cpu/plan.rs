//! Plans are pure: their pieces, sizes and errors are tested without a device.

use support::random::Random;
use wgpu_loss::kernels::{Phase, RowLoads, Spec};
use wgpu_loss::loss::Shapes;
use wgpu_loss::plan::{Piece, Tuning};
use wgpu_loss::{
    Bce, BceWithLogits, CrossEntropy, ElementType, Entropy, Error, GaussianNll, KlDiv, LabelType,
    Loss, Nll, Outputs, Plan, PoissonNll, Profile, Reduction, Softmax, TargetType,
};

const I64: TargetType = TargetType::Labels(LabelType::I64);

fn software() -> Profile {
    let mut profile = with_subgroups(8, wgpu::DeviceType::Cpu);
    profile.int64 = true;
    profile
}

fn with_subgroups(size: u32, device_type: wgpu::DeviceType) -> Profile {
    let mut profile = Profile::portable().with_device_type(device_type);
    profile.subgroup_size = Some(size);
    profile
}

/// A device of each kind.
fn profiles() -> Vec<(&'static str, Profile)> {
    vec![
        ("a browser", Profile::portable()),
        ("a software driver", software()),
        ("a graphics card", with_subgroups(32, wgpu::DeviceType::DiscreteGpu)),
        ("an integrated GPU", with_subgroups(16, wgpu::DeviceType::IntegratedGpu)),
    ]
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
        assert_eq!((pieces[0].outer.start, pieces[pieces.len() - 1].outer.end), (0, shape[0]));
        assert!(pieces.windows(2).all(|pair| pair[0].outer.end == pair[1].outer.start));
        let row_bytes: usize = shape[1..].iter().product::<usize>() * 4;
        for Piece { outer, classes, inner } in pieces {
            assert!(!outer.is_empty() && outer.len() * row_bytes <= 4096);
            assert_eq!((classes.len(), inner.len()), (shape[1], shape[2..].iter().product()));
        }
    }
}

#[test]
fn the_labels_count_towards_a_piece_too() {
    // 8 bytes of label and 4 of logits in each row.
    let plan = plan(&CrossEntropy::new(), &[100_000, 1], &[100_000], &with_binding_limit(8192));
    assert!(plan.expect("a plan").pieces().iter().all(|piece| piece.rows() * 8 <= 8192));
}

#[test]
fn a_binding_that_holds_nothing_names_the_limit() {
    let error = plan(&CrossEntropy::new(), &[2, 5000], &[2], &with_binding_limit(256));
    let Err(Error::Limit { limit, allowed, .. }) = error else { panic!("{error:?}") };
    assert_eq!((limit, allowed), ("max_storage_buffer_binding_size", 256));
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
fn a_kernel_of_too_many_bindings_is_shared_by_several() {
    let profile = Profile::portable();
    assert_eq!(profile.limits.max_storage_buffers_per_shader_stage, 8);
    let outputs = Outputs::loss().with_grad().with_lse().with_rank().with_class_losses();
    let loss = CrossEntropy::new().reduction(Reduction::None).z_loss(1e-4).softcap(30.0);
    for shape in [&[64, 10][..], &[64, 1000], &[3, 21, 64]] {
        let rows = [&shape[..1], &shape[2..]].concat();
        let shapes = Shapes::new(shape).target(I64, &rows).weight(shape[1]);
        let shapes = shapes.row_weights(&rows).upstream(&rows);
        let plan = Plan::new(&loss, &shapes, outputs.with_log_probs(), &profile).unwrap();
        assert!(plan.specs().all(|spec| spec.slots().len() <= 9), "{plan}");
        assert!(plan.variants().all(|spec| spec.slots().len() <= 9), "{plan}");
    }
}

/// Two elements of two bytes share a word. If rows of an odd number of them start inside a load, every second row
/// starts inside a word, and both rows must belong to one lane: they are processed in pairs, whether one kernel does
/// all of the work or several share it.
#[test]
fn rows_that_share_words_are_written_in_pairs() {
    let shares_words = |spec: &Spec| {
        let writes = spec.grad || spec.distribution.is_some();
        spec.layout.row_loads == RowLoads::Ragged && writes && spec.output != ElementType::F32
    };
    let mut seen = [0; 2];
    for (name, profile) in profiles() {
        for storage_buffers in [8, 16] {
            let mut profile = profile.clone();
            profile.limits.max_storage_buffers_per_shader_stage = storage_buffers;
            for classes in [17, 23, 64, 71, 131, 175, 1003, 1483, 4099, 50_257] {
                for rows in [1, 2, 19, 64] {
                    for element_type in [ElementType::F16, ElementType::BF16] {
                        let (shape, of_rows) = ([rows, classes], [rows]);
                        let shapes = Shapes::new(&shape)
                            .input_type(element_type)
                            .target(I64, &of_rows)
                            .weight(classes)
                            .row_weights(&of_rows)
                            .upstream(&of_rows);
                        let outputs = Outputs::loss().with_grad().with_log_probs();
                        let loss = CrossEntropy::new().reduction(Reduction::None);
                        let plan = Plan::new(&loss, &shapes, outputs, &profile).expect("a plan");
                        for spec in plan.variants().filter(shares_words) {
                            let wanted = rows > 1 && classes % 2 == 1;
                            assert_eq!(
                                spec.layout.pairs, wanted,
                                "{shape:?} for {name}: {spec}\n{plan}"
                            );
                            seen[usize::from(spec.phase == Phase::Write)] += usize::from(wanted);
                        }
                    }
                }
            }
        }
    }
    assert!(seen.iter().all(|&times| times > 0), "whole and split kernels: {seen:?}");
}

#[test]
fn sums_of_classes_that_no_binding_holds_are_refused() {
    let outputs = Outputs::loss().with_class_losses();
    // 28 bytes for each class.
    for (classes, fits) in [(4_000_000, true), (6_000_000, false)] {
        let shape = [1, classes];
        let shapes = Shapes::new(&shape).target(I64, &[1]);
        let plan = Plan::new(&CrossEntropy::new(), &shapes, outputs, &Profile::portable());
        let limit = "max_storage_buffer_binding_size";
        match plan {
            Ok(_) => assert!(fits),
            Err(Error::Limit { what: "sums of classes", limit: name, needed, .. }) => {
                assert!(!fits && name == limit && needed == 28 * 6_000_000);
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// A limit holds for the largest tensor that fits it, and for none that is larger.
#[test]
fn sums_of_classes_may_fill_a_binding() {
    let shapes = Shapes::new(&[1, 5_000_000]).target(I64, &[1]);
    let outputs = Outputs::loss().with_class_losses();
    for (bytes, fits) in [(28 * 5_000_000, true), (28 * 5_000_000 - 1, false)] {
        let profile = with_binding_limit(bytes);
        let plan = Plan::new(&CrossEntropy::new(), &shapes, outputs, &profile);
        assert_eq!(plan.is_ok(), fits, "{bytes}");
    }
}

#[test]
fn workspace_stays_small() {
    let gpu = with_subgroups(32, wgpu::DeviceType::DiscreteGpu);
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

/// Optional outputs of rows make states larger: fewer of them have the same memory.
#[test]
fn workspace_stays_small_whatever_states_have() {
    let gpu = with_subgroups(32, wgpu::DeviceType::DiscreteGpu);
    let outputs = Outputs::loss().with_grad().with_rank().with_argmax().with_entropy();
    let loss = CrossEntropy::new().label_smoothing(0.1).z_loss(1e-4);
    for (what, profile) in [("a GPU", gpu), ("a software driver", software())] {
        for shape in [&[4, 151_936][..], &[300, 50_257], &[1, 4_000_000], &[19, 120_000]] {
            let shapes = Shapes::new(shape).target(I64, &shape[..1]);
            let plan = Plan::new(&loss, &shapes, outputs, &profile).expect("a plan");
            let elements: usize = shape.iter().product();
            let allowed = (64 << 10) + 16 * elements as u64 / 1000;
            assert!(plan.workspace_bytes() <= allowed, "{shape:?} on {what}:\n{plan}");
        }
    }
    // Rows that are divided: the states of all rows of a piece are kept at once.
    for inner in [40_000, 400_000] {
        let (shape, rows) = ([1, 300, inner], [1, inner]);
        let shapes = Shapes::new(&shape).target(I64, &rows);
        let profile = with_binding_limit(1 << 20);
        let plan = Plan::new(&loss, &shapes, outputs, &profile).expect("a plan");
        // 8 bytes for each 1,000 logits, or a thirty-second of a binding.
        let of_partials = (64 << 10) + 11 * (300 * inner as u64) / 1000;
        let of_states = (8 * (300 * inner as u64) / 1000).max((1 << 20) / 32);
        let bytes = plan.workspace_bytes();
        assert!(bytes <= of_partials + of_states, "{shape:?}: {bytes}");
        // As many rows as have memory: fewer would make more dispatches.
        assert!(bytes >= of_states / 2, "{shape:?}: {bytes}");
    }
}

#[test]
fn few_long_rows_are_shared_by_groups() {
    let gpu = with_subgroups(32, wgpu::DeviceType::Other);
    for shape in [[4, 151_936], [1, 4_000_000]] {
        let plan = plan(&CrossEntropy::new(), &shape, &shape[..1], &gpu).expect("a plan");
        let parts: Vec<_> = plan.specs().map(|spec| spec.phase).collect();
        assert_eq!(parts[..2], [Phase::Fold, Phase::Merge], "{plan}");
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
        let geometry = spec.layout.geometry;
        assert!(spec.workgroup_bytes() <= 1024, "{geometry:?}");
        assert!((16..=48).contains(&geometry.workgroup), "{geometry:?}: 32 bytes for each lane");
        assert!(geometry.workgroup.is_power_of_two() && geometry.lanes <= geometry.workgroup);
    }
}

/// Parts of batch-invariant rows are numbered through all pieces, so each piece begins where a part does, even if the
/// device has less memory than the requested number of lanes needs.
#[test]
fn pieces_of_invariant_rows_begin_with_a_part() {
    let mut seen = 0;
    for part_loads in [1, 3, 4] {
        for bytes in [4096, 8192, 16_384] {
            let mut profile = Profile::portable().with_batch_invariance(true);
            profile.limits.max_storage_buffer_binding_size = 256 << 10;
            profile.limits.max_compute_workgroup_storage_size = bytes;
            profile.tuning.part_loads = part_loads;
            let plan = plan(&CrossEntropy::new(), &[2, 262_144], &[2], &profile).expect("a plan");
            for (spec, params) in plan.specs().zip(plan.parameters()) {
                if spec.phase == Phase::Fold {
                    let classes = params.part_loads * spec.layout.load.elements() as u32;
                    assert_eq!(params.class_base_low % classes, 0, "{bytes}, {part_loads}: {plan}");
                    seen += usize::from(params.class_base_low > 0);
                }
            }
        }
    }
    assert!(seen > 0, "no row is cut");
}

/// wgpu does not check the memory of workgroups whose number of lanes is a constant.
#[test]
fn workgroups_have_their_memory_whatever_is_asked_of_rows() {
    let outputs = Outputs::loss().with_grad().with_rank().with_argmax().with_entropy();
    let outputs = outputs.with_accuracy().with_top_k(3).with_class_losses();
    let loss = CrossEntropy::new().label_smoothing(0.1).z_loss(1e-4);
    let mut largest = 0;
    for (bytes, subgroup_size) in
        [(49_152, None), (49_152, Some(32)), (16_384, None), (32_768, None), (700, None)]
    {
        let mut profile = Profile::portable();
        (profile.limits.max_compute_workgroup_storage_size, profile.subgroup_size) =
            (bytes, subgroup_size);
        profile.limits.max_compute_invocations_per_workgroup = 1024;
        profile.limits.max_compute_workgroup_size_x = 1024;
        profile.tuning.workgroup = 1024;
        for shape in [&[64, 1000][..], &[64, 3001], &[2, 151_936], &[64, 3], &[3, 700, 40]] {
            let rows = [&shape[..1], &shape[2..]].concat();
            let shapes = Shapes::new(shape).target(I64, &rows);
            let plan = Plan::new(&loss, &shapes, outputs, &profile).expect("a plan");
            for spec in plan.variants() {
                let needed = spec.workgroup_bytes();
                assert!(needed <= bytes.into(), "{needed} of {bytes} bytes: {spec}");
                largest = largest.max(spec.layout.geometry.workgroup);
            }
        }
    }
    assert!(largest >= 512, "{largest} lanes where there is memory for more");
    // Not even one lane.
    let mut profile = Profile::portable();
    profile.limits.max_compute_workgroup_storage_size = 8;
    let error = plan(&CrossEntropy::new(), &[9, 3], &[9], &profile);
    let limit = "max_compute_workgroup_storage_size";
    assert!(matches!(error, Err(Error::Limit { limit: name, .. }) if name == limit), "{error:?}");
}

#[test]
fn devices_that_there_are_not_are_refused_by_name() {
    for size in [0, 48] {
        let mut profile = Profile::portable();
        profile.subgroup_size = Some(size);
        let error = plan(&CrossEntropy::new(), &[9, 1000], &[9], &profile);
        let named = matches!(error, Err(Error::Option { option: "subgroup_size", .. }));
        assert!(named, "{size}: {error:?}");
    }
    type Change = fn(&mut wgpu::Limits);
    let none: [(&str, Change); 9] = [
        ("max_compute_workgroups_per_dimension", |l| l.max_compute_workgroups_per_dimension = 0),
        ("max_compute_invocations_per_workgroup", |l| l.max_compute_invocations_per_workgroup = 0),
        ("max_compute_invocations_per_workgroup", |l| l.max_compute_workgroup_size_x = 0),
        ("max_compute_workgroup_storage_size", |l| l.max_compute_workgroup_storage_size = 0),
        ("max_storage_buffer_binding_size", |l| l.max_storage_buffer_binding_size = 0),
        ("max_storage_buffers_per_shader_stage", |l| l.max_storage_buffers_per_shader_stage = 0),
        ("max_uniform_buffer_binding_size", |l| l.max_uniform_buffer_binding_size = 0),
        ("max_bind_groups", |l| l.max_bind_groups = 0),
        ("max_bindings_per_bind_group", |l| l.max_bindings_per_bind_group = 2),
    ];
    for (limit, change) in none {
        let mut profile = Profile::portable();
        change(&mut profile.limits);
        let error = plan(&CrossEntropy::new(), &[9, 1000], &[9], &profile);
        let named = matches!(&error, Err(Error::Limit { limit: named, .. }) if *named == limit);
        assert!(named, "{limit}: {error:?}");
    }
}

// ---- Anything at all

/// Every loss.
fn losses() -> [(&'static str, Box<dyn Loss>); 9] {
    [
        ("cross_entropy", Box::new(CrossEntropy::new().label_smoothing(0.1).z_loss(0.5))),
        ("nll", Box::new(Nll::new())),
        ("softmax", Box::new(Softmax::probs())),
        ("entropy", Box::new(Entropy::new())),
        ("bce", Box::new(Bce::new().reduction(Reduction::None))),
        ("bce_with_logits", Box::new(BceWithLogits::new())),
        ("kl_div", Box::new(KlDiv::new())),
        ("gaussian_nll", Box::new(GaussianNll::new().reduction(Reduction::None))),
        ("poisson_nll", Box::new(PoissonNll::new())),
    ]
}

/// Shapes, operands, outputs, devices and tunings of any kind: a plan or an error each time, and no number that wraps
/// around (the crate's release profile looks for these too). With SOAK=n in the environment it is a longer walk
/// somewhere else.
#[test]
fn anything_at_all_has_a_plan_or_is_refused() {
    let soak: u64 = std::env::var("SOAK").map_or(0, |s| s.parse().unwrap());
    let steps = if soak > 0 { 1_000_000 } else { 20_000 };
    let mut walk = Anything(Random(100 * soak + 3));
    let mut losses = Vec::from(losses());
    losses.push(("cross_entropy", Box::new(CrossEntropy::new().class_shard(1 << 33, 1 << 40))));
    let (mut planned, mut refused) = (0, 0);
    for _ in 0..steps {
        let shapes = [(); 7].map(|()| walk.shape());
        let (loss, profile, outputs) =
            (walk.one_of(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]), walk.profile(), walk.outputs());
        let (name, loss) = &losses[loss];
        let stated = walk.shapes(name, &shapes);
        match Plan::new(&**loss, &stated, outputs, &profile) {
            Err(error) => refused += usize::from(!error.to_string().is_empty()),
            Ok(plan) => {
                planned += 1;
                let _ = plan.longest_loops();
                assert!(plan.workspace_bytes() >= 16 && !plan.to_string().is_empty());
                assert_eq!(plan.parameters().count(), plan.dispatches());
                for spec in plan.specs() {
                    let limit = profile.limits.max_compute_workgroup_storage_size;
                    assert!(spec.workgroup_bytes() <= limit.into(), "{spec}");
                }
            }
        }
    }
    println!("{planned} plans, {refused} refusals");
    assert!(planned > steps / 10 && refused > steps / 10, "{planned} plans, {refused} refusals");
}

/// A walk through all that can be asked.
struct Anything(Random);

impl Anything {
    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.0.below(all.len())]
    }

    /// Returns extents up to some that overflow, small ones more often.
    fn shape(&mut self) -> Vec<usize> {
        const SMALL: [usize; 8] = [0, 1, 2, 3, 8, 17, 64, 1001];
        const LARGE: [usize; 7] =
            [1 << 16, 100_003, 1 << 31, 1 << 32, 1 << 47, usize::MAX / 2 + 1, usize::MAX];
        (0..self.0.below(5))
            .map(|_| if self.0.below(6) == 0 { self.one_of(&LARGE) } else { self.one_of(&SMALL) })
            .collect()
    }

    fn element_type(&mut self) -> ElementType {
        self.one_of(&[ElementType::F32, ElementType::F16, ElementType::BF16])
    }

    /// Returns shapes of a loss's operands: mostly those that it needs.
    fn shapes<'a>(&mut self, loss: &str, shapes: &'a [Vec<usize>; 7]) -> Shapes<'a> {
        let [input, others @ ..] = shapes;
        let of_elements = !matches!(loss, "cross_entropy" | "nll" | "softmax" | "entropy");
        let mut stated = Shapes::new(input).input_type(self.element_type());
        let odd =
            |walk: &mut Self, number: usize| walk.0.below(8) == 0 && !others[number].is_empty();
        if of_elements {
            let element_type = self.element_type();
            let shape = if odd(self, 0) { &others[0][..] } else { input };
            stated = stated.target(TargetType::Values(element_type), shape);
            if loss == "gaussian_nll" {
                let element_type = self.element_type();
                stated = stated.var(element_type, if odd(self, 1) { &others[1] } else { input });
            }
            if loss.starts_with("bce") && self.0.below(2) == 0 {
                stated = stated
                    .element_weight(element_type, if odd(self, 2) { &others[2] } else { input });
            }
            return stated;
        }
        // Labels for the class axis of rank 1 and 2; of others mostly a refusal.
        let rows = input.get(..input.len().min(1)).filter(|_| input.len() == 2).unwrap_or(&[]);
        match (loss, self.0.below(3)) {
            ("cross_entropy", 0) => {
                let element_type = self.element_type();
                stated = stated.target(TargetType::Probabilities(element_type), input);
            }
            ("cross_entropy" | "nll", _) => stated = stated.target(I64, rows),
            _ => {}
        }
        if loss != "softmax" && self.0.below(3) == 0 {
            stated = stated.row_weights(rows);
        }
        if matches!(loss, "cross_entropy" | "nll") && self.0.below(3) == 0 {
            stated = stated.weight(input.get(1).copied().unwrap_or(1));
        }
        if self.0.below(4) == 0 {
            stated = stated.upstream(if loss == "softmax" { input } else { &[] });
        }
        if loss == "cross_entropy" && self.0.below(3) == 0 {
            stated = stated.states(self.one_of(&[0, 1, 2, 9, usize::MAX]));
        }
        stated
    }

    fn outputs(&mut self) -> Outputs {
        let mut outputs = Outputs::loss();
        outputs.grad = self.0.below(2) == 0;
        if self.0.below(3) == 0 {
            (outputs.lse, outputs.argmax) = (self.0.below(2) == 0, self.0.below(2) == 0);
            (outputs.entropy, outputs.variance) = (self.0.below(2) == 0, self.0.below(2) == 0);
        }
        if self.0.below(6) == 0 {
            outputs.rank = true;
            outputs.class_losses = self.0.below(2) == 0;
            outputs.log_probs = self.0.below(2) == 0;
        }
        (outputs.target_grad, outputs.var_grad) = (self.0.below(9) == 0, self.0.below(6) == 0);
        outputs.states = self.0.below(6) == 0;
        outputs
    }

    /// Returns one of the kinds of devices, mostly with some of its limits and numbers changed.
    fn profile(&mut self) -> Profile {
        let mut profile = profiles().swap_remove(self.0.below(4)).1;
        let limits = &mut profile.limits;
        let numbers = [0, 1, 2, 31, 256, 4096, 65_535, u32::MAX];
        for _ in 0..self.0.below(3) {
            let number = numbers[self.0.below(numbers.len())];
            match self.0.below(9) {
                0 => limits.max_compute_workgroups_per_dimension = number,
                1 => limits.max_compute_invocations_per_workgroup = number,
                2 => limits.max_compute_workgroup_size_x = number,
                3 => limits.max_compute_workgroup_storage_size = number,
                4 => limits.max_storage_buffers_per_shader_stage = number,
                5 => limits.min_storage_buffer_offset_alignment = number,
                _ => {
                    let sizes = [0, 1, 300, 4096, 1 << 20, 1 << 31, u32::MAX.into(), u64::MAX];
                    limits.max_storage_buffer_binding_size = sizes[self.0.below(sizes.len())];
                }
            }
        }
        if self.0.below(8) == 0 {
            profile.subgroup_size = self.one_of(&[None, Some(0), Some(3), Some(4), Some(128)]);
        }
        if self.0.below(4) == 0 {
            let tuning = &mut profile.tuning;
            *tuning = self.one_of(&[Tuning::DISCRETE, Tuning::INTEGRATED, Tuning::SOFTWARE]);
            tuning.workgroup = 1 << self.0.below(12);
            tuning.fill = self.one_of(&[1, 64, 4096]);
            tuning.resident_row = self.one_of(&[1, 32, 512]);
            tuning.resident_lanes = 1 << self.0.below(11);
            tuning.resident_short = self.one_of(&[1, 32, 512]);
            tuning.staged_short = self.one_of(&[0, 1 << 10, 1 << 16]);
            tuning.lone_lanes = 1 << self.0.below(11);
            tuning.part_loads = self.one_of(&[1, 512, 1 << 20]);
        }
        profile
    }
}

/// An operand that a loss does not use is refused, not ignored.
#[test]
fn operands_that_a_loss_does_not_use_are_refused() {
    const F32: ElementType = ElementType::F32;
    let shape = [6, 5];
    let used: [(&str, &[&str]); 9] = [
        ("cross_entropy", &["class weight", "row weight"]),
        ("nll", &["class weight", "row weight"]),
        ("softmax", &[]),
        ("entropy", &["row weight"]),
        ("bce", &["element weight"]),
        ("bce_with_logits", &["element weight", "pos_weight"]),
        ("kl_div", &[]),
        ("gaussian_nll", &["var"]),
        ("poisson_nll", &[]),
    ];
    for ((name, loss), (same, used)) in losses().iter().zip(used) {
        assert_eq!(*name, same);
        let plain = match *name {
            "cross_entropy" | "nll" => Shapes::new(&shape).target(I64, &[6]),
            "softmax" | "entropy" => Shapes::new(&shape),
            _ => Shapes::new(&shape).target(TargetType::Values(F32), &shape),
        };
        let plain = if *name == "gaussian_nll" { plain.var(F32, &shape) } else { plain };
        let plan = |shapes: &Shapes<'_>| {
            Plan::new(&**loss, shapes, Outputs::loss(), &Profile::portable()).map(drop)
        };
        assert_eq!(plan(&plain), Ok(()), "{name}");
        for (operand, shapes) in [
            ("class weight", plain.weight(5)),
            ("row weight", plain.row_weights(&[6])),
            ("element weight", plain.element_weight(F32, &shape)),
            ("pos_weight", plain.pos_weight(F32, &shape)),
            ("var", plain.var(F32, &shape)),
        ] {
            let wanted = match used.contains(&operand) {
                true => Ok(()),
                false => Err(Error::Operand { loss: name, operand, wanted: false }),
            };
            assert_eq!(plan(&shapes), wanted, "{name} with a {operand}");
        }
    }
}

#[test]
fn the_order_of_the_shapes_builders_does_not_matter() {
    const F16: ElementType = ElementType::F16;
    let plain = Shapes::new(&[6, 5]).target(I64, &[6]);
    let type_of = |shapes: Shapes<'_>| {
        let problem = CrossEntropy::new().problem(&shapes, Outputs::loss());
        problem.expect("a problem").weight_type
    };
    assert_eq!(type_of(plain.weight(5).weight_type(F16)), Some(F16));
    assert_eq!(type_of(plain.weight_type(F16).weight(5)), Some(F16));
    assert_eq!(type_of(plain.weight(5)), Some(ElementType::F32));
    assert_eq!(type_of(plain.weight_type(F16)), None);
    let upstream = |shapes: Shapes<'_>| {
        let outputs = Outputs::loss().with_grad();
        Softmax::probs().problem(&shapes, outputs).expect("a problem").upstream
    };
    let alone = Shapes::new(&[6, 5]);
    let typed = upstream(alone.upstream_type(F16).upstream(&[6, 5]));
    assert_eq!(typed, upstream(alone.upstream(&[6, 5]).upstream_type(F16)));
}

/// llvmpipe ends an invocation's loops after 65,535 turns in all, without an error.
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

/// Variants for tensors that start anywhere take rows one by one where the others take pairs.
#[test]
fn no_variant_turns_too_often() {
    let mut profile = software();
    profile.limits.max_storage_buffer_binding_size = 1 << 30;
    for (rows, classes) in [(9, 9_502_759), (10, 6_702_311), (9, 6_702_311)] {
        for subgroup_size in [1, 2, 8] {
            profile.subgroup_size = Some(subgroup_size);
            let shape = [rows, classes];
            let labels = [rows];
            let shapes = Shapes::new(&shape).input_type(ElementType::F16).target(I64, &labels);
            let outputs = Outputs::loss().with_grad();
            let plan = Plan::new(&CrossEntropy::new(), &shapes, outputs, &profile).expect("a plan");
            assert!(plan.longest_loops() < 65_535, "{shape:?}: {}", plan.longest_loops());
        }
    }
}

/// Zeros are written by loops too.
#[test]
fn sums_of_many_classes_are_cleared_whole() {
    let mut profile = software();
    let shapes = Shapes::new(&[2, 2_097_152]).target(I64, &[2]);
    let outputs = Outputs::loss().with_class_losses();
    let plan = |profile: &Profile| Plan::new(&Nll::new(), &shapes, outputs, profile);
    assert!(plan(&profile).expect("a plan").longest_loops() < 65_535);
    profile.limits.max_compute_workgroups_per_dimension = 3;
    let refused = plan(&profile).map(|plan| plan.longest_loops());
    assert!(matches!(refused, Err(Error::Limit { .. })), "{refused:?}");
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
    let count = |rows, loss: &dyn Loss, outputs| {
        let (shape, rows) = ([rows, 5], [rows]);
        let shapes = Shapes::new(&shape).target(I64, &rows);
        Plan::new(loss, &shapes, outputs, &profile).expect("a plan").dispatches()
    };
    let grad = Outputs::loss().with_grad();
    // One group does what is done in several steps for many rows.
    for (rows, wanted) in [(6, [1, 1, 1, 3]), (50_000, [2, 4, 2, 5])] {
        let sum = CrossEntropy::new().reduction(Reduction::Sum);
        assert_eq!(count(rows, &CrossEntropy::new(), Outputs::loss()), wanted[0]);
        assert_eq!(count(rows, &CrossEntropy::new(), grad), wanted[1]);
        assert_eq!(count(rows, &sum, grad), wanted[2]);
        assert_eq!(count(rows, &Nll::new(), grad), wanted[3]);
    }
}

// ---- Pieces inside a row or an image

/// Bytes from a piece's first logit to its last one.
fn span_bytes(piece: &Piece, classes: usize, inner: usize) -> u64 {
    let place = |o: usize, c: usize, i: usize| ((o * classes + c) * inner + i) as u64;
    let Piece { outer, classes, inner } = piece;
    let first = place(outer.start, classes.start, inner.start);
    4 * (place(outer.end - 1, classes.end - 1, inner.end - 1) + 1 - first)
}

#[test]
fn boxes_tile_rows_and_images() {
    let losses: [&dyn Loss; 3] =
        [&CrossEntropy::new(), &Nll::new(), &CrossEntropy::new().reduction(Reduction::None)];
    for limit in [512, 1024, 4096] {
        for (outer, classes, inner) in [
            (1, 5000, 1),
            (3, 1025, 1),
            (2, 1, 3000),
            (1, 700, 3),
            (2, 19, 1001),
            (1, 3, 5000),
            (3, 50, 127),
            (1, 1300, 2),
        ] {
            for loss in losses {
                let shape = [outer, classes, inner];
                let profile = with_binding_limit(limit);
                let plan = plan(loss, &shape, &[outer, inner], &profile).expect("a plan");
                let mut seen = vec![0; shape.iter().product()];
                for piece in plan.pieces() {
                    assert!(span_bytes(piece, classes, inner) + 288 <= limit, "{piece:?}");
                    assert!(8 * piece.rows() as u64 + 288 <= limit, "{piece:?}: labels");
                    assert!(piece.outer.len() == 1 || piece.classes.len() == classes);
                    for o in piece.outer.clone() {
                        for c in piece.classes.clone() {
                            for i in piece.inner.clone() {
                                seen[(o * classes + c) * inner + i] += 1;
                            }
                        }
                    }
                }
                assert!(seen.iter().all(|&times| times == 1), "{shape:?}, {limit}: {plan}");
            }
        }
    }
}

/// Tensors past 2^31 and 2^32 elements, rows and images past any binding, on real devices.
#[test]
fn tensors_of_any_size_have_plans() {
    let gpu = with_subgroups(32, wgpu::DeviceType::DiscreteGpu);
    let mut wide = gpu.clone();
    wide.limits.max_storage_buffer_binding_size = u32::MAX.into();
    let mut wider = gpu.clone();
    wider.limits.max_storage_buffer_binding_size = 1 << 40;
    for profile in [Profile::portable(), software(), gpu, wide, wider] {
        let limit = profile.limits.max_storage_buffer_binding_size.min(u32::MAX.into());
        for shape in [
            vec![3_000_000_000, 2],
            vec![1, 5_000_000_000],
            vec![3, 40_000_000],
            vec![2, 19, 65_536, 65_536],
            vec![1, 21, 4096, 4096],
            vec![1, 1_000, 6_000, 6_000],
            vec![1, 1, 1 << 33],
            vec![1, 300_000_000, 3],
            vec![70_000, 1 << 17],
        ] {
            let (classes, inner) = (shape[1], shape[2..].iter().product::<usize>());
            if profile.device_type == wgpu::DeviceType::Cpu && inner > 1 << 31 {
                continue; // no software driver adds up so many groups' partials, nor is it used so
            }
            let mut labels = shape.clone();
            labels.remove(1);
            let elements: u64 = shape.iter().map(|&extent| extent as u64).product();
            let outputs = Outputs::loss().with_grad();
            let shapes = Shapes::new(&shape).target(I64, &labels).weight(classes);
            for loss in [&CrossEntropy::new() as &dyn Loss, &Nll::new()] {
                let what = format!("{shape:?}, {limit} bytes");
                let plan = Plan::new(loss, &shapes, outputs, &profile).expect(&what);
                let mut covered = 0;
                for piece in plan.pieces() {
                    assert!(span_bytes(piece, classes, inner) + 288 <= limit, "{what}: {piece:?}");
                    assert!(piece.rows() <= 1 << 31, "{what}: {piece:?}");
                    covered += (piece.rows() * piece.classes.len()) as u64;
                }
                assert_eq!(covered, elements, "{what}");
                // What any plan may have, and a thirty-second of a binding for the states of cut rows.
                let allowed = (64 << 10) + 16 * elements / 1000 + limit / 32;
                assert!(plan.workspace_bytes() <= allowed, "{what}: {}", plan.workspace_bytes());
                if profile.device_type == wgpu::DeviceType::Cpu {
                    assert!(plan.longest_loops() < 65_535, "{what}: {}", plan.longest_loops());
                }
            }
        }
    }
}

#[test]
fn more_pieces_than_a_host_has_memory_for_are_refused() {
    for shape in [&[1 << 40, 1 << 20][..], &[1 << 20, 1 << 40], &[1, 3, 1 << 60], &[1, 1 << 62]] {
        let mut labels = shape.to_vec();
        labels.remove(1);
        let error = plan(&CrossEntropy::new(), shape, &labels, &Profile::portable());
        assert!(matches!(error, Err(Error::Limit { .. })), "{shape:?}: {error:?}");
    }
}

#[test]
fn cut_rows_are_folded_merged_once_and_written() {
    let outputs = Outputs::loss().with_grad();
    let shapes = Shapes::new(&[2, 3000]).target(I64, &[2]);
    let sum = CrossEntropy::new().reduction(Reduction::Sum);
    let plan = Plan::new(&sum, &shapes, outputs, &with_binding_limit(4096)).expect("a plan");
    let parts: Vec<Phase> = plan.specs().map(|spec| spec.phase).collect();
    let row = [&[Phase::Fold; 4][..], &[Phase::Merge], &[Phase::Write; 4]].concat();
    assert_eq!(parts, [&row[..], &row, &[Phase::Whole]].concat(), "{plan}");
}

/// Losses of single elements: pieces are runs of elements that follow each other and fit a binding with
/// all that goes with them, and every element is in one.
#[test]
fn elements_are_cut_into_runs() {
    let element = |shape: &[usize], at: [usize; 3]| (at[0] * shape[1] + at[1]) * shape[2] + at[2];
    for (shape, weight) in [
        ([1, 1, 5000], [1, 1, 1]),
        ([300, 1, 17], [1, 1, 17]),
        ([9, 20, 30], [1, 20, 1]),
        ([2, 3, 4000], [1, 3, 1]),
        ([3, 700, 8], [3, 1, 8]),
    ] {
        for limit in [600, 4096, 1 << 20] {
            let loss = BceWithLogits::new().reduction(Reduction::None);
            let shapes = Shapes::new(&shape)
                .target(TargetType::Values(ElementType::F32), &shape)
                .element_weight(ElementType::F32, &weight);
            let outputs = Outputs::loss().with_grad();
            let plan =
                Plan::new(&loss, &shapes, outputs, &with_binding_limit(limit)).expect("a plan");
            // The view may have fewer axes than the input: elements have their numbers all the same.
            let view = plan.problem().view;
            let view = [view.outer, view.classes, view.inner];
            let mut next = 0;
            for piece in plan.pieces() {
                let lengths = [piece.outer.len(), piece.classes.len(), piece.inner.len()];
                let first = [piece.outer.start, piece.classes.start, piece.inner.start];
                let last = [piece.outer.end - 1, piece.classes.end - 1, piece.inner.end - 1];
                assert_eq!(element(&view, first), next, "{plan}");
                next += lengths.iter().product::<usize>();
                assert_eq!(element(&view, last) + 1, next, "{plan}");
                assert!(4 * lengths.iter().product::<usize>() as u64 + 288 <= limit, "{piece:?}");
            }
            assert_eq!(next, shape.iter().product::<usize>());
        }
    }
}

/// A tensor of wider elements than the input's may be what does not fit.
#[test]
fn operands_of_wider_elements_fit_too() {
    for (shape, weight) in [([4, 1, 1500], [1, 1, 1500]), ([3, 1500, 1], [1, 1500, 1])] {
        let shapes = Shapes::new(&shape)
            .input_type(ElementType::F16)
            .target(TargetType::Values(ElementType::F16), &shape)
            .element_weight(ElementType::F32, &weight);
        let profile = with_binding_limit(4096);
        let plan = Plan::new(&BceWithLogits::new(), &shapes, Outputs::loss(), &profile).unwrap();
        for piece in plan.pieces() {
            let of_weights = piece.classes.len() * piece.inner.len();
            assert!(4 * of_weights + 288 <= 4096, "{piece:?}");
        }
    }
}

/// Sizes past 2^32 elements have plans, and loops of software drivers stay short.
#[test]
fn elements_of_any_number_have_plans() {
    for profile in [Profile::portable(), software()] {
        for (shape, var) in [
            (vec![5_000_000_000], vec![5_000_000_000]),
            (vec![5_000_000_000], vec![1]),
            (vec![70_000, 1 << 17], vec![70_000, 1]),
            (vec![1 << 17, 70_000], vec![1, 70_000]),
            (vec![300, 1000, 20_000], vec![300, 1, 20_000]),
            (vec![3, 1 << 31], vec![3]),
        ] {
            let shapes = Shapes::new(&shape)
                .target(TargetType::Values(ElementType::F32), &shape)
                .var(ElementType::F32, &var);
            let outputs = Outputs::loss().with_grad().with_target_grad().with_var_grad();
            let what = format!("{shape:?}, {var:?}");
            let plan = Plan::new(&GaussianNll::new(), &shapes, outputs, &profile).expect(&what);
            let elements: usize = shape.iter().product();
            let of = |piece: &Piece| piece.outer.len() * piece.classes.len() * piece.inner.len();
            assert_eq!(plan.pieces().iter().map(of).sum::<usize>(), elements, "{what}");
            let sums = 64 << 20;
            assert!(plan.workspace_bytes() <= sums, "{what}: {}", plan.workspace_bytes());
            if profile.device_type == wgpu::DeviceType::Cpu {
                assert!(plan.longest_loops() < 65_535, "{what}: {}", plan.longest_loops());
            }
        }
    }
}
