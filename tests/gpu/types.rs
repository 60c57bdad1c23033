//! Element types: logits, class probabilities and class weights of two bytes, gradients and
//! distributions in them, and every label type with each.

use std::collections::HashSet;

use half::{bf16, f16};
use support::answer::{Answer, bits};
use support::data::{Data, Types};
use support::embedded::{Embedded, Place};
use support::floats::OwnedFloats;
use support::gpus::{TestGpu, gpus, in_turn};
use support::rounding::Rounding;
use wgpu_loss::gpu::TuningChoice;
use wgpu_loss::kernels::{Kernel, Layout, Phase, VectorWidth};
use wgpu_loss::plan::Tuning;
use wgpu_loss::{
    CrossEntropy, ElementType, Error, GpuOptions, Inputs, LabelType, Loss, Nll, Outputs, Reduction,
    Softmax, Tensor, reference,
};

const HALVES: [ElementType; 2] = [ElementType::F16, ElementType::BF16];

/// Classes around the sizes that matter to loads of eight, pairs of elements and short rows.
const CLASSES: [usize; 17] =
    [1, 2, 3, 8, 9, 15, 16, 17, 33, 36, 40, 50, 1000, 1001, 1004, 8193, 50257];

fn unreduced() -> CrossEntropy {
    CrossEntropy::new().reduction(Reduction::None)
}

fn grad() -> Outputs {
    Outputs::loss().with_grad()
}

/// Tensors that start anywhere: at a word, at loads of four, in place.
const EVERYWHERE: [(usize, bool); 4] = [(0, false), (0, true), (1, false), (6, false)];

/// Runs a call on the devices in turn against the reference, in buffers with guards.
#[track_caller]
fn check(what: &str, loss: &dyn Loss, data: &Data, outputs: Outputs) {
    check_on(in_turn(), &EVERYWHERE[..1], what, loss, data, outputs);
}

/// Runs the same on some devices, for tensors in such places; in place if the gradient has the input's type. (A
/// software driver takes its time to compile: not every combination runs everywhere.)
#[track_caller]
fn check_on(
    gpus: &[TestGpu],
    places: &[(usize, bool)],
    what: &str,
    loss: &dyn Loss,
    data: &Data,
    outputs: Outputs,
) {
    let wanted = Answer::from(&data.truth(loss, outputs));
    let rounding = Rounding::new(loss, data, outputs);
    let problem = loss.problem(&data.shapes(), outputs).unwrap();
    let can_overwrite = outputs.grad && problem.input_type == problem.output_type;
    for gpu in gpus {
        let plan = || data.plan(loss, outputs, gpu.kernels().profile());
        for &(lead, in_place) in places {
            if in_place && !can_overwrite {
                continue;
            }
            let what = format!(
                "{what} {:?}, {lead} words in front, in place: {in_place}, {}",
                data.shape(),
                gpu.name
            );
            let results =
                Embedded::new(gpu, data, plan(), Place { lead, in_place, ..Place::default() })
                    .run();
            rounding.check(&what, &results.answer(), &wanted);
        }
    }
}

#[test]
fn rows_of_every_width() {
    for (number, classes) in CLASSES.into_iter().enumerate() {
        let element_type = HALVES[number % 2];
        let name = element_type.name();
        // An odd number of rows, more than a group takes at a time on some device.
        let rows = if classes < 4096 { 75 } else { 9 };
        let data = Data::random(&[rows, classes], 1).holes().labelled(&[3, rows - 2], -100);
        let data = data.random_upstream().in_types(Types::all(element_type));
        check(name, &unreduced(), &data, grad());
        check_on(in_turn(), &EVERYWHERE, name, &unreduced(), &data, grad());
        if classes % 2 == 1 {
            let outputs = grad().with_log_probs();
            check_on(in_turn(), &EVERYWHERE[..1], name, &unreduced(), &data, outputs);
            let outputs = grad().in_f32();
            check_on(in_turn(), &EVERYWHERE[..1], name, &unreduced(), &data, outputs);
        }
    }
}

