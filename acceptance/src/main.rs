//! `scripts/gpu-acceptance`: runs the packed tests and benches on this machine's GPU, and PyTorch's for comparison, and
//! writes one report in Markdown and in JSON.
//!
//! ```text
//! args, pack, machine     the arguments, the packed files, the machine
//! context                 the data that the parts share
//! parts                   the parts of a run -> suites (tests), grid (shapes), process (a program, with a time limit)
//! figures                 target figures for a GPU, compared with the measurements
//! report, picture         the output files
//! ```

mod args;
mod context;
mod figures;
mod grid;
mod machine;
mod pack;
mod part;
mod parts;
mod plot;
mod process;
mod report;
mod results;
mod suites;

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use serde_json::{Value, json};

use self::args::Args;
use self::context::Context;
use self::pack::Pack;
use self::part::Part;
use self::results::Results;

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("gpu-acceptance: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs all parts. Returns true if every one ran and passed.
fn run(args: &Args) -> Result<bool, String> {
    let wrong = |error| format!("{}: {error}", args.out.display());
    fs::create_dir_all(args.out.join("parts")).map_err(wrong)?;
    let out = args.out.canonicalize().map_err(wrong)?;
    let pack = Pack::open(&args.pack)?;
    if let Some(file) = &args.picture {
        return plot::save(&Results::read(&out)?, args.forward, file).map(|()| true);
    }
    if !args.report {
        let logs = out.join("logs");
        let machine = machine::describe(&pack, args, &logs)?;
        write_json(&out.join("parts/machine.json"), &machine)?;
        write_json(&out.join("parts/pack.json"), &pack.about)?;
        measure(&Context {
            pack: &pack,
            args,
            machine: &machine,
            out: out.clone(),
            begin: Instant::now(),
        })?;
    }
    let results = Results::read(&out)?;
    let file = report::write(&results, &out)?;
    eprintln!("{}", file.display());
    if !results.gpu() {
        eprintln!("{}", report::NO_GPU);
    }
    Ok(Part::all().all(|part| !args.wants(part) || report::passed(&results, part)))
}

/// Runs the parts and stores the results of each.
fn measure(context: &Context<'_>) -> Result<(), String> {
    let Context { args, machine, .. } = context;
    eprintln!("{}", machine["adapter"]["name"].as_str().unwrap_or("?"));
    if !context.gpu() {
        eprintln!("{}", report::NO_GPU);
    }
    for part in Part::all().filter(|&part| args.wants(part)) {
        eprintln!("{}", part.name());
        let start = Instant::now();
        let brought = match context.time_is_up() {
            Some(reason) => Err(reason),
            None => context.run(part),
        };
        let mut kept = json!({
            "commit": context.pack.commit(),
            "adapter": machine["adapter"],
            "seconds": start.elapsed().as_secs_f64(),
            "command": std::env::args().skip(1).collect::<Vec<_>>(),
        });
        match brought {
            Ok(result) => kept["result"] = result,
            Err(error) => {
                eprintln!("  {error}");
                kept["error"] = error.into();
            }
        }
        write_json(&context.out.join(format!("parts/{}.json", part.name())), &kept)?;
        // The report is written now, so that there is one if the process is killed at a limit of the machine.
        report::write(&Results::read(&context.out)?, &context.out)?;
    }
    Ok(())
}

fn write_json(file: &Path, value: &Value) -> Result<(), String> {
    write(file, format!("{value:#}\n"))
}

fn write(file: &Path, bytes: impl AsRef<[u8]>) -> Result<(), String> {
    fs::write(file, bytes).map_err(|error| format!("{}: {error}", file.display()))
}
