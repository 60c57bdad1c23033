//! The sections on the code around the kernels, and on the kernels' time.

use serde_json::Value;

use super::text::{bytes, digits, row, table, time};
use crate::grid::{self, named};
use crate::results::{Results, list};

/// Returns all sections that have results.
pub fn sections(results: &Results) -> String {
    let section = |name: &str, text: fn(&Value) -> String| match results.result(name) {
        Some(result) => text(result) + "\n" + &failures(result),
        None => String::new(),
    };
    [
        section("start", start),
        section("upload", upload),
        section("record", record),
        section("stream", stream),
        section("stages", stages),
        section("tunings", tunings),
        section("compiler", compiler),
        section("pointwise", pointwise),
        section("extras", extras),
        section("tune", tune),
    ]
    .concat()
}

/// Lists the failures to measure, in the bench's own words.
fn failures(result: &Value) -> String {
    let lines = list(result.get("failed")).iter().map(|failed| format!("- failed: {failed}\n"));
    let text: String = lines.collect();
    if text.is_empty() { text } else { text + "\n" }
}

/// Returns a time that is a number, or a median.
fn seconds(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value["median"].as_f64())
}

fn start(start: &Value) -> String {
    let stages = ["instance", "device", "kernels", "loss", "total"];
    let rows = ["cold", "warm"].map(|kind| {
        let times = stages.map(|stage| time(seconds(&start[kind][stage])));
        [kind.to_string()].into_iter().chain(times).collect::<Vec<_>>()
    });
    let head: Vec<&str> = [""].into_iter().chain(stages).collect();
    format!(
        "## From nothing to the first loss\n\n{} with gradient, a new process each time; cold: with empty caches of \
         the driver.\n\n",
        named(&grid::read(&start["shape"]))
    ) + &table(&head, rows)
}

fn upload(upload: &Value) -> String {
    let rows = list(upload.get("results")).iter().map(|way| {
        row([
            way["way"].as_str().unwrap_or_default().into(),
            bytes(way["bytes"].as_u64()),
            time(seconds(&way["seconds"])),
            way["gb_per_s"].as_f64().map_or("-".into(), digits),
        ])
    });
    "## Upload\n\n".to_string() + &table(&["way", "bytes", "time", "GB/s"], rows)
}

fn record(record: &Value) -> String {
    let mut text = "## What embedding costs the host\n\n".to_string();
    for case in list(record.get("results")) {
        text += &format!(
            "{} of {} with gradient, {} dispatches:\n\n",
            case["loss"].as_str().unwrap_or_default(),
            named(&grid::read(&case["shape"])),
            case["dispatches"]
        );
        let cost = |cost: &Value| match cost["allocations"].as_u64() {
            Some(allocations) => format!("{}, {allocations}", time(seconds(&cost["seconds"]))),
            None => String::new(),
        };
        let rows = list(case.get("steps")).iter().map(|step| {
            let what = step["what"].as_str().unwrap_or_default();
            row([what.into(), cost(&step["ours"]), cost(&step["bare"])])
        });
        text += &table(&["", "time, allocations", "bare wgpu"], rows);
        text += "\n";
    }
    text
}

fn stream(stream: &Value) -> String {
    let parts = [
        ("read", "reading the file"),
        ("upload", "upload alone"),
        ("kernels", "kernels alone"),
        ("streamed", "streamed"),
    ];
    let rows = parts.map(|(key, what)| row([what.into(), time(seconds(&stream[key]))]));
    let overlap = stream["overlap"].as_f64().map_or("-".into(), digits);
    format!("## Streaming {}\n\n", bytes(stream["bytes"].as_u64()))
        + &table(&["", ""], rows)
        + &format!("\n{overlap} times the longest of the three.\n")
}

/// Lists a kernel's time: that of its dispatches, and that of the kernel with a part of it left out.
fn stages(stages: &Value) -> String {
    let mut text = "## Where the time goes\n\n".to_string();
    let rows = list(stages.get("results")).iter().map(|stage| {
        let whole = seconds(&stage["whole"]);
        let steps = list(stage.get("steps")).iter().map(|step| {
            format!(
                "{} {}",
                step["name"].as_str().unwrap_or_default(),
                time(seconds(&step["seconds"]))
            )
        });
        let left_out = list(stage.get("left_out")).iter().map(|left| {
            let part =
                seconds(&left["seconds"]).zip(whole).map(|(time, whole)| 100.0 * time / whole);
            let part = part.map_or("-".into(), |part| format!("{part:.0} %"));
            format!("{} {part}", left["what"].as_str().unwrap_or_default())
        });
        row([
            named(&grid::read(&stage["shape"])),
            stage["dtype"].as_str().unwrap_or_default().into(),
            stage["pass"].as_str().unwrap_or_default().into(),
            time(seconds(&stage["roof"]["read"])),
            time(whole),
            steps.collect::<Vec<_>>().join(", "),
            left_out.collect::<Vec<_>>().join(", "),
        ])
    });
    let head = ["shape", "type", "pass", "plain read", "whole", "dispatches", "time left without"];
    text += &table(&head, rows);
    text
}

