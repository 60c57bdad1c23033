//! What a call asked of its rows: partials of different questions do not add up.

use crate::loss::{Formula, Function};
use crate::tensor::TargetType;
use crate::{EmptyMean, Error, Outputs, Problem, Reduction};

/// The loss, its options and the outputs that are sums over rows.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Asked {
    pub function: Function,
    pub classes: u64,
    pub ignore_index: i64,
    pub reduction: Reduction,
    pub empty_mean: EmptyMean,
    /// The divisor of the reduction, if the caller has set it.
    pub divisor: Option<f64>,
    /// True if rows have weights of their own or of their classes.
    pub weighs_rows: bool,
    pub has_z_loss: bool,
    pub accuracy: bool,
    pub top_k: u32,
    pub class_losses: bool,
    /// All else that the losses of rows depend on, apart from tensors: names and values.
    pub options: Vec<(String, String)>,
}

impl Asked {
    /// Returns the question of a problem.
    pub fn of(problem: &Problem, divisor: Option<f64>) -> Self {
        let Outputs { accuracy, top_k, class_losses, .. } = problem.outputs;
        // Losses of single elements have a class axis for their broadcast operands alone.
        let classes = if problem.pointwise.is_some() { 0 } else { problem.all_classes() };
        Self {
            function: problem.function,
            classes,
            ignore_index: problem.ignore_index,
            reduction: problem.reduction,
            empty_mean: problem.empty_mean,
            divisor,
            weighs_rows: problem.weighs_rows(),
            has_z_loss: problem.z_loss != 0.0,
            accuracy,
            top_k,
            class_losses,
            options: options(problem),
        }
    }

    /// Refuses another question, by the first difference.
    pub fn check_same(&self, other: &Self) -> Result<(), Error> {
        let facts = |asked: &Self| {
            let Self { classes, ignore_index, accuracy, top_k, class_losses, .. } = asked;
            let divisor = asked.divisor.map_or("not given".into(), |divisor| divisor.to_string());
            [
                ("loss", asked.function.name().to_owned()),
                ("number of classes", classes.to_string()),
                ("ignore_index", ignore_index.to_string()),
                ("reduction", asked.reduction.name().to_owned()),
                ("empty_mean", asked.empty_mean.name().to_owned()),
                ("divisor", divisor),
                ("accuracy", accuracy.to_string()),
                ("top_k", top_k.to_string()),
                ("class_losses", class_losses.to_string()),
            ]
        };
        let named = facts(self).into_iter().zip(facts(other));
        let named = named.map(|((name, given), (_, wanted))| (name.to_owned(), given, wanted));
        let differs = |(_, given, wanted): &(String, String, String)| given != wanted;
        match named.chain(self.options_beside(other)).find(differs) {
            None => Ok(()),
            Some((what, wanted, given)) => Err(Error::Merge { what, given, wanted }),
        }
    }

    /// Returns the options of both.
    fn options_beside<'a>(
        &'a self,
        other: &'a Self,
    ) -> impl Iterator<Item = (String, String, String)> + 'a {
        let value = |of: &Self, name: &str| {
            let found = of.options.iter().find(|(other, _)| other == name);
            found.map_or_else(|| "not there".into(), |(_, value)| value.clone())
        };
        let names = self.options.iter().chain(&other.options).map(|(name, _)| name);
        names.map(move |name| (name.clone(), value(self, name), value(other, name)))
    }
}

/// Returns the names and values of the options that a loss has.
fn options(problem: &Problem) -> Vec<(String, String)> {
    let target = match problem.target {
        None => "none",
        Some(TargetType::Labels(_)) => "labels",
        Some(TargetType::Probabilities(_)) => "class probabilities",
        Some(TargetType::Values(_)) => "values",
    };
    let mut all = vec![("target", target.to_owned())];
    match &problem.pointwise {
        None => all.extend([
            ("label_smoothing", problem.label_smoothing.to_string()),
            ("logit_scale", problem.logits.scale.to_string()),
            ("softcap", problem.logits.softcap.map_or("none".into(), |cap| cap.to_string())),
            ("z_loss", problem.z_loss.to_string()),
            ("class weights", problem.is_weighted().to_string()),
            ("row weights", problem.row_weights.to_string()),
        ]),
        Some(pointwise) => {
            all.extend([
                ("eps", pointwise.eps.to_string()),
                ("weights", pointwise.weight.is_some().to_string()),
                ("pos_weight", pointwise.pos_weight.is_some().to_string()),
            ]);
            match pointwise.formula {
                Formula::Bce | Formula::BceWithLogits => {}
                Formula::KlDiv { log_target } => all.push(("log_target", log_target.to_string())),
                Formula::GaussianNll { full } => all.push(("full", full.to_string())),
                Formula::PoissonNll { log_input, full } => {
                    all.extend([("log_input", log_input.to_string()), ("full", full.to_string())]);
                }
            }
        }
    }
    all.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