/// With so many tensors a kernel needs more than eight bindings, so several share its work. Every second row of an odd
/// number of classes starts in the word that the row before ends in.
#[test]
fn rows_that_share_words_where_kernels_share_the_work() {
    let shapes = [[64, 23], [64, 71], [38, 175], [21, 1483], [19, 1143], [32, 19]];
    for (number, shape) in shapes.into_iter().enumerate() {
        for (other, element_type) in HALVES.into_iter().enumerate() {
            let rows = shape[0];
            let weights = (0..rows).map(|row| 0.5 + (row % 7) as f32).collect();
            let data = Data::random(&shape, 1).random_weight().row_weights(weights);
            let data = data.random_upstream().in_types(Types::all(element_type));
            let outputs = grad().with_log_probs();
            let plan = data.plan(&unreduced(), outputs, gpus()[2].kernels().profile());
            assert!(plan.specs().any(|spec| spec.phase == Phase::Write), "{shape:?}: {plan}");
            let name = element_type.name();
            let places = if number % 2 == other { &EVERYWHERE[..] } else { &EVERYWHERE[..1] };
            check_on(&gpus()[2..], places, name, &unreduced(), &data, outputs);
        }
    }
}

#[test]
fn columns_of_every_height() {
    for (number, inner) in [2, 3, 4, 8, 12, 49].into_iter().enumerate() {
        for (other, classes) in [1, 3, 21, 300].into_iter().enumerate() {
            let element_type = HALVES[(number + other) % 2];
            let name = element_type.name();
            let data = Data::random(&[3, classes, inner], 1).holes();
            let data = data.random_weight().in_types(Types::all(element_type));
            let gpus = in_turn();
            check_on(gpus, &EVERYWHERE, name, &CrossEntropy::new(), &data, grad());
            let outputs = grad().in_f32().with_log_probs();
            let gpus = in_turn();
            check_on(gpus, &EVERYWHERE[..1], name, &CrossEntropy::new(), &data, outputs);
        }
    }
}

#[test]
fn rows_in_parts() {
    for shape in &[[9, 70_001], [2, 66_002], [3, 140_000], [1, 200_003]] {
        for element_type in HALVES {
            let name = element_type.name();
            let data = Data::random(shape, 1).in_types(Types::all(element_type));
            let gpus = in_turn();
            check_on(gpus, &EVERYWHERE, name, &CrossEntropy::new(), &data, grad());
            let smooth = unreduced().label_smoothing(0.1);
            let outputs = grad().with_log_probs();
            check_on(in_turn(), &EVERYWHERE[..1], name, &smooth, &data, outputs);
        }
    }
}

/// Loads, groups and shared rows as for a graphics card, which the tables for software drivers hide.
#[test]
fn laid_out_as_for_a_graphics_card() {
    for (number, tuning) in [Tuning::DISCRETE, Tuning::INTEGRATED].into_iter().enumerate() {
        let options = GpuOptions::new().tuning(TuningChoice::Given(tuning));
        let gpu = [TestGpu::open(&format!("{tuning:?}"), options)];
        for (other, shape) in [
            &[75, 3][..],
            &[80, 16],
            &[75, 17],
            &[75, 1001],
            &[75, 1004],
            &[9, 50_257],
            &[3, 70_001],
            &[3, 8, 12],
            &[3, 21, 16],
            &[3, 21, 9],
            &[2, 300, 6],
        ]
        .into_iter()
        .enumerate()
        {
            let element_type = HALVES[(number + other) % 2];
            let data = Data::random(shape, 1).holes().random_weight();
            let data = data.in_types(Types::all(element_type));
            let name = element_type.name();
            let places = if other % 2 == number { &EVERYWHERE[..] } else { &EVERYWHERE[..1] };
            check_on(&gpu, places, name, &CrossEntropy::new(), &data, grad());
            let smooth = unreduced().label_smoothing(0.1);
            check_on(&gpu, &EVERYWHERE[..1], name, &smooth, &data, grad().with_log_probs());
        }
    }
}

