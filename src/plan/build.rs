//! Makes plans: checks the profile, fits the workgroups, cuts the tensors into pieces, lays out the dispatches.

use super::builder::PlanBuilder;
use super::kernels::softmax;
use super::pieces::{cut, usable_bytes};
use super::sequence;
use super::work::Work;
use super::{Plan, Profile};
use crate::loss::Shapes;
use crate::tensor::TensorSlot;
use crate::{Error, Loss, Outputs, Problem};

impl Plan {
    /// Plans `loss` over tensors of `shapes` on a device of `profile`.
    ///
    /// # Errors
    /// The errors of [`Loss::problem`] and of [`Plan::of`].
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
    /// [`Error::Limit`] if a device's limits allow no plan, and the errors of [`Profile::check`] and
    /// [`Tuning::check`](super::Tuning::check).
    pub fn of(problem: Problem, profile: &Profile) -> Result<Self, Error> {
        profile.check()?;
        profile.tuning.check()?;
        // Workgroups come first: the cuts of rows may depend on the number of lanes that share one.
        let work = fitted(Work::new(problem, profile.clone())?)?;
        let work = with_pieces(work)?;
        let mut builder = PlanBuilder::new(softmax::shared_out(work)?);
        sequence::lay_out(&mut builder)?;
        let plan = builder.build()?;
        log::debug!("{:?} over {:?}:\n{plan}", plan.problem().function, plan.problem().view);
        Ok(plan)
    }
}

/// Returns the work, cut into pieces. The rows of given states have pieces of their own: not those of the logits, which
/// differ from shard to shard.
fn with_pieces(work: Work) -> Result<Work, Error> {
    let Work { problem, profile, .. } = &work;
    let mut pieces = Vec::new();
    if problem.states.is_some() {
        pieces = cut(&problem.of_no_classes(), profile)?;
        check_states(problem, profile, pieces.len())?;
    }
    let of_rows = pieces.len();
    if problem.reads_logits() {
        pieces.extend(cut(problem, profile)?);
    }
    Ok(Work { pieces, of_rows, ..work })
}

/// Returns an error for states of several shards whose rows would be cut: all of them are in one binding.
fn check_states(problem: &Problem, profile: &Profile, pieces: usize) -> Result<(), Error> {
    let Some(states) = problem.tensor(TensorSlot::GivenStates) else { return Ok(()) };
    let fit = pieces <= 1 && states.bytes() <= usable_bytes(profile);
    match problem.states > Some(1) && !fit {
        true => Err(Error::Limit {
            what: "the binding of several shards' states (take fewer rows, or merge those of fewer shards at a time)",
            limit: "max_storage_buffer_binding_size",
            needed: states.bytes(),
            allowed: profile.limits.max_storage_buffer_binding_size,
        }),
        false => Ok(()),
    }
}

/// Halves workgroups until the device has the memory for the heaviest possible kernel.
fn fitted(mut work: Work) -> Result<Work, Error> {
    let allowed = u64::from(work.profile.limits.max_compute_workgroup_storage_size);
    loop {
        let (needed, lanes) = (work.heaviest().workgroup_bytes(), work.flat.workgroup);
        match (needed <= allowed, lanes) {
            (true, _) => return Ok(work),
            (false, 2..) => work = work.with_workgroups(lanes / 2)?,
            (false, _) => {
                return Err(Error::Limit {
                    what: "a workgroup of one lane",
                    limit: "max_compute_workgroup_storage_size",
                    needed,
                    allowed,
                });
            }
        }
    }
}
