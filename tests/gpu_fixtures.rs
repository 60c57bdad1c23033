//! tmp
mod support;
use wgpu_loss::*;
#[test]
fn smoke() {
    let gpu = Gpu::new().unwrap();
    println!("{:?}", gpu.info());
    for name in ["nll", "cross_entropy"] {
        let mut bad = 0;
        for case in support::fixtures::load(name) {
            let out = gpu.run(&*case.loss(), &case.inputs(), case.outputs());
            let out = match out { Ok(o) => o, Err(e) => { println!("{}: {e}", case.name); bad += 1; continue } };
            let worst = |a: &[f32], b: &[f64]| a.iter().zip(b).map(|(&a, &b)| { let a = a as f64; if a == b || (a.is_nan() && b.is_nan()) { 0.0 } else { (a - b).abs() / b.abs().max(1e-30) } }).fold(0.0, |m: f64, d| if d.is_nan() { f64::INFINITY } else { m.max(d) });
            let l = worst(&out.loss, &case.truth.loss);
            let g = match (&out.grad, &case.truth.grad) { (Some(a), Some(b)) => worst(a, b), _ => 0.0 };
            let p = match (&out.log_probs, &case.truth.log_probs) { (Some(a), Some(b)) => worst(a, b), _ => 0.0 };
            if l > 1e-6 || g > 1e-5 || p > 1e-6 { println!("{name} {} {l:.1e} {g:.1e} {p:.1e}", case.name); bad += 1; }
        }
        println!("{name}: {bad} bad");
    }
}
