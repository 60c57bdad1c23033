//! Rows and images that do not fit a binding: pieces inside them make the whole. Plans are made for a
//! device that binds little and bound to the buffers of the one at hand.

use support::answer::Answer;
use support::data::{Data, Types};
use support::embedded::{Embedded, Place, Results, buffer, read_words, submit};
use support::gpus::{gpus, in_turn};
use support::mutants::mutated;
use support::rounding::Rounding;
use wgpu_loss::kernels::{Kernel, Spec, TensorSlot};
use wgpu_loss::loss::Shapes;
use wgpu_loss::plan::Params;
use wgpu_loss::{
    Bound, Buffers, CrossEntropy, ElementType, Error, Gpu, LabelType, Loss, Nll, Outputs, Plan,
    Profile, Reduction, Softmax, Summary,
};

/// One call of a loss.
struct Call {
    name: &'static str,
    loss: Box<dyn Loss>,
    data: Data,
    outputs: Outputs,
}

impl Call {
    fn new(name: &'static str, loss: impl Loss + 'static, data: Data, outputs: Outputs) -> Self {
        Self { name, loss: Box::new(loss), data, outputs }
    }

    /// The plan for a device whose bindings hold `bytes` bytes of a tensor.
    fn cut(&self, gpu: &Gpu, bytes: u64) -> Plan {
        let mut profile: Profile = gpu.kernels().profile().clone();
        // A piece may start a little after its binding's start and end a little before its end.
        let slack = u64::from(profile.limits.min_storage_buffer_offset_alignment).max(32) + 32;
        profile.limits.max_storage_buffer_binding_size = bytes + slack;
        let plan = self.data.plan(&*self.loss, self.outputs, &profile);
        let view = self.data.view;
        let inside = plan.pieces().iter().all(|piece| {
            let whole = (piece.classes.len(), piece.inner.len()) == (view.classes, view.inner);
            piece.outer.len() == 1 && !whole
        });
        assert!(inside, "{}: not cut inside", self.name);
        plan
    }

    fn run(&self, gpu: &Gpu, plan: Plan, place: Place) -> Results {
        Embedded::new(gpu, &self.data, plan, place).run()
    }

    fn uncut(&self, gpu: &Gpu) -> Results {
        let plan = self.data.plan(&*self.loss, self.outputs, gpu.kernels().profile());
        assert_eq!(plan.pieces().len(), 1);
        self.run(gpu, plan, Place::default())
    }
}

/// Every kind of target, option, reduction and output.
fn calls(data: &Data) -> Vec<Call> {
    let (loss, grad) = (Outputs::loss(), Outputs::loss().with_grad());
    let log_probs = Outputs::loss().with_log_probs();
    let mean = CrossEntropy::new;
    let sum = || CrossEntropy::new().reduction(Reduction::Sum);
    let none = || CrossEntropy::new().reduction(Reduction::None);
    let weighted = || data.clone().random_weight();
    let per_row = || weighted().random_upstream();
    let probabilities = || data.clone().random_probabilities();
    vec![
        Call::new("mean", mean(), data.clone(), loss),
        Call::new("mean and gradient", mean(), data.clone(), grad),
        Call::new("weighted mean", mean(), weighted(), grad),
        Call::new("weighted, smoothed", mean().label_smoothing(0.1), weighted(), grad),
        Call::new("none", none(), per_row(), grad),
        Call::new("none, smoothed", none().label_smoothing(0.2), per_row(), grad),
        Call::new("log-probabilities", mean(), weighted(), log_probs),
        Call::new("all outputs", sum(), data.clone().upstream(-2.0), grad.with_log_probs()),
        Call::new("probabilities", mean(), probabilities(), grad),
        Call::new(
            "probabilities, all",
            none().label_smoothing(0.1),
            probabilities().random_weight().random_upstream(),
            grad.with_log_probs(),
        ),
        Call::new("softmax", Softmax::probs().axis(1), without_target(data), loss),
        Call::new("log-softmax", Softmax::log_probs().axis(1), without_target(data), loss),
        Call::new("nll", Nll::new(), data.clone(), grad),
        Call::new("weighted nll", Nll::new(), weighted(), loss),
        Call::new("nll, none", Nll::new().reduction(Reduction::None), per_row(), grad),
    ]
}

fn without_target(data: &Data) -> Data {
    Data::new(data.shape(), 1, data.input.clone())
}

