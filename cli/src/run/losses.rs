//! The jobs of the subcommands for losses over classes.

use std::path::PathBuf;

use wgpu_loss::{CrossEntropy, Entropy, LargeOutput, Nll, Outputs, Softmax};

use super::{Job, Named};
use crate::args::{
    ClassArgs, CrossEntropyArgs, EntropyArgs, InspectArgs, LabelArgs, LossArgs, NllArgs, OutType,
    RunArgs, ShardArgs, SoftmaxArgs, Tensor,
};
use crate::data::Role;
use crate::destinations::Output;
use crate::formula::Formula;
use crate::inputs::InputPaths;
use crate::inspect::Inspections;

impl From<CrossEntropyArgs> for Job {
    fn from(args: CrossEntropyArgs) -> Self {
        let mut loss = CrossEntropy::new()
            .label_smoothing(args.label_smoothing)
            .logit_scale(args.logit_scale)
            .z_loss(args.z_loss)
            .reduction(args.loss.reduction.into())
            .empty_mean(args.loss.empty_mean.into());
        if let Some(cap) = args.softcap {
            loss = loss.softcap(cap);
        }
        if let Some(axis) = args.classes.class_axis {
            loss = loss.class_axis(axis);
        }
        if let Some(label) = args.labels.ignore_index {
            loss = loss.ignore_index(label);
        }
        let files = Named::pairs(Role::Target, args.input, args.target, args.shards);
        let mut job = Self::new("cross-entropy", Formula::CrossEntropy(loss), files, args.run)
            .of_classes(&args.classes)
            .reduced(args.loss)
            .with_labels(args.labels)
            .seen(args.inspect)
            .saving(args.save_log_probs, LargeOutput::Distribution, Outputs::with_log_probs)
            .saving(args.save_lse, LargeOutput::Lse, Outputs::with_lse)
            .saving(args.save_argmax, LargeOutput::Argmax, Outputs::with_argmax)
            .saving(args.save_rank, LargeOutput::Rank, Outputs::with_rank)
            .saving(args.save_entropy, LargeOutput::Entropy, Outputs::with_entropy)
            .saving(args.save_variance, LargeOutput::Variance, Outputs::with_variance)
            .saving(args.save_row_weights, LargeOutput::RowWeights, Outputs::with_row_weights);
        if args.accuracy {
            job.outputs = job.outputs.with_accuracy();
        }
        if let Some(k) = args.top_k {
            job.outputs = job.outputs.with_top_k(k);
        }
        if args.per_class {
            job.outputs = job.outputs.with_class_losses();
        }
        job
    }
}

impl From<NllArgs> for Job {
    fn from(args: NllArgs) -> Self {
        let mut loss = Nll::new()
            .reduction(args.loss.reduction.into())
            .empty_mean(args.loss.empty_mean.into());
        if let Some(axis) = args.classes.class_axis {
            loss = loss.class_axis(axis);
        }
        if let Some(label) = args.labels.ignore_index {
            loss = loss.ignore_index(label);
        }
        let files = Named::pairs(Role::Target, args.input, args.target, args.shards);
        Self::new("nll", Formula::Nll(loss), files, args.run)
            .of_classes(&args.classes)
            .reduced(args.loss)
            .with_labels(args.labels)
            .seen(args.inspect)
    }
}

impl From<EntropyArgs> for Job {
    fn from(args: EntropyArgs) -> Self {
        let loss = Entropy::new()
            .axis(args.classes.class_axis.unwrap_or(-1))
            .reduction(args.loss.reduction.into())
            .empty_mean(args.loss.empty_mean.into());
        let files = Named::inputs(args.input, args.shards);
        Self::new("entropy", Formula::Entropy(loss), files, args.run)
            .with(Role::RowWeights, args.row_weights.map(Tensor::File))
            .of_classes(&args.classes)
            .reduced(args.loss)
            .seen(args.inspect)
    }
}

impl Job {
    /// `softmax` or `log-softmax`.
    pub fn softmax(command: &'static str, args: SoftmaxArgs) -> Self {
        let loss = if command == "softmax" { Softmax::probs() } else { Softmax::log_probs() };
        let loss = loss.axis(args.classes.class_axis.unwrap_or(-1));
        let files = Named::inputs(Some(args.input), ShardArgs::default());
        Self::new(command, Formula::Softmax(loss), files, args.run)
            .with(Role::Upstream, args.upstream.map(Tensor::File))
            .of_classes(&args.classes)
            .saving(args.save_output, LargeOutput::Distribution, |outputs| outputs)
            .saving(args.save_grad, LargeOutput::Grad, Outputs::with_grad)
    }

    /// Makes the job of a loss of files, with default options.
    pub(super) fn new(command: &'static str, formula: Formula, files: Named, run: RunArgs) -> Self {
        let outputs = match run.out_dtype {
            OutType::Same => Outputs::loss(),
            OutType::F32 => Outputs::loss().in_f32(),
        };
        let (save, inspections) = (Vec::new(), Inspections::default());
        let (reduction, class_axis_given) = (None, false);
        Self {
            command,
            formula,
            reduction,
            files,
            operands: InputPaths::default(),
            outputs,
            save,
            inspections,
            class_axis_given,
            run,
        }
    }

    /// Adds a tensor in a role, if it is given.
    pub(super) fn with(mut self, role: Role, tensor: Option<Tensor>) -> Self {
        self.operands = self.operands.with_tensor(role, tensor);
        self
    }

    /// Adds the arguments that the losses over classes share.
    fn of_classes(mut self, args: &ClassArgs) -> Self {
        self.class_axis_given = args.class_axis.is_some();
        self
    }

    /// Adds the arguments that all losses share.
    pub(super) fn reduced(mut self, args: LossArgs) -> Self {
        self.reduction = Some(args.reduction.into());
        self.operands = self.operands.with(Role::Upstream, args.upstream);
        self.save.extend(args.save_loss.map(|file| (Output::Loss, file)));
        self.saving(args.save_grad, LargeOutput::Grad, Outputs::with_grad)
    }

    /// Adds the arguments that the losses of labels share.
    fn with_labels(mut self, args: LabelArgs) -> Self {
        let weighted = self.operands.with(Role::Weight, args.weight);
        self.operands = weighted.with(Role::RowWeights, args.row_weights);
        self
    }

    /// Adds the options that show the losses of rows.
    pub(super) fn seen(mut self, args: InspectArgs) -> Self {
        let InspectArgs { sample, histogram, .. } = args;
        self.inspections = Inspections { heatmap: args.heatmap.is_some(), sample, histogram };
        self.save.extend(args.heatmap.map(|file| (Output::Heatmap, file)));
        self
    }

    /// Adds an output that is saved, if it is requested.
    pub(super) fn saving(
        mut self,
        file: Option<PathBuf>,
        what: LargeOutput,
        ask: impl Fn(Outputs) -> Outputs,
    ) -> Self {
        if let Some(file) = file {
            self.outputs = ask(self.outputs);
            self.save.push((Output::Large(what), file));
        }
        self
    }
}
