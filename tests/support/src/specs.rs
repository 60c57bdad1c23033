//! Every specialisation that a grid of plans asks for.

use indexmap::IndexSet;

use wgpu_loss::kernels::{Kernel, Spec};
use wgpu_loss::loss::Shapes;
use wgpu_loss::plan::Tuning;
use wgpu_loss::{
    Bce, BceWithLogits, CrossEntropy, ElementType, Entropy, GaussianNll, KlDiv, LabelType, Loss,
    Nll, Outputs, Plan, PoissonNll, Profile, Reduction, Softmax, TargetType,
};

/// Every specialisation of a grid of plans: losses, shapes, targets, options, outputs, devices; in one order.
pub fn every_spec() -> IndexSet<Spec> {
    let mut specs = IndexSet::new();
    for profile in profiles() {
        for classes in [3, 64, 1000, 1001, 131_072] {
            for shape in [vec![8, classes], vec![8, classes, 5]] {
                let rows = if shape.len() == 2 { vec![8] } else { vec![8, 5] };
                for types in Types::all() {
                    for_shape(&shape, &rows, types, &profile, &mut specs);
                }
            }
        }
        // So many positions that each lane has its own, and more classes than a lane keeps.
        let mut large = profile.clone();
        large.limits.max_storage_buffer_binding_size = 4 << 30;
        let mut frugal = large.clone();
        frugal.tuning.resident_columns = 1;
        for_shape(&[1 << 15, 3, 8], &[1 << 15, 8], Types::all()[0], &frugal, &mut specs);
        for classes in [260, 600] {
            for types in Types::all().into_iter().step_by(2) {
                for_shape(&[1 << 15, classes, 8], &[1 << 15, 8], types, &large, &mut specs);
            }
        }
        // Short rows with gaps between their loads in workgroup memory.
        if profile.tuning.staged_short > 0 {
            for types in Types::all().into_iter().step_by(2) {
                for_shape(&[8, 12], &[8], types, &profile, &mut specs);
            }
        }
        // One group finds the divisor for all, from few rows or from more than each group looks at.
        for rows in [1028, 5000] {
            for types in Types::all().into_iter().step_by(2) {
                for_shape(&[rows, 20], &[rows], types, &profile, &mut specs);
            }
        }
        // A tuner may find that a driver skips branches.
        let mut skips = profile.clone();
        skips.tuning.branches = true;
        for_shape(&[8, 1000], &[8], Types::all()[0], &skips, &mut specs);
        // Rows that lanes of several subgroups keep.
        if profile.subgroups_alike {
            let mut card = profile.clone();
            card.tuning = Tuning::DISCRETE;
            for types in Types::all().into_iter().step_by(2) {
                for_shape(&[8, 4096], &[8], types, &card, &mut specs);
            }
        }
        // Rows and images that no binding holds: whole loads of a row, and parts of loads.
        let mut small = profile.clone();
        small.limits.max_storage_buffer_binding_size = 4096 + 288;
        for shape in [vec![2, 12_288], vec![2, 1283], vec![2, 1200, 5]] {
            let rows = if shape.len() == 2 { vec![2] } else { vec![2, 5] };
            for types in Types::all().into_iter().step_by(2) {
                for_shape(&shape, &rows, types, &small, &mut specs);
            }
        }
    }
    assert!(specs.iter().any(|spec| spec.cut), "no plan cuts rows");
    let of_subgroups = |spec: &Spec| {
        let geometry = spec.layout.geometry;
        geometry.whole_subgroups && geometry.lanes > geometry.cluster
    };
    assert!(specs.iter().any(of_subgroups), "no rows of several whole subgroups");
    assert!(specs.iter().any(|spec| spec.layout.staged), "no short rows in workgroup memory");
    // Rows whose bits do not depend on where they are.
    for profile in profiles().into_iter().step_by(2) {
        let profile = profile.with_batch_invariance(true);
        let mut small = profile.clone();
        small.limits.max_storage_buffer_binding_size = 256 << 10;
        for (shape, profile) in [
            (vec![8, 1001], &profile),
            (vec![8, 1004], &profile),
            (vec![8, 131_072], &profile),
            (vec![8, 131_073], &profile),
            (vec![8, 1000, 5], &profile),
            (vec![2, 262_144], &small),
        ] {
            let rows = [&shape[..1], &shape[2..]].concat();
            for types in Types::all().into_iter().step_by(2) {
                for_shape(&shape, &rows, types, profile, &mut specs);
            }
        }
    }
    assert!(specs.iter().any(|spec| spec.layout.by_class), "no plan reads rows class by class");
    // Loads of eight halves go with eight f32, which are read class by class too.
    let fixed = profiles()[2].clone().with_batch_invariance(true);
    for_shape(&[8, 1001], &[8], Types::all()[3], &fixed, &mut specs);
    // Subgroups and the number of lanes make no difference to these.
    for profile in profiles().into_iter().step_by(4) {
        losses_of_elements(&profile, &mut specs);
    }
    // A kernel that has too few bindings is divided into two.
    let mut few = Profile::portable();
    few.limits.max_storage_buffers_per_shader_stage = 7;
    losses_of_elements(&few, &mut specs);
    variances_of_nothing(&mut specs);
    nll_of_cut_images(&mut specs);

    with_extras(&mut specs);
    with_shards(&mut specs);
    in_arenas(&mut specs);
    specs
}

