//! Logits, probabilities and weights of every type on a GPU, as they are, and results in the same type.

use crate::support::{Folder, assert_judged, bools, bytes, npy};
use half::{bf16, f16};

/// Numbers that differ, up to 8.
fn logits(count: usize) -> impl Iterator<Item = f32> {
    (0..count).map(|i| (i * 7919 % 1013) as f32 / 126.0)
}

/// Runs on the best GPU, with the check, and gives the JSON.
#[track_caller]
fn checked(folder: &Folder, words: &str) -> serde_json::Value {
    let json = folder.run(&format!("{words} --device gpu --check --json")).good().json();
    assert_judged(&json);
    json
}

#[test]
fn every_type_and_every_result() {
    for (shape, rows) in [([37, 1001, 1, 1], 37), ([3, 21, 33, 9], 3 * 33 * 9)] {
        let folder = Folder::new();
        let (count, classes) = (shape.iter().product(), shape[1]);
        let halves: Vec<f16> = logits(count).map(f16::from_f32).collect();
        let uppers: Vec<u16> = logits(count).map(|x| bf16::from_f32(x).to_bits()).collect();
        folder.save("f16.npy", &shape, &halves);
        folder.save("bf16.npy", &shape, &uppers);
        let labels: Vec<i64> = (0..rows as i64).map(|row| row * 5 % classes as i64).collect();
        folder.save("t.npy", &[shape[0], shape[2], shape[3]], &labels);
        folder.save("w16.npy", &[classes], &vec![f16::from_f32(0.75); classes]);
        folder.save("w.npy", &[classes], &vec![bf16::from_f32(0.75).to_bits(); classes]);
        let all = "--save-grad g.npy --save-log-probs lp.npy";
        for reduction in ["mean", "sum", "none"] {
            let loss = format!("t.npy --reduction {reduction} {all}");
            let json = checked(&folder, &format!("cross-entropy f16.npy {loss} --weight w16.npy"));
            assert_eq!(
                (&json["dtype"], &json["output_dtype"]),
                (&"float16".into(), &"float16".into())
            );
            for file in ["g.npy", "lp.npy"] {
                let (descr, saved, body) = folder.load_bytes(file);
                assert_eq!((&descr[..], saved, body.len()), ("<f2", shape.to_vec(), 2 * count));
            }
            let words = format!("cross-entropy bf16.npy {loss} --weight w.npy --dtype bf16");
            let json = checked(&folder, &words);
            assert_eq!(json["output_dtype"], "bfloat16");
            assert_eq!(folder.load_bytes("g.npy").0, "<u2");
            checked(&folder, &format!("{words} --out-dtype f32 --label-smoothing 0.1"));
            assert_eq!(folder.load("g.npy").0, shape);
        }
        checked(&folder, "softmax f16.npy --save-output q.npy --class-axis 1");
        let json = checked(&folder, "cross-entropy f16.npy q.npy --save-grad g.npy");
        assert_eq!(json["target"], "float16 class probabilities");
        checked(&folder, "log-softmax bf16.npy --dtype bf16 --save-output lp.npy --class-axis 1");
        checked(&folder, "nll lp.npy t.npy --dtype bf16 --save-grad g.npy");
        // From an archive, where they lie at odd addresses.
        let tuple = crate::support::tuple(&shape);
        folder.save_npz("x.npz", &[("x", npy("'<f2'", false, &tuple, &bytes(&halves)))], false);
        let [plain, packed] = ["f16.npy", "x.npz"]
            .map(|file| checked(&folder, &format!("cross-entropy {file} t.npy"))["loss"].clone());
        assert_eq!(plain, packed);
    }
}

#[test]
fn bools_of_any_bytes() {
    bools::are_true("gpu");
    bools::are_true_in_pieces("gpu");
}
