//! `wgpu-loss bench`: its measurements, reports and pictures. Needs an adapter, as all tests of this folder.

use crate::support::{Folder, Run};
use serde_json::Value;

/// Runs the program with as few samples as possible.
#[track_caller]
fn bench(folder: &Folder, words: &str) -> Run {
    folder.run(&format!("bench --samples 2 {words}"))
}

#[track_caller]
fn positive(value: &Value) -> f64 {
    let number = value.as_f64().unwrap_or_else(|| panic!("{value}"));
    assert!(number > 0.0 && number.is_finite(), "{number}");
    number
}

/// Asserts that a result has all its parts.
#[track_caller]
fn complete(result: &Value) {
    let clock = result["clock"].as_str().unwrap();
    assert!(["timestamps", "wall"].contains(&clock), "{clock}");
    for time in ["kernel", "resident", "end_to_end", "reference"] {
        let time = &result["seconds"][time];
        let [least, median, most] = ["least", "median", "most"].map(|key| positive(&time[key]));
        assert!(least <= median && median <= most, "{time}");
        assert!((1..=2).contains(&time["samples"].as_u64().unwrap()), "{time}");
    }
    for time in ["compile", "first_call", "roof_read", "roof_copy"] {
        positive(&result["seconds"][time]);
    }
    for rate in ["gb_per_s", "roof_gb_per_s", "percent_of_roof", "times_reference", "loss"] {
        positive(&result[rate]);
    }
    let percent = 100.0 * positive(&result["gb_per_s"]) / positive(&result["roof_gb_per_s"]);
    assert!((percent - positive(&result["percent_of_roof"])).abs() < 1e-6 * percent);
    let off = &result["largest_relative_difference"];
    assert!(off["loss"].as_f64().unwrap() <= 2e-6, "{off}");
}

#[test]
fn every_field_of_the_json() {
    let folder = Folder::new();
    let json = bench(&folder, "--shape 64x10 --shape 2x5x3x7 --json").good().json();
    assert_eq!(json["command"], "bench");
    assert_eq!(json["version"], env!("CARGO_PKG_VERSION"));
    let machine = &json["machine"];
    for field in ["name", "type", "backend", "driver"] {
        assert!(machine["adapter"][field].is_string(), "{machine}");
    }
    assert!(machine["clock"].is_string());
    positive(&machine["cpu_cores"]);
    assert_eq!((&json["errors"], &json["saved"]), (&Value::Array(Vec::new()), &Value::Null));

    let results = json["results"].as_array().unwrap();
    let of = |i: usize| (results[i]["shape"].to_string(), results[i]["pass"].as_str().unwrap());
    assert_eq!(results.len(), 4);
    assert_eq!((of(0), of(1)), (("[64,10]".into(), "fwd"), ("[64,10]".into(), "fwd+bwd")));
    assert_eq!((of(2), of(3)), (("[2,5,3,7]".into(), "fwd"), ("[2,5,3,7]".into(), "fwd+bwd")));
    results.iter().for_each(complete);
    // Logits of 4 bytes, labels of 8; for the gradient the logits again and as much written.
    assert_eq!(results[0]["bytes"], 4 * 640 + 8 * 64);
    assert_eq!(results[1]["bytes"], 3 * 4 * 640 + 8 * 64);
    assert!(results[1]["largest_relative_difference"]["gradient"].as_f64().unwrap() <= 1e-5);
    assert_eq!(results[0]["largest_relative_difference"]["gradient"], Value::Null);
}

#[test]
fn a_table() {
    let folder = Folder::new();
    let run = bench(&folder, "--shape 64x10 --pass fwd+bwd").good();
    let last = run.stdout.lines().last().unwrap();
    assert!(last.starts_with("64x10  fwd+bwd  "), "{}", run.stdout);
    assert_eq!(run.stdout.matches("fwd+bwd").count(), 1, "{}", run.stdout);
    assert!(run.line("device").contains("CPU cores"));
    assert!(run.line("measured").contains("medians of 2"));
    assert!(run.line("shape").contains("kernel  "));
}

