//! Calls on host data, by a library with a device of its own, which are awaited here. Every loss, most options and
//! outputs, against the library's reference in f64.

use wgpu_loss::{
    Bce, BceWithLogits, CrossEntropy, Entropy, Error, GaussianNll, Gpu, GpuOptions, Inputs, KlDiv,
    Loss, Nll, Output, Outputs, PoissonNll, Reduction, Softmax, Tensor, half, reference,
};

use crate::truth::{close, noise};
use crate::{Failure, page};

/// The allowed error of results, as a share.
const PART: f64 = 1e-5;

pub async fn run() -> Result<(), Failure> {
    let gpu = Gpu::open(&GpuOptions::new()).await?;
    page::report("calls that block", blocking(&gpu));
    for shape in [&[40, 33][..], &[5, 1000], &[2, 21, 40], &[3, 400, 7], &[1, 40_000]] {
        of_classes(&gpu, shape).await;
    }
    of_elements(&gpu).await;
    Ok(())
}

/// Calls that block return an error: blocking would stop the page for good.
fn blocking(gpu: &Gpu) -> Result<(), Failure> {
    let inputs = Inputs::new(Tensor::new(&[1.0, 2.0], &[1, 2])).labels(&[0u8], &[1]);
    let run = gpu.run(&CrossEntropy::new(), &inputs, Outputs::loss());
    for refused in [run.err(), Gpu::new().err()] {
        if refused != Some(Error::Blocking) {
            return Err(format!("{refused:?}").into());
        }
    }
    Ok(())
}

