//! The program on a GPU, checked against the reference. These tests fail where there is no adapter:
//! a software driver such as Mesa's llvmpipe or SwiftShader will do.

use crate::support::{Folder, LABELS, LOGITS, LOSSES, Run, assert_judged};

/// A stream of pseudo-random numbers in [0, 1).
struct Random(u64);

impl Random {
    fn next(&mut self) -> f32 {
        // Knuth's multiplier for 64 bits.
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 40) as f32 / (1u64 << 24) as f32
    }

    fn logits(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| 16.0 * self.next() - 8.0).collect()
    }

    fn labels(&mut self, n: usize, classes: usize) -> Vec<i32> {
        (0..n).map(|_| (self.next() * classes as f32) as i32).collect()
    }

    fn probabilities(&mut self, rows: usize, classes: usize) -> Vec<f32> {
        let mut all = Vec::new();
        for _ in 0..rows {
            let row: Vec<f32> = (0..classes).map(|_| self.next() + 1e-3).collect();
            let sum: f32 = row.iter().sum();
            all.extend(row.iter().map(|q| q / sum));
        }
        all
    }
}

/// Runs on the best GPU, with the check, and gives the JSON.
#[track_caller]
fn checked(folder: &Folder, words: &str) -> serde_json::Value {
    let run: Run = folder.run(&format!("{words} --device gpu --check --json")).good();
    let json = run.json();
    assert_eq!(json["device"], "gpu");
    assert!(json["adapter"]["name"].as_str().is_some_and(|name| !name.is_empty()));
    assert_judged(&json);
    json
}

#[test]
fn the_adapters_are_listed() {
    let folder = Folder::new();
    let run = folder.run("adapters").good();
    let json = folder.run("adapters --json").good().json();
    let adapters = json["adapters"].as_array().unwrap();
    assert_eq!(run.stdout.lines().count(), adapters.len());
    for (line, adapter) in run.stdout.lines().zip(adapters) {
        for field in ["name", "type", "backend", "driver"] {
            let text = adapter[field].as_str().unwrap();
            assert!(line.contains(text), "no {text:?} in {line}");
        }
    }
}

#[test]
fn adapters_by_name() {
    let folder = Folder::with_logits();
    let json = folder.run("adapters --json").good().json();
    let name = json["adapters"][0]["name"].as_str().unwrap();
    let run = |adapter: &str| {
        let mut command = folder.command("softmax x.npy --json --adapter");
        Run::new(adapter, command.arg(adapter).output().unwrap())
    };
    assert_eq!(run(&name.to_uppercase()).good().json()["adapter"]["name"], name);
    run("no such adapter").bad(1, &["no such adapter", name]);
    let json = folder.run("softmax x.npy --json").good().json();
    assert_eq!((&json["device"], &json["adapter"]["name"]), (&"gpu".into(), &name.into()));
}

/// Two devices on one adapter are two GPUs, which share the rows.
#[test]
fn several_adapters_together() {
    let (mut random, folder) = (Random(7), Folder::new());
    folder.save("x.npy", &[3000, 30], &random.logits(90_000));
    folder.save("t.npy", &[3000], &random.labels(3000, 30));
    let one =
        folder.run("cross-entropy x.npy t.npy --json --memory-budget 48KiB --save-grad 1.npy");
    let one = one.good().json();
    let name = one["adapter"]["name"].as_str().unwrap();
    let words = "cross-entropy x.npy t.npy --memory-budget 48KiB --save-grad 2.npy --check";
    let run = |more: &str| {
        let mut command = folder.command(&format!("{words} {more}"));
        Run::new(more, command.args(["--adapter", name, "--adapter", name]).output().unwrap())
    };
    let json = run("--json").good().json();
    assert_judged(&json);
    assert_eq!((&json["device"], &json["loss"]), (&"gpu".into(), &one["loss"]));
    assert!(folder.load("1.npy") == folder.load("2.npy"));
    let adapters = json["adapters"].as_array().unwrap();
    let rows = adapters.iter().map(|adapter| adapter["rows"].as_u64().unwrap());
    assert_eq!((adapters.len(), rows.clone().sum::<u64>()), (2, 3000), "{json}");
    assert!(rows.min() > Some(0) && adapters.iter().all(|adapter| adapter["name"] == name));
    assert!(adapters.iter().all(|adapter| adapter["failure"].is_null()), "{json}");
    let text = run("").good();
    assert_eq!(text.line("device").matches(" rows").count(), 2, "{}", text.stdout);

    let all = folder.run("cross-entropy x.npy t.npy --json --adapter all").good().json();
    assert_eq!((&all["device"], &all["rows"]), (&"gpu".into(), &3000.into()));
    assert!(all["adapter"]["rows"].is_number(), "{all}");
    let run = |words: &str| folder.run(&format!("cross-entropy x.npy t.npy {words}"));
    run("--adapter all --adapter x").bad(2, &["--adapter all"]);
    let word = name.split_whitespace().next().unwrap();
    run(&format!("--adapter {word} --adapter nothing")).bad(1, &["nothing"]);
}

