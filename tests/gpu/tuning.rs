//! Right answers for any layout of the work, kernels that are compiled ahead, and the search itself.

use std::time::Duration;

use support::answer::Answer;
use support::data::{Data, Types};
use support::embedded::{Embedded, Place};
use support::gpus::gpus;
use support::mutants;
use support::random::Random;
use support::rounding::Rounding;
use wgpu_loss::gpu::{Field, TuneOptions, TuningChoice};
use wgpu_loss::kernels::{Kernel, Spec, VectorWidth};
use wgpu_loss::plan::{Lanes, Tuning};
use wgpu_loss::{
    CrossEntropy, ElementType, Error, Gpu, GpuOptions, Kernels, LabelType, Outputs, Plan,
    Reduction, Softmax,
};

/// Rows that are resident, ragged, streaming and split, and columns.
const SHAPES: [&[usize]; 11] = [
    &[16, 10],
    &[7, 33],
    &[7, 64],
    &[7, 257],
    &[5, 1000],
    &[5, 1001],
    &[3, 4097],
    &[3, 20_000],
    &[3, 5, 7, 9],
    &[2, 21, 64, 64],
    &[2, 100, 7, 7],
];

/// The loss and its gradient by these numbers, against the reference: in turns on a device with
/// subgroups and on one without, from the `first` on. (Software drivers compile for seconds.)
#[track_caller]
fn check(first: usize, change: impl Fn(&mut Tuning)) {
    let gpus = [true, false].map(|subgroups| opened(subgroups, &change));
    let (loss, outputs) = (CrossEntropy::new(), Outputs::loss().with_grad());
    for (index, shape) in SHAPES.into_iter().enumerate() {
        let data = Data::random(shape, 1).holes();
        let wanted = Answer::from(&data.truth(&loss, outputs));
        let rounding = Rounding::new(&loss, &data, outputs);
        let gpu = &gpus[(first + index) % 2];
        let profile = gpu.kernels().profile();
        let plan = data.plan(&loss, outputs, profile);
        assert!(plan.longest_loops() < 65_536, "{shape:?}");
        let what = format!("{shape:?} on {} by {:?}", gpu.info().name, profile.tuning);
        rounding.check(&what, &Answer::from(&data.on(gpu, &loss, outputs)), &wanted);
    }
}

#[track_caller]
fn opened(subgroups: bool, change: impl Fn(&mut Tuning)) -> Gpu {
    let mut tuning = gpus()[0].kernels().profile().tuning;
    change(&mut tuning);
    let all = GpuOptions::new().tuning(TuningChoice::Given(tuning));
    let options = if subgroups { all } else { all.without_subgroups() };
    mutants::on(Gpu::with_options(&options).unwrap())
}

#[test]
fn small_groups() {
    check(0, |tuning| {
        tuning.workgroup = 16;
        tuning.lanes = Lanes::Keeping { fewest: 1, most: 16 };
        tuning.resident_row = 4;
        tuning.branches = true;
    });
}

/// Shuffles reach no further than the lanes there are: every subgroup is larger.
#[test]
fn groups_smaller_than_a_subgroup() {
    check(0, |tuning| {
        tuning.workgroup = 4;
        tuning.lanes = Lanes::Keeping { fewest: 2, most: 4 };
        tuning.resident_row = 16;
    });
}

#[test]
fn one_lane_and_one_group() {
    check(1, |tuning| {
        tuning.workgroup = 1;
        tuning.lanes = Lanes::Keeping { fewest: 1, most: 1 };
        tuning.groups = 1;
        tuning.fill = 1;
    });
}

/// A lane adds up to 4,000 rows at several levels: all sums pass all of them.
#[test]
fn one_lane_adds_thousands_of_rows() {
    let gpu = opened(true, |tuning| {
        tuning.workgroup = 1;
        tuning.lanes = Lanes::Keeping { fewest: 1, most: 1 };
        (tuning.groups, tuning.fill) = (1, 1);
    });
    for shape in [&[4_000, 3][..], &[4_000, 70], &[1, 3, 4_000]] {
        let data = Data::random(shape, 1).random_weight().random_row_weights();
        let loss = CrossEntropy::new().z_loss(0.1);
        let (output, truth) =
            (data.on(&gpu, &loss, Outputs::loss()), data.truth(&loss, Outputs::loss()));
        let near = |got: f64, wanted: f64| (got - wanted).abs() <= 1e-5 * wanted.abs();
        assert!(near(output.loss[0].into(), truth.loss[0]), "{shape:?}: loss");
        assert!(near(output.z_loss[0].into(), truth.z_loss[0]), "{shape:?}: z-loss");
        assert!(near(output.summary.weight, truth.summary.weight), "{shape:?}: weight");
    }
}

