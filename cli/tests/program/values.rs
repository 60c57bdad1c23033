//! The results of the program on the CPU reference: every command, reduction, type and file format.

use crate::support::{Folder, LABELS, LOGITS, LOSSES, bytes, close, npy, softmax};
use half::{bf16, f16};

const MEAN: f64 = (LOSSES[0] + LOSSES[1] + LOSSES[2] + LOSSES[3]) / 4.0;

/// The loss of a run's JSON.
fn loss(folder: &Folder, words: &str) -> f64 {
    folder.json(words)["loss"].as_f64().unwrap()
}

fn assert_near(given: f64, wanted: f64) {
    assert!((given - wanted).abs() < 2e-8, "{given} for {wanted}");
}

#[test]
fn every_reduction() {
    let folder = Folder::with_logits();
    assert_near(loss(&folder, "cross-entropy x.npy t.npy"), MEAN);
    assert_near(loss(&folder, "cross-entropy x.npy t.npy --reduction mean"), MEAN);
    assert_near(loss(&folder, "cross-entropy x.npy t.npy --reduction sum"), 4.0 * MEAN);
    assert_near(loss(&folder, "cross-entropy x.npy t.npy --reduction batchmean"), MEAN);
    let json = folder.json("cross-entropy x.npy t.npy --reduction none");
    let losses: Vec<f64> =
        json["loss"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect();
    losses.iter().zip(LOSSES).for_each(|(&a, b)| assert_near(a, b));
    assert_eq!(json["loss_shape"], serde_json::json!([4]));
}

#[test]
fn ignored_rows_and_empty_means() {
    let folder = Folder::with_logits();
    let json = folder.json("cross-entropy x.npy t.npy --ignore-index 2");
    assert_near(json["loss"].as_f64().unwrap(), (LOSSES[0] + LOSSES[2] + LOSSES[3]) / 3.0);
    assert_eq!(
        (&json["rows"], &json["ignored"], &json["weight"]),
        (&4.into(), &1.into(), &3.0.into())
    );

    folder.save("none.npy", &[4], &[-1i8; 4]);
    let json = folder.json("cross-entropy x.npy none.npy --ignore-index -1");
    assert_eq!((&json["loss"], &json["ignored"]), (&"NaN".into(), &4.into()));
    let json = folder.json("cross-entropy x.npy none.npy --ignore-index -1 --empty-mean zero");
    assert_eq!(json["loss"], 0.0);
}

#[test]
fn weights_and_smoothing() {
    let folder = Folder::with_logits();
    let weight = [0.5f32, 1.0, 2.0, 4.0];
    folder.save("w.npy", &[4], &weight);
    let w = LABELS.map(|t| f64::from(weight[t as usize]));
    let sum: f64 = w.iter().zip(LOSSES).map(|(w, l)| w * l).sum();
    assert_near(loss(&folder, "cross-entropy x.npy t.npy --weight w.npy"), sum / 7.5);
    assert_near(
        loss(&folder, "cross-entropy x.npy t.npy --weight w.npy --reduction batchmean"),
        sum / 4.0,
    );

    // Smoothing adds the mean of the row's log-probabilities.
    let logs: Vec<f64> = softmax(&LOGITS, 4).iter().map(|p| p.ln()).collect();
    let spread = -logs.iter().sum::<f64>() / 16.0;
    let wanted = 0.9 * MEAN + 0.1 * spread;
    let given = loss(&folder, "cross-entropy x.npy t.npy --label-smoothing 0.1");
    assert!((given - wanted).abs() < 1e-6, "{given} for {wanted}");
}

#[test]
fn probabilities_as_target() {
    let folder = Folder::with_logits();
    let mut q = [0.0f64; 16];
    LABELS.iter().enumerate().for_each(|(row, &t)| q[4 * row + t as usize] = 1.0);
    folder.save("q.npy", &[4, 4], &q);
    let json = folder.json("cross-entropy x.npy q.npy");
    assert_near(json["loss"].as_f64().unwrap(), MEAN);
    assert_eq!(json["target"], "float64 class probabilities");
}

#[test]
fn nll_of_log_softmax_is_cross_entropy() {
    let folder = Folder::with_logits();
    folder.cpu("log-softmax x.npy --save-output lp.npy").good();
    assert_near(loss(&folder, "nll lp.npy t.npy"), MEAN);
    folder.save("w.npy", &[4], &[1.0f32, 2.0, 3.0, 0.0]);
    let wanted = (LOSSES[0] + 3.0 * LOSSES[1] + 2.0 * LOSSES[2]) / 6.0;
    assert_near(loss(&folder, "nll lp.npy t.npy --weight w.npy"), wanted);
    folder.cpu("nll lp.npy t.npy --save-grad g.npy").good();
    let (shape, grad) = folder.load("g.npy");
    assert_eq!(shape, [4, 4]);
    let mut wanted = [0.0; 16];
    LABELS.iter().enumerate().for_each(|(row, &t)| wanted[4 * row + t as usize] = -0.25);
    close(&grad, &wanted);
}

#[test]
fn softmaxes() {
    let folder = Folder::with_logits();
    let p = softmax(&LOGITS, 4);
    folder.cpu("softmax x.npy --save-output p.npy").good();
    let (shape, probs) = folder.load("p.npy");
    assert_eq!(shape, [4, 4]);
    close(&probs, &p);
    folder.cpu("log-softmax x.npy --save-output p.npy").good();
    close(&folder.load("p.npy").1, &p.iter().map(|p| p.ln()).collect::<Vec<_>>());

    // Along the other axis, of the transposed logits, the result is transposed.
    let transposed: Vec<f32> = (0..16).map(|i| LOGITS[i % 4 * 4 + i / 4]).collect();
    folder.save("xt.npy", &[4, 4], &transposed);
    folder.cpu("softmax xt.npy --class-axis 0 --save-output p.npy").good();
    let wanted: Vec<f64> = (0..16).map(|i| p[i % 4 * 4 + i / 4]).collect();
    close(&folder.load("p.npy").1, &wanted);
}

#[test]
fn gradients_and_log_probs() {
    let folder = Folder::with_logits();
    let p = softmax(&LOGITS, 4);
    let gradient = |scale: &dyn Fn(usize) -> f64| -> Vec<f64> {
        let one = |i: usize| f64::from(u8::from(LABELS[i / 4] == (i % 4) as i64));
        (0..16).map(|i| scale(i / 4) * (p[i] - one(i))).collect()
    };
    let words =
        "cross-entropy x.npy t.npy --save-loss l.npy --save-grad g.npy --save-log-probs lp.npy";
    folder.cpu(words).good();
    let (shape, loss) = folder.load("l.npy");
    assert!(shape.is_empty());
    close(&loss, &[MEAN]);
    let (shape, grad) = folder.load("g.npy");
    assert_eq!(shape, [4, 4]);
    close(&grad, &gradient(&|_| 0.25));
    let (shape, logs) = folder.load("lp.npy");
    assert_eq!(shape, [4, 4]);
    close(&logs, &p.iter().map(|p| p.ln()).collect::<Vec<_>>());

    folder.save("up.npy", &[], &[2.0f32]);
    folder.cpu("cross-entropy x.npy t.npy --save-grad g.npy --upstream up.npy").good();
    close(&folder.load("g.npy").1, &gradient(&|_| 0.5));

    let upstream = [1.0f64, 2.0, -3.0, 0.5];
    folder.save("up.npy", &[4], &upstream);
    let words = "cross-entropy x.npy t.npy --reduction none --upstream up.npy";
    folder.cpu(&format!("{words} --save-grad g.npy --save-loss l.npy")).good();
    close(&folder.load("g.npy").1, &gradient(&|row| upstream[row]));
    let (shape, loss) = folder.load("l.npy");
    assert_eq!(shape, [4]);
    close(&loss, &LOSSES);
}

#[test]
fn class_axes() {
    let folder = Folder::new();
    // (2, 3, 2): rows of three classes with stride two.
    let x: Vec<f32> = (0..12).map(|i| (i as f32 * 1.7).sin()).collect();
    folder.save("x.npy", &[2, 3, 2], &x);
    folder.save("t.npy", &[2, 2], &[0u8, 1, 2, 0]);
    let moved: Vec<f32> = (0..12).map(|i| x[i / 6 * 6 + i % 3 * 2 + i / 3 % 2]).collect();
    folder.save("moved.npy", &[2, 2, 3], &moved);
    let wanted = loss(&folder, "cross-entropy x.npy t.npy");
    for axis in ["2", "-1"] {
        let given = loss(&folder, &format!("cross-entropy moved.npy t.npy --class-axis {axis}"));
        assert_near(given, wanted);
    }
    folder.cpu("cross-entropy x.npy t.npy --reduction none --save-loss l.npy").good();
    assert_eq!(folder.load("l.npy").0, [2, 2]);
    folder.save("one.npy", &[4], &LOGITS[..4]);
    folder.save("label.npy", &[], &[0i32]);
    assert_near(loss(&folder, "cross-entropy one.npy label.npy"), LOSSES[0]);
}

#[test]
fn empty_arrays_and_scalars() {
    let folder = Folder::new();
    folder.save::<f32>("x.npy", &[0, 3], &[]);
    folder.save::<i64>("t.npy", &[0], &[]);
    let json = folder.json("cross-entropy x.npy t.npy --save-grad g.npy");
    assert_eq!((&json["loss"], &json["rows"]), (&"NaN".into(), &0.into()));
    assert_eq!(folder.load("g.npy"), (vec![0, 3], vec![]));
    assert_eq!(loss(&folder, "cross-entropy x.npy t.npy --reduction sum"), 0.0);
    folder.cpu("cross-entropy x.npy t.npy --reduction none --save-loss l.npy --check");
    assert_eq!(folder.load("l.npy"), (vec![0], vec![]));
    folder.cpu("softmax x.npy --save-output p.npy").good();
    assert_eq!(folder.load("p.npy"), (vec![0, 3], vec![]));
    folder.save("scalar.npy", &[], &[7.0f32]);
    folder.cpu("softmax scalar.npy --save-output p.npy").good();
    assert_eq!(folder.load("p.npy"), (vec![], vec![1.0]));
}

#[test]
fn every_label_type() {
    let folder = Folder::with_logits();
    macro_rules! check {
        ($($type:ident)*) => {$(
            folder.save("t.npy", &[4], &LABELS.map(|t| t as $type));
            let json = folder.json("cross-entropy x.npy t.npy");
            assert_near(json["loss"].as_f64().unwrap(), MEAN);
            assert_eq!(json["target"], concat!(stringify!($type), " labels").replacen('i', "int", 1)
                .replacen("u", "uint", usize::from(stringify!($type).starts_with('u'))));
        )*};
    }
    check!(u8 u16 u32 u64);
    check!(i8 i16 i32 i64);
    folder.save("x2.npy", &[2, 2], &[1.0f32, 0.0, 0.0, 1.0]);
    folder.save("t2.npy", &[2], &[false, true]);
    let json = folder.json("cross-entropy x2.npy t2.npy");
    assert_near(json["loss"].as_f64().unwrap(), (-1.0f64).exp().ln_1p());
    assert_eq!(json["target"], "bool labels");
}

#[test]
fn every_float_type() {
    let folder = Folder::with_logits();
    // What a shorter type cannot hold is lost in the file, not by the program.
    let rounded = LOGITS.map(|x| f16::from_f32(x).to_f32());
    folder.save("rounded.npy", &[4, 4], &rounded);
    let wanted = loss(&folder, "cross-entropy rounded.npy t.npy");
    folder.save("x16.npy", &[4, 4], &LOGITS.map(f16::from_f32));
    assert_eq!(loss(&folder, "cross-entropy x16.npy t.npy"), wanted);
    assert_eq!(folder.json("cross-entropy x16.npy t.npy")["dtype"], "float16");
    folder.save("x64.npy", &[4, 4], &LOGITS.map(f64::from));
    assert_near(loss(&folder, "cross-entropy x64.npy t.npy"), MEAN);
}

#[test]
fn safetensors() {
    let folder = Folder::with_logits();
    let rounded = LOGITS.map(|x| bf16::from_f32(x).to_f32());
    folder.save("rounded.npy", &[4, 4], &rounded);
    let short: Vec<u8> = LOGITS.iter().flat_map(|&x| bf16::from_f32(x).to_le_bytes()).collect();
    folder.save_tensors(
        "m.safetensors",
        &[
            ("labels", "I64", &[4], bytes(&LABELS)),
            ("a:b", "BF16", &[4, 4], short),
            ("x", "F32", &[4, 4], bytes(&LOGITS)),
            ("c", "C64", &[1], vec![0; 8]),
        ],
    );
    assert_near(loss(&folder, "cross-entropy m.safetensors:x m.safetensors:labels"), MEAN);
    let wanted = loss(&folder, "cross-entropy rounded.npy t.npy");
    let json = folder.json("cross-entropy m.safetensors:a:b t.npy");
    assert_eq!((&json["loss"], &json["dtype"]), (&wanted.into(), &"bfloat16".into()));
}

/// The order of elements is ignored if it makes no difference.
#[test]
fn fortran_order_of_a_line() {
    let folder = Folder::with_logits();
    folder.write("t.npy", npy("'<i8'", true, "4,", &bytes(&LABELS)));
    assert_near(loss(&folder, "cross-entropy x.npy t.npy"), MEAN);
    folder.write("x1.npy", npy("'<f4'", true, "1, 4", &bytes(&LOGITS[..4])));
    folder.save("t1.npy", &[1], &[0u8]);
    assert_near(loss(&folder, "cross-entropy x1.npy t1.npy"), LOSSES[0]);
}

/// More elements than one step of reading.
#[test]
fn a_larger_array() {
    let folder = Folder::new();
    let x: Vec<f32> = (0..700_001).map(|i| (i % 13) as f32).collect();
    folder.save("x.npy", &[700_001, 1], &x);
    folder.cpu("log-softmax x.npy --class-axis 0 --save-output lp.npy").good();
    let sum: f64 = x.iter().map(|&x| f64::from(x).exp()).sum();
    let wanted: Vec<f64> = x.iter().map(|&x| f64::from(x) - sum.ln()).collect();
    close(&folder.load("lp.npy").1, &wanted);
}