/// Two summaries of the same rows, whose weights may be added up in another order.
#[track_caller]
fn assert_same_summary(what: &str, got: Summary, mut wanted: Summary) {
    let off = (got.weight - wanted.weight).abs();
    assert!(off <= 1e-6 * wanted.weight, "{what}: {got:?}, expected {wanted:?}");
    wanted.weight = got.weight;
    assert_eq!(got, wanted, "{what}");
}

/// A call in pieces of each of these sizes, against the reference and against the same call in one.
#[track_caller]
fn check(gpu: &Gpu, what: &str, call: &Call, sizes: &[(u64, Place)]) {
    let truth = Answer::from(&call.data.truth(&*call.loss, call.outputs));
    let uncut = call.uncut(gpu);
    for &(bytes, place) in sizes {
        let what = format!("{}, {:?}, {bytes} bytes, {what}", call.name, call.data.shape());
        let got = call.run(gpu, call.cut(gpu, bytes), place);
        let rounding = Rounding::new(&*call.loss, &call.data, call.outputs);
        rounding.check(&what, &got.answer(), &truth);
        assert_same_summary(&what, got.summary, uncut.summary);
        // Numbers of two bytes are rounded in the end, to one side or the other.
        let problem = call.loss.problem(&call.data.shapes(), call.outputs).unwrap();
        if problem.output_type == ElementType::F32 {
            rounding.between_two().check(&what, &got.answer(), &uncut.answer());
        }
    }
}

/// Shapes, and bytes of a binding that hold no row or image of them.
const CASES: [(&[usize], &[u64]); 11] = [
    (&[3, 301], &[96, 992]),
    (&[1, 2048], &[256, 4096]),
    (&[2, 5003], &[2048, 18_976]),
    (&[2, 1, 700], &[224, 1984]),
    (&[2, 7, 131], &[96, 544, 1600]),
    (&[1, 70, 33], &[64, 1088, 8992]),
    (&[2, 19, 20, 6], &[4000]),
    (&[1, 3, 4001], &[16_000, 40_000]),
    (&[1, 600, 2], &[64, 1984]),
    (&[3, 2, 40], &[32]),
    // Several classes at a part of the positions.
    (&[2, 5, 250], &[1600]),
];

#[test]
fn boxes_make_the_whole() {
    for (shape, sizes) in CASES {
        let data = Data::random(shape, 1).holes();
        let rows = data.view.rows();
        let data = data.labelled(&[rows / 2], -100);
        for call in calls(&data) {
            let mut places: Vec<_> = sizes.iter().map(|&bytes| (bytes, Place::default())).collect();
            let in_place =
                call.outputs == Outputs::loss().with_grad() && !call.name.contains("nll");
            places.push((sizes[0], Place { lead: 3, in_place, ..Place::default() }));
            for gpu in in_turn() {
                check(gpu, &gpu.name, &call, &places);
            }
        }
    }
}

#[test]
fn boxes_of_elements_of_two_bytes() {
    use ElementType::{BF16, F16, F32};
    // Rows and classes that start in the middle of a word, and pieces that do.
    const CASES: [(&[usize], u64); 5] = [
        (&[3, 301], 96),
        (&[2, 1999], 1088),
        (&[2, 7, 131], 288),
        (&[1, 70, 33], 544),
        (&[2, 5, 249], 960),
    ];
    for (kind, (input, others)) in [(F16, F16), (BF16, F32)].into_iter().enumerate() {
        let types = Types { input, probabilities: others, weight: others };
        for (case, (shape, bytes)) in CASES.into_iter().enumerate() {
            let data = Data::random(shape, 1).holes();
            // Half of all combinations: any two of types, shapes and calls meet.
            let calls = calls(&data).into_iter().skip((case + kind) % 2).step_by(2);
            for mut call in calls {
                call.data = call.data.in_types(types);
                let in_place =
                    call.outputs == Outputs::loss().with_grad() && !call.name.contains("nll");
                let places = [Place::default(), Place { lead: 3, in_place, ..Place::default() }];
                for gpu in in_turn() {
                    let what = format!("{} on {}", input.name(), gpu.name);
                    check(gpu, &what, &call, &places.map(|place| (bytes, place)));
                }
            }
        }
    }
}

