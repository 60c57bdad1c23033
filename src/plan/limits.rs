//! Checks of plans against a device's limits.

use super::Plan;
use super::kernels::zero_fill;
use super::pieces::largest_binding;
use crate::Error;
use crate::tensor::TensorSlot;

impl Plan {
    /// Returns an error for more rows than one dispatch of `reduce_partials` can number in u32.
    pub(crate) fn check_rows(&self) -> Result<(), Error> {
        let (needed, allowed) = (self.problem().losses() as u64, u64::from(u32::MAX - 1));
        if needed > allowed {
            return Err(Error::Limit {
                what: "the number of rows (of elements, for losses of single elements)",
                limit: "range of a u32 row index",
                needed,
                allowed,
            });
        }
        Ok(())
    }

    /// Returns an error for a device that this plan was not made for, and that has less than the plan needs.
    pub(crate) fn check_device(&self, limits: &wgpu::Limits) -> Result<(), Error> {
        let groups = self.dispatches.iter().map(|dispatch| dispatch.groups).max().unwrap_or(0);
        let needs = [
            (
                "a dispatch of this plan",
                "max_compute_workgroups_per_dimension",
                groups.into(),
                limits.max_compute_workgroups_per_dimension.into(),
            ),
            (
                "the workspace",
                "max_storage_buffer_binding_size",
                self.workspace_bytes(),
                limits.max_storage_buffer_binding_size,
            ),
            ("the workspace", "max_buffer_size", self.workspace_bytes(), limits.max_buffer_size),
        ];
        match needs.into_iter().find(|(_, _, needed, allowed): &(_, _, u64, u64)| needed > allowed)
        {
            Some((what, limit, needed, allowed)) => {
                Err(Error::Limit { what, limit, needed, allowed })
            }
            None => Ok(()),
        }
    }

    /// Returns an error for a workspace, or a tensor that is not cut, that no binding holds.
    pub(super) fn check_workspace(&self) -> Result<(), Error> {
        let uncut = |on: bool, slot: TensorSlot| {
            let tensor = self.work.problem.tensor(slot).filter(|_| on);
            (slot.name(), tensor.map_or(0, |tensor| tensor.bytes()))
        };
        let allowed = largest_binding(&self.work.profile);
        let limit = "max_storage_buffer_binding_size";
        let whole = [
            ("the workspace", self.workspace_bytes()),
            uncut(true, TensorSlot::Classes),
            uncut(self.problem().class_shard.is_some(), TensorSlot::Weight),
            uncut(zero_fill::variance_grad(&self.work).is_some(), TensorSlot::VarianceGrad),
        ];
        match whole.into_iter().find(|(_, needed)| *needed > allowed) {
            Some((what, needed)) => Err(Error::Limit { what, limit, needed, allowed }),
            None => Ok(()),
        }
    }

    /// Returns an error for a plan with more storage bindings than the device allows a shader.
    pub(super) fn check_bindings(&self) -> Result<(), Error> {
        let needed = self.specs().map(|spec| spec.storage_bindings()).max().unwrap_or(0);
        let allowed = u64::from(self.work.profile.limits.max_storage_buffers_per_shader_stage);
        if needed > allowed {
            return Err(Error::Limit {
                what: "one kernel of this plan",
                limit: "max_storage_buffers_per_shader_stage",
                needed,
                allowed,
            });
        }
        Ok(())
    }
}
