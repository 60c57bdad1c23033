//! The outputs in addition to the losses: flags that are refused, reports for a person, files of every kind.

use crate::support::{Folder, bytes, npy, tuple};
use serde_json::json;

#[test]
fn wrong_usage() {
    let folder = Folder::with_logits();
    let bad = |words: &str, said: &[&str]| {
        folder.cpu(words).bad(2, said);
    };
    let entropy = "cross-entropy x.npy t.npy";
    for number in ["0", "-1", "nan", "inf", "x"] {
        bad(&format!("{entropy} --logit-scale {number}"), &["--logit-scale", number, "above 0"]);
        bad(&format!("{entropy} --softcap {number}"), &["--softcap", number, "above 0"]);
    }
    bad(&format!("{entropy} --z-loss inf"), &["--z-loss", "finite"]);
    bad(&format!("{entropy} --top-k 0"), &["--top-k", "from 1"]);
    for k in ["5", "4294967295"] {
        bad(&format!("{entropy} --top-k {k}"), &["--top-k", k, "4 classes"]);
    }
    for k in ["4294967296", "18446744073709551615", "18446744073709551616", "-3"] {
        bad(&format!("{entropy} --top-k {k}"), &["--top-k", k, "from 1"]);
    }
    // Numbers that an f32 has no other number for than 0 or an infinite one.
    for number in ["1e-50", "-1e-50", "1e39", "-1e999"] {
        bad(&format!("{entropy} --z-loss {number}"), &["--z-loss", number, "f32"]);
        let gauss = "gaussian-nll x.npy x.npy --var";
        bad(&format!("{gauss} {number}"), &["--var", number, "f32"]);
        bad(&format!("{gauss} 1 --eps {number}"), &["--eps", number, "f32"]);
        let points = "bce-with-logits x.npy x.npy --pos-weight";
        bad(&format!("{points} {number}"), &["--pos-weight", number, "f32"]);
    }
    bad(&format!("{entropy} --save-lse l.npy --save-rank l.npy"), &["l.npy", "two results"]);
    bad("nll x.npy t.npy --accuracy", &["--accuracy"]);
    bad("entropy x.npy --save-lse l.npy", &["--save-lse"]);
    bad("softmax x.npy --save-grad g.npy", &["--upstream"]);
    bad("softmax x.npy --upstream x.npy", &["--save-grad"]);
    bad("gaussian-nll x.npy x.npy", &["--var"]);
    bad("gaussian-nll x.npy x.npy --var 1 --upstream x.npy", &["--save-grad"]);
    bad("gaussian-nll x.npy x.npy --var 1 --eps -1", &["--eps"]);
    bad("bce x.npy x.npy --class-axis 1", &["--class-axis"]);
    bad("bce x.npy x.npy --pos-weight 1", &["--pos-weight"]);
    bad("kl-div x.npy x.npy --save-var-grad g.npy", &["--save-var-grad"]);
    bad("poisson-nll x.npy x.npy --eps nan", &["--eps", "finite"]);
    folder.cpu("softmax x.npy --save-output q.npy").good();
    for flag in ["--accuracy", "--top-k 2", "--per-class", "--save-rank r.npy"] {
        bad(&format!("cross-entropy x.npy q.npy {flag}"), &["labels"]);
    }
}

