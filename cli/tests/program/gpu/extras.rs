//! The outputs in addition to the losses, on a GPU: by batches, in pieces, in every type, with the check.

use crate::support::{Folder, assert_judged, bytes, judged, npy, tuple};
use half::{bf16, f16};

/// Runs on the best GPU, with the check, and gives the JSON.
#[track_caller]
fn checked(folder: &Folder, words: &str) -> serde_json::Value {
    let json = folder.run(&format!("{words} --device gpu --check --json")).good().json();
    assert_judged(&json);
    json
}

const EVERYTHING: &str = "--row-weights r.npy --weight w.npy --ignore-index 5 --logit-scale 0.7 \
    --softcap 6 --z-loss 1e-2 --accuracy --top-k 3 --per-class --save-lse lse.npy \
    --save-argmax argmax.npy --save-rank rank.npy --save-entropy entropy.npy \
    --save-variance variance.npy \
    --save-row-weights weights.npy --save-grad g.npy";

/// Logits of 12 classes for 40 by 9 by 5 pixels, in many types, with labels and weights.
fn images() -> Folder {
    let folder = Folder::new();
    let shape = [40, 12, 9, 5];
    let count = shape.iter().product();
    let logits = (0..count).map(|i| (i * 7919 % 1013) as f32 / 64.0 - 8.0);
    folder.save("f32.npy", &shape, &logits.clone().collect::<Vec<f32>>());
    folder.save("f16.npy", &shape, &logits.clone().map(f16::from_f32).collect::<Vec<_>>());
    let uppers: Vec<u16> = logits.clone().map(|x| bf16::from_f32(x).to_bits()).collect();
    folder.save("bf16.npy", &shape, &uppers);
    folder.save("f64.npy", &shape, &logits.clone().map(f64::from).collect::<Vec<_>>());
    let packed = bytes(&logits.collect::<Vec<f32>>());
    let array = npy("'<f4'", false, &tuple(&shape), &packed);
    folder.save_npz("packed.npz", &[("x", array)], true);
    let rows = 40 * 9 * 5;
    folder.save("t.npy", &[40, 9, 5], &(0..rows).map(|i| (i * 31 % 12) as u8).collect::<Vec<_>>());
    folder.save("r.npy", &[40, 9, 5], &(0..rows).map(|i| (i % 5) as f32 / 2.0).collect::<Vec<_>>());
    folder.save("w.npy", &[12], &(1..13).map(|i| i as f32 / 4.0).collect::<Vec<_>>());
    folder
}

#[test]
fn everything_at_once_in_files_of_every_kind() {
    let folder = images();
    let mut reported = Vec::new();
    for (input, options) in [
        ("f32.npy", "--reduction mean"),
        ("f64.npy", "--reduction mean"),
        ("packed.npz", "--reduction mean --memory-budget 1MiB"),
        ("f32.npy", "--reduction mean --histogram"),
        ("f16.npy", "--reduction sum --label-smoothing 0.1"),
        ("bf16.npy --dtype bf16", "--reduction none"),
        ("f64.npy", "--reduction none"),
    ] {
        let json = checked(&folder, &format!("cross-entropy {input} t.npy {EVERYTHING} {options}"));
        if options.starts_with("--reduction mean") {
            reported.push((
                json["correct"].clone(),
                json["top_k"].clone(),
                json["ignored"].clone(),
            ));
        }
    }
    assert!(reported.windows(2).all(|pair| pair[0] == pair[1]), "{reported:?}");
    let words = "--row-weights r.npy --save-grad g.npy";
    for input in ["f32.npy", "f64.npy"] {
        checked(&folder, &format!("entropy {input} --class-axis 1 {words}"));
        checked(&folder, &format!("nll {input} t.npy {words} --reduction sum"));
        let words = format!("softmax {input} --class-axis 1 --upstream f16.npy --save-grad g.npy");
        checked(&folder, &words);
    }
}

