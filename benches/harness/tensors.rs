//! The measured tensors, on the device.

use wgpu_loss::{
    Bound, Buffers, CrossEntropy, ElementType, Error, Gpu, Kernels, Outputs, Plan, Profile,
    reference, wgpu,
};

use wgpu_loss_cli::bench::case::Case;

/// Bytes that are written at a time.
const UPLOAD: usize = 64 << 20;

/// Cross-entropy's tensors of one shape on a device, with room for the gradient.
pub struct Tensors {
    pub case: Case,
    /// The mean loss.
    wanted: f64,
    logits: wgpu::Buffer,
    labels: wgpu::Buffer,
    grad: wgpu::Buffer,
}

impl Tensors {
    /// Makes tensors that are the same on every run.
    pub fn new(gpu: &Gpu, shape: &[usize], element_type: ElementType) -> Result<Self, Error> {
        let case = Case::new(shape, element_type).expect("memory for the tensors");
        let wanted = reference::run(&CrossEntropy::new(), &case.inputs(), Outputs::loss())?.loss[0];
        let room = case.logits.floats().bytes().len();
        let logits = filled(gpu, case.logits.floats().bytes());
        let labels = filled(gpu, bytemuck::cast_slice(&case.labels));
        Ok(Self { case, wanted, logits, labels, grad: storage(gpu, room) })
    }

    /// Binds the loss as a device of that profile would compute it, with these kernels.
    pub fn bound(
        &self,
        kernels: &Kernels,
        profile: &Profile,
        outputs: Outputs,
    ) -> Result<Bound, Error> {
        let plan = self.plan(profile, outputs)?;
        let buffers = Buffers::new(self.logits.as_entire_buffer_binding())
            .target(self.labels.as_entire_buffer_binding());
        match outputs.grad {
            true => Bound::new(kernels, plan, &buffers.grad(self.grad.as_entire_buffer_binding())),
            false => Bound::new(kernels, plan, &buffers),
        }
    }

    pub fn plan(&self, profile: &Profile, outputs: Outputs) -> Result<Plan, Error> {
        Plan::new(&CrossEntropy::new(), &self.case.inputs().shapes(), outputs, profile)
    }

    /// Panics if a loss is wrong.
    pub fn check(&self, gpu: &Gpu, bound: &Bound) -> Result<(), Error> {
        let reader = bound.reader()?;
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        bound.encode(&mut encoder);
        reader.record(&mut encoder);
        gpu.queue().submit([encoder.finish()]);
        let got = f64::from(reader.wait()?.loss);
        let off = (got - self.wanted).abs() / self.wanted;
        assert!(off < 2e-6, "a loss of {got} for {}", self.wanted);
        Ok(())
    }
}

fn storage(gpu: &Gpu, bytes: usize) -> wgpu::Buffer {
    gpu.device().create_buffer(&wgpu::BufferDescriptor {
        label: Some("stages"),
        size: (bytes as u64).next_multiple_of(16),
        usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    })
}

fn filled(gpu: &Gpu, bytes: &[u8]) -> wgpu::Buffer {
    let buffer = storage(gpu, bytes.len());
    for (number, part) in bytes.chunks(UPLOAD).enumerate() {
        gpu.queue().write_buffer(&buffer, (number * UPLOAD) as u64, part);
        gpu.queue().submit([]);
        // The staging memory of all parts at once would be as large as the tensor.
        gpu.device().poll(wgpu::PollType::wait_indefinitely()).expect("a device at work");
    }
    buffer
}
