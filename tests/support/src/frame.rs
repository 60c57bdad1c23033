//! One step of a host: logits, labels and a gradient in buffers of its device, and the mean cross-entropy over them.

use wgpu_loss::{
    Bound, Buffers, CrossEntropy, Decoded, Error, Kernels, Outputs, Plan, Profile, Reader,
};

use super::answer::bits;
use super::data::{Data, Target};
use super::embedded::buffer_of;
use super::labels::OwnedLabels;

/// The tensors of one step.
pub struct Frame {
    pub data: Data,
    pub input: wgpu::Buffer,
    pub target: wgpu::Buffer,
    pub grad: wgpu::Buffer,
}

impl Frame {
    /// Random logits and i64 labels on a device, the logits turned around by `turn` elements.
    pub fn new(
        device: &wgpu::Device,
        queue: &wgpu::Queue,
        [rows, classes]: [usize; 2],
        turn: usize,
    ) -> Self {
        let mut data = Data::random(&[rows, classes], 1);
        data.input.rotate_left(turn);
        let Target::Labels(OwnedLabels::I64(labels)) = &data.target else { panic!("i64 labels") };
        let buffer = |words: &[u32]| buffer_of(device, queue, words);
        Self {
            input: buffer(&bits(&data.input)),
            target: buffer(bytemuck::cast_slice(labels)),
            grad: buffer(&vec![0; rows * classes]),
            data,
        }
    }

    pub fn outputs() -> Outputs {
        Outputs::loss().with_grad()
    }

    pub fn buffers(&self) -> Buffers<'_> {
        Buffers::new(self.input.as_entire_buffer_binding())
            .target(self.target.as_entire_buffer_binding())
            .grad(self.grad.as_entire_buffer_binding())
    }

    pub fn plan(&self, profile: &Profile) -> Plan {
        self.data.plan(&CrossEntropy::new(), Self::outputs(), profile)
    }

    pub fn bound(&self, kernels: &Kernels) -> Result<Bound, Error> {
        Bound::new(kernels, self.plan(kernels.profile()), &self.buffers())
    }

    /// Asserts that a result is this step's.
    #[track_caller]
    pub fn check(&self, what: &str, decoded: Decoded) {
        let truth = self.data.truth(&CrossEntropy::new(), Outputs::loss());
        let off = (f64::from(decoded.loss) / truth.loss[0] - 1.0).abs();
        assert!(off < 1e-6, "{what}: {} is not {}", decoded.loss, truth.loss[0]);
        let rows = self.data.view.rows() as u64;
        assert_eq!((decoded.summary.rows, decoded.summary.live), (rows, rows), "{what}");
    }
}

/// Records work and the copy of its result, and submits both.
pub fn submit_frame(
    device: &wgpu::Device,
    queue: &wgpu::Queue,
    bound: &Bound,
    reader: Option<&Reader>,
) -> wgpu::SubmissionIndex {
    let mut encoder = device.create_command_encoder(&Default::default());
    bound.encode(&mut encoder);
    if let Some(reader) = reader {
        reader.record(&mut encoder);
    }
    queue.submit([encoder.finish()])
}