/// Stores of the gradient of nll hold a part of a row, several rows, or elements of neighbouring rows; the first and
/// the last one of a piece may hold another piece's elements.
#[test]
fn stores_of_nlls_gradient() {
    let card = GpuOptions::new().tuning(TuningChoice::Given(Tuning::DISCRETE));
    let card = [TestGpu::open("laid out as for a card", card)];
    let rows = [1, 2, 3, 4, 5, 7, 8, 9, 100].map(|classes| vec![37, classes]);
    let images = [2, 3, 4, 6, 8, 12, 49].map(|inner| vec![7, 5, inner]);
    let loss = Nll::new().reduction(Reduction::None);
    let mut seen = HashSet::new();
    for (number, shape) in rows.into_iter().chain(images).enumerate() {
        for element_type in ElementType::ALL {
            let data = Data::random(&shape, 1).random_weight().random_row_weights();
            let data = data.labelled(&[0, 2], -100).random_upstream();
            let data = data.in_types(Types::all(element_type));
            let gpu = if number % 2 == 0 { &card[0] } else { &in_turn()[0] };
            let (whole, mut small) = (gpu.kernels().profile(), gpu.kernels().profile().clone());
            // A piece may start a little after its binding's start and end a little before its end.
            let slack = small.limits.min_storage_buffer_offset_alignment.max(32) + 32;
            let step = element_type.bytes() as usize * shape[1] * shape.get(2).unwrap_or(&1);
            small.limits.max_storage_buffer_binding_size = 2 * step.max(32) as u64 + slack as u64;
            let mut words = small.clone();
            words.tuning.load = VectorWidth::One;
            let wanted = Answer::from(&data.truth(&loss, grad()));
            let rounding = Rounding::new(&loss, &data, grad());
            // The words before a tensor: the first store has some elements of it, or all.
            let cases = (0..5).flat_map(|lead| [whole, &small, &words].map(|p| (lead, p)));
            for (lead, profile) in cases {
                let plan = data.plan(&loss, grad(), profile);
                let stores = plan.specs().filter(|spec| spec.kernel == Kernel::NllBackward);
                seen.extend(stores.map(|spec| {
                    let Layout { load, row_loads, neighbours, .. } = spec.layout;
                    (load > VectorWidth::One, row_loads, neighbours)
                }));
                let what =
                    format!("{element_type:?} {shape:?} at word {lead} on {}: {plan}", gpu.name);
                let results = Embedded::new(gpu, &data, plan, Place { lead, ..Place::default() });
                rounding.check(&what, &results.run().answer(), &wanted);
            }
        }
    }
    assert_eq!(seen.len(), 5, "{seen:?}");
}

#[test]
fn every_label_type() {
    for label_type in LabelType::ALL {
        for element_type in HALVES {
            for shape in [&[61, 5][..], &[61, 37], &[3, 5, 8], &[3, 5, 7]] {
                let data = Data::random(shape, 1);
                // A negative label has all of its bits.
                let ignored = if label_type.signed() { &[1, 6, 11][..] } else { &[] };
                let data = data.labelled(ignored, -100).labels_as(label_type).random_weight();
                let data = data.in_types(Types::all(element_type));
                let (gpus, at) = (in_turn(), &EVERYWHERE[..1]);
                check_on(gpus, at, "labels", &CrossEntropy::new(), &data, grad());
                check_on(gpus, at, "nll", &Nll::new(), &data, grad());
            }
        }
    }
}

#[test]
fn every_pairing() {
    let shapes = [&[33, 7][..], &[33, 67], &[33, 72], &[2, 6, 24], &[2, 6, 9]];
    let mut number = 0;
    for input in ElementType::ALL {
        for probabilities in ElementType::ALL {
            for weight in ElementType::ALL {
                let types = Types { input, probabilities, weight };
                let what = format!("{types:?}");
                number += 1;
                let shape = shapes[number % shapes.len()];
                let data = Data::random(shape, 1).holes().random_weight();
                let soft = data.clone().random_probabilities().in_types(types);
                check(&what, &unreduced(), &soft, grad());
                let smooth = CrossEntropy::new().label_smoothing(0.2);
                check(&what, &smooth, &data.in_types(types), grad().in_f32());
            }
        }
    }
}