/// Element types of logits, and of probabilities and weights.
#[derive(Clone, Copy)]
struct Types {
    input: ElementType,
    others: ElementType,
    in_f32: bool,
}

impl Types {
    fn all() -> Vec<Self> {
        use ElementType::{BF16, F16, F32};
        let types = |input, others, in_f32| Self { input, others, in_f32 };
        vec![
            types(F32, F32, false),
            types(F32, F16, false),
            types(F16, F16, false),
            types(F16, F32, true),
            types(BF16, F16, false),
        ]
    }

    fn all_f32(&self) -> bool {
        self.input == ElementType::F32 && self.others == ElementType::F32
    }
}

/// Returns devices that differ in the properties that plans use.
fn profiles() -> Vec<Profile> {
    let (gpu, cpu) = (wgpu::DeviceType::DiscreteGpu, wgpu::DeviceType::Cpu);
    let mut profiles = vec![Profile::portable()];
    for (device_type, subgroup_size) in
        [(gpu, Some(4)), (gpu, Some(32)), (cpu, None), (cpu, Some(8))]
    {
        let mut profile = Profile::portable().with_device_type(device_type);
        profile.subgroup_size = subgroup_size;
        // As llvmpipe's and NVIDIA's are; Intel's are not.
        profile.subgroups_alike = subgroup_size >= Some(8);
        profile.int64 = device_type == cpu;
        // One GPU that converts f16 exactly, and one of which nothing is known.
        profile.f16_rounds = subgroup_size == Some(32);
        profile.f16 = device_type == cpu || profile.f16_rounds;
        profiles.push(profile);
    }
    profiles
}

fn for_shape(
    shape: &[usize],
    rows: &[usize],
    types: Types,
    profile: &Profile,
    specs: &mut IndexSet<Spec>,
) {
    let plain = if types.in_f32 { Outputs::loss().in_f32() } else { Outputs::loss() };
    let wanted =
        [plain, plain.with_grad(), plain.with_log_probs(), plain.with_grad().with_log_probs()];
    // The label's type changes one function, the same for every device and shape.
    let every_label =
        profile.device_type == wgpu::DeviceType::Other && shape[1] == 3 && types.all_f32();
    let labels = if every_label { &LabelType::ALL[..] } else { &[LabelType::U8, LabelType::I64] };
    let mut targets: Vec<_> =
        labels.iter().map(|&label| (TargetType::Labels(label), rows)).collect();
    targets.push((TargetType::Probabilities(types.others), shape));
    let mut plan = |loss: &dyn Loss, shapes: Shapes<'_>, outputs| {
        let plan = Plan::new(loss, &shapes, outputs, profile).expect("a plan");
        for spec in plan.variants() {
            specs.insert(spec);
            if spec.grad && spec.kernel != Kernel::NllBackward && spec.input == spec.output {
                specs.insert(Spec { in_place: true, ..spec });
            }
        }
    };
    for (target, target_shape) in targets {
        let reductions = [Reduction::None, Reduction::Mean, Reduction::Sum];
        // Element types change loads and stores alone.
        for &reduction in &reductions[..if types.all_f32() { 3 } else { 1 }] {
            for weighted in [false, true] {
                for upstream in [false, true] {
                    let mut shapes =
                        Shapes::new(shape).input_type(types.input).target(target, target_shape);
                    if weighted {
                        shapes = shapes.weight(shape[1]).weight_type(types.others);
                    }
                    if upstream {
                        shapes =
                            shapes.upstream(if reduction == Reduction::None { rows } else { &[] });
                    }
                    for outputs in wanted {
                        for smoothing in [0.0, 0.1] {
                            let loss =
                                CrossEntropy::new().label_smoothing(smoothing).reduction(reduction);
                            plan(&loss, shapes, outputs);
                        }
                        if matches!(target, TargetType::Labels(_)) && !outputs.log_probs {
                            plan(&Nll::new().reduction(reduction), shapes, outputs);
                        }
                    }
                }
            }
        }
    }
    for softmax in [Softmax::probs(), Softmax::log_probs()] {
        plan(&softmax.clone().axis(1), Shapes::new(shape).input_type(types.input), plain);
    }
}