#[test]
fn wrong_data() {
    let folder = Folder::with_logits();
    folder.save("w3.npy", &[3], &[1.0f32; 3]);
    folder.save("p.npy", &[2, 3], &[0.5f32, 0.5, 0.5, 0.5, 1.5, -0.5]);
    folder.save("v.npy", &[2, 1], &[1.0f32, -2.0]);
    let bad = |words: &str, said: &[&str]| {
        folder.cpu(words).bad(1, said);
    };
    bad("cross-entropy x.npy t.npy --row-weights w3.npy", &["w3.npy", "row weights", "[3]", "[4]"]);
    folder.write("raw.npy", npy("'|V2'", false, "4,", &bytes(&[1u16; 4])));
    bad("cross-entropy x.npy t.npy --row-weights raw.npy", &["raw.npy", "row weights", "--dtype"]);
    bad("entropy x.npy --row-weights w3.npy", &["w3.npy", "row weights", "[3]", "[4]"]);
    bad("bce p.npy p.npy", &["p.npy", "2 of 6", "1.5 at [1, 1]", "from 0 to 1"]);
    bad("bce p.npy x.npy", &["x.npy", "target", "[4, 4]", "[2, 3]"]);
    bad("bce x.npy t.npy", &["t.npy", "target", "[4]", "[4, 4]"]);
    bad("bce x.npy raw.npy", &["raw.npy", "target", "raw 16-bit", "--dtype"]);
    bad("bce-with-logits p.npy p.npy --weight x.npy", &["x.npy", "weight", "[4, 4]", "[2, 3]"]);
    bad("bce-with-logits p.npy p.npy --pos-weight x.npy", &["x.npy", "pos_weight", "[4, 4]"]);
    bad("gaussian-nll p.npy p.npy --var w3.npy", &["w3.npy", "var", "[3]", "[2, 3]"]);
    bad("gaussian-nll p.npy p.npy --var v.npy", &["v.npy", "-2 at [1, 0]", "0 or more"]);
    for var in ["-1", "-1e-30", "-.5E-3", "-inf"] {
        let said = format!("{}", var.parse::<f32>().unwrap());
        bad(&format!("gaussian-nll p.npy p.npy --var {var}"), &["--var", &said, "0 or more"]);
    }
    bad("kl-div p.npy x.npy", &["x.npy", "target", "[4, 4]", "[2, 3]"]);
    bad("softmax x.npy --upstream p.npy --save-grad g.npy", &["p.npy", "upstream", "[4, 4]"]);
    assert!(!folder.names().contains(&"g.npy".to_string()));
}

/// The first value that is refused, where it comes late, and all of them are counted.
#[test]
fn bad_values_in_large_files() {
    let folder = Folder::new();
    let count = 3 * (1 << 22) + 5;
    let mut input = vec![0.5f32; count];
    for at in [(1 << 22) + 7, (1 << 23) + 1, count - 1] {
        input[at] = -0.25;
    }
    folder.save("x.npy", &[1, count], &input);
    let said = format!("3 of {count} elements");
    folder.cpu("bce x.npy x.npy").bad(1, &["x.npy", &said, "-0.25 at [0, 4194311]"]);
}

#[test]
fn a_report_of_everything() {
    let folder = Folder::with_logits();
    folder.save("r.npy", &[4], &[1.0f32, 0.0, 2.0, 1.0]);
    let words = "cross-entropy x.npy t.npy --row-weights r.npy --z-loss 0.1 --accuracy --top-k 2 --per-class";
    let run = folder.cpu(words).good();
    assert!(run.line("computed").ends_with("labels, rows weighted, mean"));
    assert_eq!(run.line("rows"), "4, 1 ignored, weight 4");
    assert!(run.line("z-loss").starts_with("2.27863"), "{}", run.stdout);
    assert_eq!(run.line("right"), "3 (100.0 %), 3 (100.0 %) among the first 2");
    let classes = run.stdout.lines().skip_while(|line| !line.starts_with("classes"));
    let classes: Vec<Vec<&str>> =
        classes.map(|line| line.split_whitespace().collect()).take(4).collect();
    assert_eq!(classes[0], ["classes", "class", "rows", "mean", "loss", "right"]);
    // Worst first; class 2 has no row that counts.
    let order: Vec<&str> = classes[1..].iter().map(|line| line[0]).collect();
    assert_eq!(order, ["0", "3", "1"]);
    let json = folder.json(words);
    assert_eq!((&json["correct"], &json["accuracy"]), (&3.into(), &1.0.into()));
    assert_eq!((&json["k"], &json["top_k"]), (&2.into(), &3.into()));
    assert_eq!(json["classes"][0]["class"], 0);
    assert_eq!(json["classes"][0]["correct"], 1);
    assert_eq!(json["classes"].as_array().unwrap().len(), 3);
    let none = folder.json(&format!("{words} --reduction none"));
    assert_eq!(none["z_loss"].as_array().unwrap().len(), 4);
    // The reduced ones again, from rows that are visited.
    let looked = folder.json(&format!("{words} --histogram"));
    assert_eq!((&looked["loss"], &looked["z_loss"]), (&json["loss"], &json["z_loss"]));
    assert_eq!(looked["histogram"]["ignored"], 1);
    let plain = folder.json("cross-entropy x.npy t.npy");
    for key in ["z_loss", "correct", "top_k", "classes"] {
        assert!(plain[key].is_null(), "{key}");
    }
}

