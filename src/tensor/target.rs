//! The types of targets.

use super::{ElementType, LabelType};

/// The target that a loss compares its input with. [`Shapes`](crate::loss::Shapes) has an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TargetType {
    /// One class per row.
    Labels(LabelType),
    /// One probability per class, in the input's shape.
    Probabilities(ElementType),
    /// One value per element, or fewer that are broadcast.
    Values(ElementType),
}

impl TargetType {
    /// Returns the name by which errors call a target.
    pub(crate) fn described(target: Option<TargetType>) -> &'static str {
        match target {
            None => "no target",
            Some(TargetType::Labels(_)) => "labels",
            Some(TargetType::Probabilities(_)) => "class probabilities",
            Some(TargetType::Values(_)) => "values for the elements",
        }
    }
}
