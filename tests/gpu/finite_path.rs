//! Rows laid out as for a graphics card, whose kernels look at classes one by one only where a few loads together show
//! a NaN, an infinity or the label's class.

use support::answer::Answer;
use support::data::{Data, Types};
use support::gpus::TestGpu;
use support::rounding::Rounding;
use wgpu_loss::gpu::TuningChoice;
use wgpu_loss::plan::{Lanes, Tuning};
use wgpu_loss::{CrossEntropy, ElementType, GpuOptions, Loss, Outputs, Reduction};

/// Resident rows, with a last load that some lanes lack; streaming ones; some that start inside of a load, in f16 and bf16
/// two to a group; rows that are neighbours in memory. 96 of each.
const SHAPES: [&[usize]; 8] = [
    &[96, 256],
    &[96, 248],
    &[96, 2048],
    &[96, 2088],
    &[96, 2001],
    &[96, 2003],
    &[3, 50, 32],
    &[2, 45, 48],
];
/// What a fast look could miss, or take for something else. In f16, 1e38 is infinity.
const SPECIAL: [f32; 10] = [
    f32::NEG_INFINITY,
    f32::INFINITY,
    f32::NAN,
    f32::from_bits(0xffc0_0000),
    1e38,
    -1e38,
    -0.0,
    f32::from_bits(0x0001_0000),
    1e4,
    -1e4,
];

/// Eight lanes to a row, of which each keeps four loads of f32.
fn card() -> TestGpu {
    let mut tuning = Tuning::DISCRETE;
    (tuning.workgroup, tuning.lanes) = (16, Lanes::Keeping { fewest: 2, most: 8 });
    (tuning.resident_row, tuning.resident_lanes, tuning.resident_columns) = (32, 16, 8);
    tuning.fill = 1;
    TestGpu::open("as for a graphics card", GpuOptions::new().tuning(TuningChoice::Given(tuning)))
}

/// Rows with a special logit each but every third: at any place in a load, among a lane's loads and those of its
/// neighbours, at the label and far from it. Every seventh row is ignored.
fn rows(shape: &[usize], element_type: ElementType) -> Data {
    let mut data = Data::random(shape, 1);
    let (view, classes) = (data.view, shape[1]);
    for row in (0..view.rows()).filter(|row| row % 3 != 0) {
        let label = data.label(row).map_or(0, |label| label as usize);
        let class = match row % 4 {
            0 => label,
            1 => (label + 1) % classes,
            _ => (row * 157 + row / 8) % classes,
        };
        let element = view.row_start(row) + class * view.inner;
        data.input[element] = SPECIAL[row * 7 / 3 % SPECIAL.len()];
    }
    let ignored: Vec<usize> = (0..view.rows()).step_by(7).collect();
    data.labelled(&ignored, -100).in_types(Types::all(element_type))
}

#[track_caller]
fn check(gpu: &TestGpu, data: &Data, loss: &dyn Loss, outputs: Outputs) {
    let plan = data.plan(loss, outputs, gpu.kernels().profile());
    assert!(plan.specs().any(|spec| spec.layout.finite_path), "{plan}");
    let what = format!("{:?} {outputs:?} on {}", data.shape(), gpu.name);
    let wanted = Answer::from(&data.truth(loss, outputs));
    let rounding = Rounding::new(loss, data, outputs);
    rounding.check(&what, &Answer::from(&data.on(gpu, loss, outputs)), &wanted);
}

#[test]
fn special_logits_are_noticed_anywhere() {
    let gpu = card();
    let unreduced = CrossEntropy::new().reduction(Reduction::None);
    let smooth = unreduced.clone().label_smoothing(0.1);
    for shape in SHAPES {
        for element_type in ElementType::ALL {
            let data = rows(shape, element_type);
            check(&gpu, &data, &unreduced, Outputs::loss());
            check(&gpu, &data, &unreduced, Outputs::loss().with_grad());
            check(&gpu, &data, &unreduced, Outputs::loss().with_grad().with_log_probs());
            check(&gpu, &data, &smooth, Outputs::loss().with_grad());
        }
    }
}

/// A row whose gradient's factor is no number has no plain gradient: 0 times infinity, and NaN in any of its forms.
#[test]
fn gradients_of_no_finite_size_are_noticed() {
    let gpu = card();
    let loss = CrossEntropy::new().reduction(Reduction::None);
    let factors = [
        1.0,
        f32::INFINITY,
        -2.0,
        f32::NAN,
        0.0,
        f32::NEG_INFINITY,
        1e38,
        f32::from_bits(0xffff_ffff),
    ];
    for shape in SHAPES {
        for element_type in ElementType::ALL {
            let mut data = Data::random(shape, 1);
            let rows = 0..data.view.rows();
            let upstream = rows.map(|row| factors[row % factors.len()]).collect();
            data.input.iter_mut().step_by(5).for_each(|x| *x -= 20.0);
            let data = data.in_types(Types::all(element_type)).upstream_rows(upstream);
            check(&gpu, &data, &loss, Outputs::loss().with_grad());
        }
    }
}
