//! What goes with cross-entropy, the entropy and the softmaxes' gradients on the GPU: PyTorch's answers,
//! and combinations of everything against the reference.

mod support;

use support::answer::Answer;
use support::data::Data;
use support::extras::Extras;
use support::gpus::gpus;
use support::rounding::Rounding;
use support::{fixtures_extras, fixtures_softmax};
use wgpu_loss::{Error, Gpu, Loss, Outputs};

/// The answer of a GPU. Where its kernels may not have as many buffers as that takes, it is asked twice.
#[track_caller]
fn on(gpu: &Gpu, loss: &dyn Loss, data: &Data, outputs: Outputs) -> (Answer, Extras) {
    match gpu.run(loss, &data.inputs(), outputs) {
        Ok(output) => (Answer::from(&output), Extras::from(&output)),
        Err(Error::Limit {
            limit: "max_storage_buffers_per_shader_stage",
            needed,
            allowed,
            ..
        }) => {
            assert!(allowed < 12 && needed > allowed);
            let (mut elements, mut rows) = (outputs, outputs);
            (elements.lse, elements.argmax, elements.rank) = (false, false, false);
            (elements.entropy, elements.row_weights, elements.class_losses) = (false, false, false);
            (rows.grad, rows.log_probs) = (false, false);
            let rows = match data.upstream_data() {
                Some(_) => data.clone().without_upstream().on(gpu, loss, rows),
                None => data.on(gpu, loss, rows),
            };
            (Answer::from(&data.on(gpu, loss, elements)), Extras::from(&rows))
        }
        Err(error) => panic!("{error}"),
    }
}

// ---- Known answers

// Each case is a specialisation of its own, and compiling them is what takes time: the devices take turns.

#[test]
fn extras_are_pytorchs() {
    let cases = fixtures_extras::load();
    assert!(cases.len() >= 80);
    let mut used: f64 = 0.0;
    for (i, case) in cases.iter().enumerate() {
        let gpu = &gpus()[i % 3];
        let what = format!("{} on {}", case.name, gpu.name);
        let loss = case.loss();
        let (answer, extras) = on(gpu, &*loss, &case.data, case.outputs());
        let rounding = Rounding::new(&*loss, &case.data, case.outputs());
        used = used.max(rounding.check(&what, &answer, &case.truth));
        used = used.max(rounding.check_extras(&what, &extras, &case.extras));
    }
    println!("extras: {used:.2} of the tolerance");
}

#[test]
fn softmax_and_entropy_are_pytorchs() {
    let cases = fixtures_softmax::load();
    assert!(cases.len() >= 70);
    let mut used: f64 = 0.0;
    for (i, case) in cases.iter().enumerate() {
        let gpu = &gpus()[i % 3];
        let what = format!("{} on {}", case.name, gpu.name);
        let loss = case.loss();
        let output = case.data.on(gpu, &*loss, case.outputs());
        let rounding = Rounding::new(&*loss, &case.data, case.outputs());
        used = used.max(rounding.check(&what, &Answer::from(&output), &case.truth));
    }
    println!("softmax: {used:.2} of the tolerance");
}
