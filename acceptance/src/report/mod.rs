//! The report: NAME.json with everything, NAME.md for people.
//!
//! ```text
//! speed    cross-entropy by shape, and compared with others
//! ends     the code around the kernels: start, upload, record, stream; stages; tunings, tuning
//! ```

mod ends;
mod speed;
mod text;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use self::text::{row, table};
use crate::figures::{self, Figure};
use crate::machine::file_name;
use crate::part::Part;
use crate::results::{Results, list};

/// The first line of a report of a software driver.
pub const NO_GPU: &str =
    "NO GPU WAS MEASURED: this is a software driver, and nothing here says how fast a GPU is.";

/// Writes both files, and returns the path of the one for people.
pub fn write(results: &Results, out: &Path) -> Result<PathBuf, String> {
    let figures = figures::all(results);
    let name = file_name(&results.machine["adapter"]);
    let file = |ending: &str| out.join(format!("{name}.{ending}"));
    crate::write_json(&file("json"), &json(results, &figures))?;
    crate::write(&file("md"), markdown(results, &figures))?;
    Ok(file("md"))
}

/// Returns true if a part ran, and all of it passed.
pub fn passed(results: &Results, part: Part) -> bool {
    results.result(&part.name()).is_some_and(|result| result["all_passed"] != false)
}

fn json(results: &Results, figures: &[Figure]) -> Value {
    json!({
        "command": "gpu-acceptance",
        "gpu": results.gpu(),
        "notice": if results.gpu() { Value::Null } else { NO_GPU.into() },
        "machine": results.machine,
        "pack": results.pack,
        "figures": figures.iter().map(Figure::json).collect::<Vec<_>>(),
        "parts": results.json(),
    })
}

fn markdown(results: &Results, figures: &[Figure]) -> String {
    let mut text = format!("# wgpu-loss on {}\n\n", results.name());
    if !results.gpu() {
        text += &format!("**{NO_GPU}**\n\n");
    }
    text += &about(results);
    text += &summary(results);
    text += &wanted(results, figures);
    text += &tests(results);
    text += &speed::tables(results);
    text += &ends::sections(results);
    text
}

/// Describes the machine, the build, the command.
fn about(results: &Results) -> String {
    let Results { machine, pack, .. } = results;
    let said = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Null => "?".into(),
        other => other.to_string(),
    };
    let adapter = &machine["adapter"];
    let mut lines = vec![
        format!(
            "adapter: {} ({}, {}, {})",
            results.name(),
            said(&adapter["type"]),
            said(&adapter["backend"]),
            said(&adapter["driver"])
        ),
        format!(
            "machine: {}, {} cores, {} GiB, {}",
            said(&machine["processor"]),
            machine["cores"],
            said(&machine["memory_gib"]),
            said(&machine["system"])
        ),
        format!(
            "wgpu-loss {}, commit {}, {}",
            said(&pack["version"]),
            said(&pack["commit"]),
            said(&pack["rustc"])
        ),
        format!("date: {}", said(&machine["date"])),
    ];
    if machine["tested"] != *adapter {
        lines.push(format!("tests ran on {}", said(&machine["tested"]["name"])));
    }
    lines.extend(machine["nvidia_smi"].as_str().map(String::from));
    if let Some(versions) = results.peers().find_map(|peers| peers["versions"].as_object()) {
        let versions: Vec<_> = versions.iter().map(|(k, v)| format!("{k} {}", said(v))).collect();
        lines.push(format!("with it: {}", versions.join(", ")));
    }
    lines.iter().map(|line| format!("- {line}\n")).collect::<String>() + "\n"
}

/// Lists each part's outcome.
fn summary(results: &Results) -> String {
    let rows = Part::all().map(|part| {
        let name = part.name();
        let kept = results.part(&name);
        let outcome = match kept.map(|kept| kept["error"].as_str()) {
            None => "**not run**".into(),
            Some(Some(error)) => format!("**failed**: {error}"),
            Some(None) if passed(results, part) => "passed".into(),
            Some(None) => "**not all passed**".into(),
        };
        let seconds = kept.and_then(|kept| kept["seconds"].as_f64());
        row([name, outcome, seconds.map_or("-".into(), |s| format!("{s:.0} s"))])
    });
    let mut text = "## Parts\n\n".to_string() + &table(&["part", "", "took"], rows);
    if !results.others.is_empty() {
        let others = results.others.join(", ");
        text += &format!("\nOf another build or adapter, and left out: {others}.\n");
    }
    text + "\n"
}

fn wanted(results: &Results, figures: &[Figure]) -> String {
    let mut text = "## Figures\n\n".to_string();
    if !results.gpu() {
        return text + "None of those that are wanted of a GPU can be measured here.\n\n";
    }
    let rows = figures.iter().map(|figure| {
        let measured = figure.measured.as_ref().map_or("-".into(), |(text, _)| text.clone());
        row([figure.what.clone(), figure.wanted.clone(), measured, figure.verdict().into()])
    });
    text += &table(&["", "wanted", "measured", ""], rows);
    text + "\n"
}

fn tests(results: &Results) -> String {
    let Some(tests) = results.result("tests") else { return String::new() };
    let mut text = format!(
        "## Tests\n\n{} passed, {} failed, on {}.\n\n",
        tests["passed"],
        tests["failed"],
        results.machine["tested"]["name"].as_str().unwrap_or("?")
    );
    let modules = list(tests.get("modules"));
    let rows = modules.iter().map(|module| {
        let failed = list(module.get("failed")).len();
        let seconds = module["seconds"].as_f64().unwrap_or_default();
        let name = module["module"].as_str().unwrap_or_default();
        row([
            name.into(),
            module["passed"].to_string(),
            if failed > 0 { format!("**{failed}**") } else { "0".into() },
            module["ignored"].to_string(),
            format!("{seconds:.1} s"),
        ])
    });
    text += &table(&["module", "passed", "failed", "ignored", "took"], rows);
    text += "\n";
    for module in modules {
        let texts =
            |key: &str| list(module.get(key)).iter().filter_map(Value::as_str).collect::<Vec<_>>();
        for test in texts("failed") {
            let passes = module["passes_alone"][test].as_str();
            let alone =
                passes.map_or(String::new(), |often| format!(", alone it passed {often} times"));
            text += &format!("- failed: `{test}`{alone}\n");
        }
        text += &texts("not_told")
            .iter()
            .map(|test| format!("- did not end: `{test}`\n"))
            .collect::<String>();
        text +=
            &texts("not_run").iter().map(|why| format!("- left out: {why}\n")).collect::<String>();
        text += &module["complaint"].as_str().map_or(String::new(), |why| format!("- {why}\n"));
    }
    text + "\n"
}
