//! What the program says: the lines for a person and the JSON object.

mod support;

use support::Folder;

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