#[test]
fn distributions() {
    for element_type in HALVES {
        for shape in [&[33, 7][..], &[33, 67], &[33, 64], &[2, 6, 24], &[2, 6, 9]] {
            let data = Data::new(shape, 1, Data::random(shape, 1).holes().input);
            let data = data.in_types(Types::all(element_type));
            for softmax in [Softmax::probs().axis(1), Softmax::log_probs().axis(1)] {
                check("softmax", &softmax, &data, Outputs::loss());
                check("softmax in f32", &softmax, &data, Outputs::loss().in_f32());
            }
        }
    }
}

/// nll of one class is minus the input: every bit pattern goes through the device.
#[test]
fn every_number_is_read() {
    let patterns: Vec<u16> = (0..=u16::MAX).collect();
    let labels = vec![0u8; patterns.len()];
    let halves: Vec<f16> = patterns.iter().map(|&bits| f16::from_bits(bits)).collect();
    let brains: Vec<bf16> = patterns.iter().map(|&bits| bf16::from_bits(bits)).collect();
    for floats in [OwnedFloats::F16(halves), OwnedFloats::BF16(brains)] {
        let shape = [patterns.len(), 1];
        let inputs = Inputs::new(Tensor::new(floats.borrow(), &shape)).labels(&labels, &shape[..1]);
        let loss = Nll::new().reduction(Reduction::None);
        for gpu in gpus() {
            let output = gpu.run(&loss, &inputs, Outputs::loss()).unwrap();
            for (got, x) in output.loss.iter().zip(floats.wide()) {
                // A device may flush what is too small for a normal f32.
                let flushed = x.is_subnormal() && *got == 0.0;
                let same = *got == -x || (got.is_nan() && x.is_nan());
                assert!(same || flushed, "{x:e} gave {got:e} on {}", gpu.name);
            }
        }
    }
}

/// The gradient of nll at the label is minus the upstream gradient: any f32 is rounded by the device.
#[test]
fn every_number_is_rounded_to_the_nearest() {
    // Each number of the type, and those halfway to its neighbour and just next to that.
    for element_type in HALVES {
        let mut upstream = Vec::new();
        for pattern in 0..=u16::MAX {
            let x = match element_type {
                ElementType::F16 => f16::from_bits(pattern).to_f32(),
                _ => bf16::from_bits(pattern).to_f32(),
            };
            let half = if element_type == ElementType::F16 { 1 << 12 } else { 1 << 15 };
            for offset in [0, half - 1, half, half + 1] {
                let bits = x.to_bits().wrapping_add(offset);
                upstream.push(f32::from_bits(bits));
            }
        }
        // Below the smallest normal f16 the steps are equal.
        upstream.extend((0..4096).map(|i| i as f32 * 2f32.powi(-26)));
        upstream.retain(|x| !x.is_subnormal());
        let rows = upstream.len();
        let labels = vec![0u8; rows];
        let input = OwnedFloats::new(element_type, &vec![0.0; rows]);
        let shape = [rows, 1];
        let inputs = Inputs::new(Tensor::new(input.borrow(), &shape))
            .labels(&labels, &shape[..1])
            .upstream(Tensor::new(&upstream, &shape[..1]));
        let loss = Nll::new().reduction(Reduction::None);
        let negative: Vec<f32> = upstream.iter().map(|x| -x).collect();
        let wanted = OwnedFloats::new(element_type, &negative).wide();
        for gpu in gpus().iter().chain([&rounding(true)]) {
            let output = gpu.run(&loss, &inputs, grad()).unwrap();
            let got = output.grad.unwrap();
            for (i, (got, wanted)) in got.iter().zip(&wanted).enumerate() {
                let same = got == wanted || (got.is_nan() && wanted.is_nan());
                let flushed = wanted.is_subnormal() && *got == 0.0;
                assert!(
                    same || flushed,
                    "{:e} gave {got:e}, not {wanted:e}, on {}",
                    negative[i],
                    gpu.name
                );
            }
        }
    }
}

