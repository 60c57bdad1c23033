//! The common part of kernels that read a row's target and weight.

use crate::kernels::{Kernel, RowFeatures, Spec, Target};
use crate::loss::{Divisor, Upstream};
use crate::plan::work::Work;
use crate::tensor::TargetType;

/// Returns a kernel that reads targets and weights.
pub(super) fn labelled(work: &Work, kernel: Kernel) -> Spec {
    let problem = &work.problem;
    let target = match problem.target {
        None => match problem.upstream {
            Upstream::PerElement(element_type) => Target::Upstream(element_type),
            _ => Target::None,
        },
        Some(TargetType::Labels(label_type)) => Target::Labels(label_type),
        Some(TargetType::Probabilities(element_type)) => Target::Probabilities(element_type),
        Some(TargetType::Values(_)) => Target::None,
    };
    Spec {
        target,
        weight: problem.weight_type,
        native_f16: work.profile.f16,
        rounds_f16: work.profile.f16_rounds && work.profile.tuning.rounds_f16,
        cut: work.cuts_rows() || work.problem.class_shard.is_some(),
        shard: work.problem.class_shard.is_some(),
        row_features: RowFeatures::of(problem).of_rows(),
        ..Spec::new(kernel, work.flat)
    }
}

/// Adds the gradient to a kernel.
pub(super) fn with_grad(work: &Work, spec: Spec) -> Spec {
    Spec {
        grad: true,
        output: work.problem.output_type,
        upstream: work.problem.upstream,
        sums_weights: work.problem.divisor == Divisor::RowWeights,
        ..spec
    }
}