/// Inputs that are bound to be written, which changes nothing but declarations: one of each kind of kernel.
fn in_arenas(specs: &mut IndexSet<Spec>) {
    let mut seen = IndexSet::new();
    let kind = |spec: &Spec| (spec.kernel, spec.phase, spec.layout.load, spec.input, spec.in_place);
    let arenas: Vec<_> = specs.iter().filter(|spec| seen.insert(kind(spec))).copied().collect();
    specs.extend(arenas.into_iter().map(|spec| Spec { all_read_write: true, ..spec }));
}

/// Adds optional outputs: each by itself and all of them together, on rows that are short, resident, streaming, shared
/// and cut, and on columns.
pub fn with_extras(specs: &mut IndexSet<Spec>) {
    let labels = TargetType::Labels(LabelType::I32);
    let alone: Vec<(CrossEntropy, Outputs, bool)> = {
        let (loss, plain) = (CrossEntropy::new, Outputs::loss());
        vec![
            (loss().logit_scale(0.5), plain.with_grad(), false),
            (loss().softcap(30.0), plain.with_grad(), false),
            (loss().z_loss(1e-4), plain.with_grad(), false),
            (loss(), plain.with_grad(), true),
            (loss(), plain.with_lse(), false),
            (loss(), plain.with_argmax().with_accuracy(), false),
            (loss(), plain.with_rank().with_top_k(5), false),
            (loss(), plain.with_entropy().with_row_weights(), true),
            (loss(), plain.with_variance(), true),
            (loss(), plain.with_class_losses(), false),
        ]
    };
    let all = |loss: CrossEntropy| loss.logit_scale(2.0).softcap(15.0).z_loss(1e-3);
    let everything = Outputs::loss().with_lse().with_argmax().with_entropy().with_row_weights();
    let ranked =
        everything.with_variance().with_accuracy().with_class_losses().with_rank().with_top_k(2);
    let sources: &[(&[usize], u64)] = &[
        (&[64, 3], 0),
        (&[8, 1000], 0),
        (&[8, 1001], 0),
        (&[2, 131_072], 0),
        (&[8, 20, 8], 0),
        (&[8, 600, 5], 0),
        (&[2, 12_288], 4096 + 288),
        (&[2, 262_144], 256 << 10),
        (&[1 << 15, 300, 8], 4 << 30),
    ];
    let invariant = profiles().into_iter().map(|profile| profile.with_batch_invariance(true));
    for mut profile in profiles().into_iter().chain(invariant.step_by(2)) {
        profile.limits.max_storage_buffers_per_shader_stage = 16;
        for &(shape, binding) in sources {
            let mut profile = profile.clone();
            if binding > 0 {
                // Parts of rows whose bits do not depend on where they are cut stay whole.
                let least = if profile.batch_invariant { 256 << 10 } else { 0 };
                profile.limits.max_storage_buffer_binding_size = binding.max(least);
            }
            let rows = [&shape[..1], &shape[2..]].concat();
            let mut plan = |loss: &dyn Loss, shapes: Shapes<'_>, outputs: Outputs| {
                let plan = Plan::new(loss, &shapes, outputs, &profile).expect("a plan");
                specs.extend(plan.variants());
            };
            let labelled = Shapes::new(shape).target(labels, &rows);
            for (loss, outputs, weighted) in &alone {
                // Halves have other loads, of rows that are read class by class above all.
                let halves = profile.batch_invariant;
                let input = if halves { ElementType::F16 } else { ElementType::F32 };
                let labelled = labelled.input_type(input);
                let shapes = if *weighted { labelled.row_weights(&rows) } else { labelled };
                plan(loss, shapes, *outputs);
            }
            let weighted = labelled.weight(shape[1]).row_weights(&rows);
            for (grad, reduction) in [(false, Reduction::None), (true, Reduction::Mean)] {
                let asked = if grad { ranked.with_grad() } else { ranked };
                let loss = all(CrossEntropy::new()).reduction(reduction);
                plan(&loss, weighted, asked);
                plan(&loss.clone().label_smoothing(0.1), weighted, asked);
                let soft = TargetType::Probabilities(ElementType::F32);
                let soft = Shapes::new(shape).target(soft, shape).row_weights(&rows);
                plan(&loss, soft, if grad { everything.with_grad() } else { everything });
                let plain = if grad { Outputs::loss().with_grad() } else { Outputs::loss() };
                let entropy = Entropy::new().axis(1).reduction(reduction);
                plan(&entropy, Shapes::new(shape).row_weights(&rows), plain.with_argmax());
                plan(&Nll::new().reduction(reduction), weighted, plain.with_class_losses());
            }
            for softmax in [Softmax::probs().axis(1), Softmax::log_probs().axis(1)] {
                for upstream in [ElementType::F32, ElementType::BF16] {
                    let shapes = Shapes::new(shape).upstream(shape).upstream_type(upstream);
                    plan(&softmax, shapes, Outputs::loss().with_grad());
                }
            }
        }
    }
}

