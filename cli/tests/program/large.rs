//! Tensors that go through the CPU in pieces and in batches: results and checks are those of the whole.

use crate::support::{Folder, assert_judged, npy, tuple};

const CLASSES: usize = 6;
/// More than one piece, and more than one batch of conversion.
const ROWS: usize = 810_000;

/// Returns numbers between -4 and 4 without a pattern.
fn logits() -> Vec<f32> {
    (0..ROWS * CLASSES).map(|i| (i * 7919 % 10_007) as f32 / 1250.0 - 4.0).collect()
}

fn labels() -> Vec<u8> {
    (0..ROWS).map(|row| if row % 11 == 0 { 255 } else { (row * 31 % CLASSES) as u8 }).collect()
}

fn folder() -> Folder {
    let folder = Folder::new();
    let (logits, labels) = (logits(), labels());
    folder.save("rows.npy", &[ROWS, CLASSES], &logits);
    folder.save("t.npy", &[ROWS], &labels);
    folder.save("image.npy", &[1, CLASSES, ROWS], &logits);
    folder.save("first.npy", &[CLASSES, ROWS], &logits);
    folder.save("ti.npy", &[1, ROWS], &labels);
    folder
}

/// Runs a command on the CPU with the check, which must pass.
#[track_caller]
fn checked(folder: &Folder, words: &str) -> serde_json::Value {
    let json = folder.json(&format!("{words} --check --quiet"));
    assert_judged(&json);
    json
}

#[test]
fn classes_on_any_axis() {
    let folder = folder();
    let outputs = "--ignore-index 255 --save-grad g.npy --save-log-probs p.npy --save-lse l.npy \
                   --accuracy --per-class";
    for (files, axis) in [("rows.npy t.npy", 1), ("image.npy ti.npy", 1), ("first.npy t.npy", 0)] {
        let json =
            checked(&folder, &format!("cross-entropy {files} --class-axis {axis} {outputs}"));
        assert_eq!(json["rows"], ROWS, "{json}");
        // The gradient of each row adds up to 0, and that of all to rounding errors.
        let sum: f64 = folder.load("g.npy").1.iter().map(|&x| f64::from(x)).sum();
        assert!(sum.abs() < 1e-6, "{sum}");
    }
}

/// Elements stored as f64 are converted in batches, and give the same bits.
#[test]
fn batches_that_are_converted_are_the_whole() {
    let folder = folder();
    let wide: Vec<u8> = logits().into_iter().flat_map(|x| f64::from(x).to_le_bytes()).collect();
    folder.write("wide.npy", npy("'<f8'", false, &tuple(&[ROWS, CLASSES]), &wide));
    let words = "t.npy --ignore-index 255 --save-loss l.npy --save-grad g.npy";
    for options in ["", " --reduction none", " --reduction sum", " --reduction batchmean"] {
        let [whole, batches] = ["rows.npy", "wide.npy"].map(|input| {
            checked(&folder, &format!("cross-entropy {input} {words}{options}"));
            ["l.npy", "g.npy"].map(|name| folder.load_bytes(name))
        });
        assert!(whole == batches, "{options}");
    }
    // A weight that is no number spoils its rows, and leaves the mean's divisor alone.
    folder.save("class.npy", &[CLASSES], &[1.0, f32::INFINITY, 2.0, 0.0, 1.0, f32::NAN]);
    let own = |row: usize| if row.is_multiple_of(1000) { f32::NAN } else { 0.5 };
    folder.save("own.npy", &[ROWS], &(0..ROWS).map(own).collect::<Vec<f32>>());
    for weights in ["--weight class.npy", "--row-weights own.npy"] {
        let [whole, batches] = ["rows.npy", "wide.npy"].map(|input| {
            let words = format!("cross-entropy {input} {words} {weights} --device cpu");
            folder.run(&words).good();
            folder.load("g.npy").1
        });
        let numbers = whole.iter().filter(|x| x.is_finite()).count();
        assert!((ROWS..ROWS * CLASSES).contains(&numbers), "{weights}: {numbers} are numbers");
        let same = |(a, b): (&f32, &f32)| match a.is_finite() {
            true => (a - b).abs() <= 1e-6 * a.abs(),
            false => a == b || a.is_nan() && b.is_nan(),
        };
        assert!(whole.iter().zip(&batches).all(same), "{weights}");
    }
}

/// A variance that the elements of a row share, or all of them: its gradient is a sum over pieces.
#[test]
fn variances_that_elements_share() {
    let folder = folder();
    let var: Vec<f32> = (0..ROWS).map(|row| 0.5 + (row % 97) as f32 / 50.0).collect();
    folder.save("var.npy", &[ROWS, 1], &var);
    folder.save("target.npy", &[ROWS, CLASSES], &vec![0.5f32; ROWS * CLASSES]);
    for var in ["var.npy", "1.5"] {
        let outputs = "--save-grad g.npy --save-target-grad u.npy --save-var-grad v.npy";
        checked(&folder, &format!("gaussian-nll rows.npy target.npy --var {var} {outputs}"));
    }
}

/// The first of several bad labels, in any piece, is named by its place in the whole.
#[test]
fn bad_labels_are_counted_in_all_pieces() {
    let folder = folder();
    let mut labels = labels();
    (labels[12], labels[700_000], labels[700_001]) = (200, 99, 98);
    folder.save("bad.npy", &[ROWS], &labels);
    for options in ["", " --save-grad g.npy"] {
        let words = format!("cross-entropy rows.npy bad.npy --ignore-index 255{options}");
        let said = ["3 of 810000 labels", "the first is 200 at [12]"];
        folder.cpu(&words).bad(1, &said);
    }
}
