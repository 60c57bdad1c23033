//! `wgpu-loss tune`: measures, stores, uses and deletes tunings. Needs an adapter, as all tests of this folder.

use crate::support::{Folder, Run, exists};

/// A search of two numbers over the smallest shapes.
const SMALL: &str = "tune --elements 1 --samples 1 --only groups --only together";

/// Asserts success; stderr has only the time limit.
#[track_caller]
fn done(run: Run) -> Run {
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(
        run.stderr.contains("min at most") && run.stderr.lines().count() == 1,
        "{}",
        run.stderr
    );
    run
}

/// Returns true if `adapters` calls the first one tuned.
fn is_tuned(folder: &Folder) -> bool {
    let json = folder.run("adapters --json").good().json();
    json["adapters"][0]["tuned"].as_bool().unwrap()
}

#[test]
fn measured_kept_used_and_forgotten() {
    let folder = Folder::with_logits();
    assert!(!is_tuned(&folder));
    let json = done(folder.run(&format!("{SMALL} --json"))).json();
    assert_eq!((&json["command"], &json["complete"]), (&"tune".into(), &true.into()));
    assert_eq!(json["dropped"], 0, "{json}");
    assert!(json["tried"].as_u64().unwrap() > 3, "{json}");
    assert_eq!(json["shapes"].as_array().unwrap().len(), 10);
    for shape in json["shapes"].as_array().unwrap() {
        assert!(shape["seconds"]["table"].as_f64().unwrap() > 0.0, "{shape}");
        assert!(shape["seconds"]["tuned"].as_f64().unwrap() > 0.0, "{shape}");
    }
    assert!(json["gains"]["groups"].as_f64().unwrap() >= 1.0);
    assert_eq!(json["tuning"]["workgroup"], json["table"]["workgroup"]);
    let file = folder.path(json["stored"].as_str().unwrap());
    let stored = std::fs::read_to_string(&file).unwrap();
    let stored: serde_json::Value = serde_json::from_str(&stored).unwrap();
    assert_eq!(stored["tuning"], json["tuning"]);
    assert!(is_tuned(&folder));
    assert!(folder.run("adapters").good().stdout.contains("tuned\n"));

    let words = "cross-entropy x.npy t.npy --device gpu --check";
    folder.run(words).good();
    // A damaged file is treated as a missing one.
    std::fs::write(&file, "{").unwrap();
    assert!(!is_tuned(&folder));
    folder.run(words).good();

    let run = folder.run("tune --reset").good();
    assert!(run.stdout.starts_with("forgotten"), "{}", run.stdout);
    assert!(!exists(&file));
    assert_eq!(folder.run("tune --reset --json").good().json()["forgotten"], false);
}

#[test]
fn a_table_and_nothing_kept() {
    let folder = Folder::new();
    let run = done(folder.run("tune --elements 1 --samples 1 --only fill --dry-run"));
    for label in ["device", "measured", "number", "fill", "shape", "nothing was stored"] {
        run.line(label);
    }
    assert_eq!(run.stdout.matches("fwd+bwd").count(), 5, "{}", run.stdout);
    assert!(!exists(&folder.path("cache")));
}

#[test]
fn wrong_usage() {
    let folder = Folder::new();
    folder.run("tune --only speed").bad(2, &["speed", "workgroup, load, lanes"]);
    folder.run("tune --elements 0").bad(2, &["--elements", "from 1"]);
    folder.run("tune --reset --dry-run").bad(2, &["--reset", "--dry-run"]);
    folder.run("tune --adapter nothing-of-the-kind").bad(1, &["nothing-of-the-kind"]);
    assert!(folder.names().is_empty());
}

#[test]
fn a_file_in_place_of_the_folder() {
    let folder = Folder::new();
    folder.write("cache", "");
    let run = folder.run("tune --elements 1 --samples 1 --only together");
    assert_eq!(run.code, Some(1));
    // The numbers found are printed nevertheless.
    assert!(run.stdout.contains("nothing was stored"), "{}", run.stdout);
    assert!(run.stderr.contains("the stored tuning") && run.stderr.contains("cache"));
}
