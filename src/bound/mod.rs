//! A plan joined to buffers: bind groups and parameters made once, recorded any number of times.

mod binder;
mod buffers;

pub use buffers::Buffers;

use std::sync::Arc;

use self::binder::{Binder, write_params};
use crate::kernels::{Kernels, Pipeline};
use crate::plan::Plan;
use crate::scope::{allocating, scoped};
use crate::{BadValue, Error, Reduction, Summary};

/// Bytes of the buffer behind [`Bound::result`].
pub const RESULT_BYTES: u64 = 64;

/// What is in [`Bound::result`].
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Decoded {
    /// The reduced loss.
    pub loss: f32,
    /// The reduced z-loss; 0 where there is none.
    pub z_loss: f32,
    /// What was seen in the rows.
    pub summary: Summary,
}

/// A plan bound to buffers, ready to be recorded any number of times.
///
/// Binding allocates the workspace, the parameters and the result (some KiB); recording allocates
/// nothing and writes nothing. The buffers are kept alive by the bind groups.
#[derive(Debug)]
pub struct Bound {
    plan: Plan,
    dispatches: Vec<Dispatch>,
    result: wgpu::Buffer,
}

#[derive(Debug)]
struct Dispatch {
    pipeline: Arc<Pipeline>,
    bind_group: wgpu::BindGroup,
    groups: u32,
}

impl Bound {
    /// Binds a plan to buffers. Compiles the kernels the plan needs, where they are not cached.
    ///
    /// # Errors
    /// [`Error::Binding`] for a missing or superfluous buffer, [`Error::Range`], [`Error::Usage`]
    /// and [`Error::Overlap`] for ranges that do not fit, [`Error::Limit`] for
    /// more than 2^32 - 2 rows, [`Error::Device`] for what only wgpu knows (a buffer of another device,
    /// memory).
    ///
    /// # Panics
    /// wgpu itself may panic on a buffer of another [`wgpu::Instance`], which nobody can tell from
    /// outside: it finds buffers by their number within an instance.
    pub fn new(kernels: &Kernels, plan: Plan, buffers: &Buffers<'_>) -> Result<Self, Error> {
        plan.check_rows()?;
        buffers.check(&plan)?;
        let binder = Binder { kernels, plan: &plan, buffers, device: kernels.device() };
        let bytes = plan.workspace_bytes();
        let scratch = allocating(kernels.device(), "the workspace", bytes, || binder.scratch())?;
        let mut dispatches = Vec::with_capacity(plan.steps().len());
        let mut blocks = Vec::new();
        for (index, step) in plan.steps().iter().enumerate() {
            let (dispatch, params) = binder.bind(step, index as u64, &scratch)?;
            dispatches.push(dispatch);
            blocks.push(params);
        }
        scoped(kernels.device(), "writing the parameters", || {
            write_params(&scratch.params, scratch.stride, &blocks);
        })?;
        Ok(Self { dispatches, result: scratch.result, plan })
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Records the work into a compute pass. Nothing is submitted, polled or read back.
    pub fn record(&self, pass: &mut wgpu::ComputePass<'_>) {
        (0..self.dispatches.len()).for_each(|step| self.record_step(step, pass));
    }

    /// Records one step of the plan.
    pub(crate) fn record_step(&self, step: usize, pass: &mut wgpu::ComputePass<'_>) {
        let dispatch = &self.dispatches[step];
        pass.set_pipeline(&dispatch.pipeline.pipeline);
        pass.set_bind_group(0, &dispatch.bind_group, &[]);
        pass.dispatch_workgroups(dispatch.groups, 1, 1);
    }

    /// The result on the GPU, [`RESULT_BYTES`] long, usages `STORAGE | COPY_SRC`: word 0 is the
    /// reduced loss (f32), word 1 the weight sum (f32), word 10 the reduced z-loss (f32), the rest what
    /// [`Bound::decode`] reads.
    pub fn result(&self) -> &wgpu::Buffer {
        &self.result
    }

    /// Reads the bytes of [`Bound::result`].
    ///
    /// # Errors
    /// [`Error::Length`] for other than [`RESULT_BYTES`] bytes.
    pub fn decode(&self, bytes: &[u8]) -> Result<Decoded, Error> {
        let wanted = RESULT_BYTES as usize;
        if bytes.len() != wanted {
            let shape = vec![wanted];
            return Err(Error::Length { what: "result", given: bytes.len(), wanted, shape });
        }
        let words: Vec<u32> = bytemuck::pod_collect_to_vec(bytes);
        let problem = self.plan.problem();
        let bits = u64::from(words[7]) << 32 | u64::from(words[6]);
        let signed = problem.label_type().is_some_and(|label| label.signed());
        let value = if signed { i128::from(bits as i64) } else { i128::from(bits) };
        let labels = problem.pointwise.is_none();
        let summary = Summary {
            rows: problem.losses() as u64,
            live: words[2].into(),
            weight: f32::from_bits(words[1]).into(),
            bad: words[4].into(),
            first_bad: (words[4] > 0 && labels).then_some((words[5].into(), value)),
            first_bad_value: (words[4] > 0 && !labels).then_some(BadValue {
                position: words[5].into(),
                what: refused_operand(words[7]),
                value: f32::from_bits(words[6]),
            }),
            nonfinite: words[8].into(),
            first_nonfinite: (words[8] > 0).then_some(words[9].into()),
            correct: words[11].into(),
            top_k: words[12].into(),
        };
        let [loss, z_loss] = [words[0], words[10]].map(f32::from_bits);
        Ok(Decoded { loss, z_loss, summary })
    }

    /// Whether the loss is in [`Bound::result`], not in a buffer of its own.
    pub fn is_reduced(&self) -> bool {
        self.plan.problem().reduction != Reduction::None
    }
}

/// The operand of that number in `formulas.wgsl`.
fn refused_operand(number: u32) -> &'static str {
    match number {
        1 => "input",
        2 => "target",
        _ => "var",
    }
}
