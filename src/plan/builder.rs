//! A plan under construction.

use super::dispatch::Dispatch;
use super::kernels::{class_sums, lone, zero_fill};
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
        let fewest = loop_limits::fewest_groups(work, &dispatch, piece)?;
        let blocks = work.blocks(&dispatch.spec, piece, dispatch.parts);
        dispatch.groups = Geometry::groups(&work.profile, blocks, fewest, dispatch.groups);
        let groups = dispatch.groups;
        dispatch.spec.group_classes = class_sums::of_group(work, &dispatch, piece);
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
        let pieces = self.work.row_pieces();
        let groups = self.most_groups(pieces.len());
        pieces.into_iter().try_fold(0, |partials, piece| {
            self.add_with_partials(Dispatch { groups, partials, ..Dispatch::over(spec, piece) })
        })
    }

    /// Adds a dispatch that sums `partials`, unless one group has done all of the work: then it leaves what the sum
    /// would.
    pub fn over_partials(&mut self, spec: Spec, partials: u32) -> Result<(), Error> {
        if partials == 1 {
            let work = &self.work;
            let last = self.dispatches.iter_mut().rev().find(|one| one.spec.leaves_partials());
            let lone = last.and_then(|last| Some((lone::summing(work, last.spec, &spec)?, last)));
            if let Some((lone, last)) = lone {
                last.spec = lone;
                return Ok(());
            }
        }
        let spec = lone::laid_out(&self.work, spec, partials);
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
        // All shards of classes have the same groups, so that their sums have the same bits.
        let elements = problem.view.rows() as u64;
        let elements = elements.saturating_mul(problem.all_classes());
        let partials = (1024 + elements / 6000).min(most) as usize;
        (partials / dispatches.max(1)).clamp(1, u32::MAX as usize) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::{Kernel, Phase};
    use crate::loss::Shapes;
    use crate::{
        BceWithLogits, CrossEntropy, ElementType, LabelType, Loss, Nll, Outputs, Profile,
        TargetType,
    };

    const VALUES: TargetType = TargetType::Values(ElementType::F32);
    const LABELS: TargetType = TargetType::Labels(LabelType::I64);

    fn profiles() -> Vec<Profile> {
        use wgpu::DeviceType::{Cpu, DiscreteGpu, IntegratedGpu};
        let profile = |kind| Profile::portable().with_device_type(kind);
        [DiscreteGpu, IntegratedGpu, Cpu].map(profile).to_vec()
    }

    /// Returns plans of losses of rows and of elements, which all sum partials.
    fn plans(shape: &[usize], profile: &Profile) -> Vec<Plan> {
        let rows = [&shape[..1], &shape[2..]].concat();
        let labels = Shapes::new(shape).target(LABELS, &rows);
        let values = Shapes::new(shape).target(VALUES, shape);
        let cases: [(&dyn Loss, Shapes<'_>); 3] = [
            (&CrossEntropy::new(), labels),
            (&Nll::new(), labels),
            (&BceWithLogits::new(), values),
        ];
        let outputs = Outputs::loss().with_grad();
        cases.map(|(loss, shapes)| Plan::new(loss, &shapes, outputs, profile).unwrap()).to_vec()
    }

    #[test]
    fn much_work_has_as_many_groups_as_keep_the_device_busy() {
        for profile in profiles() {
            for plan in plans(&[1 << 20, 10], &profile) {
                let tuning = profile.tuning;
                let adds_partials = |one: &&Dispatch| one.spec.kernel != Kernel::ReducePartials;
                for dispatch in plan.all_dispatches().iter().filter(adds_partials) {
                    // The few elements that fill no load have a dispatch of their own.
                    if dispatch.spec.pointwise.is_none_or(|pointwise| !pointwise.tail) {
                        let groups = tuning.fill..=tuning.groups;
                        assert!(groups.contains(&dispatch.groups), "{tuning:?}: {plan}");
                    }
                }
            }
        }
    }

    /// Each group leaves a partial of 64 bytes, and one group sums all of them.
    #[test]
    fn partials_stay_few_over_many_pieces() {
        let mut merges = 0;
        for mut profile in profiles() {
            profile.limits.max_storage_buffer_binding_size = 8 << 10;
            for shape in [&[40_000, 3][..], &[1, 50, 40_000]] {
                for plan in plans(shape, &profile) {
                    // Each piece has a group at least, and elements that fill no load another.
                    let pieces = plan.pieces().len();
                    let most = 1024 + shape.iter().product::<usize>() / 6000 + 2 * pieces;
                    let reduces = |one: &&Dispatch| one.spec.kernel == Kernel::ReducePartials;
                    for dispatch in plan.all_dispatches().iter().filter(reduces) {
                        assert!(dispatch.partials as usize <= most, "more than {most}: {plan}");
                    }
                    merges += plan.specs().filter(|spec| spec.phase == Phase::Merge).count();
                }
            }
        }
        assert!(merges > 0, "no rows are cut");
    }
}
