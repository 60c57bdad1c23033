//! Cross-entropy by this crate compared with Burn's own, on one device and the same tensors: medians, and the errors of
//! the answers. `cargo bench` in this folder; `cargo bench -- 4096x1000` for one shape.

use std::time::{Duration, Instant};

use burn::nn::loss as burns;
use burn::tensor::{Device, Int, Tensor, TensorData};
use wgpu_loss::{CrossEntropy, Inputs, Outputs, Tensor as View, reference};
use wgpu_loss_burn::{CrossEntropyLossConfig, attach};

const SHAPES: [[usize; 2]; 4] = [[128, 10], [4096, 1000], [1 << 20, 10], [1024, 32_000]];
const SAMPLES: usize = 21;
/// Time after which no further sample starts.
const BUDGET: Duration = Duration::from_secs(20);

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|arg| arg.contains('x')).collect();
    let (device, setup) = Device::wgpu_options().init_with_setup().expect("a Vulkan driver");
    attach(&device, &setup).expect("a device of Burn's wgpu backend");
    let info = setup.adapter.get_info();
    println!("adapter {} ({}), milliseconds, medians\n", info.name, info.driver_info);
    println!("| shape | | loss | gradient off by | forward | forward + backward |");
    println!("|---|---|---|---|---|---|");
    for shape in SHAPES {
        let name = format!("{}x{}", shape[0], shape[1]);
        if wanted.is_empty() || wanted.contains(&name) {
            measure(&name, shape, &device);
        }
    }
}

fn measure(name: &str, [rows, classes]: [usize; 2], device: &Device) {
    let data: Vec<f32> = (0..rows * classes).map(|i| scattered(i) * 8.0 - 4.0).collect();
    let labels: Vec<i64> = (0..rows)
        .map(|row| (scattered(row + 7) * classes as f32) as i64 % classes as i64)
        .collect();
    let (shape, of_labels) = ([rows, classes], [rows]);
    let inputs = Inputs::new(View::new(&data, &shape)).labels(&labels, &of_labels);
    let truth = reference::run(&CrossEntropy::new(), &inputs, Outputs::loss().with_grad());
    let truth = truth.expect("a valid problem");
    let (loss, grad) = (truth.loss[0], truth.grad.expect("it was asked for"));
    println!("| ({rows}, {classes}) | f64 | {loss:.6} | | | |");

    let autodiff = device.clone().autodiff();
    let logits =
        |device| Tensor::<2>::from_data(TensorData::new(data.clone(), [rows, classes]), device);
    let targets =
        |device| Tensor::<1, Int>::from_data(TensorData::new(labels.clone(), [rows]), device);
    let (x, t) = (logits(device), targets(device));
    let (leaf, leaf_t) = (logits(&autodiff).require_grad(), targets(&autodiff));
    let ours = [device, &autodiff].map(|device| CrossEntropyLossConfig::new().init(device));
    let burns = [device, &autodiff].map(|device| burns::CrossEntropyLossConfig::new().init(device));
    type Forward<'a> = &'a dyn Fn(usize, Tensor<2>, Tensor<1, Int>) -> Tensor<1>;
    let contenders: [(&str, Forward<'_>); 2] = [
        ("wgpu-loss-burn", &|with, x, t| ours[with].forward(x, t)),
        ("Burn", &|with, x, t| burns[with].forward(x, t)),
    ];
    for (who, run) in contenders {
        let both = || {
            let loss = run(1, leaf.clone(), leaf_t.clone());
            let grad = leaf.grad(&loss.backward()).expect("a gradient");
            (loss, grad)
        };
        let forward = median(device, || drop(run(0, x.clone(), t.clone())));
        let backward = median(device, || drop(both()));
        let (value, given) = both();
        let value = f64::from(value.into_scalar::<f32>());
        let given = given.into_data().try_to_vec::<f32>().expect("f32");
        // Relative to the largest element; 1 is as wrong as no gradient at all.
        let largest = grad.iter().fold(0.0, |most: f64, x| most.max(x.abs()));
        let off = given.iter().zip(&grad).fold(0.0, |most: f64, (&given, &truth)| {
            most.max((f64::from(given) - truth).abs() / largest)
        });
        let wrong = if (value / loss - 1.0).abs() > 1e-4 { " (wrong)" } else { "" };
        println!("| | {who} | {value:.6}{wrong} | {off:.1e} | {forward:.1} | {backward:.1} |");
        if who != "Burn" {
            assert!((value / loss - 1.0).abs() < 2e-6 && off < 1e-5, "{name}: a wrong answer");
        }
    }
}

/// Returns the median of the milliseconds from a call to the end of its work on the device.
fn median(device: &Device, run: impl Fn()) -> f64 {
    let timed = || {
        let start = Instant::now();
        run();
        device.sync().expect("a device");
        start.elapsed()
    };
    // Burn tunes its kernels in the first runs.
    for _ in 0..3 {
        timed();
    }
    let start = Instant::now();
    let mut times: Vec<Duration> =
        (0..SAMPLES).map_while(|i| (i < 3 || start.elapsed() < BUDGET).then(timed)).collect();
    times.sort();
    times[times.len() / 2].as_secs_f64() * 1e3
}

/// A number in [0, 1) that looks random.
fn scattered(i: usize) -> f32 {
    let mut x = (i as u32).wrapping_mul(0x9e37_79b9);
    x = (x ^ x >> 15).wrapping_mul(0x85eb_ca6b);
    x = (x ^ x >> 13).wrapping_mul(0xc2b2_ae35);
    ((x ^ x >> 16) >> 8) as f32 / (1 << 24) as f32
}
