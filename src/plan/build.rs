//! Makes plans: checks the profile, cuts the tensors into pieces, lays out the dispatches.

use super::pieces::cut;
use super::{Plan, Profile};
use crate::loss::Shapes;
use crate::{Error, Loss, Outputs, Problem};

impl Plan {
    /// Plans `loss` over tensors of `shapes` on a device of `profile`.
    ///
    /// # Errors
    /// What [`Loss::problem`] refuses, and what [`Plan::of`] does.
    pub fn new(
        loss: &(impl Loss + ?Sized),
        shapes: &Shapes<'_>,
        outputs: Outputs,
        profile: &Profile,
    ) -> Result<Self, Error> {
        Self::of(loss.problem(shapes, outputs)?, profile)
    }

    /// Plans a problem.
    ///
    /// # Errors
    /// [`Error::Limit`] where a device's limits allow no plan, and what [`Profile::check`] and
    /// [`Tuning::check`](super::Tuning::check) refuse.
    pub fn of(problem: Problem, profile: &Profile) -> Result<Self, Error> {
        profile.check()?;
        profile.tuning.check()?;
        let pieces = cut(&problem, profile)?;
        let profile = profile.clone();
        let steps = Vec::new();
        let (partials, state_words, fixed_part, splits) = (0, 0, None, false);
        let mut plan =
            Self { problem, pieces, steps, partials, state_words, fixed_part, splits, profile };
        plan.fit_workgroups()?;
        plan.lay_out()?;
        plan.check_workspace()?;
        plan.check_bindings()?;
        log::debug!("{:?} over {:?}:\n{plan}", plan.problem.function, plan.problem.view);
        Ok(plan)
    }
}