/// Shards of classes: states from logits, of rows that are short, streaming, shared and cut, and of columns; states merged;
/// losses from states, with and without elements.
pub fn with_shards(specs: &mut IndexSet<Spec>) {
    let sources: &[(&[usize], u64)] = &[
        (&[8, 3], 0),
        (&[8, 1000], 0),
        (&[8, 1001], 0),
        (&[2, 131_072], 0),
        (&[8, 20, 8], 0),
        (&[2, 12_288], 4096 + 288),
        (&[2, 262_144], 256 << 10),
    ];
    let invariant = profiles().into_iter().map(|profile| profile.with_batch_invariance(true));
    for mut profile in profiles().into_iter().step_by(2).chain(invariant.step_by(4)) {
        profile.limits.max_storage_buffers_per_shader_stage = 16;
        for (number, &(shape, binding)) in sources.iter().enumerate() {
            let mut profile = profile.clone();
            if binding > 0 {
                let least = if profile.batch_invariant { 256 << 10 } else { 0 };
                profile.limits.max_storage_buffer_binding_size = binding.max(least);
            }
            for (turn, shapes) in kinds_of_targets(shape, number).into_iter().enumerate() {
                for_shards(shapes, turn, &profile, specs);
            }
            for_shards_without_target(shape, number, &profile, specs);
        }
    }
    assert!(specs.iter().any(|spec| spec.kernel == Kernel::MergeStates), "no states are merged");
}

/// Distributions and their entropy over a shard of the classes.
fn for_shards_without_target(
    shape: &[usize],
    number: usize,
    profile: &Profile,
    specs: &mut IndexSet<Spec>,
) {
    let shapes = Shapes::new(shape).input_type(ElementType::ALL[number % 3]);
    let entropy = Entropy::new().axis(1).class_shard(7, 300_000);
    let softmaxes = [Softmax::probs(), Softmax::log_probs()];
    let [probs, log_probs] = softmaxes.map(|softmax| softmax.axis(1).class_shard(7, 300_000));
    let plain = Outputs::loss();
    for (loss, outputs) in [
        (&entropy as &dyn Loss, plain.with_grad()),
        (&entropy, plain.with_argmax()),
        (&probs, plain.with_lse()),
        (&log_probs, plain),
    ] {
        for (shapes, outputs) in [
            (shapes, outputs.only_states()),
            (shapes.states(1), outputs),
            (shapes.states(8), outputs),
        ] {
            let plan = Plan::new(loss, &shapes, outputs, profile).expect("a plan");
            specs.extend(plan.variants());
        }
    }
}

