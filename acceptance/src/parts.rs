//! The parts of a run: the programs that each starts, and the results that it returns.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::context::{Context, MODULE};
use crate::grid::{self, Shape, named};
use crate::part::Part;
use crate::results::{DTYPES, is_right, list};
use crate::{process, suites};

/// The longest time limit of a program.
const LONGEST: Duration = Duration::from_secs(30 * 60);
/// The time limit of a group of shapes and of a shape.
const GROUP: Duration = Duration::from_secs(10 * 60);
const SHAPE: Duration = Duration::from_secs(3 * 60);
/// The time limit of the peers of an element type, and of the tuner.
const PEERS: Duration = Duration::from_secs(20 * 60);
const TUNE: u64 = 8;
/// Time after which a bench of one element type begins no further shape.
const TYPE: Duration = Duration::from_secs(150);

impl Context<'_> {
    /// Runs a part and returns its result, or the reason why there is none. The result may say `all_passed: false`.
    pub fn run(&self, part: Part) -> Result<Value, String> {
        match part {
            Part::Tests => suites::run(self),
            Part::BenchF32 => self.bench("f32", &self.folder("untuned"), self.grid()),
            Part::BenchBf16 => self.bench("bf16", &self.folder("untuned"), self.grid()),
            Part::BenchF16 => self.bench("f16", &self.folder("untuned"), self.grid()),
            Part::BenchTuned => self.bench("f32", &self.tuned()?, vec![self.contested()]),
            Part::Start
            | Part::Upload
            | Part::Record
            | Part::Stream
            | Part::Pointwise
            | Part::Extras => self.end(&part.name(), &[]),
            Part::Stages => self.by_type("stages"),
            Part::Tunings => self.by_type("tunings"),
            Part::Compiler => self.compiler(),
            Part::PeersF32 => self.peers("f32"),
            Part::PeersBf16 => self.peers("bf16"),
            Part::PeersF16 => self.peers("f16"),
            Part::Tune => self.tune(),
        }
    }

    /// Returns the number of elements of a shape of the grid.
    fn elements(&self) -> u64 {
        self.args.elements.unwrap_or(match self.machine["adapter"]["type"].as_str() {
            Some("discrete") => 1 << 26,
            Some("software") => 1 << 20,
            _ => 1 << 24,
        })
    }

    fn grid(&self) -> Vec<Vec<Shape>> {
        grid::groups(self.elements(), self.gpu())
    }

    /// Returns the shapes that are compared with others, and measured after tuning.
    fn contested(&self) -> Vec<Shape> {
        grid::beside_peers(self.elements(), self.gpu())
    }

    /// Measures shapes in one element type. A group whose process fails is measured once more, shape by shape, so that
    /// a shape that fails does not lose the results of the others.
    fn bench(&self, dtype: &str, cache: &Path, groups: Vec<Vec<Shape>>) -> Result<Value, String> {
        let (mut machine, mut results, mut errors) = (Value::Null, Vec::new(), Vec::new());
        for group in groups {
            if let Some(reason) = self.time_is_up() {
                errors.extend(group.iter().map(|shape| json!({ "shape": shape, "error": reason })));
                continue;
            }
            let names: Vec<_> = group.iter().map(|shape| named(shape)).collect();
            self.tell(&format!("{dtype} {}", names.join(" ")));
            for (shape, measured) in self.bench_group(dtype, cache, &group) {
                match measured {
                    Ok(report) => {
                        results.extend_from_slice(list(report.get("results")));
                        errors.extend_from_slice(list(report.get("errors")));
                        machine = report["machine"].clone();
                    }
                    Err(error) => errors.push(json!({ "shape": shape, "error": error })),
                }
            }
        }
        let all_passed = errors.is_empty();
        Ok(json!({
            "all_passed": all_passed, "machine": machine, "results": results, "errors": errors,
        }))
    }

    /// Measures a group in one process, or each of its shapes in one; yields the first shape of each process, and its
    /// result.
    fn bench_group<'a>(
        &self,
        dtype: &str,
        cache: &Path,
        group: &'a [Shape],
    ) -> Vec<(&'a Shape, Result<Value, String>)> {
        let measure = |shapes: &'a [Shape], limit| {
            (&shapes[0], self.bench_shapes(dtype, cache, shapes, limit))
        };
        let whole = measure(group, GROUP);
        match whole.1 {
            Err(_) if group.len() > 1 => {
                group.chunks(1).map(|shape| measure(shape, SHAPE)).collect()
            }
            _ => vec![whole],
        }
    }

    fn bench_shapes(
        &self,
        dtype: &str,
        cache: &Path,
        shapes: &[Shape],
        limit: Duration,
    ) -> Result<Value, String> {
        let mut command = self.pack.program("wgpu-loss", self.args, cache);
        command.args(["bench", "--json", "--dtype", dtype]);
        command.args(["--samples", &self.args.samples.to_string()]);
        if let Some(adapter) = &self.args.adapter {
            command.args(["--adapter", adapter]);
        }
        for shape in shapes {
            command.args(["--shape", &named(shape)]);
        }
        let log = format!("bench_{dtype}_{}_{}.log", named(&shapes[0]), shapes.len());
        let log = self.logs().join(log);
        let limit = self.limit(limit);
        // A shape that does not fit is in the report, and the exit status is a failure.
        process::run(command, &log, limit)?.json()
    }

    /// Runs a bench of the code around the kernels.
    fn end(&self, name: &str, words: &[&str]) -> Result<Value, String> {
        let mut command = self.pack.program("benches", self.args, &self.folder("untuned"));
        command.args([name, "--json"]).args(words);
        let log = [&[name], words].concat().join("_");
        let mut brought = self.whole(command, &log, MODULE)?;
        // A bench goes on after a shape fails.
        brought["all_passed"] = list(brought.get("failed")).is_empty().into();
        Ok(brought)
    }

    /// Runs a bench in a process for each element type: a bench prints its results only when it ends.
    fn by_type(&self, bench: &str) -> Result<Value, String> {
        let (mut results, mut failed) = (Vec::new(), Vec::new());
        for (dtype, _) in DTYPES {
            self.tell(dtype);
            let seconds = TYPE.min(self.left()).as_secs().to_string();
            match self.end(bench, &["--dtype", dtype, "--seconds", &seconds]) {
                Ok(brought) => {
                    results.extend_from_slice(list(brought.get("results")));
                    failed.extend_from_slice(list(brought.get("failed")));
                }
                Err(reason) => failed.push(json!({ "dtype": dtype, "reason": reason })),
            }
        }
        Ok(json!({ "all_passed": failed.is_empty(), "results": results, "failed": failed }))
    }

    /// Reports the output of the driver's compiler for the kernels: registers, memory. Some drivers do not give it,
    /// which is no failure.
    fn compiler(&self) -> Result<Value, String> {
        let mut command = Command::new(self.pack.root.join("bin/isa"));
        command.arg("--statistics").args(["--loss", "ce", "bce", "kl"]);
        let log = self.logs().join("compiler.log");
        let finished = process::run(command, &log, self.limit(MODULE))?;
        let lines: Vec<_> = finished.stdout.lines().collect();
        match (finished.succeeded(), finished.complaint()) {
            (true, _) => Ok(json!({ "driver": lines.first(), "kernels": lines.get(1..) })),
            (_, why) if why.contains("does not show") => Ok(json!({ "left_out": why })),
            (_, why) => Err(why),
        }
    }

    /// Measures PyTorch and the libraries that come with it.
    fn peers(&self, dtype: &str) -> Result<Value, String> {
        let python = &self.args.python;
        let file = self.folder(&format!("peers-{dtype}"));
        let mut command = Command::new(python);
        command.arg(self.pack.root.join("benches/peers/bench.py"));
        command.arg("--programs").arg(self.pack.root.join("bin"));
        command.arg("--python").arg(python);
        command.arg("--out").arg(&file);
        command.args(["--commit", self.pack.commit(), "--dtype", dtype]);
        command.args(["--samples", &self.args.samples.to_string()]);
        let minutes = PEERS.min(self.left()).as_secs_f64() / 60.0;
        command.args(["--minutes", &format!("{minutes:.2}")]);
        command.args([
            "--only",
            match self.gpu() {
                true => "ours,torch-cuda,torch-compile,torch-upcast,torch-upcast-compile,liger",
                // Used in place of the GPU's contenders.
                false => "ours,torch-cpu,torch-compile-cpu",
            },
        ]);
        if let Some(adapter) = &self.args.adapter {
            command.args(["--adapter", adapter]);
        }
        for shape in self.contested() {
            command.args(["--shape", &named(&shape)]);
        }
        command.env("WGPU_LOSS_CACHE", self.folder("untuned"));
        let log = self.logs().join(format!("peers-{dtype}.log"));
        let finished = process::run(command, &log, self.limit(LONGEST))?;
        let text =
            fs::read_to_string(file.with_extension("json")).map_err(|_| finished.complaint())?;
        let brought: Result<Value, _> = serde_json::from_str(&text);
        let mut brought = brought.map_err(|error| format!("what bench.py has written: {error}"))?;
        // Failures of other contenders are noted; ours are failures of the part.
        let good = |cell: &Value| cell["median_ms"].is_number() && is_right(cell);
        let mut ours = list(brought.get("results")).iter().filter(|cell| cell["name"] == "ours");
        brought["all_passed"] = ours.all(good).into();
        Ok(brought)
    }

    fn tune(&self) -> Result<Value, String> {
        let mut command = self.pack.program("wgpu-loss", self.args, &self.folder("tuned"));
        let minutes = TUNE.min(self.left().as_secs() / 60).max(1);
        command.args(["tune", "--json", "--minutes", &minutes.to_string()]);
        if let Some(adapter) = &self.args.adapter {
            command.args(["--adapter", adapter]);
        }
        if !self.gpu() {
            // Tests that it runs; the numbers are not used.
            command.args(["--elements", "65536", "--samples", "1", "--only", "groups"]);
        }
        self.whole(command, "tune", LONGEST)
    }

    /// Returns the folder in which the tuner has stored a tuning.
    fn tuned(&self) -> Result<PathBuf, String> {
        let folder = self.folder("tuned");
        let empty = fs::read_dir(&folder).map_or(true, |mut entries| entries.next().is_none());
        if empty { Err("nothing was tuned: run the part tune first".into()) } else { Ok(folder) }
    }

    /// Runs a program whose whole output is its JSON.
    fn whole(&self, command: Command, name: &str, limit: Duration) -> Result<Value, String> {
        let log = self.logs().join(format!("{name}.log"));
        let finished = process::run(command, &log, self.limit(limit))?;
        match finished.succeeded() {
            true => finished.json(),
            false => Err(finished.complaint()),
        }
    }
}