/// More elements than are computed at a time on the CPU, with all special cases in the last rows.
#[test]
fn totals_of_many_elements() {
    let folder = Folder::new();
    let (rows, classes) = (9000, 500);
    let mut x = vec![0.0f32; rows * classes];
    let mut labels: Vec<i16> = (0..rows).map(|row| (row % 7) as i16).collect();
    for row in rows - 70..rows {
        x[row * classes + row % 7] = 1.0;
    }
    // Two labels that are second, a row that does not count, and one of NaN.
    for row in [rows - 1, rows - 2] {
        x[row * classes + 400] = 2.0;
    }
    labels[rows - 3] = -100;
    x[(rows - 4) * classes + 9] = f32::NAN;
    folder.save("x.npy", &[rows, classes], &x);
    folder.save("t.npy", &[rows], &labels);
    folder.save("w.npy", &[classes], &vec![2.0f32; classes]);
    let words = "cross-entropy x.npy t.npy --weight w.npy --accuracy --top-k 2 --per-class";
    let json = folder.json(words);
    // All labels of class 0, and of any of equal logits but the first, are right by their rank alone.
    let ranks = |k: usize| {
        let counted = (0..rows).filter(|&row| {
            let (last, rank) = (row >= rows - 70, row % 7);
            let rank = match row {
                _ if row == rows - 3 || row == rows - 4 => usize::MAX,
                _ if row >= rows - 2 => 1,
                _ => {
                    if last {
                        0
                    } else {
                        rank
                    }
                }
            };
            rank < k
        });
        counted.count() as u64
    };
    assert_eq!((&json["correct"], &json["top_k"]), (&ranks(1).into(), &ranks(2).into()));
    assert_eq!((&json["ignored"], &json["nonfinite"]), (&1.into(), &1.into()));
    assert_eq!(json["weight"], 2.0 * (rows as f64 - 1.0));
    let run = folder.cpu(words).good();
    assert_eq!(run.line("NaN"), format!("1 rows, the first at [{}]", rows - 4));
    let sum = |key: &str| -> u64 {
        json["classes"].as_array().unwrap().iter().map(|class| class[key].as_u64().unwrap()).sum()
    };
    assert_eq!((sum("rows"), sum("correct")), (rows as u64 - 1, ranks(1)));
    // All but the last of what is computed at a time have rows of loss log(500) twice.
    let flat =
        json["classes"].as_array().unwrap().iter().find(|class| class["class"] == 5).unwrap();
    let last = (rows - 70..rows).filter(|row| row % 7 == 5).count() as f64;
    let all = (0..rows).filter(|row| row % 7 == 5).count() as f64;
    let peak = (499.0 + std::f64::consts::E).ln() - 1.0;
    let wanted = 2.0 * ((all - last) * 500f64.ln() + last * peak) / all;
    let given = flat["mean_loss"].as_f64().unwrap();
    assert!((given / wanted - 1.0).abs() < 1e-12, "{given} for {wanted}");
}

#[test]
fn many_classes_are_cut_short_for_a_person() {
    let folder = Folder::new();
    folder.save("x.npy", &[30, 30], &[0.5f32; 900]);
    folder.save("t.npy", &[30], &(0..30).collect::<Vec<i32>>());
    let run = folder.cpu("cross-entropy x.npy t.npy --per-class").good();
    assert!(run.stdout.contains("and 10 more (--json has all)"), "{}", run.stdout);
    let json = folder.json("cross-entropy x.npy t.npy --per-class");
    assert_eq!(json["classes"].as_array().unwrap().len(), 30);
}

