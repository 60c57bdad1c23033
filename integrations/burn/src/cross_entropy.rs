//! Cross-entropy, with Burn's names.

use burn::config::Config;
use burn::module::{Content, DisplaySettings, Module, ModuleDisplay};
use burn::nn::loss as burns;
use burn::tensor::{Device, Int, Tensor};
use wgpu_loss::EmptyMean;

use crate::call::{Targets, call};
use crate::criterion::{Criterion, Kind};
use crate::{Error, Reduction};

/// Options of a [`CrossEntropyLoss`]: those of Burn's `CrossEntropyLossConfig`, by the same names and with
/// the same defaults, and three more.
#[derive(Config, Debug)]
pub struct CrossEntropyLossConfig {
    /// Rows whose label is one of these are left out. They need not be classes.
    pub pad_tokens: Option<Vec<usize>>,

    /// Rows whose label is this are left out: any number, a class or not. -100 if neither this nor
    /// `pad_tokens` is given. (Not in Burn.)
    pub ignore_index: Option<i64>,

    /// A weight for each class, above 0. The mean divides by the sum of the labels' weights.
    pub weights: Option<Vec<f32>>,

    /// The share of the target that is spread evenly over all classes, from 0 to 1.
    pub smoothing: Option<f32>,

    /// True if the input is logits; probabilities otherwise.
    #[config(default = true)]
    pub logits: bool,

    /// The reduction of the rows' losses. (Not in Burn.)
    #[config(default = "Reduction::Mean")]
    pub reduction: Reduction,

    /// If true, the mean over no rows at all is 0. It is NaN otherwise, as in Burn. (Not in Burn.)
    #[config(default = false)]
    pub zero_empty_mean: bool,
}

impl CrossEntropyLossConfig {
    /// Makes the loss, with its weights on `device`.
    ///
    /// # Panics
    /// As Burn's: smoothing outside 0 to 1, weights that are not above 0.
    pub fn init(&self, device: &Device) -> CrossEntropyLoss {
        crate::call::assert_options(self.smoothing, self.weights.as_deref());
        let weights = self.weights.as_ref();
        CrossEntropyLoss {
            pad_tokens: self.pad_tokens.clone(),
            ignore_index: self.ignore_index,
            weights: weights.map(|weights| Tensor::from_floats(weights.as_slice(), device)),
            smoothing: self.smoothing,
            logits: self.logits,
            reduction: self.reduction,
            zero_empty_mean: self.zero_empty_mean,
        }
    }
}

/// Cross-entropy between logits, or probabilities, and labels: Burn's `CrossEntropyLoss`.
///
/// Made by [`CrossEntropyLossConfig`]. The formulas are [`wgpu_loss::CrossEntropy`]'s.
#[derive(Module, Debug)]
#[module(custom_display)]
pub struct CrossEntropyLoss {
    /// Labels whose rows are left out.
    pub pad_tokens: Option<Vec<usize>>,
    /// A further label whose rows are left out.
    pub ignore_index: Option<i64>,
    /// The weights of the classes.
    pub weights: Option<Tensor<1>>,
    /// The label smoothing.
    pub smoothing: Option<f32>,
    /// True if the input is logits.
    pub logits: bool,
    /// The reduction.
    #[module(skip)]
    pub reduction: Reduction,
    /// True if the mean over nothing is 0.
    pub zero_empty_mean: bool,
}

impl ModuleDisplay for CrossEntropyLoss {
    fn custom_settings(&self) -> Option<DisplaySettings> {
        DisplaySettings::new().with_new_line_after_attribute(false).optional()
    }

    fn custom_content(&self, content: Content) -> Option<Content> {
        content
            .add("pad_tokens", &format!("{:?}", self.pad_tokens))
            .add("ignore_index", &format!("{:?}", self.ignore_index))
            .add("weights", &self.weights)
            .add("smoothing", &self.smoothing)
            .add("logits", &self.logits)
            .add("reduction", &format!("{:?}", self.reduction))
            .optional()
    }
}

impl CrossEntropyLoss {
    /// Makes the mean, without rows labelled `pad_index`. Burn has it "for backward compatibility".
    pub fn new(pad_index: Option<usize>, device: &Device) -> Self {
        let pad_tokens = pad_index.map(|label| vec![label]);
        CrossEntropyLossConfig::new().with_pad_tokens(pad_tokens).init(device)
    }

