//! The dispatches of losses of single elements.

use crate::Error;
use crate::kernels::Spec;
use crate::plan::builder::PlanBuilder;
use crate::plan::dispatch::Dispatch;
use crate::plan::kernels::{pointwise, reduce_partials, variance_grad, zero_fill};

/// Adds the dispatches: sums over shared variances first, since the gradient may overwrite the input; then losses and
/// gradients, in two dispatches if one would bind more than the device allows; the sum.
pub(super) fn lay_out(plan: &mut PlanBuilder) -> Result<(), Error> {
    match zero_fill::variance_grad(&plan.work) {
        Some((_, 0)) => {}
        Some((spec, elements)) => plan.clear(spec, elements)?,
        None if variance_grad::is_wanted(&plan.work) => sum_variances(plan)?,
        None => {}
    }
    let (loss, rest) = pointwise::specs(&plan.work);
    let partials = over_elements(plan, loss)?;
    plan.over_partials(reduce_partials::spec(&plan.work), partials)?;
    if let Some(rest) = rest {
        over_elements(plan, rest)?;
    }
    Ok(())
}

/// Adds dispatches over every piece: elements in loads, and those that fill none. Returns the number of partials that
/// they write.
fn over_elements(plan: &mut PlanBuilder, spec: Spec) -> Result<u32, Error> {
    let pieces = plan.work.pieces.len();
    let groups = plan.most_groups(2 * pieces);
    let mut partials = 0;
    for piece in 0..pieces {
        for tail in [false, true] {
            if let Some(spec) = pointwise::of_piece(&plan.work, spec, piece, tail) {
                let dispatch = Dispatch { groups, partials, ..Dispatch::over(spec, piece) };
                partials = plan.add_with_partials(dispatch)?;
            }
        }
    }
    Ok(partials)
}

/// Adds the dispatches that sum the gradients of shared variances: over each piece, and once for all pieces with the
/// same variances.
fn sum_variances(plan: &mut PlanBuilder) -> Result<(), Error> {
    for pieces in variance_grad::pieces_of_variances(&plan.work) {
        let parts = variance_grad::parts(&plan.work, &pieces);
        plan.reserve_rows(plan.work.rows_of(pieces[0]) as u64 * u64::from(parts));
        for (number, &piece) in (0..).zip(&pieces) {
            let fold = variance_grad::fold(&plan.work, piece);
            // A fold uses `partials` only to tell if earlier pieces have left sums.
            plan.add(Dispatch { partials: number, parts, ..Dispatch::over(fold, piece) })?;
        }
        let merge = variance_grad::merge(&plan.work, parts);
        plan.add(Dispatch { parts, ..Dispatch::over(merge, pieces[0]) })?;
    }
    Ok(())
}
