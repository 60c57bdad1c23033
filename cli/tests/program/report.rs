//! The output of the program: the lines for a person and the JSON object.

use crate::support::{Folder, LOGITS, bytes, npy};

#[test]
fn lines_for_a_person() {
    let folder = Folder::with_logits();
    let run = folder.cpu("cross-entropy x.npy t.npy --ignore-index 2 --save-grad g.npy").good();
    let computed = run.line("computed");
    assert_eq!(computed, "cross-entropy of [4, 4] float32 against int64 labels, mean");
    assert_eq!(run.line("device"), "CPU (f64 reference)");
    assert!(run.line("loss").starts_with("0.0554464"), "{}", run.stdout);
    assert_eq!(run.line("rows"), "4, 1 ignored");
    assert!(run.line("time").contains("compute "), "{}", run.stdout);
    assert_eq!(run.line("saved"), "g.npy");

    let run = folder.cpu("cross-entropy x.npy t.npy --reduction none").good();
    let line = run.line("loss");
    assert!(line.starts_with("[4], least 0.0052335") && line.contains("most 0.1348492"), "{line}");

    let run = folder.cpu("softmax x.npy").good();
    assert_eq!(run.line("computed"), "softmax of [4, 4] float32");
    assert!(!run.stdout.contains("loss "), "{}", run.stdout);
}

#[test]
fn json_for_a_script() {
    let folder = Folder::with_logits();
    folder.save("w.npy", &[4], &[1.0f32, 2.0, 3.0, 4.0]);
    let json = folder.json("cross-entropy x.npy t.npy --weight w.npy --save-loss l.npy");
    assert_eq!(json["command"], "cross-entropy");
    assert_eq!(json["shape"], serde_json::json!([4, 4]));
    assert_eq!(json["dtype"], "float32");
    assert_eq!(json["target"], "int64 labels");
    assert_eq!(json["reduction"], "mean");
    assert_eq!(json["loss_shape"], serde_json::json!([]));
    assert_eq!((&json["rows"], &json["ignored"]), (&4.into(), &0.into()));
    assert_eq!(json["weight"], 10.0);
    assert_eq!(json["device"], "cpu");
    assert!(json["adapter"].is_null());
    assert!(json["check"].is_null());
    assert!(json["seconds"]["compute"].as_f64().unwrap() >= 0.0);
    assert_eq!(json["saved"], serde_json::json!(["l.npy"]));
    // The number is the f32 that is saved, in the digits of an f32.
    let text = json["loss"].to_string();
    assert_eq!(text.parse::<f32>().unwrap(), folder.load("l.npy").1[0]);
    assert!(text.len() <= 12, "{text}");
}

#[test]
fn numbers_that_json_has_not() {
    let folder = Folder::new();
    let inf = f32::INFINITY;
    folder.save("x.npy", &[3, 2], &[f32::NAN, 0.0, -inf, 0.0, 0.0, 0.0]);
    folder.save("t.npy", &[3], &[0u8, 0, 0]);
    let json = folder.json("cross-entropy x.npy t.npy --reduction none");
    assert_eq!((&json["loss"][0], &json["loss"][1]), (&"NaN".into(), &"inf".into()));
    assert!((json["loss"][2].as_f64().unwrap() - 2f64.ln()).abs() < 1e-7);
    assert_eq!(json["nonfinite"], 1);
    let run = folder.cpu("cross-entropy x.npy t.npy --reduction none").good();
    assert_eq!(run.line("NaN"), "1 rows, the first at [0]");
    let json = folder.json("nll x.npy t.npy --reduction sum");
    assert_eq!(json["loss"], "NaN");
}

#[test]
fn check_on_the_cpu_says_what_it_is_worth() {
    let folder = Folder::with_logits();
    let words = "cross-entropy x.npy t.npy --save-grad g.npy --save-log-probs lp.npy --check";
    let run = folder.cpu(words);
    assert_eq!(run.code, Some(0));
    assert_eq!(run.stderr.lines().count(), 1);
    assert!(run.stderr.contains("reference itself"), "{}", run.stderr);
    let check = run.line("check");
    for what in [
        "live rows exact",
        "loss off by",
        "(at most 2e-6)",
        "gradient off by",
        "log-probs off by",
        "1e-5",
    ] {
        assert!(check.contains(what), "no {what:?} in {check}");
    }
    let json = folder.cpu(&format!("{words} --json")).json();
    assert_eq!(json["check"]["passed"], true);
    assert_eq!(json["check"]["loss"]["tolerance"], 2e-6);
    assert!(json["check"]["grad"].is_null());
    let gradient = &json["check"]["gradient"];
    assert!(gradient["largest_relative_difference"].as_f64().unwrap() < 1e-7, "{gradient}");
    assert_eq!(json["check"]["log_probs"]["passed"], true);
    assert_eq!(json["check"]["live_rows"]["largest_relative_difference"], 0.0);
}