    /// Returns the loss, in a tensor of one element; for reduction `none` one for each row.
    ///
    /// # Shapes
    /// Burn's shapes, logits `[batch, classes]` and targets `[batch]`; or images, logits `[batch, classes, ...]` and
    /// targets `[batch, ...]`. Logits that are transposed or permuted so that only the axis of the classes is out of
    /// order are read in place.
    ///
    /// # Panics
    /// If [`try_forward`](Self::try_forward) returns an error.
    pub fn forward<const D: usize, const E: usize>(
        &self,
        logits: Tensor<D>,
        targets: Tensor<E, Int>,
    ) -> Tensor<1> {
        self.try_forward(logits, targets).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Returns the loss as [`forward`](Self::forward) does, or an error instead of a panic if the host can detect it.
    ///
    /// The host cannot detect a label that is neither a class nor left out: its row's loss is NaN.
    ///
    /// # Errors
    /// [`Error::Backend`] and [`Error::Unattached`] for devices this crate does not know,
    /// [`Error::Device`] and [`Error::ElementType`] for tensors that do not fit each other, and
    /// [`Error::Loss`] for shapes, options and what is past the device's limits.
    pub fn try_forward<const D: usize, const E: usize>(
        &self,
        logits: Tensor<D>,
        targets: Tensor<E, Int>,
    ) -> Result<Tensor<1>, Error> {
        let kind = if self.logits { Kind::CrossEntropy } else { Kind::Nll };
        let mut criterion = Criterion::new(kind, self.reduction.into());
        if self.zero_empty_mean {
            criterion.empty_mean = EmptyMean::Zero;
        }
        let (targets, ignored) = self.ignored(targets);
        criterion.ignore_index = ignored;
        let input = match (self.logits, self.smoothing) {
            (true, smoothing) => {
                criterion.smoothing = smoothing.unwrap_or(0.0);
                logits
            }
            (false, None | Some(0.0)) => log_of(logits),
            (false, Some(smoothing)) => return self.burns_own(logits, targets, smoothing),
        };
        call(input, Targets::Labels(targets), self.weights.clone(), criterion)
    }

    /// Returns the labels with one label for all that is left out, and that label.
    fn ignored<const E: usize>(
        &self,
        mut targets: Tensor<E, Int>,
    ) -> (Tensor<E, Int>, Option<i64>) {
        let padding = self.pad_tokens.iter().flatten().map(|&label| label as i64);
        let mut ignored = self.ignore_index.into_iter().chain(padding);
        let first = ignored.next();
        for label in ignored {
            let mask = targets.clone().equal_scalar(label);
            targets = targets.mask_fill(mask, first.unwrap_or(label));
        }
        (targets, first)
    }

    /// Computes smoothed labels against probabilities, which the library has no kernel for, by Burn's own loss.
    fn burns_own<const D: usize, const E: usize>(
        &self,
        probabilities: Tensor<D>,
        targets: Tensor<E, Int>,
        smoothing: f32,
    ) -> Result<Tensor<1>, Error> {
        let plain = self.reduction == Reduction::Mean && !self.zero_empty_mean;
        if D != 2 || E != 1 || !plain || self.ignore_index.is_some() {
            return Err(Error::Loss(wgpu_loss::Error::Option {
                option: "smoothing",
                given: smoothing.to_string(),
                wanted: "of probabilities it goes with rank 2, the mean and pad_tokens alone",
            }));
        }
        let loss = burns::CrossEntropyLoss {
            pad_tokens: self.pad_tokens.clone(),
            weights: self.weights.clone(),
            smoothing: Some(smoothing),
            logits: false,
        };
        let (rows, classes) = (probabilities.dims()[0], probabilities.dims()[1]);
        Ok(loss.forward(probabilities.reshape([rows, classes]), targets.reshape([rows])))
    }
}

/// Returns the logarithm of the input, raised to at least the square root of the smallest normal number, as Burn does.
fn log_of<const D: usize>(probabilities: Tensor<D>) -> Tensor<D> {
    let smallest = probabilities.dtype().finfo().map_or(0.0, |info| info.min_positive.sqrt());
    probabilities.clamp_min(smallest).log()
}
