//! The report of shards: that of one call over all of them, and a line for each.

use std::collections::BTreeSet;
use std::time::Duration;

use wgpu_loss::{ElementType, Error, Reduction};

use super::ledger::{Entry, Ledger};
use crate::adapter::Adapter;
use crate::error::Failure;
use crate::files::Destination;
use crate::inspect::Inspected;
use crate::report::{self, Classes, Report, ShardLine, Shards, Tokens, Wide};

/// Merges the partials and prints the report.
pub fn print(ledger: &Ledger, saved: Option<&Destination>, json: bool) -> Result<(), Failure> {
    let Some((first, others)) = ledger.shards.split_first() else {
        let none = serde_json::json!({ "command": ledger.command, "shards": [] });
        let text = report::line("computed", &format!("{} of 0 shards", ledger.command));
        return match json {
            true => report::print(&format!("{none}\n")),
            false => report::print_styled(&text),
        };
    };
    let failed = |error: Error| Failure::Failed(error.to_string());
    let mut all = first.partial.clone();
    for entry in others {
        let merged = all.merge(&entry.partial);
        merged.map_err(|error| Failure::of(&entry.name, error))?;
    }
    let output = all.finish().map_err(failed)?;
    let [loss, z_loss] =
        [&output.loss, &output.z_loss].map(|all| all.iter().map(|&x| x as f32).collect::<Vec<_>>());
    let mean = all.clone().reduced(Reduction::Mean).finish().map_err(failed)?.loss;
    let weight = output.summary.weight;
    let tokens = ledger.shards.iter().all(|entry| entry.tokens) && weight != 0.0;
    let mean = mean.first().copied().filter(|_| tokens);
    let tokens = mean.map(|mean| Tokens::of_mean(mean, output.summary.live));
    let lines = ledger.shards.iter().map(line).collect::<Result<_, _>>().map_err(failed)?;
    let shards = Shards(lines);
    let (dtype, target) =
        (distinct(ledger, |e| Some(&e.dtype)), distinct(ledger, |e| e.target.as_ref()));
    let seconds: f64 = ledger.shards.iter().map(|entry| entry.seconds).sum();
    let report = Report {
        command: &ledger.command,
        reduction: Some(&ledger.reduction),
        shape: None,
        dtype: &dtype,
        target: (!target.is_empty()).then_some(target),
        weighted: first.weighted,
        // Rows are counted through all shards.
        row_shape: &[output.summary.rows as usize],
        adapters: adapters(ledger),
        summary: output.summary,
        losses: &loss,
        loss_shape: &[],
        seconds: vec![("compute", Duration::try_from_secs_f64(seconds).unwrap_or_default())],
        check: None,
        z_losses: &z_loss,
        row_weights: first.row_weights,
        outputs: all.outputs(),
        classes: output.classes.as_ref().map(|of| Classes::of(of, all.outputs().accuracy)),
        tokens,
        shards: Some(&shards),
        standard_error: all.standard_error().filter(|_| ledger.reduction == Reduction::Mean.name()),
        seen: &Inspected::default(),
        saved: saved.iter().map(|to| to.name.display().to_string()).collect(),
        output_type: ElementType::F32,
    };
    match json {
        true => report::print(&report.json()),
        false => report::print_styled(&report.text()),
    }
}

fn line(entry: &Entry) -> Result<ShardLine, Error> {
    let mean = entry.partial.clone().reduced(Reduction::Mean).finish()?;
    let loss = mean.loss.first().copied().unwrap_or(f64::NAN);
    Ok(ShardLine {
        number: entry.number,
        name: entry.name.clone(),
        rows: mean.summary.live,
        mean_loss: Wide(loss),
        standard_error: entry.partial.standard_error().map(Wide),
        perplexity: (entry.tokens && mean.summary.live > 0).then(|| Wide(loss.exp())),
    })
}

/// Returns the devices that have computed shards.
fn adapters(ledger: &Ledger) -> Vec<Option<Adapter>> {
    let mut adapters: Vec<Option<Adapter>> = Vec::new();
    for entry in &ledger.shards {
        if !adapters.contains(&entry.adapter) {
            adapters.push(entry.adapter.clone());
        }
    }
    adapters
}

/// Returns the different texts of shards, in one.
fn distinct<'a>(ledger: &'a Ledger, text: impl Fn(&'a Entry) -> Option<&'a String>) -> String {
    let texts: BTreeSet<&str> = ledger.shards.iter().filter_map(text).map(String::as_str).collect();
    texts.into_iter().collect::<Vec<_>>().join(" and ")
}