#[test]
fn every_number_of_a_small_example() {
    let folder = Folder::with_logits();
    let all = "--save-loss l.npy --save-grad g.npy --save-log-probs lp.npy";
    let json = checked(&folder, &format!("cross-entropy x.npy t.npy {all}"));
    let mean = LOSSES.iter().sum::<f64>() / 4.0;
    // WGSL grants exp of such differences an error of a dozen units, and the decimals are eight.
    assert!((json["loss"].as_f64().unwrap() - mean).abs() < 2e-7);
    for time in ["read", "start", "prepare", "upload", "kernel", "read_back", "check", "save"] {
        assert!(json["seconds"][time].is_number(), "no {time} in {json}");
    }
    for file in ["g.npy", "lp.npy"] {
        assert_eq!(folder.load(file).0, [4, 4]);
    }
    let json = checked(&folder, &format!("cross-entropy x.npy t.npy --reduction none {all}"));
    assert_eq!(json["loss"].as_array().unwrap().len(), 4);
    assert_eq!(folder.load("l.npy").0, [4]);
    let text = folder.run("cross-entropy x.npy t.npy --device gpu --check").good();
    assert!(text.line("check").contains("at most 2e-6"), "{}", text.stdout);
    assert!(text.line("time").contains("kernel "), "{}", text.stdout);
}

#[test]
fn classes_last_and_classes_between() {
    let mut random = Random(1);
    for (shape, axis) in [
        (vec![37, 1000], "1"),
        (vec![5, 21, 9, 11], "1"),
        (vec![3, 4, 130], "-1"),
        (vec![257], "0"),
        (vec![2, 50257], "1"),
        (vec![1031, 3], "1"),
    ] {
        let folder = Folder::new();
        let elements: usize = shape.iter().product();
        let front = axis.parse::<usize>().unwrap_or(shape.len() - 1);
        let classes = shape[front];
        let mut rows = shape.clone();
        rows.remove(front);
        folder.save("x.npy", &shape, &random.logits(elements));
        let mut labels = random.labels(elements / classes, classes);
        if labels.len() > 1 {
            labels[1] = -100;
        }
        folder.save("t.npy", &rows, &labels);
        let weight: Vec<f32> = (0..classes).map(|_| random.next() + 0.5).collect();
        folder.save("w.npy", &[classes], &weight);
        let outputs = "--save-grad g.npy --save-log-probs lp.npy";
        for reduction in ["mean", "sum", "batchmean", "none"] {
            let options = format!("--class-axis {axis} --reduction {reduction} {outputs}");
            let words = format!("cross-entropy x.npy t.npy --weight w.npy {options}");
            checked(&folder, &format!("{words} --label-smoothing 0.1"));
        }
        checked(&folder, &format!("cross-entropy x.npy t.npy --class-axis {axis} {outputs}"));
        folder.run(&format!("log-softmax x.npy --class-axis {axis} --save-output lp.npy")).good();
        checked(
            &folder,
            &format!("nll lp.npy t.npy --class-axis {axis} --weight w.npy --save-grad g.npy"),
        );
        checked(&folder, &format!("softmax x.npy --class-axis {axis}"));
        checked(&folder, &format!("log-softmax x.npy --class-axis {axis}"));
    }
}

#[test]
fn probabilities_and_upstream() {
    let mut random = Random(2);
    let folder = Folder::new();
    folder.save("x.npy", &[33, 65], &random.logits(33 * 65));
    folder.save("q.npy", &[33, 65], &random.probabilities(33, 65));
    folder.save("up.npy", &[33], &random.logits(33));
    checked(&folder, "cross-entropy x.npy q.npy --save-grad g.npy --label-smoothing 0.2");
    let words = "cross-entropy x.npy q.npy --reduction none --save-grad g.npy --upstream up.npy";
    checked(&folder, words);
}

/// A student that has become its teacher: the gradient is only rounding errors, which is no failure. It is one of the
/// few results that a check cannot judge, and the report says so.
#[test]
fn a_target_that_is_reached() {
    let mut random = Random(3);
    let folder = Folder::new();
    folder.save("x.npy", &[50, 100], &random.logits(5000));
    folder.run("softmax x.npy --device cpu --save-output q.npy").good();
    for reduction in ["mean", "none"] {
        let words = format!("cross-entropy x.npy q.npy --reduction {reduction} --save-grad g.npy");
        let json = folder.run(&format!("{words} --device gpu --check --json")).good().json();
        assert_eq!(json["check"]["passed"], true, "{json}");
        let gradient = &json["check"]["gradient"];
        assert!(gradient["unjudged"].as_u64() > Some(4500), "{gradient}");
    }
}

#[test]
fn bad_labels_are_named_and_nothing_is_left() {
    let folder = Folder::new();
    folder.save("x.npy", &[4, 4], &LOGITS);
    folder.save("t.npy", &[4], &[LABELS[0], 4, LABELS[2], -7]);
    let words = "cross-entropy x.npy t.npy --device gpu --save-grad g.npy";
    folder.run(words).bad(1, &["t.npy", "2 of 4 labels", "4 at [1]", "0 to 3"]);
    assert_eq!(folder.names(), ["t.npy", "x.npy"]);
}

/// Hides all drivers, by the variable that Vulkan's loader reads.
#[test]
#[cfg(target_os = "linux")]
fn without_an_adapter() {
    let folder = Folder::with_logits();
    let run = |words: &str| {
        let mut command = folder.command(words);
        command.env("VK_DRIVER_FILES", "/nonexistent").env("VK_ICD_FILENAMES", "/nonexistent");
        Run::new(words, command.output().unwrap())
    };
    run("cross-entropy x.npy t.npy --device gpu").bad(1, &["no GPU adapter"]);
    run("adapters").bad(1, &["no GPU adapter"]);
    run("cross-entropy x.npy t.npy --adapter x").bad(1, &["no GPU adapter"]);
    let fallback = run("cross-entropy x.npy t.npy --json");
    assert_eq!(fallback.code, Some(0));
    assert_eq!(fallback.stderr.lines().count(), 1);
    assert!(fallback.stderr.contains("CPU reference"), "{}", fallback.stderr);
    assert_eq!(fallback.json()["device"], "cpu");
}