async fn of_classes(gpu: &Gpu, shape: &[usize]) {
    let (count, classes) = (shape.iter().product(), shape[1]);
    let of_rows = [&shape[..1], &shape[2..]].concat();
    let rows = count / classes;
    let logits = noise(count, 11);
    let f16: Vec<_> = logits.iter().map(|&x| half::f16::from_f32(x)).collect();
    let bf16: Vec<_> = logits.iter().map(|&x| half::bf16::from_f32(x)).collect();
    let label = |row: usize| if row % 5 == 2 { -100 } else { (row * 7 % classes) as i64 };
    let labels: Vec<i64> = (0..rows).map(label).collect();
    let weights: Vec<f32> = noise(classes, 12).iter().map(|x| x + 3.5).collect();
    let mask: Vec<f32> = noise(rows, 13).iter().map(|x| x.abs()).collect();
    let soft: Vec<f32> = noise(count, 14).iter().map(|x| (x + 3.0) / classes as f32).collect();
    let upstream = noise(count, 15);
    let minus: Vec<f32> = logits.iter().map(|x| x - 3.5).collect();

    let plain = Inputs::new(Tensor::new(&logits, shape));
    let labelled = |input| Inputs::new(input).labels(&labels, &of_rows);
    let both = labelled(Tensor::new(&logits, shape))
        .weight(&weights)
        .row_weights(Tensor::new(&mask, &of_rows));
    let (loss, grad) = (CrossEntropy::new(), Outputs::loss().with_grad());
    let rich = loss.clone().label_smoothing(0.1).z_loss(1e-3).softcap(20.0).logit_scale(0.9);
    let extras = Outputs::loss().with_lse().with_argmax().with_entropy().with_row_weights();
    let everything = extras.with_variance().with_rank().with_accuracy().with_top_k(3).with_class_losses();
    let by_row = loss.clone().reduction(Reduction::None);
    let soft = plain.probabilities(Tensor::new(&soft, shape));
    let (x16, b16) = (Tensor::new(&f16, shape), Tensor::new(&bf16, shape));
    let moved = plain.upstream(Tensor::new(&upstream, shape));
    let nll = Inputs::new(Tensor::new(&minus, shape)).labels(&labels, &of_rows);

    let log_probs = grad.with_log_probs();
    let calls: [(&str, &dyn Loss, &Inputs<'_>, Outputs); 11] = [
        ("everything", &rich, &both, everything.with_grad()),
        ("by row", &by_row, &both, Outputs::loss()),
        ("log-probabilities", &loss, &labelled(Tensor::new(&logits, shape)), log_probs),
        ("class probabilities", &loss, &soft, grad),
        ("f16", &loss, &labelled(x16), grad.in_f32()),
        ("bf16", &loss, &labelled(b16), grad.in_f32()),
        ("nll", &Nll::new(), &nll, grad),
        ("softmax", &Softmax::probs().axis(1), &plain, Outputs::loss()),
        ("log-softmax", &Softmax::log_probs().axis(1), &plain, Outputs::loss()),
        ("gradient of softmax", &Softmax::probs().axis(1), &moved, grad),
        ("entropy", &Entropy::new().axis(1), &plain, grad),
    ];
    for (name, loss, inputs, outputs) in calls {
        call(gpu, &format!("{name} of {shape:?}"), loss, inputs, outputs).await;
    }
}

async fn of_elements(gpu: &Gpu) {
    let shape = &[29, 70][..];
    let count = 29 * 70;
    let x = noise(count, 21);
    let unit = |seed| noise(count, seed).iter().map(|x| (x + 3.1) / 6.2).collect::<Vec<_>>();
    let (p, t) = (unit(22), unit(23));
    let positive: Vec<f32> = noise(70, 24).iter().map(|x| x.abs() + 0.1).collect();
    let var: Vec<f32> = noise(29, 25).iter().map(|x| x.abs() + 0.2).collect();
    let target = Tensor::new(&t, shape);
    let probs = Inputs::new(Tensor::new(&p, shape)).target(target);
    let logits = Inputs::new(Tensor::new(&x, shape)).target(target);
    let weighted = logits.pos_weight(Tensor::new(&positive, &[70]));
    let weighted = weighted.element_weight(Tensor::new(&var, &[29, 1]));
    let gaussian = logits.var(Tensor::new(&var, &[29, 1]));

    let grad = Outputs::loss().with_grad();
    let (both, three) = (grad.with_target_grad(), grad.with_target_grad().with_var_grad());
    let by_element = BceWithLogits::new().reduction(Reduction::None);
    let calls: [(&str, &dyn Loss, &Inputs<'_>, Outputs); 6] = [
        ("bce", &Bce::new(), &probs, grad),
        ("bce_with_logits", &BceWithLogits::new(), &weighted, grad),
        ("bce_with_logits by element", &by_element, &weighted, grad),
        ("kl_div", &KlDiv::new(), &logits, both),
        ("gaussian_nll", &GaussianNll::new().full(true), &gaussian, three),
        ("poisson_nll", &PoissonNll::new().full(true), &logits, grad),
    ];
    for (name, loss, inputs, outputs) in calls {
        call(gpu, &format!("{name} of {shape:?}"), loss, inputs, outputs).await;
    }
}

async fn call(gpu: &Gpu, name: &str, loss: &dyn Loss, inputs: &Inputs<'_>, outputs: Outputs) {
    let outcome = async {
        let output = gpu.run_async(loss, inputs, outputs).await?;
        agree(&output, &reference::run(loss, inputs, outputs)?)
    };
    page::report(&format!("a call: {name}"), outcome.await);
}

fn agree(output: &Output<f32>, truth: &Output<f64>) -> Result<(), Failure> {
    close("loss", &output.loss, &truth.loss, PART)?;
    close("z-loss", &output.z_loss, &truth.z_loss, PART)?;
    let (rows, right) = (&output.rows, &truth.rows);
    let numbers = [
        ("gradient", &output.grad, &truth.grad),
        ("target's gradient", &output.target_grad, &truth.target_grad),
        ("variance's gradient", &output.var_grad, &truth.var_grad),
        ("log-probabilities", &output.log_probs, &truth.log_probs),
        ("probabilities", &output.probs, &truth.probs),
        ("log-sum-exp", &rows.lse, &right.lse),
        ("entropy", &rows.entropy, &right.entropy),
        ("variance", &rows.variance, &right.variance),
        ("row weights", &rows.weights, &right.weights),
    ];
    for (what, got, wanted) in numbers {
        match (got, wanted) {
            (Some(got), Some(wanted)) => close(what, got, wanted, PART)?,
            (None, None) => {}
            _ => return Err(format!("{what}: there in one of both").into()),
        }
    }
    let counted = |summary: &wgpu_loss::Summary| {
        [summary.rows, summary.live, summary.bad, summary.correct, summary.top_k]
    };
    let same = (&rows.argmax, &rows.rank) == (&right.argmax, &right.rank)
        && counted(&output.summary) == counted(&truth.summary);
    if !same {
        return Err(format!("{:?} is not {:?}", output.summary, truth.summary).into());
    }
    match (&output.classes, &truth.classes) {
        (Some(got), Some(wanted)) => {
            let loss: Vec<f32> = got.loss.iter().map(|&loss| loss as f32).collect();
            close("losses of classes", &loss, &wanted.loss, PART)?;
            match (&got.rows, &got.correct) == (&wanted.rows, &wanted.correct) {
                true => Ok(()),
                false => Err("rows of classes".into()),
            }
        }
        (None, None) => Ok(()),
        _ => Err("losses of classes: there in one of both".into()),
    }
}
