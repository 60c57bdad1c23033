//! The packed test programs: every GPU test, in one process for each module.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::context::{Context, MODULE};
use crate::pack::Pack;
use crate::process;

/// A test program.
#[derive(Clone)]
struct Suite {
    name: String,
    program: PathBuf,
    /// The folder of its sources, from the root, in which it looks for its data.
    folder: &'static str,
    /// The module whose modules each get a process of their own; the tests outside are not run. `None`: one process
    /// runs all tests. If a process crashes or stalls, only its own module's results are lost.
    modules_of: Option<&'static str>,
}

/// The tests of a process.
struct Module {
    name: String,
    tests: Vec<String>,
}

/// Cores for each module that runs at the same time as others: its tests are threads that compile kernels most of the
/// time.
const CORES: usize = 2;

/// Runs all of them, as long as there is time.
pub fn run(context: &Context<'_>) -> Result<Value, String> {
    let mut modules = Vec::new();
    for suite in suites(context.pack)? {
        let listed = list(context.pack, &suite, &context.logs())?;
        modules.extend(listed.into_iter().map(|module| (suite.clone(), module)));
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicUsize::new(0);
    let work = || {
        let mut reported = Vec::new();
        while let Some((suite, module)) = modules.get(next.fetch_add(1, Ordering::Relaxed)) {
            reported.push(match context.time_is_up() {
                None => run_module(context, suite, module)?,
                Some(reason) => json!({
                    "suite": suite.name, "module": module.name, "complaint": reason,
                    "passed": 0, "failed": [], "ignored": 0,
                }),
            });
        }
        Ok(reported)
    };
    let reported: Result<Vec<Vec<Value>>, String> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..(cores / CORES).max(1)).map(|_| scope.spawn(work)).collect();
        all.into_iter().map(|one| one.join().map_err(|_| "a panic".to_string())?).collect()
    });
    let mut modules = reported?.concat();
    modules.sort_by_key(|module| [&module["suite"], &module["module"]].map(Value::to_string));
    let count = |key: &str| modules.iter().filter_map(|m| m[key].as_u64()).sum::<u64>();
    let failed = modules.iter().filter_map(|m| m["failed"].as_array()).map(Vec::len).sum::<usize>();
    let complaints = modules.iter().filter(|module| !module["complaint"].is_null()).count();
    Ok(json!({
        "all_passed": failed + complaints == 0 && !modules.is_empty(),
        "passed": count("passed"),
        "failed": failed,
        "modules": modules,
    }))
}

fn suites(pack: &Pack) -> Result<Vec<Suite>, String> {
    let suite = |name: &str, program: &str, folder, modules_of| Suite {
        name: name.into(),
        program: pack.root.join(program),
        folder,
        modules_of,
    };
    let mut all = vec![
        suite("gpu", "tests/gpu", ".", Some("")),
        suite("embedding", "tests/embedding", ".", Some("")),
        suite("unit", "tests/unit", ".", None),
        suite("program", "cli/program", "cli", Some("gpu::")),
    ];
    let hosts = pack.root.join("tests/external_host");
    let wrong = |error| format!("{}: {error}", hosts.display());
    let mut programs = Vec::new();
    for entry in fs::read_dir(&hosts).map_err(wrong)? {
        programs.push(entry.map_err(wrong)?.path());
    }
    programs.sort();
    for program in programs {
        let name = program.file_name().unwrap_or_default().to_string_lossy();
        let name = format!("external_host_{name}");
        all.push(Suite { name, program, folder: "tests/external_host", modules_of: None });
    }
    Ok(all)
}

/// Returns the command by which cargo would start a test program.
fn command(pack: &Pack, suite: &Suite) -> Command {
    let mut command = Command::new(&suite.program);
    command.env("CARGO_MANIFEST_DIR", pack.root.join(suite.folder));
    command.env("CARGO_BIN_EXE_wgpu-loss", pack.root.join("bin/wgpu-loss"));
    command.env("WGPU_LOSS_EXAMPLES", pack.root.join("bin"));
    command
}

/// Lists the modules to run.
fn list(pack: &Pack, suite: &Suite, logs: &Path) -> Result<Vec<Module>, String> {
    let mut command = command(pack, suite);
    command.args(["--list", "--format", "terse"]);
    let log = logs.join(format!("list_{}.log", suite.name));
    let listed = process::run(command, &log, Duration::from_secs(60))?;
    if !listed.succeeded() {
        return Err(format!("{}: {}", suite.program.display(), listed.complaint()));
    }
    let tests = listed.stdout.lines().filter_map(|line| line.strip_suffix(": test"));
    let mut modules: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for test in tests {
        if let Some(module) = module_of(suite, test) {
            modules.entry(module).or_default().push(test.into());
        }
    }
    Ok(modules.into_iter().map(|(name, tests)| Module { name, tests }).collect())
}

