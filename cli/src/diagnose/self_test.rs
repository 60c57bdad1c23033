//! Runs the cases on a GPU and compares each with the f64 reference.

use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::{Value, json};
use wgpu_loss::{CrossEntropy, Error, Gpu, Inputs, Output, RowStates, Tensor};

use super::cases::{self, Case};
use crate::check::{self, Compared};
use crate::data::Stop;
use crate::error::Failure;
use crate::formula::Formula;
use crate::question::Question;
use crate::report::{digits, line};

/// What happens in the course of the tests.
pub enum Event {
    /// The test of this name begins.
    Begins(&'static str),
    /// It has ended.
    Ends(Verdict),
}

/// What a test has found.
#[derive(Debug, Serialize)]
pub struct Verdict {
    /// Its name.
    pub name: &'static str,
    /// What it has found.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// The time of the call, with the kernels' translation.
    pub seconds: f64,
}

impl Verdict {
    /// Returns the time for a person.
    pub fn time(&self) -> String {
        if self.seconds < 1.0 {
            format!("{:.1} ms", 1e3 * self.seconds)
        } else {
            format!("{:.2} s", self.seconds)
        }
    }
}

/// What a test has found.
#[derive(Debug, Serialize)]
#[serde(tag = "outcome", content = "what", rename_all = "kebab-case")]
pub enum Outcome {
    /// Every number is right.
    Right(String),
    /// Numbers are wrong, or the device has failed.
    Wrong(String),
    /// There was no time for it.
    NotRun,
}

/// Returns the line above the tests: the adapter, and what is known of its device.
pub fn heading(gpu: &Gpu) -> String {
    let profile = profile(gpu);
    let known: Vec<String> =
        profile.as_object().into_iter().flatten().map(|(k, v)| format!("{k} {v}")).collect();
    let name = &gpu.info().name;
    format!("\n{}{}", line("tested", name.trim()), line("profile", &known.join(", ")))
}

/// Returns what the kernels are made for.
pub fn profile(gpu: &Gpu) -> Value {
    let profile = gpu.kernels().profile();
    json!({
        "subgroup_size": profile.subgroup_size,
        "subgroups_alike": profile.subgroups_alike,
        "int64": profile.int64,
        "f16": profile.f16,
        "f16_rounds": profile.f16_rounds,
    })
}

/// Runs all cases, as long as there is time.
pub fn run(
    gpu: &Gpu,
    limit: Duration,
    mut tell: impl FnMut(Event) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let start = Instant::now();
    for case in cases::all().map_err(|error| Failure::Failed(error.to_string()))? {
        tell(Event::Begins(case.name))?;
        let begin = Instant::now();
        let outcome = match start.elapsed() < limit {
            true => outcome(gpu, &case),
            false => Outcome::NotRun,
        };
        let seconds = begin.elapsed().as_secs_f64();
        tell(Event::Ends(Verdict { name: case.name, outcome, seconds }))?;
    }
    Ok(())
}

fn outcome(gpu: &Gpu, case: &Case) -> Outcome {
    match compared(case, |inputs| run_on(gpu, case, inputs)) {
        Ok(all) => match all.iter().find(|compared| !compared.passed()) {
            Some(wrong) => Outcome::Wrong(wrong.complaint(false)),
            None => Outcome::Right(furthest(&all)),
        },
        Err(Stop::Library(error)) => Outcome::Wrong(error.to_string()),
        Err(Stop::Failure(failure)) => Outcome::Wrong(failure.message()),
    }
}

/// Runs a case and compares every number of its output.
fn compared(
    case: &Case,
    run: impl FnOnce(&Inputs<'_>) -> Result<Output<f32>, Error>,
) -> Result<Vec<Compared>, Stop> {
    let (data, formula, outputs) = (case.data(), &case.formula, case.outputs);
    let whole = data.whole()?;
    let inputs = whole.inputs();
    let problem = formula.problem(&inputs.shapes(), outputs)?;
    let question = Question { formula, outputs, data: &data, problem: &problem };
    let output = run(&inputs)?;
    match output.summary.bad {
        0 => check::output(&question, &output),
        bad => Err(Failure::Failed(format!("{bad} labels are said to be no classes")).into()),
    }
}

fn run_on(gpu: &Gpu, case: &Case, inputs: &Inputs<'_>) -> Result<Output<f32>, Error> {
    match (&case.formula, case.memory_budget) {
        (Formula::CrossEntropy(loss), None) if case.split => from_states(gpu, case, loss, inputs),
        (formula, None) => gpu.run(formula.loss(), inputs, case.outputs),
        (formula, Some(bytes)) => {
            gpu.with_memory_budget(bytes).run(formula.loss(), inputs, case.outputs)
        }
    }
}

/// Computes the states of the rows over each half of the classes, and the loss from these.
fn from_states(
    gpu: &Gpu,
    case: &Case,
    loss: &CrossEntropy,
    whole: &Inputs<'_>,
) -> Result<Output<f32>, Error> {
    let (rows, classes) = (whole.input.shape[0], whole.input.shape[1]);
    let halves = case.halves();
    let call = |half: usize, states: Option<&[u32]>| {
        let first = [0, classes / 2][half];
        let shape = [rows, halves[half].len() / rows];
        let mut inputs = *whole;
        inputs.input = Tensor::new(&halves[half], &shape);
        let loss = loss.clone().class_shard(first as u64, classes as u64);
        match states {
            None => gpu.run(&loss, &inputs, case.outputs.only_states()),
            Some(states) => gpu.run(&loss, &inputs.states(states, 2), case.outputs),
        }
    };
    let mut states = Vec::new();
    for half in [0, 1] {
        states.extend(call(half, None)?.states.map(RowStates::into_words).unwrap_or_default());
    }
    call(0, Some(&states))
}

/// Returns the number that is off furthest, of what it may be.
fn furthest(all: &[Compared]) -> String {
    let share = |one: &&Compared| one.largest / one.tolerance.max(f64::MIN_POSITIVE);
    let most = all.iter().max_by(|a, b| share(a).total_cmp(&share(b)));
    let numbers: u64 = all.iter().map(|compared| compared.numbers).sum();
    let most = most.filter(|one| one.largest > 0.0).map_or("exact".to_string(), |one| {
        format!("{} off by {:.1e} (at most {})", one.what, one.largest, digits(one.tolerance, 2))
    });
    format!("{numbers} numbers, {most}")
}

#[cfg(test)]
mod tests {
    use wgpu_loss::reference::Cpu;
    use wgpu_loss::stream::Device;

    use super::*;

    /// Finds a number of an output, if the output is there.
    type Find = fn(&mut Output<f32>) -> Option<&mut f32>;

    /// One number of each output that is off by a hundredth is noticed, of every small case.
    #[test]
    fn a_wrong_number_is_noticed() {
        let mut seen = 0;
        let cases = cases::all().unwrap();
        for case in cases.into_iter().filter(|case| case.elements() <= 64_000) {
            let right = |change: Find| {
                let mut changed = false;
                let all = compared(&case, |inputs| {
                    let mut output = Cpu.run(case.formula.loss(), inputs, case.outputs)?;
                    changed = change(&mut output).map(|x| *x = *x * 1.01 + 1e-3).is_some();
                    Ok(output)
                });
                let all = all.unwrap_or_else(|_| panic!("{}: an error", case.name));
                (changed, all.iter().all(Compared::passed))
            };
            assert_eq!(right(|_| None), (false, true), "{}", case.name);
            let changes: [Find; 6] = [
                |output| output.loss.last_mut(),
                |output| output.z_loss.last_mut(),
                |output| output.grad.as_mut()?.last_mut(),
                |output| output.target_grad.as_mut()?.last_mut(),
                |output| output.var_grad.as_mut()?.last_mut(),
                |output| output.probs.as_mut()?.last_mut(),
            ];
            for (index, change) in changes.into_iter().enumerate() {
                let (changed, passed) = right(change);
                assert!(!(changed && passed), "{}: output {index}", case.name);
                seen += usize::from(changed);
            }
        }
        assert!(seen > 25, "{seen} changes");
    }
}
