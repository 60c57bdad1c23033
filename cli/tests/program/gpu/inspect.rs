//! The losses of rows in addition to reduced ones, on a GPU: the check compares loss and gradient
//! with the reference, which reduces by itself.

use crate::support::{Folder, assert_judged};
use half::f16;

#[test]
fn looking_changes_nothing() {
    let folder = Folder::new();
    let logits = (0..2 * 5 * 33 * 21).map(|i| (i * 7919 % 1013) as f32 / 126.0);
    let labels: Vec<u8> = (0..2 * 33 * 21).map(|i| (i * 31 % 6) as u8).collect();
    folder.save("x.npy", &[2, 5, 33, 21], &logits.clone().collect::<Vec<f32>>());
    folder.save(
        "half.npy",
        &[2, 5, 33, 21],
        &logits.clone().map(f16::from_f32).collect::<Vec<_>>(),
    );
    // Converted by batches.
    folder.save("wide.npy", &[2, 5, 33, 21], &logits.map(f64::from).collect::<Vec<_>>());
    folder.save("t.npy", &[2, 33, 21], &labels);
    folder.save("w.npy", &[5], &[0.5f32, 2.0, 1.0, 0.25, 3.0]);
    folder.save("up.npy", &[], &[-0.7f32]);
    let options = "--ignore-index 5 --weight w.npy --histogram --heatmap h.png --sample 1 --check";
    for (input, reduction, grad) in [
        ("x.npy", "mean", ""),
        ("wide.npy", "mean", ""),
        ("x.npy", "mean", "--save-grad g.npy --upstream up.npy"),
        ("half.npy", "mean", "--save-grad g.npy"),
        ("wide.npy", "batchmean", "--save-grad g.npy"),
        ("x.npy", "sum", "--save-grad g.npy --save-log-probs lp.npy --label-smoothing 0.1"),
        ("x.npy", "none", "--save-grad g.npy --save-loss l.npy"),
    ] {
        let words = format!("cross-entropy {input} t.npy {options} --reduction {reduction} {grad}");
        let json = folder.run(&format!("{words} --device gpu --json")).good().json();
        assert_judged(&json);
        let cpu = folder.run(&format!("{words} --device cpu --json --quiet")).good().json();
        let (given, wanted) = (&json["histogram"], &cpu["histogram"]);
        for key in ["rows", "ignored", "nan", "scale"] {
            assert_eq!(given[key], wanted[key], "{words}");
        }
        for i in 0..10 {
            let loss =
                |histogram: &serde_json::Value| histogram["worst"][i]["loss"].as_f64().unwrap();
            assert!((loss(given) / loss(wanted) - 1.0).abs() < 1e-5, "{words}");
        }
        let to = |json: &serde_json::Value| json["heatmap"]["to"].as_f64().unwrap();
        assert!((to(&json) / to(&cpu) - 1.0).abs() < 1e-5, "{words}");
    }
}
