//! `wgpu-loss diagnose`: what a report of a fault should say about a machine, and a test of its GPU.
//!
//! ```text
//! machine    versions, the environment, every adapter       cases      a call for every kind of kernel
//! self_test  runs them and compares with the f64 reference
//! ```

mod cases;
mod machine;
mod self_test;

use std::time::Duration;

use serde_json::json;
use wgpu_loss::{Gpu, GpuOptions};

use self::machine::Machine;
use self::self_test::{Outcome, Verdict};
use crate::adapter::Adapter;
use crate::args::DiagnoseArgs;
use crate::error::Failure;
use crate::report::{line, print, print_styled, to_json};
use crate::style::{BAD, GOOD, styled};
use crate::visible::visible;

/// Prints the report, and fails if an answer is wrong.
pub fn run(args: &DiagnoseArgs) -> Result<(), Failure> {
    let machine = Machine::look();
    if !args.json {
        print_styled(&machine.text())?;
    }
    let options = GpuOptions::new().adapter(args.adapter.as_deref().unwrap_or_default());
    let limit = Duration::from_secs(args.seconds as u64);
    let mut verdicts = Vec::new();
    let opened = Gpu::with_options(&options);
    if let (Ok(gpu), false) = (&opened, args.json) {
        print_styled(&self_test::heading(gpu))?;
    }
    if let Ok(gpu) = &opened {
        self_test::run(gpu, limit, |event| {
            match event {
                self_test::Event::Begins(name) if !args.json => print(&format!("  {name:<26}"))?,
                self_test::Event::Ends(verdict) => {
                    if !args.json {
                        print_styled(&outcome(&verdict))?;
                    }
                    verdicts.push(verdict);
                }
                self_test::Event::Begins(_) => {}
            }
            Ok(())
        })?;
    }
    let summary = Summary::of(&verdicts);
    if args.json {
        let adapter = opened.as_ref().ok().map(|gpu| Adapter::from(gpu.info()));
        print(&to_json(&json!({
            "command": "diagnose",
            "machine": machine,
            "tested": adapter,
            "profile": opened.as_ref().ok().map(self_test::profile),
            "tests": verdicts,
        })))?;
    } else if opened.is_ok() {
        print_styled(&summary.text())?;
    }
    match opened {
        Err(error) => Err(Failure::Failed(error.to_string())),
        Ok(_) if summary.wrong > 0 => Err(Failure::Failed(summary.words())),
        Ok(_) => Ok(()),
    }
}

/// Returns what stands after a test's name.
fn outcome(verdict: &Verdict) -> String {
    let (judged, what) = match &verdict.outcome {
        Outcome::Right(what) => (styled(GOOD, "right"), what),
        Outcome::Wrong(what) => (styled(BAD, "WRONG"), what),
        Outcome::NotRun => return "not run: the time is over\n".into(),
    };
    format!("{judged}  {:>9}  {}\n", verdict.time(), visible(what))
}

/// The tests, counted.
struct Summary {
    right: usize,
    wrong: usize,
    not_run: usize,
}

impl Summary {
    fn of(verdicts: &[Verdict]) -> Self {
        let count =
            |is: fn(&Outcome) -> bool| verdicts.iter().filter(|one| is(&one.outcome)).count();
        Self {
            right: count(|outcome| matches!(outcome, Outcome::Right(_))),
            wrong: count(|outcome| matches!(outcome, Outcome::Wrong(_))),
            not_run: count(|outcome| matches!(outcome, Outcome::NotRun)),
        }
    }

    fn words(&self) -> String {
        let Self { right, wrong, not_run } = self;
        let all = right + wrong + not_run;
        let mut words = format!("{right} of {all} kinds of kernels are right");
        if *wrong > 0 {
            words += &format!(", {wrong} WRONG");
        }
        if *not_run > 0 {
            words += &format!(", {not_run} not run (--seconds)");
        }
        words
    }

    fn text(&self) -> String {
        line("result", &self.words())
    }
}