/// Boxes of some positions of each class, whose elements of a class fill stores of 16 bytes or do not.
#[test]
fn boxes_of_nlls_gradient() {
    let mut seen = [0; 2];
    for element_type in ElementType::ALL {
        for (shape, bytes) in [([2, 5, 640], 1600), ([1, 3, 1024], 4096), ([2, 5, 652], 1600)] {
            let data = Data::random(&shape, 1).random_weight().labelled(&[3], -100);
            let data = data.random_upstream().in_types(Types::all(element_type));
            let loss = Nll::new().reduction(Reduction::None);
            let call = Call::new("nll, none", loss, data, Outputs::loss().with_grad());
            for gpu in in_turn() {
                for spec in call.cut(gpu, bytes).specs() {
                    let of_grad = spec.kernel == Kernel::NllBackward;
                    seen[usize::from(spec.layout.neighbours)] += usize::from(of_grad);
                }
                let places = [0, 1, 4].map(|lead| Place { lead, ..Place::default() });
                check(gpu, &gpu.name, &call, &places.map(|place| (bytes, place)));
            }
        }
    }
    assert!(seen.iter().all(|&dispatches| dispatches > 0), "{seen:?}");
}

#[test]
fn labels_of_any_type_find_their_boxes() {
    let grad = Outputs::loss().with_grad();
    for label_type in LabelType::ALL {
        for shape in [&[2, 91, 37][..], &[5, 101]] {
            for gpu in in_turn() {
                // An odd number of rows in front of the second image's; one class does not count.
                let data = Data::random(shape, 1).labels_as(label_type).random_weight();
                let what = format!("{label_type:?} on {}", gpu.name);
                let loss = CrossEntropy::new().ignore_index(5).reduction(Reduction::None);
                let call = Call::new("none", loss, data.clone().random_upstream(), grad);
                check(gpu, &what, &call, &[(384, Place::default())]);
                let call = Call::new("nll", Nll::new().ignore_index(5), data, grad);
                check(gpu, &what, &call, &[(384, Place { lead: 1, ..Place::default() })]);
            }
        }
    }
}

/// Results that are the same numbers but for rounding, and NaN at the same places.
#[track_caller]
fn assert_alike(what: &str, got: &Results, wanted: &Results) {
    let (a, b) = (got.answer(), wanted.answer());
    for (name, a, b) in [
        ("loss", Some(a.loss), Some(b.loss)),
        ("grad", a.grad, b.grad),
        ("all", a.elements, b.elements),
    ] {
        let (Some(a), Some(b)) = (a, b) else { continue };
        assert_eq!(a.len(), b.len(), "{what}: {name}");
        for (i, (a, b)) in a.iter().zip(&b).enumerate() {
            let close = b.is_finite() && (a - b).abs() <= 1e-5 * b.abs() + 1e-7;
            let same = close || a == b || (a.is_nan() && b.is_nan());
            assert!(same, "{what}: {name}[{i}] is {a:e} for {b:e}");
        }
    }
}

#[test]
fn rows_that_are_no_numbers_are_counted_once() {
    for (shape, bytes) in [(&[9, 130][..], 160), (&[2, 40, 9], 128), (&[1, 300, 11], 1184)] {
        let mut data = Data::random(shape, 1).labelled(&[2], -100).labelled(&[4, 7], 1 << 33);
        let view = data.view;
        let at = |row: usize, class: usize| view.row_start(row) + class * view.inner;
        data.input[at(1, view.classes - 1)] = f32::NAN;
        data.input[at(5, 3)] = f32::INFINITY;
        // An ignored row and a bad one that hold NaN, a row of nothing, a label at -inf.
        data.input[at(2, 0)] = f32::NAN;
        data.input[at(4, 1)] = f32::NAN;
        (0..view.classes).for_each(|class| data.input[at(6, class)] = f32::NEG_INFINITY);
        let label = data.label(8).unwrap() as usize;
        data.input[at(8, label)] = f32::NEG_INFINITY;
        for call in calls(&data) {
            for gpu in in_turn() {
                let what = format!("{}, {shape:?} on {}", call.name, gpu.name);
                let uncut = call.uncut(gpu);
                let got = call.run(gpu, call.cut(gpu, bytes), Place::default());
                assert_alike(&what, &got, &uncut);
                assert_same_summary(&what, got.summary, uncut.summary);
                let labelled = got.summary.bad > 0;
                assert!(!labelled || got.summary.first_bad == Some((4, 1 << 33)), "{what}");
            }
        }
    }
}

#[test]
fn boxes_give_the_same_bits_twice() {
    for call in calls(&Data::random(&[2, 130, 61], 1)) {
        for gpu in in_turn() {
            let embedded = Embedded::new(gpu, &call.data, call.cut(gpu, 4000), Place::default());
            assert!(embedded.run() == embedded.run(), "{} on {}", call.name, gpu.name);
        }
    }
}

// ---- Past 32 bits