#[test]
fn single_elements_in_files_of_every_kind() {
    let folder = images();
    let shape = [40, 12, 9, 5];
    let count = shape.iter().product();
    let numbers = |by: usize| (0..count).map(move |i| (i * by % 1009) as f32 / 1009.0);
    folder.save("p.npy", &shape, &numbers(7919).collect::<Vec<_>>());
    folder.save("p16.npy", &shape, &numbers(7919).map(f16::from_f32).collect::<Vec<_>>());
    folder.save("p64.npy", &shape, &numbers(7919).map(f64::from).collect::<Vec<_>>());
    folder.save("t.npy", &shape, &numbers(31).collect::<Vec<_>>());
    folder.save("w3.npy", &[12, 1, 1], &(1..13).map(|i| i as f32 / 6.0).collect::<Vec<_>>());
    folder.save(
        "v.npy",
        &[40, 12, 9],
        &(0..4320).map(|i| (i % 7) as f32 / 3.0).collect::<Vec<_>>(),
    );
    folder.save(
        "v1.npy",
        &[1, 12, 9, 5],
        &(0..540).map(|i| (i % 7) as f32 / 3.0).collect::<Vec<_>>(),
    );
    for words in [
        "bce p64.npy t.npy --weight w3.npy",
        "bce p16.npy t.npy --reduction none --memory-budget 1MiB",
        "bce-with-logits f64.npy p.npy --pos-weight w3.npy --reduction sum",
        "bce-with-logits bf16.npy p.npy --dtype bf16 --pos-weight 2 --histogram --heatmap h.png",
        "kl-div f16.npy p64.npy --reduction batchmean --save-target-grad tg.npy",
        "gaussian-nll p64.npy t.npy --var v.npy --save-target-grad tg.npy --save-var-grad vg.npy",
        "gaussian-nll p16.npy t.npy --var v1.npy --full --save-var-grad vg.npy --memory-budget 1MiB",
        "poisson-nll p.npy t.npy --no-log-input --full",
        "poisson-nll f64.npy t.npy --reduction none",
    ] {
        checked(&folder, &format!("{words} --save-grad g.npy"));
    }
}

#[test]
fn bad_values_are_named() {
    let folder = images();
    let said = ["f32.npy", "of 21600", "at [0, 0, 0, 0]", "from 0 to 1"];
    folder.run("bce f32.npy f32.npy --device gpu").bad(1, &said);
    folder.save("t.npy", &[40, 12, 9, 5], &[0.5f32; 21600]);
    let said = ["--var -0.5", "21600 of 21600", "0 or more"];
    folder
        .run("gaussian-nll f32.npy t.npy --var -0.5 --device gpu --save-grad g.npy")
        .bad(1, &said);
    assert!(!folder.names().contains(&"g.npy".to_string()));
}

/// Logits that a cap makes equal, terms that overflow, and entropies that are nearly 0: the check allows for the limits
/// of f32.
#[test]
fn numbers_at_the_ends() {
    let folder = Folder::new();
    let logits: Vec<f32> = (0..500 * 33).map(|i| (i * 7919 % 1013) as f32 / 5.0 - 100.0).collect();
    folder.save("x.npy", &[500, 33], &logits);
    folder.save("t.npy", &[500], &(0..500).map(|i| (i * 7 % 33) as i64).collect::<Vec<_>>());
    folder.save("c.npy", &[500, 33], &[3i32; 16500]);
    let words = "--save-rank r.npy --save-argmax a.npy --save-entropy e.npy --accuracy --top-k 3";
    checked(&folder, &format!("cross-entropy x.npy t.npy --softcap 5 --logit-scale 3 {words}"));
    // Of capped logits alone, that are nearly the same, it is too small to be judged.
    let words = format!("{words} --save-variance v.npy");
    checked(&folder, &format!("cross-entropy x.npy t.npy --logit-scale 10 {words}"));
    checked(&folder, "poisson-nll x.npy c.npy --full --save-grad g.npy");
    // Of logits 200 apart, 3 % of the powers are so small that a device may take them for 0.
    let words = "entropy x.npy --reduction none --save-grad g.npy --device gpu --check --json";
    let (numbers, unjudged) = judged(&folder.run(words).good().json());
    assert!(unjudged * 25 <= numbers, "{unjudged} of {numbers}");
}

/// Rows that do not start where loads do, among others and alone.
#[test]
fn a_row_has_the_same_bits_in_any_company() {
    let folder = Folder::new();
    let (rows, classes, few) = (300, 1001, 5..12);
    let logits: Vec<f32> =
        (0..rows * classes).map(|i| (i * 7919 % 10_007) as f32 / 999.0).collect();
    let labels: Vec<i64> = (0..rows as i64).map(|row| row * 31 % 1001).collect();
    folder.save("all.npy", &[rows, classes], &logits);
    folder.save("few.npy", &[few.len(), classes], &logits[few.start * classes..few.end * classes]);
    folder.save("all-t.npy", &[rows], &labels);
    folder.save("few-t.npy", &[few.len()], &labels[few.clone()]);
    let bits = |name: &str| {
        folder.run(&format!(
            "cross-entropy {name}.npy {name}-t.npy --reduction none --save-loss {name}-l.npy \
             --save-grad {name}-g.npy --batch-invariant --device gpu"
        ));
        let bits = |what: &str| -> Vec<u32> {
            let (_, numbers) = folder.load(&format!("{name}-{what}.npy"));
            numbers.into_iter().map(f32::to_bits).collect()
        };
        (bits("l"), bits("g"))
    };
    let (all, alone) = (bits("all"), bits("few"));
    assert_eq!(all.0[few.clone()], alone.0);
    assert!(all.1[few.start * classes..few.end * classes] == alone.1, "gradients");
}
