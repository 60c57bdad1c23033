//! Binary cross-entropy, with Burn's names.

use burn::config::Config;
use burn::module::{Content, DisplaySettings, Module, ModuleDisplay};
use burn::tensor::{Device, Int, Tensor};

use crate::call::{Targets, call};
use crate::criterion::{Criterion, Kind};
use crate::{Error, Reduction};

/// Options of a [`BinaryCrossEntropyLoss`]: those of Burn's `BinaryCrossEntropyLossConfig`, by the same
/// names and with the same defaults, and the reduction.
#[derive(Config, Debug)]
pub struct BinaryCrossEntropyLossConfig {
    /// Weights, above 0: for tensors of rank 1 one for label 0 and one for label 1, else one for each element of the
    /// last axis.
    pub weights: Option<Vec<f32>>,

    /// The share of the target that is spread evenly over all classes, from 0 to 1. The classes are the elements of the
    /// last axis; for tensors of rank 1 there are two.
    pub smoothing: Option<f32>,

    /// True if the input is logits; probabilities otherwise.
    #[config(default = false)]
    pub logits: bool,

    /// The reduction of the elements' losses. (Not in Burn.)
    #[config(default = "Reduction::Mean")]
    pub reduction: Reduction,
}

impl BinaryCrossEntropyLossConfig {
    /// Makes the loss, with its weights on `device`.
    ///
    /// # Panics
    /// As Burn's: smoothing outside 0 to 1, weights that are not above 0.
    pub fn init(&self, device: &Device) -> BinaryCrossEntropyLoss {
        crate::call::assert_options(self.smoothing, self.weights.as_deref());
        let weights = self.weights.as_ref();
        BinaryCrossEntropyLoss {
            weights: weights.map(|weights| Tensor::from_floats(weights.as_slice(), device)),
            smoothing: self.smoothing,
            logits: self.logits,
            reduction: self.reduction,
        }
    }
}

/// Binary cross-entropy between logits, or probabilities, and labels of 0 and 1: Burn's
/// `BinaryCrossEntropyLoss`.
///
/// Made by [`BinaryCrossEntropyLossConfig`]. The formulas are [`wgpu_loss::BceWithLogits`]'s and
/// [`wgpu_loss::Bce`]'s.
#[derive(Module, Debug)]
#[module(custom_display)]
pub struct BinaryCrossEntropyLoss {
    /// Weights of the labels, or of the last axis.
    pub weights: Option<Tensor<1>>,
    /// The label smoothing.
    pub smoothing: Option<f32>,
    /// True if the input is logits.
    pub logits: bool,
    /// The reduction.
    #[module(skip)]
    pub reduction: Reduction,
}

impl ModuleDisplay for BinaryCrossEntropyLoss {
    fn custom_settings(&self) -> Option<DisplaySettings> {
        DisplaySettings::new().with_new_line_after_attribute(false).optional()
    }

    fn custom_content(&self, content: Content) -> Option<Content> {
        content
            .add("weights", &self.weights)
            .add("smoothing", &self.smoothing)
            .add("logits", &self.logits)
            .add("reduction", &format!("{:?}", self.reduction))
            .optional()
    }
}

impl BinaryCrossEntropyLoss {
    /// Returns the loss, in a tensor of one element; for reduction `none` one for each element.
    ///
    /// # Shapes
    /// Logits and targets alike: `[batch]`, or `[batch, ..., classes]`.
    ///
    /// # Panics
    /// If [`try_forward`](Self::try_forward) returns an error.
    pub fn forward<const D: usize>(&self, logits: Tensor<D>, targets: Tensor<D, Int>) -> Tensor<1> {
        self.try_forward(logits, targets).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Returns the loss as [`forward`](Self::forward) does, or an error instead of a panic if the host can detect it.
    ///
    /// # Errors
    /// As [`CrossEntropyLoss::try_forward`](crate::CrossEntropyLoss::try_forward)'s.
    pub fn try_forward<const D: usize>(
        &self,
        logits: Tensor<D>,
        targets: Tensor<D, Int>,
    ) -> Result<Tensor<1>, Error> {
        let kind = if self.logits { Kind::BceWithLogits } else { Kind::Bce };
        let criterion = Criterion::new(kind, self.reduction.into());
        let mut values = targets.clone().float();
        if let Some(smoothing) = self.smoothing {
            let classes = if D > 1 { logits.dims()[D - 1] } else { 2 };
            values = values * (1.0 - smoothing) + smoothing / classes as f32;
        }
        let weight = self.weights.clone().map(|weights| match D {
            1 => weights.gather(0, targets.flatten(0, D - 1)),
            _ => weights,
        });
        call::<D, D, 1>(logits, Targets::Values(values), weight, criterion)
    }
}
