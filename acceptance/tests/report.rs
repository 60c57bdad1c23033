//! The report of results that are made up here, of a GPU and of a software driver.

use std::fs;
use std::process::{Command, Output};

use serde_json::{Value, json};

const COMMIT: &str = "1234abc";

fn adapter(kind: &str) -> Value {
    json!({ "name": "A Card (9000)", "backend": "vulkan", "driver": "x 1", "type": kind })
}

/// A folder of results, and the root of a pack.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new(kind: &str) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        let machine = json!({
            "adapter": adapter(kind), "tested": adapter(kind), "gpu": kind != "software",
            "processor": "a processor", "cores": 16, "memory_gib": 128, "system": "a system",
        });
        folder.write("parts/machine", &machine);
        folder.write("parts/pack", &json!({ "version": "0.1.0", "commit": COMMIT }));
        folder.write("root/pack", &json!({ "version": "0.1.0", "commit": COMMIT }));
        folder
    }

    fn write(&self, name: &str, value: &Value) {
        let file = self.0.path().join(format!("{name}.json"));
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, value.to_string()).unwrap();
    }

    /// A part that ran on a kind of adapter.
    fn part(&self, name: &str, kind: &str, result: Value) {
        let adapter = adapter(kind);
        let kept =
            json!({ "commit": COMMIT, "adapter": adapter, "seconds": 1.5, "result": result });
        self.write(&format!("parts/{name}"), &kept);
    }

    fn run(&self, words: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_acceptance"));
        command.current_dir(self.0.path()).args(["--out", ".", "--pack", "root"]).args(words);
        command.output().unwrap()
    }

    /// The report for people, and for programs.
    fn report(&self) -> (String, Value) {
        let output = self.run(&["--report"]);
        // Parts are missing, which is a failure.
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let read = |file: &str| fs::read_to_string(self.0.path().join(file)).unwrap();
        let json = serde_json::from_str(&read("A-Card-9000.json")).unwrap();
        (read("A-Card-9000.md"), json)
    }
}

/// A shape of `wgpu-loss bench`.
fn measured(shape: &[u64], pass: &str, percent: f64) -> Value {
    let time = json!({ "median": 1e-3, "least": 1e-3, "most": 1e-3, "samples": 3 });
    json!({
        "shape": shape, "pass": pass, "percent_of_roof": percent, "gb_per_s": 900.0,
        "roof_gb_per_s": 1000.0,
        "seconds": { "kernel": time, "resident": time, "end_to_end": time, "first_call": 0.2 },
    })
}

fn contender(name: &str, ms: f64, wrong: &[&str]) -> Value {
    json!({
        "name": name, "shape": [8192, 32000], "dtype": "f32", "pass": "forward", "loss": 10.5,
        "median_ms": 2.0 * ms, "device_median_ms": ms, "wrong": wrong, "note": "",
    })
}

fn filled(kind: &str) -> Folder {
    let folder = Folder::new(kind);
    let failed = json!({
        "suite": "embedding", "module": "embedding_rebinding", "passed": 3, "failed": ["rebinding::dies"], "ignored": 0,
        "not_run": ["no way to bound its memory"], "not_told": [], "complaint": null, "seconds": 2.0,
    });
    let tests = json!({ "all_passed": false, "passed": 3, "failed": 1, "modules": [failed] });
    folder.part("tests", kind, tests);
    let bench = json!({
        "machine": { "clock": "timestamps" },
        "results": [
            measured(&[8192, 32_000], "fwd", 91.0),
            measured(&[65_536, 1000], "fwd", 69.0),
            measured(&[65_536, 1000], "fwd+bwd", 99.0),
        ],
        "errors": [{ "shape": [4096, 151_936], "error": "too large" }],
    });
    folder.part("bench-f32", kind, bench);
    let missing = json!({
        "name": "liger", "shape": [8192, 32000], "dtype": "f32", "pass": "forward", "reason": "no triton",
    });
    let peers = json!({
        "versions": { "PyTorch": "9.9" }, "left_out": {},
        "results": [
            contender("ours", 1.0, &[]),
            contender("torch-cuda", 3.0, &[]),
            contender("torch-compile", 0.5, &["loss 1, 2 in float64"]),
            missing,
        ],
    });
    folder.part("peers-f32", kind, peers);
    let kernels = ["loss\tstatistics", "ce\tRegister Count 80; Local Memory 0"];
    folder.part("compiler", kind, json!({ "driver": "a driver", "kernels": kernels }));
    folder
}