/// Rows of a vocabulary are tokens, and their loss is a likelihood if no weights or smoothing are mixed in.
#[test]
fn tokens_have_a_perplexity() {
    let folder = Folder::new();
    // All tokens are equally likely.
    folder.save("x.npy", &[6, 300], &[0.25f32; 1800]);
    folder.save("t.npy", &[6], &[0i64, 299, -100, 7, 7, 8]);
    for reduction in ["mean", "sum", "batchmean", "none"] {
        let words = format!("cross-entropy x.npy t.npy --reduction {reduction}");
        let json = folder.json(&words);
        let tokens = &json["tokens"];
        assert_eq!(tokens["count"], 5);
        for (key, wanted) in [("nll", 300f64.ln()), ("bits", 300f64.log2()), ("perplexity", 300.0)]
        {
            let given = tokens[key].as_f64().unwrap();
            assert!((given / wanted - 1.0).abs() < 1e-6, "{key} {given} {words}");
        }
    }
    let line = folder.cpu("cross-entropy x.npy t.npy").good();
    assert_eq!(line.line("tokens"), "5, 5.70378 nats or 8.22882 bits each, perplexity 300");
    folder.save("three.npy", &[2, 3, 4], &[0.5f32; 24]);
    folder.save("t23.npy", &[2, 3], &[0i64; 6]);
    let json = folder.json("cross-entropy three.npy t23.npy --class-axis -1");
    assert!((json["tokens"]["perplexity"].as_f64().unwrap() - 4.0).abs() < 1e-5);
    folder.cpu("log-softmax x.npy --save-output lp.npy").good();
    let json = folder.json("nll lp.npy t.npy --reduction sum");
    assert!((json["tokens"]["perplexity"].as_f64().unwrap() - 300.0).abs() < 1e-3);

    folder.save("w.npy", &[300], &[1.0f32; 300]);
    folder.save("few.npy", &[6, 30], &[0.25f32; 180]);
    folder.save("few_t.npy", &[6], &[3i64; 6]);
    folder.save("t24.npy", &[2, 4], &[0i64; 8]);
    folder.save("none.npy", &[6], &[-100i64; 6]);
    for words in [
        "x.npy t.npy --label-smoothing 0.1",
        "x.npy t.npy --weight w.npy",
        "x.npy x.npy",
        "x.npy none.npy",
        "few.npy few_t.npy",
        "three.npy t24.npy",
    ] {
        let json = folder.json(&format!("cross-entropy {words}"));
        assert!(json["tokens"].is_null(), "{words}: {json}");
    }
}

/// Characters that a terminal interprets are written as escapes, wherever they come from: names of files, of tensors in
/// them, words of the command line.
#[test]
#[cfg(unix)]
fn names_do_not_command_terminals() {
    let folder = Folder::with_logits();
    let obeyed = |text: &str| {
        text.chars().any(|c| c != '\n' && (c.is_control() || matches!(c, '\u{202a}'..='\u{202e}')))
    };
    let odd = "\u{1b}[2J\u{1b}]0;t\u{7} \u{8}\u{7f}\u{9b}31m\u{202e}\t\r\n.npy";
    folder.write(odd, npy("'<f4'", false, "4, 4", &bytes(&LOGITS)));
    folder.save_tensors("m.safetensors", &[(odd, "F32", &[4, 4], bytes(&LOGITS))]);
    let grad = format!("g{odd}");
    let word = |text: &'static str| text.as_bytes();
    let entropy = word("cross-entropy");
    let save = [entropy, odd.as_bytes(), word("t.npy"), word("--save-grad"), grad.as_bytes()];
    let report = folder.cpu_bytes(&save).good();
    assert!(report.line("saved").starts_with(r"g\u{1b}[2J"), "{}", report.stdout);
    let lines = report.stdout.lines().count();
    assert_eq!(
        lines,
        folder.cpu("cross-entropy x.npy t.npy --save-grad p.npy").good().stdout.lines().count()
    );
    let reported = folder.cpu_bytes(&[&save[..], &[b"--json"]].concat()).good();
    assert_eq!(reported.json()["saved"], serde_json::json!([grad]));
    let missing = format!("no{odd}");
    let reduction = [word("--reduction"), odd.as_bytes()];
    let tensor = format!("m.safetensors:no{odd}");
    for (run, code) in [
        (folder.cpu_bytes(&[entropy, missing.as_bytes(), word("t.npy")]), 1),
        (folder.cpu_bytes(&[&save[..3], &[word("--weight"), odd.as_bytes()]].concat()), 1),
        (folder.cpu_bytes(&[entropy, word("m.safetensors:x"), word("t.npy")]), 1),
        (folder.cpu_bytes(&[entropy, tensor.as_bytes(), word("t.npy")]), 1),
        (folder.cpu_bytes(&[&[entropy, word("x.npy"), word("t.npy")][..], &reduction].concat()), 2),
        (folder.cpu_bytes(&[odd.as_bytes()]), 2),
    ] {
        // clap removes words that begin with an escape from its own messages.
        let run = run.bad(code, &[r"\u{9b}31m\u{202e}"]);
        assert!(!obeyed(&run.stderr), "{:?}", run.stderr);
    }
    for text in [report.stdout, reported.stdout] {
        assert!(!obeyed(&text), "{text:?}");
    }
}
