//! The effect of each number of a tuning: cross-entropy laid out by the adapter's table with one number changed,
//! compared with the table's own layout. Every loss is asserted. All kernels of a pass are compiled before the first is
//! measured, because a GPU that waits for a compiler lowers its clocks.
//!
//! `cargo bench --bench tunings -- --shape 8192x32000 --dtype f16` measures one shape of one type on the best adapter;
//! `WGPU_LOSS_ADAPTER` picks one, `--json` answers programs, `--seconds` says when to begin no further shape (480).

use serde_json::{Value, json};
use wgpu_loss::plan::{Lanes, Tuning};
use wgpu_loss::{Bound, ElementType, Error, Gpu, Outputs};

mod harness;

use harness::tensors::Tensors;
use harness::{by_shape_and_type, say, seconds};

/// Measurements of each.
const SAMPLES: usize = 11;
/// On a GPU, more elements than any cache holds, but few enough to be made quickly.
const SHAPES: [&[usize]; 5] =
    [&[4096, 32_000], &[65_536, 1000], &[2048, 50_257], &[1 << 23, 10], &[8, 21, 1024, 1024]];
const SHAPES_CPU: [&[usize]; 5] =
    [&[256, 32_000], &[8192, 1000], &[128, 50_257], &[1 << 20, 10], &[1, 21, 512, 512]];

/// Runs the bench.
pub fn main() {
    say(format!("medians of {SAMPLES}"));
    by_shape_and_type("tunings", [&SHAPES, &SHAPES_CPU], measure);
}

/// Measures one shape and type.
fn measure(
    gpu: &Gpu,
    shape: &[usize],
    element_type: ElementType,
    results: &mut Vec<Value>,
) -> Result<(), Error> {
    let tensors = Tensors::new(gpu, shape, element_type)?;
    for (pass, outputs) in [("fwd", Outputs::loss()), ("fwd+bwd", Outputs::loss().with_grad())] {
        say(format!("\n{shape:?} {} {pass}", element_type.name()));
        let mut laid_out = Vec::new();
        for (change, bound) in bound(gpu, &tensors, outputs) {
            match bound {
                Ok(bound) => {
                    tensors.check(gpu, &bound)?;
                    laid_out.push((change, bound));
                }
                Err(error) => say(format!("  {change}: {error}")),
            }
        }
        let works: Vec<_> = laid_out.iter().map(|(_, bound)| bound).collect();
        let times = gpu.timer()?.in_turns(SAMPLES, &works)?;
        for ((change, _), times) in laid_out.iter().zip(times) {
            let rate = tensors.case.bytes(outputs.grad) as f64 / times.median().as_secs_f64();
            say(format!("  {:>10.2?} {:7.1} GB/s  {change}", times.median(), rate / 1e9));
            results.push(json!({
                "shape": shape, "dtype": element_type.name(), "pass": pass, "change": change,
                "seconds": seconds(&times.sorted), "gb_per_s": rate / 1e9,
            }));
        }
    }
    Ok(())
}

/// Binds the table's layout and every other that a change makes, compiled at the same time.
fn bound(gpu: &Gpu, tensors: &Tensors, outputs: Outputs) -> Vec<(String, Result<Bound, Error>)> {
    let profile = gpu.kernels().profile();
    let mut seen = Vec::new();
    let mut wanted = Vec::new();
    for (change, tuning) in changes(profile.tuning) {
        let mut profile = profile.clone();
        profile.tuning = tuning;
        let layout = tensors.plan(&profile, outputs).map(|plan| plan.to_string());
        if layout.as_ref().is_ok_and(|layout| seen.contains(layout)) {
            continue;
        }
        seen.extend(layout);
        wanted.push((change, profile));
    }
    std::thread::scope(|scope| {
        let made: Vec<_> = wanted
            .into_iter()
            .map(|(change, profile)| {
                scope.spawn(move || {
                    let bound = profile
                        .check()
                        .and_then(|()| tensors.bound(gpu.kernels(), &profile, outputs));
                    (change, bound)
                })
            })
            .collect();
        made.into_iter().map(|thread| thread.join().expect("a compiler at work")).collect()
    })
}

/// The table itself, then with each change.
fn changes(table: Tuning) -> Vec<(String, Tuning)> {
    let mut all = vec![("the table".to_string(), table)];
    let mut changed = |what: String, change: &dyn Fn(&mut Tuning)| {
        let mut tuning = table;
        change(&mut tuning);
        all.push((what, tuning));
    };
    let with = |lanes: u32| {
        move |tuning: &mut Tuning| {
            tuning.workgroup = lanes;
            if let Lanes::Keeping { most, .. } = &mut tuning.lanes {
                *most = lanes;
            }
        }
    };
    let groups = [table.groups / 8, table.groups / 4, table.groups / 2, 2 * table.groups];
    for groups in groups {
        changed(format!("groups {groups}"), &|tuning| tuning.groups = groups);
    }
    for lanes in
        [table.workgroup / 4, table.workgroup / 2, 2 * table.workgroup, 4 * table.workgroup]
    {
        changed(format!("workgroup {lanes}"), &with(lanes));
        for groups in groups {
            changed(format!("workgroup {lanes}, groups {groups}"), &|tuning| {
                with(lanes)(tuning);
                tuning.groups = groups;
            });
        }
    }
    for words in [table.resident_row / 2, 2 * table.resident_row, 4 * table.resident_row] {
        changed(format!("resident_row {words}"), &|tuning| tuning.resident_row = words);
    }
    for lanes in [table.workgroup, 2 * table.workgroup, 4 * table.workgroup] {
        changed(format!("resident_lanes {lanes}"), &|tuning| tuning.resident_lanes = lanes);
    }
    for words in
        [table.resident_columns / 2, 2 * table.resident_columns, 4 * table.resident_columns]
    {
        changed(format!("resident_columns {words}"), &|tuning| tuning.resident_columns = words);
    }
    changed(format!("branches {}", !table.branches), &|tuning| tuning.branches = !table.branches);
    for bytes in [0, table.staged_short / 2, 2 * table.staged_short] {
        changed(format!("staged_short {bytes}"), &|tuning| tuning.staged_short = bytes);
    }
    for lanes in [table.workgroup, 2 * table.workgroup, 4 * table.workgroup] {
        changed(format!("lone_lanes {lanes}"), &|tuning| tuning.lone_lanes = lanes);
    }
    for words in [1, table.resident_short / 4, table.resident_short / 2, 2 * table.resident_short] {
        changed(format!("resident_short {words}"), &|tuning| tuning.resident_short = words);
    }
    all
}