#[test]
fn single_loads_and_nothing_kept() {
    check(0, |tuning| {
        tuning.load = VectorWidth::One;
        (tuning.resident_row, tuning.resident_columns, tuning.resident_short) = (1, 1, 1);
        tuning.together = !tuning.together;
        tuning.groups = 3;
    });
}

#[test]
fn rows_in_as_many_parts_as_can_be() {
    check(1, |tuning| {
        tuning.load = VectorWidth::Four;
        tuning.lanes = Lanes::Keeping { fewest: 2, most: 4 };
        tuning.workgroup = 32;
        tuning.resident_row = 1;
        tuning.fill = 4096;
        tuning.part_loads = 1;
    });
}

#[test]
fn large_groups_and_parts() {
    check(0, |tuning| {
        tuning.workgroup = 1024;
        tuning.lanes = Lanes::Keeping { fewest: 64, most: 1024 };
        tuning.resident_row = 8;
        tuning.part_loads = 2;
        tuning.fill = 256;
        tuning.branches = true;
    });
}

/// Rows of which a gradient is written have larger workgroups, if these keep them.
#[test]
fn rows_kept_by_a_workgroup_each() {
    check(1, |tuning| {
        tuning.lanes = Lanes::Keeping { fewest: 1, most: 8 };
        (tuning.workgroup, tuning.resident_row, tuning.fill) = (8, 16, 1);
        tuning.resident_lanes = 256;
        tuning.branches = true;
    });
}

#[test]
fn a_subgroup_for_each_row() {
    check(1, |tuning| {
        tuning.workgroup = 128;
        tuning.lanes = Lanes::Subgroup;
        tuning.resident_row = 64;
        tuning.groups = 2;
    });
}

/// The kernel that folds short rows, with all tensors where loads start.
fn of_short_rows(data: &Data, outputs: Outputs, gpu: &Gpu) -> Spec {
    let plan = data.plan(&CrossEntropy::new(), outputs, gpu.kernels().profile());
    plan.specs().find(|spec| spec.kernel == Kernel::Columns).expect("short rows")
}

/// Short rows of every number of classes that groups load and store together: rows around whole loads and whole groups,
/// groups whose last lanes have none, and groups that take several blocks.
#[test]
fn short_rows_that_groups_load_together() {
    use ElementType::{BF16, F16, F32};
    let gpu = opened(true, |tuning| {
        *tuning = Tuning::DISCRETE;
        (tuning.groups, tuning.fill) = (2, 1);
    });
    let (loss, outputs) = (CrossEntropy::new(), Outputs::loss().with_grad());
    let mut loads = Vec::new();
    for classes in 1..=16 {
        let element_type = [F32, BF16, F16][classes % 3];
        let types = Types::all(element_type);
        let of_rows = |rows| Data::random(&[rows, classes], 1).holes().in_types(types);
        let spec = of_short_rows(&of_rows(64), outputs, &gpu);
        assert!(spec.layout.staged, "{spec}");
        loads.push((spec.layout.load, element_type));
        let load = spec.layout.load.elements();
        let block = spec.layout.geometry.workgroup as usize * load;
        for rows in [1, 3, load, block - 8, block, block + 1, block + 8, 5 * block + 10] {
            let data = of_rows(rows);
            let staged = of_short_rows(&data, outputs, &gpu).layout.staged;
            // Rows beyond a multiple of eight are a piece of their own.
            assert_eq!(staged, rows >= 4, "{rows} rows of {classes}");
            let what = format!("{rows} rows of {classes} {element_type:?}");
            // Without a gradient, lanes still read their rows when others come to the next block.
            let several = (rows > 2 * block).then_some(Outputs::loss());
            for outputs in [outputs].into_iter().chain(several) {
                let rounding = Rounding::new(&loss, &data, outputs);
                let wanted = Answer::from(&data.truth(&loss, outputs));
                rounding.check(&what, &Answer::from(&data.on(&gpu, &loss, outputs)), &wanted);
            }
        }
    }
    use VectorWidth::{Eight, Four};
    let all = [(Four, F32), (Four, BF16), (Four, F16), (Eight, BF16), (Eight, F16)];
    assert!(all.iter().all(|one| loads.contains(one)), "{loads:?}");
}