#[test]
fn more_rows_than_are_numbered_are_not_bound() {
    for gpu in gpus() {
        let shapes = Shapes::new(&[1 << 33, 0]);
        let profile = gpu.kernels().profile();
        let plan = Plan::new(&Softmax::probs().axis(1), &shapes, Outputs::loss(), profile).unwrap();
        let (input, output) = (buffer(gpu, &[0]), buffer(gpu, &[0]));
        let buffers = Buffers::new(input.as_entire_buffer_binding());
        let buffers = buffers.distribution(output.as_entire_buffer_binding());
        let error = Bound::new(gpu.kernels(), plan, &buffers).unwrap_err();
        let Error::Limit { needed, allowed, .. } = error else { panic!("{error}") };
        assert_eq!((needed, allowed), (1 << 33, (1 << 32) - 2), "{}", gpu.name);
    }
}

/// Runs the kernels' own functions on a label: is it a class, and which one of the piece? The
/// functions are tested alone, since no tensor of 2^32 classes is available.
const ASK: &str = "
@compute @workgroup_size(1)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let at = 4u * id.x;
    let label = Labels(workspace[at], workspace[at + 1u]);
    workspace[at + 2u] = kinds_of(label);
    workspace[at + 3u] = class_in_piece(label);
}
";

fn asked(gpu: &Gpu, spec: &Spec, params: &Params, labels: &[i64]) -> Vec<(u32, u32)> {
    let text = mutated(spec.wgsl());
    let (functions, _) = text.split_once("@compute").expect("an entry point");
    let device = gpu.device();
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: None,
        source: wgpu::ShaderSource::Wgsl(format!("{functions}{ASK}").into()),
    });
    let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: None,
        layout: None,
        module: &module,
        entry_point: Some("main"),
        compilation_options: Default::default(),
        cache: None,
    });
    let words = |&label: &i64| [label as u32, (label >> 32) as u32, 77, 77];
    let workspace = buffer(gpu, labels.iter().flat_map(words).collect::<Vec<u32>>().as_slice());
    let uniform = device.create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: size_of::<Params>() as u64,
        usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });
    gpu.queue().write_buffer(&uniform, 0, bytemuck::bytes_of(params));
    let entries = [(TensorSlot::Params, &uniform), (TensorSlot::Workspace, &workspace)];
    let entries = entries.map(|(slot, buffer)| wgpu::BindGroupEntry {
        binding: slot as u32,
        resource: buffer.as_entire_binding(),
    });
    let group = device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: None,
        layout: &pipeline.get_bind_group_layout(0),
        entries: &entries,
    });
    submit(gpu, |pass| {
        pass.set_pipeline(&pipeline);
        pass.set_bind_group(0, &group, &[]);
        pass.dispatch_workgroups(labels.len() as u32, 1, 1);
    });
    read_words(gpu, &workspace).chunks(4).map(|words| (words[2], words[3])).collect()
}

#[test]
fn labels_past_32_bits_find_their_classes() {
    const WRAP: i64 = 1 << 32;
    let data = Data::random(&[1, 600], 1);
    for gpu in gpus() {
        let call = Call::new("nll", Nll::new(), data.clone(), Outputs::loss());
        let plan = call.cut(gpu, 800);
        let spec = plan.specs().find(|spec| spec.kernel == Kernel::NllForward).unwrap();
        assert!(spec.cut);
        for (base, classes) in [(0, 1000), (WRAP - 500, 1000), (WRAP, 9), (2 * WRAP + 7, 1 << 30)] {
            let (all, ignored) = (3 * WRAP + 5, base + 2);
            let params = Params {
                classes: classes as u32,
                class_base_low: base as u32,
                class_base_high: (base >> 32) as u32,
                all_classes_low: all as u32,
                all_classes_high: (all >> 32) as u32,
                ignore_low: ignored as u32,
                ignore_high: (ignored >> 32) as u32,
                ..Params::default()
            };
            let near = [0, base, base + classes, all, ignored, WRAP, base + WRAP, base - WRAP];
            let labels: Vec<i64> =
                near.iter().flat_map(|&label| [label - 1, label, label + 1]).collect();
            for (label, got) in labels.iter().zip(asked(gpu, &spec, &params, &labels)) {
                let kind = match () {
                    () if *label == ignored => 1,
                    () if (0..all).contains(label) => 0,
                    () => 2,
                };
                let here = (base..base + classes).contains(label);
                let class = if here { (label - base) as u32 } else { u32::MAX };
                assert_eq!(got, (kind, class), "{label} of {base} + {classes}, {}", gpu.name);
            }
        }
    }
}
