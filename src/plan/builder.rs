//! A plan under construction.

use super::dispatch::Dispatch;
use super::kernels::zero_fill;
use super::loop_limits;
use super::work::Work;
use super::workspace::Workspace;
use super::{Geometry, Plan};
use crate::Error;
use crate::kernels::Spec;

/// Steps in the order in which they run, and the space that they need in the workspace.
pub(super) struct PlanBuilder {
    pub work: Work,
    dispatches: Vec<Dispatch>,
    workspace: Workspace,
}

impl PlanBuilder {
    pub fn new(work: Work) -> Self {
        Self { work, dispatches: Vec::new(), workspace: Workspace::default() }
    }

    /// Returns the plan, if the device has the memory and the bindings for it.
    pub fn build(self) -> Result<Plan, Error> {
        let plan = Plan { work: self.work, dispatches: self.dispatches, workspace: self.workspace };
        plan.check_workspace()?;
        plan.check_bindings()?;
        Ok(plan)
    }

    /// Adds a dispatch over its piece, of `dispatch.groups` groups at most; returns its number of groups.
    pub fn add(&mut self, mut dispatch: Dispatch) -> Result<u32, Error> {
        let Some(piece) = dispatch.piece else { return Ok(0) };
        let work = &self.work;
        let fewest =
            loop_limits::fewest_groups(work, &work.narrowest(&dispatch), piece, dispatch.parts)?;
        let blocks = work.blocks(&dispatch.spec, piece, dispatch.parts);
        dispatch.groups = Geometry::groups(&work.profile, blocks, fewest, dispatch.groups);
        let groups = dispatch.groups;
        self.dispatches.push(dispatch);
        Ok(groups)
    }

    /// Adds a dispatch over its piece, whose groups leave their partials after those of other pieces; returns the
    /// number of partials so far, which kernels count in u32.
    pub fn add_with_partials(&mut self, dispatch: Dispatch) -> Result<u32, Error> {
        let (before, counts) = (dispatch.partials, dispatch.spec.counts());
        let written = self.add(dispatch)?;
        let partials = before.checked_add(written).ok_or(Error::Limit {
            what: "the sum of all groups' partials",
            limit: "range of a u32 index",
            needed: u64::from(before) + u64::from(written),
            allowed: u32::MAX.into(),
        })?;
        if counts {
            self.workspace.reserve_partials(partials);
        }
        Ok(partials)
    }

    /// Adds a dispatch for each piece; returns the number of partials that they write.
    pub fn over_pieces(&mut self, spec: Spec) -> Result<u32, Error> {
        let pieces = self.work.pieces.len();
        let groups = self.most_groups(pieces);
        (0..pieces).try_fold(0, |partials, piece| {
            self.add_with_partials(Dispatch { groups, partials, ..Dispatch::over(spec, piece) })
        })
    }

    /// Adds a dispatch that sums `partials`.
    pub fn over_partials(&mut self, spec: Spec, partials: u32) -> Result<(), Error> {
        loop_limits::check_partials(&self.work, &spec, partials)?;
        self.dispatches.push(Dispatch { spec, piece: None, groups: 1, partials, parts: 1 });
        Ok(())
    }

    /// Adds a dispatch that sets a tensor's elements to zero.
    pub fn clear(&mut self, spec: Spec, elements: u64) -> Result<(), Error> {
        let elements = u32::try_from(elements).unwrap_or(u32::MAX);
        let groups = zero_fill::groups(&self.work, &spec, elements);
        let dispatch = Dispatch { spec, piece: None, groups, partials: elements, parts: 1 };
        loop_limits::check_zero_fill(&self.work, &dispatch)?;
        self.dispatches.push(dispatch);
        Ok(())
    }

    /// Reserves `words` words for the rows that several dispatches work on. Dispatches over other rows come later, so
    /// all rows share the space.
    pub fn reserve_rows(&mut self, words: u64) {
        self.workspace.reserve_rows(words);
    }

    /// Returns the most groups of each of `dispatches` dispatches that leave partials: 64 bytes for each group. Limits
    /// this scratch memory to 11 bytes for each 1,000 logits, and 64 KiB. One group sums all partials.
    pub fn most_groups(&self, dispatches: usize) -> u32 {
        let Work { problem, profile, .. } = &self.work;
        let most = if profile.is_software() { 1 << 17 } else { 1 << 20 };
        let partials = (1024 + problem.view.elements() / 6000).min(most);
        (partials / dispatches.max(1)).clamp(1, u32::MAX as usize) as u32
    }
}