/// Pixels of losses of single elements, and the mean of their channels.
#[test]
fn pictures_of_single_elements() {
    let folder = Folder::new();
    let mut input = [0.0f32; 24];
    input[4] = 40.0;
    folder.save("x.npy", &[2, 2, 2, 3], &input);
    folder.save("t.npy", &[2, 2, 2, 3], &[0.0f32; 24]);
    let words = "bce-with-logits x.npy t.npy --heatmap h.png --histogram";
    let json = folder.json(words);
    assert_eq!((&json["heatmap"]["height"], &json["heatmap"]["width"]), (&2.into(), &3.into()));
    let most = (40.0 + 2f64.ln()) / 2.0;
    assert!((json["heatmap"]["to"].as_f64().unwrap() - most).abs() < 1e-5, "{json}");
    assert_eq!(json["histogram"]["worst"][0]["position"], json!([0, 0, 1, 1]));
    folder.save("x3.npy", &[4, 2, 3], &input);
    folder.save("t3.npy", &[4, 2, 3], &[0.0f32; 24]);
    let json = folder.json("bce-with-logits x3.npy t3.npy --heatmap h.png --sample 3");
    assert_eq!(json["heatmap"]["sample"], 3);
    folder.save("x2.npy", &[4, 6], &input);
    folder.cpu("bce-with-logits x2.npy x2.npy --heatmap h.png").bad(1, &["x2.npy", "[4, 6]"]);
}

/// f64, Fortran order and archives give what plain files give.
#[test]
fn files_of_every_kind() {
    let folder = Folder::new();
    let shape = [6, 5];
    let input: Vec<f32> = (0..30).map(|i| (i * 7 % 11) as f32 / 11.0).collect();
    let wide: Vec<f64> = input.iter().map(|&x| x.into()).collect();
    folder.save("x.npy", &shape, &input);
    folder.save("wide.npy", &shape, &wide);
    let turned: Vec<f32> = (0..30).map(|i| input[i % 6 * 5 + i / 6]).collect();
    folder.write("turned.npy", npy("'<f4'", true, &tuple(&shape), &bytes(&turned)));
    let member = npy("'<f8'", false, &tuple(&shape), &bytes(&wide));
    folder.save_npz("a.npz", &[("x", member.clone()), ("y", member)], true);
    folder.save("v.npy", &[6], &[0.5f32, 1.0, 2.0, 0.25, 1.5, 3.0]);
    folder.save("t.npy", &[6], &[0u8, 1, 2, 3, 4, 0]);
    folder.save("r.npy", &[6], &[1.0f64, 0.0, 0.5, 2.0, 1.0, 1.0]);
    for words in [
        "gaussian-nll X X --var v.npy --save-grad g.npy --save-var-grad o.npy",
        "bce X X --save-grad g.npy",
        "kl-div X X --save-grad g.npy --save-target-grad o.npy",
        "cross-entropy X t.npy --row-weights r.npy --softcap 2 --save-grad g.npy --save-lse o.npy",
        "entropy X --row-weights r.npy --save-grad g.npy",
        "softmax X --upstream X --save-grad g.npy --save-output o.npy",
    ] {
        let mut seen = Vec::new();
        for file in ["x.npy", "wide.npy", "turned.npy", "a.npz:y"] {
            let json = folder.json(&words.replace('X', file));
            let saved = json["saved"]
                .as_array()
                .unwrap()
                .iter()
                .map(|name| folder.load(name.as_str().unwrap()));
            seen.push((json["loss"].clone(), saved.collect::<Vec<_>>()));
        }
        assert!(seen.windows(2).all(|pair| pair[0] == pair[1]), "{words}");
    }
}

/// Halves in, halves out; classes and ranks are whole numbers.
#[test]
fn types_of_results() {
    let folder = Folder::with_logits();
    let halves: Vec<half::f16> = (0..12).map(|i| half::f16::from_f32(i as f32 / 12.0)).collect();
    folder.save("h.npy", &[3, 4], &halves);
    folder.save("y.npy", &[3, 4], &[0.5f32; 12]);
    folder.save("v.npy", &[3, 1], &[half::f16::ONE; 3]);
    let words = "gaussian-nll h.npy y.npy --var v.npy --save-grad g.npy --save-target-grad tg.npy --save-var-grad vg.npy";
    let types = |words: &str| {
        folder.cpu(words).good();
        ["g.npy", "tg.npy", "vg.npy"].map(|file| folder.load_bytes(file).0)
    };
    assert_eq!(types(words), ["<f2", "<f4", "<f2"]);
    assert_eq!(folder.load_bytes("vg.npy").1, [3, 1]);
    assert_eq!(types(&format!("{words} --out-dtype f32")), ["<f4"; 3]);
    folder.cpu("cross-entropy x.npy t.npy --save-argmax a.npy --save-rank r.npy").good();
    let (descr, shape, body) = folder.load_bytes("a.npy");
    assert_eq!((&descr[..], shape, &body[..4]), ("<u4", vec![4], &[0, 0, 0, 0][..]));
    // What is saved is read again.
    folder.cpu("cross-entropy x.npy a.npy").good();
}