/// Returns the module of a test, by which its results are named.
fn module_of(suite: &Suite, test: &str) -> Option<String> {
    let Some(parent) = suite.modules_of else { return Some(suite.name.clone()) };
    let (module, _) = test.strip_prefix(parent)?.split_once("::")?;
    Some(format!("{}_{module}", suite.name))
}

fn run_module(context: &Context<'_>, suite: &Suite, module: &Module) -> Result<Value, String> {
    context.tell(&module.name);
    let mut command = command(context.pack, suite);
    command.args(["--exact", "--show-output"]).args(&module.tests);
    let folder = context.folder("tests").join(&module.name);
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    command.current_dir(&folder);
    let log = context.logs().join(format!("{}.log", module.name));
    let finished = process::run(command, &log, context.limit(MODULE))?;
    let said = read(&finished.stdout);
    let mut again = serde_json::Map::new();
    for test in &said.failed {
        again.insert(test.clone(), passes_alone(context, suite, test, &folder)?.into());
    }
    let silent: Vec<_> = module.tests.iter().filter(|test| !said.reported(test)).collect();
    let complaint = (!silent.is_empty() || finished.succeeded() != said.failed.is_empty())
        .then(|| finished.complaint());
    Ok(json!({
        "suite": suite.name,
        "module": module.name,
        "passed": said.passed.len(),
        "failed": said.failed,
        "passes_alone": again,
        "ignored": said.ignored.len(),
        "not_run": said.not_run,
        "not_told": silent,
        "complaint": complaint,
        "seconds": finished.seconds,
    }))
}

/// Number of times that a test which failed among others is run alone, to see if the failure is repeatable.
const AGAIN: usize = 3;

fn passes_alone(
    context: &Context<'_>,
    suite: &Suite,
    test: &str,
    folder: &Path,
) -> Result<String, String> {
    let mut passes = 0;
    for number in 0..AGAIN {
        let mut command = command(context.pack, suite);
        command.args(["--exact", test]).current_dir(folder);
        let log = format!("{}_again_{number}.log", test.replace("::", "_"));
        let log = context.logs().join(log);
        passes += usize::from(process::run(command, &log, context.limit(MODULE))?.succeeded());
    }
    Ok(format!("{passes} of {AGAIN}"))
}

/// The parsed output of a test program.
#[derive(Debug, Default, PartialEq)]
struct Said {
    passed: Vec<String>,
    failed: Vec<String>,
    ignored: Vec<String>,
    /// The cases that a test left out on this device, and the reason.
    not_run: Vec<String>,
}

impl Said {
    fn reported(&self, test: &str) -> bool {
        [&self.passed, &self.failed, &self.ignored]
            .into_iter()
            .flatten()
            .any(|reported| reported == test)
    }
}

fn read(text: &str) -> Said {
    let mut said = Said::default();
    for line in text.lines() {
        if let Some(reason) = line.trim().strip_prefix("NOT RUN: ") {
            said.not_run.push(reason.into());
        }
        let Some((test, result)) = line.strip_prefix("test ").and_then(|l| l.split_once(" ... "))
        else {
            continue;
        };
        // Printed for a test that should panic.
        let test = test.strip_suffix(" - should panic").unwrap_or(test);
        match result.split([',', ' ']).next() {
            Some("ok") => said.passed.push(test.into()),
            Some("ignored") => said.ignored.push(test.into()),
            _ => said.failed.push(test.into()),
        }
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_by_module() {
        let suite = |modules_of| {
            let (program, folder) = (PathBuf::from("program"), ".");
            Suite { name: "program".into(), program, folder, modules_of }
        };
        let module = |parent, test| module_of(&suite(parent), test);
        assert_eq!(module(Some("gpu::"), "gpu::look::a_picture"), Some("program_look".into()));
        assert_eq!(module(Some("gpu::"), "look::a_picture"), None);
        assert_eq!(module(Some(""), "look::a_picture"), Some("program_look".into()));
        assert_eq!(module(None, "a::b::c"), Some("program".into()));
    }

    #[test]
    fn results_of_a_test_program() {
        let text = "\nrunning 4 tests\n\
            test gpu_a::one ... ok\ntest gpu_a::two ... FAILED\n\
            test gpu_a::three ... ignored, takes long\n\
            test gpu_a::five - should panic ... ok\n\nsuccesses:\n\n\
            ---- gpu_a::one stdout ----\nNOT RUN: a card has memory of its own\n\n\
            failures:\n    gpu_a::two\n\ntest result: FAILED. 1 passed; 1 failed";
        let said = read(text);
        assert_eq!(said.passed, ["gpu_a::one", "gpu_a::five"]);
        assert_eq!(said.failed, ["gpu_a::two"]);
        assert_eq!(said.ignored, ["gpu_a::three"]);
        assert_eq!(said.not_run, ["a card has memory of its own"]);
        // A program that crashed has not reported all its tests.
        assert!(said.reported("gpu_a::three") && !said.reported("gpu_a::four"));
    }
}