#[test]
fn a_gpu() {
    let folder = filled("discrete");
    // The results of another build do not count.
    let other = json!({ "commit": "another", "adapter": adapter("discrete"), "result": {} });
    folder.write("parts/start", &other);
    let (text, json) = folder.report();
    assert!(!text.contains("NO GPU") && json["gpu"] == true, "{text}");
    for line in [
        "# wgpu-loss on A Card (9000)",
        "| 8192x32000 fwd, f32 | 85 % of the roof | 91 % | met |",
        "| 65536x1000 fwd, f32 | 70 % of the roof | 69 % | **missed** |",
        "| 4096x151936 fwd, f32 | 85 % of the roof | - | not measured |",
        // The fastest of those whose answers are right.
        "| 1.000 ms, torch-cuda 3.000 ms: 3.00x | met |",
        "| tests | **not all passed** | 2 s |",
        "| stream | **not run** | - |",
        "- failed: `rebinding::dies`",
        "- left out: no way to bound its memory",
        "- 4096x151936: too large",
        "| 65536x1000 | fwd+bwd | 1.00 ms | 1.00 ms | 1.00 ms | 200 ms | 900 | 1000 | 99 % |",
        "| 8192x32000 | 1.00 | 3.00 | 0.500 **wrong** [1] | - [2] |",
        "Of another build or adapter, and left out: start.",
        "PyTorch 9.9",
        "| ce | Register Count 80; Local Memory 0 |",
    ] {
        assert!(text.contains(line), "no {line:?} in\n{text}");
    }
    let met = |what: &str| {
        let figures = json["figures"].as_array().unwrap();
        figures.iter().find(|figure| figure["what"] == what).unwrap()["met"].clone()
    };
    assert_eq!(
        (met("8192x32000 fwd, f32"), met("65536x1000 fwd, f32")),
        (true.into(), false.into())
    );
    assert_eq!(json["parts"]["tests"]["result"]["failed"], 1);
}

#[test]
fn a_software_driver() {
    let (text, json) = filled("software").report();
    let notice = "NO GPU WAS MEASURED";
    assert!(text.lines().nth(2).unwrap().contains(notice), "{text}");
    assert!(json["notice"].as_str().unwrap().contains(notice));
    // However fast it was.
    assert!(!text.contains("| met |") && !text.contains("**missed**"), "{text}");
    let figures = json["figures"].as_array().unwrap();
    assert!(!figures.is_empty() && figures.iter().all(|figure| figure["met"].is_null()));
}

#[test]
fn pictures() {
    let folder = filled("discrete");
    assert!(folder.run(&["--picture", "p.svg"]).status.success());
    let svg = fs::read_to_string(folder.0.path().join("p.svg")).unwrap();
    for text in
        ["Cross-entropy and its gradient on A Card (9000)", "wgpu-loss", "its roof", "classes"]
    {
        assert!(svg.contains(text), "no {text:?} in {svg}");
    }
    assert!(folder.run(&["--picture", "p.svg", "--forward"]).status.success());
    let svg = fs::read_to_string(folder.0.path().join("p.svg")).unwrap();
    // A contender with wrong answers has no curve.
    assert!(svg.contains("PyTorch") && !svg.contains("torch.compile"), "{svg}");
    for (file, word) in [("p.gif", ".svg or .png"), ("none/p.svg", "none/p.svg")] {
        let output = folder.run(&["--picture", file]);
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(1) && error.contains(word), "{error}");
    }
}

#[test]
fn no_pack_and_no_results() {
    let folder = Folder::new("discrete");
    let said = |words: &[&str]| {
        let output = folder.run(words);
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(said(&["--picture", "p.svg"]).contains("run bench-f32 first"));
    fs::remove_file(folder.0.path().join("parts/machine.json")).unwrap();
    assert!(said(&["--report"]).contains("machine.json"));
    fs::write(folder.0.path().join("root/pack.json"), "{").unwrap();
    assert!(said(&["--report"]).contains("pack.json"));
}