/// All tensors of the logits' shape pass through it, of the same type and of others, in place and next to poison, in
/// the last group too.
#[test]
fn tensors_of_short_rows_that_groups_load_together() {
    use ElementType::{BF16, F16, F32};
    let gpu = opened(false, |tuning| {
        *tuning = Tuning::DISCRETE;
        (tuning.groups, tuning.fill) = (3, 1);
    });
    let none = CrossEntropy::new().reduction(Reduction::None);
    let grad = Outputs::loss().with_grad();
    let types = [(F32, F32, false), (F32, BF16, false), (BF16, BF16, false), (F16, F32, true)];
    // The last shape ends inside of what a binding holds.
    let shapes = [[2064, 6], [1544, 8], [808, 12], [4, 7]];
    for (number, (input, others, in_f32)) in types.into_iter().enumerate() {
        for (other, shape) in shapes.into_iter().enumerate() {
            let outputs = if (number + other) % 2 == 0 { grad } else { grad.with_log_probs() };
            let outputs = if in_f32 { outputs.in_f32() } else { outputs };
            let types = Types { input, probabilities: others, weight: others };
            let data = Data::random(&shape, 1).random_weight().random_upstream();
            let data = data.holes().random_probabilities().in_types(types);
            // Where loads of all types start.
            let place = Place { lead: 16, in_place: other % 3 == 0 && !in_f32, arena: false };
            let plan = data.plan(&none, outputs, gpu.kernels().profile());
            assert!(plan.specs().any(|spec| spec.layout.staged), "{plan}");
            let results = Embedded::new(&gpu, &data, plan, place).run();
            let what = format!("{shape:?} {types:?} {outputs:?} {place:?}");
            let wanted = Answer::from(&data.truth(&none, outputs));
            Rounding::new(&none, &data, outputs).check(&what, &results.answer(), &wanted);
        }
    }
    for loss in [Softmax::probs(), Softmax::log_probs()] {
        let loss = loss.axis(1);
        let data = Data::random(&[1544, 12], 1);
        let data = Data::new(&[1544, 12], 1, data.input).random_upstream_elements();
        let wanted = Answer::from(&data.truth(&loss, grad));
        let got = Answer::from(&data.on(&gpu, &loss, grad));
        Rounding::new(&loss, &data, grad).check(
            "an upstream gradient for each class",
            &got,
            &wanted,
        );
    }
}

/// Takes minutes, to test drivers: `cargo test --profile tests --test gpu tuning:: -- --ignored`.
#[test]
#[ignore = "compiles hundreds of kernels"]
fn any_numbers() {
    let mut random = Random(2026);
    for first in 0..20 {
        let numbers = random.tuning();
        println!("{numbers:?}");
        check(first, |tuning| *tuning = numbers);
        for shape in SHAPES {
            check_anywhere(shape, numbers, &mut random);
        }
    }
}

/// Another loss than the plain one, in tensors that start anywhere.
#[track_caller]
fn check_anywhere(shape: &[usize], tuning: Tuning, random: &mut Random) {
    let data = Data::random(shape, 1).random_weight().random_upstream();
    let data = match random.below(3) {
        0 => data.holes().labels_as(LabelType::U16),
        1 => data.holes().random_probabilities(),
        _ => data,
    };
    let smoothing = if random.below(2) == 0 { 0.0 } else { 0.1 };
    let loss = CrossEntropy::new().label_smoothing(smoothing).reduction(Reduction::None);
    let place = Place {
        lead: random.below(9),
        in_place: random.below(2) == 0,
        arena: random.below(2) == 0,
    };
    let outputs = Outputs::loss().with_grad();
    let outputs = if random.below(2) == 0 { outputs } else { outputs.with_log_probs() };
    let gpu = &gpus()[random.below(2)];
    let profile = gpu.kernels().profile().clone().with_tuning(tuning);
    let plan = data.plan(&loss, outputs, &profile);
    let results = Embedded::new(gpu, &data, plan, place).run();
    let what = format!("{shape:?} {place:?} on {} by {tuning:?}", gpu.name);
    let wanted = Answer::from(&data.truth(&loss, outputs));
    Rounding::new(&loss, &data, outputs).check(&what, &results.answer(), &wanted);
}

