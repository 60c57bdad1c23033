//! One dispatch of a plan, ready to be recorded.

use std::sync::Arc;

use crate::device::Pipeline;

pub(super) struct BoundDispatch {
    pub pipeline: Arc<Pipeline>,
    pub bind_group: wgpu::BindGroup,
    pub groups: u32,
}