/// Lists the layouts that are faster than the table's own, the fastest first, and by which factor.
fn tunings(tunings: &Value) -> String {
    let results = list(tunings.get("results"));
    let kind = |m: &Value| ["shape", "dtype", "pass"].map(|key| m[key].clone());
    let tables = results.iter().filter(|m| m["change"] == "the table");
    let rows = tables.map(|of_table| {
        let before = seconds(&of_table["seconds"]).unwrap_or(f64::NAN);
        let others = results.iter().filter(|m| kind(m) == kind(of_table));
        let mut faster: Vec<(f64, &str)> = others
            .filter_map(|m| Some((before / seconds(&m["seconds"])?, m["change"].as_str()?)))
            .filter(|(times, _)| *times >= 1.02)
            .collect();
        faster.sort_by(|a, b| b.0.total_cmp(&a.0));
        let faster: Vec<_> =
            faster.iter().take(5).map(|(times, change)| format!("{change} {times:.2}x")).collect();
        row([
            named(&grid::read(&of_table["shape"])),
            of_table["dtype"].as_str().unwrap_or_default().into(),
            of_table["pass"].as_str().unwrap_or_default().into(),
            time(Some(before)),
            of_table["gb_per_s"].as_f64().map_or("-".into(), digits),
            faster.join("; "),
        ])
    });
    let head = ["shape", "type", "pass", "the table", "GB/s", "faster"];
    "## What the table's numbers are worth\n\n".to_string() + &table(&head, rows)
}

/// Lists the driver's own output, between tabs.
fn compiler(compiler: &Value) -> String {
    let head = "## What the driver's compiler says\n\n".to_string();
    if let Some(why) = compiler["left_out"].as_str() {
        return head + why + "\n";
    }
    let lines = list(compiler.get("kernels")).iter().filter_map(Value::as_str);
    let mut rows = lines.map(|line| line.split('\t').map(String::from).collect::<Vec<_>>());
    let names = rows.next().unwrap_or_default();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    head + &table(&names, rows)
}

/// Lists losses of single elements.
fn pointwise(pointwise: &Value) -> String {
    let rows = list(pointwise.get("results")).iter().map(|m| {
        let text = |key: &str| m[key].as_str().unwrap_or_default().to_string();
        let number = |key: &str| m[key].as_f64().map_or("-".into(), digits);
        row([
            text("loss"),
            text("dtype"),
            text("pass"),
            time(seconds(&m["seconds"])),
            number("gb_per_s"),
            m["percent_of_roof"].as_f64().map_or("-".into(), |percent| format!("{percent:.0} %")),
        ])
    });
    let head = ["loss", "type", "pass", "kernel", "GB/s", "of roof"];
    "## Losses of single elements\n\n4096 x 4096 elements.\n\n".to_string() + &table(&head, rows)
}

/// Lists the cost of cross-entropy's optional outputs.
fn extras(extras: &Value) -> String {
    let rows = list(extras.get("results")).iter().map(|m| {
        row([
            named(&grid::read(&m["shape"])),
            m["pass"].as_str().unwrap_or_default().into(),
            m["extra"].as_str().unwrap_or_default().into(),
            m["quotient"].as_f64().map_or("-".into(), digits),
        ])
    });
    "## What cross-entropy's extras cost\n\nTime with them over time without.\n\n".to_string()
        + &table(&["shape", "pass", "extra", ""], rows)
}

fn tune(tune: &Value) -> String {
    let numbers = |key: &str| tune[key].as_object().cloned().unwrap_or_default();
    let (before, after) = (numbers("table"), numbers("tuning"));
    let rows = before.iter().map(|(name, value)| {
        let gain = tune["gains"][name].as_f64().filter(|&gain| gain != 1.0);
        let gain = gain.map_or(String::new(), |gain| format!("{gain:.2}x"));
        let found = after.get(name).map_or("-".into(), Value::to_string);
        row([name.clone(), value.to_string(), found, gain])
    });
    let mut text = format!("## Tuning\n\n{} candidates", tune["tried"]);
    if tune["complete"] == false {
        text += ", not all of them: the time was up";
    }
    text += ".\n\n";
    text += &table(&["number", "table", "found", "gain"], rows);
    text += "\n";
    let rows = list(tune.get("shapes")).iter().map(|shape| {
        row([
            named(&grid::read(&shape["shape"])),
            shape["pass"].as_str().unwrap_or_default().into(),
            time(seconds(&shape["seconds"]["table"])),
            time(seconds(&shape["seconds"]["tuned"])),
        ])
    });
    text + &table(&["shape", "pass", "table", "tuned"], rows)
}
