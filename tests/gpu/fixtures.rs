//! The GPU against PyTorch's answers: every case of `tests/fixtures`, on every device.

use support::answer::Answer;
use support::fixtures;
use support::gpus::gpus;
use support::rounding::Rounding;

#[test]
fn cross_entropy_is_pytorchs() {
    check("cross_entropy", 100);
}

#[test]
fn nll_is_pytorchs() {
    check("nll", 30);
}

fn check(file: &str, at_least: usize) {
    let cases = fixtures::load(file);
    assert!(cases.len() >= at_least, "only {} cases in {file}", cases.len());
    for gpu in gpus() {
        let mut used: f64 = 0.0;
        for case in &cases {
            let what = format!("{} on {}", case.name, gpu.name);
            let loss = case.loss();
            let output = gpu
                .run(&*loss, &case.inputs(), case.outputs())
                .unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(output.loss_shape, case.truth.loss_shape, "{what}");
            let rounding = Rounding::new(&*loss, &case.data, case.outputs());
            let (got, wanted) = (Answer::from(&output), Answer::from(&case.truth));
            used = used.max(rounding.check(&what, &got, &wanted));
        }
        println!("{file} on {}: {used:.2} of the tolerance", gpu.name);
    }
}
