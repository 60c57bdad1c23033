//! The speed of cross-entropy: by shape, and compared with others.

use serde_json::Value;

use super::text::{digits, row, table, time};
use crate::grid::{self, named};
use crate::results::{DTYPES, PASSES, Results, device_ms, is_right, list};

/// Returns all tables of kernels.
pub fn tables(results: &Results) -> String {
    let mut text = String::new();
    for (dtype, _) in DTYPES {
        if let Some(bench) = results.result(&format!("bench-{dtype}")) {
            text += &format!("## Cross-entropy by shape, {dtype}\n\n");
            text += &by_shape(bench);
        }
    }
    if let Some(tuned) = results.result("bench-tuned") {
        text += "## Cross-entropy by shape, f32, tuned\n\n";
        text += &beside_untuned(results, tuned);
    }
    text + &beside_others(results)
}

/// Lists a grid, as `wgpu-loss bench` prints it.
fn by_shape(bench: &Value) -> String {
    let rows = list(bench.get("results")).iter().map(|m| {
        let seconds = &m["seconds"];
        let number = |key: &str| m[key].as_f64().map_or("-".into(), digits);
        row([
            named(&grid::read(&m["shape"])),
            m["pass"].as_str().unwrap_or_default().into(),
            time(seconds["kernel"]["median"].as_f64()),
            time(seconds["resident"]["median"].as_f64()),
            time(seconds["end_to_end"]["median"].as_f64()),
            time(seconds["first_call"].as_f64()),
            number("gb_per_s"),
            number("roof_gb_per_s"),
            m["percent_of_roof"].as_f64().map_or("-".into(), |percent| format!("{percent:.0} %")),
        ])
    });
    let head = [
        "shape",
        "pass",
        "kernel",
        "resident",
        "end to end",
        "first call",
        "GB/s",
        "roof",
        "of roof",
    ];
    let clock = bench["machine"]["clock"].as_str().unwrap_or("?");
    format!("Kernels by {clock}.\n\n") + &table(&head, rows) + "\n" + &refused(bench)
}

fn refused(bench: &Value) -> String {
    let refused = list(bench.get("errors")).iter().map(|refused| {
        let shape = named(&grid::read(&refused["shape"]));
        format!("- {shape}: {}\n", refused["error"].as_str().unwrap_or("?"))
    });
    let text: String = refused.collect();
    if text.is_empty() { text } else { format!("Not measured:\n\n{text}\n") }
}

/// Lists the changes by tuning.
fn beside_untuned(results: &Results, tuned: &Value) -> String {
    let rows = list(tuned.get("results")).iter().map(|m| {
        let (shape, pass) = (grid::read(&m["shape"]), m["pass"].as_str().unwrap_or_default());
        let kernel = |m: &Value| m["seconds"]["kernel"]["median"].as_f64();
        let before = results.cell("f32", &shape, pass).and_then(kernel);
        let gain = before.zip(kernel(m)).map(|(before, after)| before / after);
        row([
            named(&shape),
            pass.into(),
            time(before),
            time(kernel(m)),
            gain.map_or("-".into(), |gain| format!("{gain:.2}x")),
        ])
    });
    table(&["shape", "pass", "table's", "tuned", "faster"], rows) + "\n" + &refused(tuned)
}

/// Returns a table for each element type and pass: contenders across, shapes down.
fn beside_others(results: &Results) -> String {
    if results.peers().next().is_none() {
        return String::new();
    }
    let mut names: Vec<&str> = Vec::new();
    for name in results.contenders().filter_map(|cell| cell["name"].as_str()) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let mut text =
        "## Beside others\n\nMedians in milliseconds by the device's own clock (CUDA events, GPU \
                    timestamps), by the wall clock where a contender has none (marked w).\n\n"
            .to_string();
    let mut notes: Vec<String> = Vec::new();
    for (dtype, _) in DTYPES {
        for (_, pass) in PASSES {
            let rows: Vec<_> = results
                .contested()
                .iter()
                .map(|shape| {
                    let cells = results.contest(dtype, shape, pass);
                    let cell = |name: &&str| cells.iter().find(|cell| cell["name"] == **name);
                    let texts = names.iter().map(|name| entry(cell(name), &mut notes));
                    [named(shape)].into_iter().chain(texts).collect::<Vec<_>>()
                })
                .filter(|cells| cells[1..].iter().any(|cell| cell != "-"))
                .collect();
            if !rows.is_empty() {
                let head: Vec<&str> = ["shape"].into_iter().chain(names.iter().copied()).collect();
                text += &format!("### {pass}, {dtype}\n\n{}\n", table(&head, rows));
            }
        }
    }
    for (index, note) in notes.iter().enumerate() {
        text += &format!("{}. {note}\n", index + 1);
    }
    // Left out alike for each type.
    let left_out = results.peers().next().and_then(|peers| peers["left_out"].as_object());
    for (name, reason) in left_out.into_iter().flatten() {
        text += &format!("- left out: {name}: {}\n", reason.as_str().unwrap_or("?"));
    }
    text + "\n"
}

/// Returns a contender's time, with a mark if it is wrong or missing.
fn entry(cell: Option<&&Value>, notes: &mut Vec<String>) -> String {
    let Some(cell) = cell else { return "-".into() };
    let mut mark = |note: String| {
        let index = notes.iter().position(|known| *known == note).unwrap_or_else(|| {
            notes.push(note);
            notes.len() - 1
        });
        format!(" [{}]", index + 1)
    };
    let name = cell["name"].as_str().unwrap_or("?");
    let Some(ms) = device_ms(cell) else {
        let reason = cell["reason"].as_str().unwrap_or("no reason given");
        return format!("-{}", mark(format!("{name}: {reason}")));
    };
    let wall = if cell["device_median_ms"].is_null() { " w" } else { "" };
    if is_right(cell) {
        return digits(ms) + wall;
    }
    let wrong: Vec<_> = list(cell.get("wrong")).iter().filter_map(Value::as_str).collect();
    let shape = named(&grid::read(&cell["shape"]));
    format!(
        "{}{wall} **wrong**{}",
        digits(ms),
        mark(format!("{name}, {shape}: {}", wrong.join("; ")))
    )
}
