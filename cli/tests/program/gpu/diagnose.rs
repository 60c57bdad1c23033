//! `wgpu-loss diagnose`: every kind of kernel is right on the adapter at hand.

use crate::support::Folder;

#[test]
fn every_kind_of_kernel_is_right() {
    // However slow the machine is, all of them are to run.
    let json = Folder::new().run("diagnose --json --seconds 600").good().json();
    let tests = json["tests"].as_array().unwrap();
    assert!(tests.len() > 20, "{json}");
    for test in tests {
        assert_eq!(test["outcome"], "right", "{test}");
        assert!(test["seconds"].as_f64().unwrap() > 0.0, "{test}");
    }
    let adapter = &json["machine"]["adapters"][0];
    assert_eq!(json["tested"]["name"], adapter["name"]);
    assert!(adapter["limits"]["max_buffer_size"].as_u64().unwrap() >= 1 << 20, "{adapter}");
    assert!(!adapter["features"].as_array().unwrap().is_empty(), "{adapter}");
    assert_eq!(json["machine"]["wgpu_loss"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn the_text_names_each_test_and_what_was_not_run() {
    let run = Folder::new().run("diagnose --seconds 1").good();
    let lines: Vec<&str> = run.stdout.lines().collect();
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml");
    let manifest = std::fs::read_to_string(manifest).unwrap();
    let (_, wanted) = manifest.split_once("\nwgpu = { version = \"").unwrap();
    let (wgpu, _) = wanted.split_once('"').unwrap();
    let wanted = format!("wgpu-loss {}, with wgpu {wgpu}", env!("CARGO_PKG_VERSION"));
    assert_eq!(lines[0], wanted);
    let of = |word: &str| lines.iter().filter(|line| line.contains(word)).count();
    let (right, over) = (of("  right  "), of("not run: the time is over"));
    assert!(right >= 1 && right + over > 20, "{}", run.stdout);
    let result = lines.last().unwrap();
    assert!(result.starts_with(&format!("result    {right} of {} ", right + over)), "{result}");
}

#[test]
fn an_adapter_that_is_not_there_is_an_error_after_the_list() {
    let run = Folder::new().run("diagnose --adapter nonexistent");
    assert_eq!(run.code, Some(1));
    assert!(run.stdout.contains("\nadapter 1 "), "{}", run.stdout);
    assert!(run.stderr.contains("nonexistent"), "{}", run.stderr);
}
