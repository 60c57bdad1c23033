//! The types of targets.

use super::{ElementType, LabelType};

/// The target that a loss compares its input with.
///
/// ```
/// use wgpu_loss::loss::{Loss, Shapes};
/// use wgpu_loss::{CrossEntropy, ElementType, LabelType, Outputs, TargetType};
///
/// // Cross-entropy takes a label for each row, or a probability for each class.
/// let shapes = Shapes::new(&[8, 3]);
/// let labels = shapes.target(TargetType::Labels(LabelType::I64), &[8]);
/// let probabilities = shapes.target(TargetType::Probabilities(ElementType::BF16), &[8, 3]);
/// for shapes in [labels, probabilities] {
///     CrossEntropy::new().problem(&shapes, Outputs::loss())?;
/// }
/// # Ok::<(), wgpu_loss::Error>(())
/// ```
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