#[test]
fn a_host_chooses_for_its_own_kernels() {
    let gpu = &gpus()[0];
    let table = Tuning::of(gpu.info().device_type);
    assert_eq!(Kernels::new(gpu.device()).profile().tuning, table);
    let mut tuning = table;
    tuning.groups = 3;
    assert_eq!(Kernels::with_tuning(gpu.device(), tuning).profile().tuning, tuning);
    // Numbers that no plan can be made with are refused; they are never divided by.
    tuning.part_loads = 0;
    let kernels = Kernels::with_tuning(gpu.device(), tuning);
    let (data, loss) = (Data::random(&[2, 3], 1), CrossEntropy::new());
    let plan = Plan::new(&loss, &data.shapes(), Outputs::loss(), kernels.profile());
    assert!(matches!(plan, Err(Error::Option { option: "part_loads", .. })));
}

#[test]
fn kernels_that_are_compiled_before_there_is_a_buffer() {
    for gpu in gpus() {
        for (shape, labels) in [
            (&[8, 10][..], LabelType::U8),
            (&[3, 1000], LabelType::I64),
            (&[3, 1001], LabelType::I32),
        ]
        .into_iter()
        .chain([(&[2, 70_000][..], LabelType::I64), (&[2, 5, 8, 8], LabelType::U16)])
        {
            let data = Data::random(shape, 1).labels_as(labels);
            let outputs = Outputs::loss().with_grad();
            let gpu = &gpu.fresh();
            let kernels: &Kernels = gpu.kernels();
            let plan = data.plan(&CrossEntropy::new(), outputs, kernels.profile());
            assert_eq!(kernels.compiled(), 0);
            kernels.compile(&plan).unwrap();
            let compiled = kernels.compiled();
            assert!(compiled > 0 && compiled <= plan.dispatches());
            kernels.compile(&plan).unwrap();
            Embedded::new(gpu, &data, plan, Place::default());
            assert_eq!(kernels.compiled(), compiled, "{shape:?} on {}", gpu.info().name);
        }
    }
}

#[test]
fn a_search() {
    let gpu = &gpus()[0];
    let options =
        TuneOptions::new().elements(1).samples(1).fields([Field::Groups, Field::Together]);
    let mut steps = Vec::new();
    let tuned = gpu.tune(&options, |progress| steps.push(progress.clone())).unwrap();
    assert_eq!(tuned.table, Tuning::of(gpu.info().device_type));
    assert_eq!(tuned.tuning.check(), Ok(()));
    assert_eq!((tuned.dropped, tuned.complete), (0, true));
    assert_eq!((tuned.gains.len(), tuned.shapes.len()), (2, 10));
    assert!(tuned.gains.iter().all(|gain| gain.times >= 1.0));
    // Numbers that were not to be tuned are unchanged.
    let Tuning { groups, together, .. } = tuned.table;
    let mut tuning = tuned.tuning;
    (tuning.groups, tuning.together) = (groups, together);
    assert_eq!(tuning, tuned.table);

    assert_eq!(steps.len(), tuned.tried);
    assert!(steps.iter().enumerate().all(|(i, step)| step.done == i && step.of > i));
    assert_eq!(steps[0].field, Field::Groups);
}

#[test]
fn a_search_without_time() {
    let gpu = &gpus()[0];
    let options = TuneOptions::new().elements(1).samples(1).limit(Duration::ZERO);
    let tuned = gpu.tune(&options, |_| panic!("something is tried")).unwrap();
    assert_eq!((tuned.tuning, tuned.tried, tuned.complete), (tuned.table, 0, false));
}
