//! The job that each subcommand is.

use std::path::PathBuf;

use wgpu_loss::{CrossEntropy, LargeOutput, Nll, Outputs, Softmax};

use super::Job;
use crate::args::{CrossEntropyArgs, LookArgs, LossArgs, NllArgs, OutType, RunArgs, SoftmaxArgs};
use crate::data::Role;
use crate::look::Looks;
use crate::outputs::Output;
use crate::sources::Files;
use crate::twin::Formula;

impl From<CrossEntropyArgs> for Job {
    fn from(args: CrossEntropyArgs) -> Self {
        let mut loss = CrossEntropy::new()
            .label_smoothing(args.label_smoothing)
            .reduction(args.loss.reduction.into())
            .empty_mean(args.loss.empty_mean.into());
        if let Some(axis) = args.run.class_axis {
            loss = loss.class_axis(axis);
        }
        if let Some(label) = args.loss.ignore_index {
            loss = loss.ignore_index(label);
        }
        let mut job = Self::with_target(
            "cross-entropy",
            Formula::CrossEntropy(loss),
            args.input,
            args.target,
            (args.loss, args.look),
            args.run,
        );
        if let Some(file) = args.save_log_probs {
            job.outputs = job.outputs.with_log_probs();
            job.save.push((Output::Large(LargeOutput::Distribution), file));
        }
        job
    }
}

impl From<NllArgs> for Job {
    fn from(args: NllArgs) -> Self {
        let mut loss = Nll::new()
            .reduction(args.loss.reduction.into())
            .empty_mean(args.loss.empty_mean.into());
        if let Some(axis) = args.run.class_axis {
            loss = loss.class_axis(axis);
        }
        if let Some(label) = args.loss.ignore_index {
            loss = loss.ignore_index(label);
        }
        let formula = Formula::Nll(loss);
        let asked = (args.loss, args.look);
        Self::with_target("nll", formula, args.input, args.target, asked, args.run)
    }
}

impl Job {
    /// `softmax` or `log-softmax`.
    pub fn softmax(command: &'static str, args: SoftmaxArgs) -> Self {
        let loss = if command == "softmax" { Softmax::probs() } else { Softmax::log_probs() };
        let axis = args.run.class_axis.unwrap_or(-1);
        Self {
            command,
            formula: Formula::Softmax(loss.axis(axis)),
            reduction: None,
            files: Files::new(args.input),
            outputs: outputs_of(&args.run),
            save: args
                .save_output
                .map(|file| (Output::Large(LargeOutput::Distribution), file))
                .into_iter()
                .collect(),
            looks: Looks::default(),
            run: args.run,
        }
    }

    fn with_target(
        command: &'static str,
        formula: Formula,
        input: PathBuf,
        target: PathBuf,
        (args, look): (LossArgs, LookArgs),
        run: RunArgs,
    ) -> Self {
        let mut outputs = outputs_of(&run);
        let mut save = Vec::new();
        save.extend(args.save_loss.map(|file| (Output::Loss, file)));
        if let Some(file) = args.save_grad {
            outputs = outputs.with_grad();
            save.push((Output::Large(LargeOutput::Grad), file));
        }
        let LookArgs { sample, histogram, .. } = look;
        let looks = Looks { heatmap: look.heatmap.is_some(), sample, histogram };
        save.extend(look.heatmap.map(|file| (Output::Heatmap, file)));
        Self {
            command,
            formula,
            reduction: Some(args.reduction.into()),
            files: Files::new(input)
                .with(Role::Target, Some(target))
                .with(Role::Weight, args.weight)
                .with(Role::Upstream, args.upstream),
            outputs,
            save,
            looks,
            run,
        }
    }
}

/// A loss in the type that is wanted of its outputs.
fn outputs_of(run: &RunArgs) -> Outputs {
    match run.out_dtype {
        OutType::Same => Outputs::loss(),
        OutType::F32 => Outputs::loss().in_f32(),
    }
}