#[test]
fn a_shape_too_large_does_not_stop_the_others() {
    let folder = Folder::new();
    // As many bytes as no device has; a row alone is beyond any binding.
    let run = bench(&folder, "--shape 2x100000000000 --shape 8x4 --pass fwd --json");
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    assert!(run.stderr.contains("2x100000000000: ") && run.stderr.contains("1 of 2 shapes"));
    let json = run.json();
    assert_eq!(json["results"].as_array().unwrap().len(), 1);
    complete(&json["results"][0]);
    assert_eq!(json["errors"][0]["shape"].to_string(), "[2,100000000000]");
    assert!(json["errors"][0]["error"].as_str().unwrap().contains("the device's max_"), "{json}");
}

/// Half the bytes, and every answer right in the type it is stored in.
#[test]
fn shorter_types() {
    let folder = Folder::new();
    for (short, name) in [("f16", "float16"), ("bf16", "bfloat16")] {
        let words = format!("bench --shape 64x1000 --samples 1 --dtype {short} --json");
        let json = folder.run(&words).good().json();
        assert_eq!(json["dtype"], name);
        let bytes: Vec<u64> = json["results"]
            .as_array()
            .unwrap()
            .iter()
            .map(|r| r["bytes"].as_u64().unwrap())
            .collect();
        assert_eq!(bytes, [64 * 2008, 64 * 6008]);
    }
}

#[test]
fn wrong_usage() {
    let folder = Folder::new();
    for shape in ["10", "10x0", "ax3", "2x-3"] {
        folder.run(&format!("bench --shape {shape}")).bad(2, &["--shape", shape, "4096x1000"]);
    }
    folder.run("bench --dtype int8").bad(2, &["--dtype", "f32, f16 or bf16"]);
    folder.run("bench --samples 0").bad(2, &["--samples", "from 1"]);
    folder.run("bench --pass bwd").bad(2, &["--pass", "fwd"]);
    folder.run("bench --plot p.gif").bad(2, &["p.gif", ".svg or .png"]);
    folder.run("bench --plot p.svg --shape 3x4").bad(2, &["--plot", "--shape"]);
    folder.run("bench --elements 100").bad(2, &["--plot"]);
    assert!(folder.names().is_empty());
}

#[test]
fn no_device_and_no_folder() {
    let folder = Folder::new();
    folder.run("bench --adapter nothing-of-the-kind").bad(1, &["nothing-of-the-kind"]);
    folder.run("bench --plot nowhere/p.svg").bad(1, &["nowhere/p.svg", "no such folder"]);
}

#[test]
#[cfg(target_os = "linux")]
fn no_driver() {
    let folder = Folder::new();
    let mut command = folder.command("bench --shape 8x4");
    command.env("VK_DRIVER_FILES", "/none.json").env("VK_ICD_FILENAMES", "/none.json");
    Run::new("bench", command.output().unwrap()).bad(1, &["no GPU adapter", "driver"]);
}

#[test]
fn pictures() {
    let folder = Folder::new();
    let run = bench(&folder, "--plot p.svg --elements 1000 --json").good().json();
    assert_eq!(run["saved"], "p.svg");
    // 4 to 1000 classes, two passes each.
    assert_eq!(run["results"].as_array().unwrap().len(), 12);
    let svg = std::fs::read_to_string(folder.path("p.svg")).unwrap();
    assert!(svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>"), "{svg}");
    for text in ["Cross-entropy on ", "loss and gradient", "its roof", "GB/s", "classes"] {
        assert!(svg.contains(text), "no {text:?} in the picture");
    }

    bench(&folder, "--plot p.png --elements 20 --pass fwd").good().line("saved");
    let mut png =
        png::Decoder::new(std::io::Cursor::new(std::fs::read(folder.path("p.png")).unwrap()))
            .read_info()
            .unwrap();
    let mut dots = vec![0; png.output_buffer_size().unwrap()];
    png.next_frame(&mut dots).unwrap();
    assert_eq!((png.info().width, png.info().height), (1920, 1120));
    // Something blue was drawn on white.
    assert!(dots.chunks(3).any(|dot| dot == [37, 99, 235]));
    assert_eq!(dots[..3], [255; 3]);
    assert_eq!(folder.names(), ["p.png", "p.svg"]);
}
