//! Arrays in every kind of file, order and type that is read, and results in the types they are saved
//! in.

use crate::support::{Folder, LABELS, LOGITS, LOSSES, bools, bytes, close, npy, softmax};
use half::{bf16, f16};

const MEAN: f64 = (LOSSES[0] + LOSSES[1] + LOSSES[2] + LOSSES[3]) / 4.0;

/// The loss of a run's JSON.
#[track_caller]
fn loss(folder: &Folder, words: &str) -> f64 {
    folder.json(words)["loss"].as_f64().unwrap()
}

#[track_caller]
fn assert_near(given: f64, wanted: f64) {
    assert!((given - wanted).abs() < 2e-8, "{given} for {wanted}");
}

/// `.npy` files of the shared logits and labels.
fn arrays() -> [(&'static str, Vec<u8>); 2] {
    let x = npy("'<f4'", false, "4, 4", &bytes(&LOGITS));
    let t = npy("'<i8'", false, "4,", &bytes(&LABELS));
    [("x", x), ("t", t)]
}

#[test]
fn npz_stored_and_compressed() {
    let folder = Folder::with_logits();
    let [x, t] = arrays();
    for deflate in [false, true] {
        folder.save_npz("a.npz", &[x.clone(), t.clone()], deflate);
        assert_near(loss(&folder, "cross-entropy a.npz:x a.npz:t"), MEAN);
        assert_near(loss(&folder, "cross-entropy a.npz:x.npy t.npy"), MEAN);
        // Misaligned or deflated, what is read and what is written are the same.
        folder.cpu("softmax a.npz:x --save-output p.npy").good();
        folder.cpu("softmax x.npy --save-output q.npy").good();
        assert_eq!(folder.load("p.npy"), folder.load("q.npy"));
        // One array needs no name.
        folder.save_npz("one.npz", std::slice::from_ref(&x), deflate);
        assert_near(loss(&folder, "cross-entropy one.npz t.npy"), MEAN);
    }
}

/// As much as fits into a step of conversion and more, from an archive where it is misaligned.
#[test]
fn a_larger_npz() {
    let folder = Folder::new();
    let rows = 5_000_001;
    let x: Vec<f32> = (0..rows).map(|i| (i % 13) as f32).collect();
    let array = npy("'<f4'", false, &format!("1, {rows}"), &bytes(&x));
    folder.save("t.npy", &[1], &[5u8]);
    let sum: f64 = x.iter().map(|&x| f64::from(x).exp()).sum();
    for deflate in [false, true] {
        folder.save_npz("a.npz", &[("x", array.clone())], deflate);
        let given = loss(&folder, "cross-entropy a.npz t.npy");
        // An f32 of this size has steps of 2e-6.
        assert!((given - (sum.ln() - 5.0)).abs() < 4e-6, "{given}");
    }
}

#[test]
fn fortran_order() {
    let folder = Folder::with_logits();
    // Column by column.
    let columns: Vec<f32> = (0..16).map(|i| LOGITS[i % 4 * 4 + i / 4]).collect();
    folder.write("f.npy", npy("'<f4'", true, "4, 4", &bytes(&columns)));
    assert_near(loss(&folder, "cross-entropy f.npy t.npy"), MEAN);
    folder.cpu("softmax f.npy --save-output p.npy").good();
    close(&folder.load("p.npy").1, &softmax(&LOGITS, 4));

    // Three axes, as images have them: (2, 3, 5, 7), labels (2, 5, 7).
    let value = |n: usize, c: usize, h: usize, w: usize| (n * 31 + c * 17 + h * 5 + w * 3) % 11;
    let label = |n: usize, h: usize, w: usize| (n + h + w) % 3;
    let (mut x, mut xf) = (vec![0f32; 210], vec![0f32; 210]);
    let (mut t, mut tf) = (vec![0u16; 70], vec![0u16; 70]);
    for n in 0..2 {
        for h in 0..5 {
            for w in 0..7 {
                (0..3).for_each(|c| x[((n * 3 + c) * 5 + h) * 7 + w] = value(n, c, h, w) as f32);
                (0..3).for_each(|c| xf[n + 2 * (c + 3 * (h + 5 * w))] = value(n, c, h, w) as f32);
                t[(n * 5 + h) * 7 + w] = label(n, h, w) as u16;
                tf[n + 2 * (h + 5 * w)] = label(n, h, w) as u16;
            }
        }
    }
    folder.save("x.npy", &[2, 3, 5, 7], &x);
    folder.save("t.npy", &[2, 5, 7], &t);
    folder.write("f.npy", npy("'<f4'", true, "2, 3, 5, 7", &bytes(&xf)));
    folder.write("tf.npy", npy("'<u2'", true, "2, 5, 7", &bytes(&tf)));
    folder.cpu("cross-entropy x.npy t.npy --save-grad g.npy").good();
    folder.cpu("cross-entropy f.npy tf.npy --save-grad gf.npy").good();
    assert_eq!(folder.load("g.npy"), folder.load("gf.npy"));
}

#[test]
fn big_endian() {
    let folder = Folder::with_logits();
    let x: Vec<u8> = LOGITS.iter().flat_map(|x| x.to_be_bytes()).collect();
    let x64: Vec<u8> = LOGITS.iter().flat_map(|&x| f64::from(x).to_be_bytes()).collect();
    let t: Vec<u8> = LABELS.iter().flat_map(|t| t.to_be_bytes()).collect();
    folder.write("xb.npy", npy("'>f4'", false, "4, 4", &x));
    folder.write("xb64.npy", npy("'>f8'", false, "4, 4", &x64));
    folder.write("tb.npy", npy("'>i8'", false, "4,", &t));
    folder.write("w.npy", npy("'>f2'", false, "4,", &[0x3c, 0, 0x40, 0, 0x3c, 0, 0x3c, 0]));
    assert_near(loss(&folder, "cross-entropy xb.npy tb.npy"), MEAN);
    assert_near(loss(&folder, "cross-entropy xb64.npy tb.npy"), MEAN);
    let wanted = (LOSSES[0] + LOSSES[1] + 2.0 * LOSSES[2] + LOSSES[3]) / 5.0;
    assert_near(loss(&folder, "cross-entropy xb.npy tb.npy --weight w.npy"), wanted);
}

/// Headers need not be padded: the elements then start anywhere.
#[test]
fn elements_at_any_byte() {
    let folder = Folder::with_logits();
    for padding in 0..8 {
        let blanks = " ".repeat(padding);
        let text = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': (4, 4)}}{blanks}");
        let size = (text.len() as u16).to_le_bytes();
        let file = [&b"\x93NUMPY\x01\0"[..], &size, text.as_bytes(), &bytes(&LOGITS)].concat();
        folder.write("x.npy", file);
        assert_near(loss(&folder, "cross-entropy x.npy t.npy"), MEAN);
    }
}

/// Endings in capitals, with and without the name of an array.
#[test]
fn endings_in_capitals() {
    let folder = Folder::with_logits();
    folder.save_npz("A.NPZ", &arrays(), false);
    let [x, t] = [("x", bytes(&LOGITS)), ("t", bytes(&LABELS))];
    let tensors = [(x.0, "F32", &[4, 4][..], x.1), (t.0, "I64", &[4], t.1)];
    folder.save_tensors("M.SafeTensors", &tensors);
    for file in ["A.NPZ", "M.SafeTensors"] {
        assert_near(loss(&folder, &format!("cross-entropy {file}:x {file}:t")), MEAN);
        folder.cpu(&format!("softmax {file}:z")).bad(1, &[file, "\"z\""]);
    }
    folder.save_npz("One.Npz", &arrays()[..1], false);
    std::fs::copy(folder.path("t.npy"), folder.path("T.NPY")).unwrap();
    assert_near(loss(&folder, "cross-entropy One.Npz T.NPY"), MEAN);
}

/// Names of files and of arrays in them that are no UTF-8.
#[test]
#[cfg(target_os = "linux")]
fn names_that_are_no_text() {
    use std::os::unix::ffi::OsStrExt;
    let folder = Folder::with_logits();
    let odd = |name: &[u8]| folder.path("").join(std::ffi::OsStr::from_bytes(name));
    folder.save_npz("a.npz", &arrays(), false);
    let mut archive = std::fs::read(folder.path("a.npz")).unwrap();
    std::fs::write(odd(b"caf\xe9.npz"), &archive).unwrap();
    let good = |words: &[&[u8]]| {
        let json = folder.cpu_bytes(&[words, &[b"--json"]].concat()).good().json();
        assert_near(json["loss"].as_f64().unwrap(), MEAN);
    };
    good(&[b"cross-entropy", b"caf\xe9.npz:x", b"caf\xe9.npz:t"]);
    let tensors = [("x", "F32", &[4, 4][..], bytes(&LOGITS))];
    folder.save_tensors("m.safetensors", &tensors);
    std::fs::rename(folder.path("m.safetensors"), odd(b"\xff.safetensors")).unwrap();
    good(&[b"cross-entropy", b"\xff.safetensors:x", b"t.npy"]);
    // The name of the array is one byte that is no text, as in a zip of another alphabet.
    let length = archive.len();
    for at in 0..length - 5 {
        if archive[at..].starts_with(b"x.npy") {
            archive[at] = 0xe9;
        }
    }
    std::fs::write(odd(b"\xfe.npz"), &archive).unwrap();
    good(&[b"cross-entropy", b"\xfe.npz:\xe9", b"\xfe.npz:t"]);
    // As errors list it.
    good(&[b"cross-entropy", "a.npz:x".as_bytes(), b"a.npz:t"]);
    let run = folder.cpu_bytes(&[b"softmax", b"\xfe.npz:\xe8"]);
    run.bad(1, &["no array", "there are \u{fffd}, t"]);
    good(&[b"cross-entropy", "a.npz:x".as_bytes(), b"t.npy"]);
    let run = folder.cpu_bytes(&[b"softmax", b"\xff.safetensors:\xe9"]);
    run.bad(1, &["no tensor", "there are x"]);
}

#[test]
fn bools_of_any_bytes() {
    bools::are_true("cpu");
    bools::are_true_in_pieces("cpu");
}

#[test]
fn words_that_are_floats() {
    let folder = Folder::with_logits();
    let words = LOGITS.map(|x| bf16::from_f32(x).to_bits());
    folder.save("rounded.npy", &[4, 4], &LOGITS.map(|x| bf16::from_f32(x).to_f32()));
    let wanted = loss(&folder, "cross-entropy rounded.npy t.npy");
    folder.save("x.npy", &[4, 4], &words);
    assert_eq!(loss(&folder, "cross-entropy x.npy t.npy --dtype bf16"), wanted);
    // As other libraries save it.
    folder.write("v.npy", npy("'<V2'", false, "4, 4", &bytes(&words)));
    let json = folder.json("cross-entropy v.npy t.npy --dtype bf16");
    assert_eq!((&json["loss"], &json["dtype"]), (&wanted.into(), &"bfloat16".into()));
    // Labels stay labels, and class probabilities and weights are of the type too.
    folder.save("t16.npy", &[4], &LABELS.map(|t| t as u16));
    assert_eq!(loss(&folder, "cross-entropy x.npy t16.npy --dtype bf16"), wanted);
    let mut q = [bf16::ZERO; 16];
    LABELS.iter().enumerate().for_each(|(row, &t)| q[4 * row + t as usize] = bf16::ONE);
    folder.save("q.npy", &[4, 4], &q.map(bf16::to_bits));
    let json = folder.json("cross-entropy x.npy q.npy --dtype bf16");
    assert_eq!(json["target"], "bfloat16 class probabilities");
    assert_near(json["loss"].as_f64().unwrap(), wanted);
    folder.save("w.npy", &[4], &[bf16::ONE; 4].map(bf16::to_bits));
    assert_eq!(loss(&folder, "cross-entropy x.npy t.npy --dtype bf16 --weight w.npy"), wanted);
    // f16 says itself what it is, and may be told so again, but nothing else.
    folder.save("h.npy", &[4, 4], &LOGITS.map(f16::from_f32));
    let wanted = loss(&folder, "cross-entropy h.npy t.npy");
    assert_eq!(loss(&folder, "cross-entropy h.npy t.npy --dtype f16"), wanted);
    folder.save("x.npy", &[4, 4], &LOGITS.map(|x| f16::from_f32(x).to_bits()));
    assert_eq!(loss(&folder, "cross-entropy x.npy t.npy --dtype f16"), wanted);
    folder.cpu("cross-entropy h.npy t.npy --dtype bf16").bad(2, &["h.npy", "float16", "bf16"]);
    folder.cpu("cross-entropy t.npy t.npy --dtype bf16").bad(2, &["t.npy", "int64", "bf16"]);
}

/// Gradients and probabilities come in the input's type, losses in f32.
#[test]
fn results_keep_the_type() {
    let folder = Folder::with_logits();
    let all = "--reduction none --save-loss l.npy --save-grad g.npy --save-log-probs lp.npy";
    let logs: Vec<f64> = softmax(&LOGITS, 4).iter().map(|p| p.ln()).collect();
    let near = |body: Vec<f32>, ulp: f64| {
        for (&given, &wanted) in body.iter().zip(&logs) {
            assert!((f64::from(given) - wanted).abs() <= ulp * wanted.abs(), "{given}, {wanted}");
        }
    };
    let words = |body: &[u8]| -> Vec<u16> {
        body.chunks(2).map(|b| u16::from_le_bytes(b.try_into().unwrap())).collect()
    };
    folder.save("h.npy", &[4, 4], &LOGITS.map(f16::from_f32));
    let run = folder.cpu(&format!("cross-entropy h.npy t.npy {all} --check"));
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_eq!(run.line("saved"), "l.npy, g.npy, lp.npy");
    assert_eq!(folder.load("l.npy").0, [4]);
    for file in ["g.npy", "lp.npy"] {
        let (descr, shape, body) = folder.load_bytes(file);
        assert_eq!((&descr[..], &shape[..], body.len()), ("<f2", &[4, 4][..], 32));
    }
    let (.., body) = folder.load_bytes("lp.npy");
    near(words(&body).into_iter().map(|w| f16::from_bits(w).to_f32()).collect(), 2e-3);

    folder.save("b.npy", &[4, 4], &LOGITS.map(|x| bf16::from_f32(x).to_bits()));
    let run = folder.cpu(&format!("cross-entropy b.npy t.npy --dtype bf16 {all} --check"));
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(run.line("saved").contains("--dtype bf16"), "{}", run.stdout);
    let (descr, _, body) = folder.load_bytes("lp.npy");
    assert_eq!(descr, "<u2");
    near(words(&body).into_iter().map(|w| bf16::from_bits(w).to_f32()).collect(), 2e-2);
    // What is saved so is read so.
    folder.cpu("nll lp.npy t.npy --dtype bf16").good();

    let json = folder.json(&format!("cross-entropy h.npy t.npy {all} --out-dtype f32"));
    assert_eq!((&json["dtype"], &json["output_dtype"]), (&"float16".into(), &"float32".into()));
    near(folder.load("lp.npy").1, 2e-3);
    folder.save("d.npy", &[4, 4], &LOGITS.map(f64::from));
    folder.cpu("softmax d.npy --save-output p.npy").good();
    close(&folder.load("p.npy").1, &softmax(&LOGITS, 4));
}
