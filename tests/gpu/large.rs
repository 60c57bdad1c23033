//! Tensors of real sizes, past one binding and past 2^24 rows, against the reference; and how long
//! their kernels take.
//!
//! Times are printed (`--nocapture`). With `WGPU_LOSS_ASSERT_TIME` in the environment a forward
//! must take less than half a second on the best device; a busy machine may miss that.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use support::answer::Answer;
use support::data::Data;
use support::gpus::gpus;
use support::random::Random;
use support::rounding::Rounding;
use wgpu_loss::{CrossEntropy, LabelType, Loss, Nll, Outputs};

/// The allowed relative error of the mean. Rounding errors of many rows cancel; the rest is the
/// error of `exp` where it has a bias, and that of the sums' short trees.
const RELATIVE: f64 = 2e-6;

/// One test at a time: each wants the memory and the cores for itself.
static ALONE: Mutex<()> = Mutex::new(());

/// The forward mean of a large tensor on every device.
fn check(shape: &[usize], label_type: LabelType) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let data = large(shape, label_type);
    let loss = CrossEntropy::new();
    let wanted = data.truth(&loss, Outputs::loss());
    for (index, gpu) in gpus().iter().enumerate() {
        let times = (0..2).map(|_| {
            let output = data.on(gpu, &loss, Outputs::loss());
            let off = (f64::from(output.loss[0]) / wanted.loss[0] - 1.0).abs();
            let what = format!("{shape:?} on {}", gpu.name);
            assert!(off < RELATIVE, "{what}: {} for {}", output.loss[0], wanted.loss[0]);
            let (got, wanted) = (output.summary, wanted.summary);
            assert_eq!((got.rows, got.live), (wanted.rows, wanted.live), "{what}");
            assert_eq!(got.weight, wanted.weight, "{what}");
            println!("{what}: {:?}, off by {off:.1e}", output.timing.unwrap().kernel);
            output.timing.unwrap().kernel
        });
        let best = times.min().unwrap();
        if index == 0 && std::env::var_os("WGPU_LOSS_ASSERT_TIME").is_some() {
            assert!(best < Duration::from_millis(500), "{shape:?} took {best:?}");
        }
    }
}

/// Logits in `[-6, 6)`.
fn large(shape: &[usize], label_type: LabelType) -> Data {
    let mut random = Random(17);
    let input = (0..shape.iter().product()).map(|_| random.uniform(-6.0, 6.0)).collect();
    let data = Data::new(shape, 1, input);
    let classes = data.view.classes;
    let labels: Vec<i64> = (0..data.view.rows()).map(|_| random.below(classes) as i64).collect();
    data.labels(label_type, &labels)
}

#[test]
fn seventeen_million_rows() {
    // 204 MB: two pieces where a binding holds 128 MiB; more rows than an f32 can count.
    check(&[17_000_000, 3], LabelType::U8);
}

#[test]
fn a_million_rows_of_ten() {
    check(&[1_048_576, 10], LabelType::I64);
}

#[test]
fn a_language_model() {
    check(&[1024, 32_000], LabelType::I64);
}

#[test]
fn a_large_vocabulary() {
    check(&[128, 151_936], LabelType::I32);
}

#[test]
fn a_batch_of_segmented_images() {
    check(&[4, 21, 512, 512], LabelType::U8);
}

#[test]
fn as_many_rows_as_a_piece_holds() {
    // One class: the rows are many, the work on each is little.
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let rows = 33_000_000;
    let input: Vec<f32> = (0..rows).map(|row| (row % 7) as f32 * -0.25 - 0.25).collect();
    let data = Data::new(&[rows, 1], 1, input).labels(LabelType::U8, &vec![0; rows]);
    for gpu in gpus() {
        for (loss, wanted) in [(&CrossEntropy::new() as &dyn Loss, 0.0), (&Nll::new(), 1.0)] {
            let output = data.on(gpu, loss, Outputs::loss());
            let off = (f64::from(output.loss[0]) - wanted).abs();
            assert!(off <= RELATIVE * wanted, "{}: {}", gpu.name, output.loss[0]);
            assert_eq!(output.summary.live, rows as u64, "{}", gpu.name);
        }
    }
}

/// Loss and gradient of a tensor that is cut inside its rows where a device's binding does not hold
/// them.
fn check_cut(shape: &[usize]) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let data = large(shape, LabelType::I64);
    let (loss, outputs) = (CrossEntropy::new(), Outputs::loss().with_grad());
    let truth = data.truth(&loss, outputs);
    let wanted = Answer::from(&truth);
    let rounding = Rounding::new(&loss, &data, outputs);
    for gpu in gpus() {
        let what = format!("{shape:?} on {}", gpu.name);
        let plan = data.plan(&loss, outputs, gpu.kernels().profile());
        let cut = plan.pieces().iter().all(|piece| piece.classes.len() < data.view.classes);
        let limit = gpu.kernels().profile().limits.max_storage_buffer_binding_size;
        assert_eq!(cut, limit < 4 * (data.input.len() / data.view.outer) as u64, "{what}:\n{plan}");
        let output = data.on(gpu, &loss, outputs);
        let used = rounding.check(&what, &Answer::from(&output), &wanted);
        assert_eq!(output.summary.live, truth.summary.live, "{what}");
        println!("{what}: {:?}, {used:.2} of the tolerance", output.timing.unwrap().kernel);
    }
}

#[test]
fn a_row_larger_than_a_binding() {
    // 160 MB, where a binding holds 128 MiB.
    check_cut(&[1, 40_000_000]);
}

#[test]
fn an_image_larger_than_a_binding() {
    check_cut(&[1, 21, 1300, 1301]);
}