/// Shapes of a shard of 300,000 classes, with labels and with probabilities.
fn kinds_of_targets(shape: &[usize], number: usize) -> Vec<Shapes<'_>> {
    use ElementType::{BF16, F16, F32};
    let rows: &'static [usize] = match shape {
        [8, _] => &[8],
        [2, _] => &[2],
        _ => &[8, 8],
    };
    let (input, others) = [(F32, F32), (F16, F32), (BF16, F16)][number % 3];
    let plain = Shapes::new(shape).input_type(input);
    let labelled = |input| {
        let label = [LabelType::I64, LabelType::U8][number % 2];
        Shapes::new(shape).input_type(input).target(TargetType::Labels(label), rows)
    };
    vec![
        labelled(F32),
        labelled(input).weight(300_000).weight_type(others),
        labelled(input).weight(300_000).row_weights(rows),
        plain.target(TargetType::Probabilities(others), shape),
        plain.target(TargetType::Probabilities(F32), shape).weight(300_000),
    ]
}

fn for_shards(shapes: Shapes<'_>, turn: usize, profile: &Profile, specs: &mut IndexSet<Spec>) {
    let labels = matches!(shapes.target, Some((TargetType::Labels(_), _)));
    let few = CrossEntropy::new().class_shard(7, 300_000);
    let many = few.clone().label_smoothing(0.1).softcap(20.0).logit_scale(2.0).z_loss(1e-3);
    let mut statistics =
        Outputs::loss().with_lse().with_argmax().with_entropy().with_variance().with_row_weights();
    if labels {
        statistics = statistics.with_accuracy();
    }
    let elements = Outputs::loss().with_grad();
    for (loss, outputs) in [
        (few.clone(), Outputs::loss()),
        (few.clone().reduction(Reduction::None), elements.with_log_probs()),
        (many.clone(), elements),
        (many.reduction([Reduction::None, Reduction::Sum][turn % 2]), statistics),
    ] {
        let mut plan = |shapes: Shapes<'_>, outputs: Outputs| {
            let plan = Plan::new(&loss, &shapes, outputs, profile).expect("a plan");
            for spec in plan.variants() {
                specs.insert(spec);
                if spec.grad && spec.input == spec.output {
                    specs.insert(Spec { in_place: true, ..spec });
                }
            }
        };
        plan(shapes, outputs.only_states());
        plan(shapes.states(1), outputs);
        plan(shapes.states(3), outputs);
        plan(shapes.states(3), outputs.only_states());
    }
}

/// The gradient of variances that no element has.
fn variances_of_nothing(specs: &mut IndexSet<Spec>) {
    let values = TargetType::Values(ElementType::F32);
    let shapes = Shapes::new(&[0, 24]).target(values, &[0, 24]).var(ElementType::F32, &[1, 24]);
    let outputs = Outputs::loss().with_var_grad();
    let plan = Plan::new(&GaussianNll::new(), &shapes, outputs, &Profile::portable());
    specs.extend(plan.expect("a plan").variants());
}

/// The gradient of nll at some positions of each class, which fill whole stores.
fn nll_of_cut_images(specs: &mut IndexSet<Spec>) {
    let mut profile = Profile::portable();
    profile.limits.max_storage_buffer_binding_size = 4096 + 288;
    let labels = TargetType::Labels(LabelType::I32);
    for input in ElementType::ALL {
        let shapes = Shapes::new(&[1, 5, 1024]).input_type(input).target(labels, &[1, 1024]);
        let plan = Plan::new(&Nll::new(), &shapes, Outputs::loss().with_grad(), &profile);
        specs.extend(plan.expect("a plan").variants());
    }
    assert!(specs.iter().any(|spec| spec.cut && spec.layout.neighbours), "no plan cuts images");
}