/// Masks are bools and counts are integers, as users usually save them.
#[test]
fn masks_and_counts() {
    let folder = Folder::with_logits();
    let on: Vec<bool> = (0..16).map(|i| i % 3 == 0).collect();
    let floats = |numbers: &[i32]| numbers.iter().map(|&n| n as f32).collect::<Vec<_>>();
    let numbers: Vec<i32> = on.iter().map(|&on| i32::from(on)).collect();
    let counts: Vec<i32> = (0..16).map(|i| i * i % 7).collect();
    folder.save("mask.npy", &[4, 4], &on);
    folder.save("mask_f.npy", &[4, 4], &floats(&numbers));
    folder.save("counts.npy", &[4, 4], &counts);
    folder.save("counts_f.npy", &[4, 4], &floats(&counts));
    folder.save("rows.npy", &[4], &[true, false, true, true]);
    folder.save("rows_f.npy", &[4], &[1.0f32, 0.0, 1.0, 1.0]);
    for words in [
        "bce-with-logits x.npy mask.npy",
        "bce-with-logits x.npy mask.npy --weight counts.npy",
        "poisson-nll x.npy counts.npy --full",
        "cross-entropy x.npy t.npy --row-weights rows.npy",
    ] {
        let of_floats = [("mask", "mask_f"), ("counts", "counts_f"), ("rows.npy", "rows_f.npy")];
        let of_floats =
            of_floats.iter().fold(words.to_string(), |words, (a, b)| words.replace(a, b));
        let [a, b] = [words, &of_floats].map(|words| folder.json(words)["loss"].clone());
        assert!(a.is_number() && a == b, "{words}: {a} {b}");
    }
    // Two bytes may be the bits of floats, but are numbers unless the user says so.
    let words: Vec<u16> = counts.iter().map(|&n| n as u16).collect();
    folder.save("words.npy", &[4, 4], &words);
    folder.save("row_words.npy", &[4], &[1u16, 0, 1, 1]);
    for words in [
        "poisson-nll x.npy counts.npy",
        "gaussian-nll x.npy counts.npy --var counts.npy",
        "bce-with-logits x.npy mask.npy --weight counts.npy --pos-weight counts.npy",
        "cross-entropy x.npy t.npy --row-weights rows.npy",
    ] {
        let of_words = words.replace("counts", "words").replace("rows.npy", "row_words.npy");
        let [a, b] = [words, &of_words].map(|words| folder.json(words)["loss"].clone());
        assert!(a.is_number() && a == b, "{words}: {a} {b}");
    }
    folder.save("large.npy", &[4, 4], &[60_000u16; 16]);
    folder.save("large_f.npy", &[4, 4], &[60_000f32; 16]);
    let loss = |words: &str| folder.json(words)["loss"].clone();
    assert_eq!(loss("poisson-nll x.npy large.npy"), loss("poisson-nll x.npy large_f.npy"));
    folder.save("bits.npy", &[4, 4], &[half::bf16::from_f32(0.75).to_bits(); 16]);
    folder.save("three_quarters.npy", &[4, 4], &[0.75f32; 16]);
    assert_eq!(
        loss("bce-with-logits bits.npy bits.npy --dtype bf16"),
        loss("bce-with-logits three_quarters.npy three_quarters.npy")
    );
    let run = folder.cpu("bce-with-logits x.npy mask.npy").good();
    assert!(run.line("computed").contains("against bool targets"), "{}", run.stdout);
}