/// A device on which the driver rounds to f16, if a probe has found that exact; or integers do.
fn rounding(by_driver: bool) -> TestGpu {
    let mut tuning = Tuning::of(gpus()[0].info().device_type);
    tuning.rounds_f16 = by_driver;
    TestGpu::open("rounds", GpuOptions::new().tuning(TuningChoice::Given(tuning)))
}

/// It makes no difference whether f16 are converted by the driver, where a probe has shown that it is exact, or in
/// integers.
#[test]
fn conversions_of_f16_by_the_driver_change_nothing() {
    let [_, .., unknown] = gpus() else { panic!("devices") };
    let unknown = unknown.kernels().profile();
    assert_eq!([unknown.f16, unknown.f16_rounds], [false; 2]);
    let devices = [true, false].map(rounding);
    let probed = devices[0].kernels().profile();
    println!("{} reads: {}, rounds: {}", devices[0].name, probed.f16, probed.f16_rounds);
    // At an nll's label the gradient is given; a cross-entropy's is a product, which has to be rounded to f32 first.
    let nll = Nll::new().reduction(Reduction::None);
    let cross_entropy = CrossEntropy::new().reduction(Reduction::None);
    for gradient in [1.0, 1.000_488_4, 2048.5, 65_519.99, 65_520.0, -3e38, 3.1e-5, 2.9e-8, 1e-40] {
        for shape in [&[64, 3][..], &[64, 250], &[16, 1001], &[2, 7, 40]] {
            let data = Data::random(shape, 1);
            let upstream = vec![gradient; data.view.rows()];
            let data = data.upstream_rows(upstream).in_types(Types::all(ElementType::F16));
            for loss in [&nll as &dyn Loss, &cross_entropy] {
                let [a, b] = [0, 1].map(|device| data.on(&devices[device], loss, grad()));
                assert_eq!(bits(&a.loss), bits(&b.loss));
                let [Some(a), Some(b)] = [a.grad, b.grad] else { panic!("gradients") };
                assert_eq!(bits(&a), bits(&b), "{gradient} {shape:?}");
            }
        }
    }
}

#[test]
fn the_reference_reads_every_type() {
    for element_type in HALVES {
        let data = Data::random(&[9, 33], 1).random_weight();
        let narrow = data.clone().in_types(Types::all(element_type));
        // The same numbers as f32.
        let mut wide = data;
        (wide.input, wide.weight) = (narrow.input.clone(), narrow.weight.clone());
        let [a, b] = [&narrow, &wide].map(|data| data.truth(&CrossEntropy::new(), grad()));
        assert_eq!((a.loss, a.grad), (b.loss, b.grad));
    }
}

#[test]
fn a_gradient_in_place_has_the_type_of_the_input() {
    let gpu = &gpus()[0];
    let data = Data::random(&[4, 8], 1).in_types(Types::all(ElementType::BF16));
    let outputs = grad().in_f32();
    let plan = data.plan(&CrossEntropy::new(), outputs, gpu.kernels().profile());
    let words = support::embedded::buffer(gpu, &[0; 64]);
    let range = || words.as_entire_buffer_binding();
    let other = support::embedded::buffer(gpu, &[0; 64]);
    let buffers = wgpu_loss::Buffers::new(range()).target(other.as_entire_buffer_binding());
    let error = wgpu_loss::Bound::new(gpu.kernels(), plan, &buffers.grad_in_place()).unwrap_err();
    assert!(matches!(error, Error::Option { option: "gradient in place", .. }), "{error}");
}

#[test]
fn the_upstream_gradient_is_f32() {
    let halves = [f16::ONE; 4];
    let inputs = Inputs::new(Tensor::new(&halves, &[2, 2]))
        .labels(&[0u8, 1], &[2])
        .upstream(Tensor::new(&halves[..1], &[]));
    let error = reference::run(&CrossEntropy::new(), &inputs, grad()).unwrap_err();
    assert!(error.to_string().contains("f32"), "{error}");
}