/// Losses of single elements: formulas, broadcasts along all axes, types, outputs.
pub fn losses_of_elements(profile: &Profile, specs: &mut IndexSet<Spec>) {
    use ElementType::{BF16, F16, F32};
    let losses: [(Box<dyn Loss>, Outputs); 13] = {
        let grad = Outputs::loss().with_grad();
        let (kl, poisson) = (KlDiv::new(), PoissonNll::new());
        let none = |loss: Bce| Box::new(loss.reduction(Reduction::None));
        [
            (none(Bce::new()), grad),
            (Box::new(Bce::new()), Outputs::loss()),
            (Box::new(BceWithLogits::new().reduction(Reduction::None)), grad),
            (Box::new(kl.clone()), grad.with_target_grad()),
            (Box::new(kl.log_target(true).reduction(Reduction::Sum)), grad.with_target_grad()),
            (Box::new(GaussianNll::new().full(true).reduction(Reduction::None)), {
                grad.with_target_grad().with_var_grad()
            }),
            (Box::new(poisson.clone().full(true)), grad),
            (Box::new(poisson.clone().log_input(false)), grad),
            (Box::new(poisson.log_input(false).full(true)), grad),
            (Box::new(KlDiv::new()), Outputs::loss().with_target_grad()),
            (Box::new(GaussianNll::new()), grad.with_var_grad()),
            (Box::new(BceWithLogits::new()), grad),
            (Box::new(PoissonNll::new()), grad),
        ]
    };
    let input: &[usize] = &[16, 24, 40];
    let axes: [&[usize]; 8] = [
        &[16, 24, 40],
        &[16, 1, 40],
        &[1, 24, 1],
        &[1],
        &[16, 1, 1],
        &[16, 24, 1],
        &[1, 1, 40],
        &[1, 24, 40],
    ];
    for (number, (loss, outputs)) in losses.iter().enumerate() {
        for (turn, &shape) in axes.iter().enumerate() {
            let other = axes[(turn + 1 + number) % 8];
            // An odd number of elements has loads of its own, and none that fit an operand.
            let odd: Vec<Vec<usize>> = [input, shape, other]
                .iter()
                .map(|shape| shape.iter().map(|&n| if n > 1 { n - 1 } else { 1 }).collect())
                .collect();
            let all: Vec<Vec<usize>> =
                [input, shape, other].iter().map(|shape| shape.to_vec()).collect();
            for [input, shape, other] in [[&all[0], &all[1], &all[2]], [&odd[0], &odd[1], &odd[2]]]
            {
                let types = [(F32, F32, F32), (F16, F32, BF16), (BF16, F16, F16)];
                // What a type changes is the same for every formula.
                for (x, t, o) in [types[0], types[1 + (number + turn) % 2]] {
                    let target = TargetType::Values(t);
                    let shapes = Shapes::new(input).input_type(x);
                    let missing = shape.iter().zip(input).filter(|(a, b)| a != b).count();
                    let shapes = match number {
                        0 | 1 => shapes.target(target, input).element_weight(o, shape),
                        2 => shapes
                            .target(target, input)
                            .element_weight(o, shape)
                            .pos_weight(t, other),
                        5 | 10 if missing > 1 && shape.iter().any(|&n| n > 1) => continue,
                        5 | 10 => shapes.target(target, input).var(o, shape),
                        11 => shapes.target(target, input),
                        _ if outputs.target_grad => shapes.target(target, input),
                        _ => shapes.target(target, shape),
                    };
                    let none = [0, 2, 5].contains(&number);
                    let shapes = match turn % 2 {
                        0 => shapes,
                        _ => shapes.upstream(if none { input } else { &[] }),
                    };
                    // Two operands may divide no more than three axes.
                    let plan = Plan::new(&**loss, &shapes, *outputs, profile);
                    let plan = plan.unwrap_or_else(|error| {
                        panic!("{number}: {shape:?}, {other:?} in {input:?}: {error}")
                    });
                    for spec in plan.variants() {
                        specs.insert(spec);
                        if spec.grad && spec.input == spec.output {
                            specs.insert(Spec { in_place: true, ..spec });
                        }
                    }
                }
            }
        }
    }
}
