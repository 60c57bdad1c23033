//! A step that is recorded again and again takes no further memory of the device, not even for a moment.

use support::alone::is_alone;
use support::embedded::buffer;
use support::gpus::{TestGpu, gpus, knows_allocations};
use wgpu_loss::loss::Shapes;
use wgpu_loss::{
    BceWithLogits, Bound, Buffers, CrossEntropy, ElementType, LabelType, Loss, Outputs, Plan,
    Reader, TargetType,
};

const STEPS: usize = 1000;
/// Steps before the first count: wgpu makes command buffers, and clears memory that was never written.
const WARM_UP: usize = 20;
const FRAMES: usize = 3;
const SHAPE: [usize; 2] = [24, 40];

/// Every allocation of the device's memory, by name and size.
fn allocations(gpu: &TestGpu) -> Vec<(String, u64)> {
    let report = gpu.device().generate_allocator_report().expect("an allocator's report");
    let mut all: Vec<_> = report.allocations.into_iter().map(|one| (one.name, one.size)).collect();
    all.sort();
    all
}

#[test]
fn no_allocations_in_a_thousand_steps() {
    if !knows_allocations(&gpus()[0]) {
        return;
    }
    // Other tests allocate on the devices that they share.
    if !is_alone(module_path!(), "no_allocations_in_a_thousand_steps", &[]) {
        return;
    }
    let outputs = Outputs::loss().with_grad();
    let labels = (TargetType::Labels(LabelType::U32), &SHAPE[..1]);
    let values = (TargetType::Values(ElementType::F32), &SHAPE[..]);
    let losses: [(&dyn Loss, _); 2] =
        [(&CrossEntropy::new(), labels), (&BceWithLogits::new(), values)];
    for gpu in gpus() {
        for (loss, (target, target_shape)) in losses {
            let shapes = Shapes::new(&SHAPE).target(target, target_shape);
            let plan = Plan::new(loss, &shapes, outputs, gpu.kernels().profile()).unwrap();
            let ring = Ring::new(gpu, plan);
            (0..WARM_UP).for_each(|step| ring.step(gpu, step, || ()));
            let before = allocations(gpu);
            for step in 0..STEPS {
                // What the step takes it holds now: it is recorded and submitted, and not waited for.
                let check = || assert_eq!(allocations(gpu), before, "step {step}, {}", gpu.name);
                ring.step(gpu, step, || {
                    if step % 20 == 0 {
                        check()
                    }
                });
            }
            assert_eq!(allocations(gpu), before, "{}", gpu.name);
            // The smallest buffer would have been noticed.
            let small = buffer(gpu, &[0; 4]);
            assert_ne!(allocations(gpu), before, "{}", gpu.name);
            drop(small);
        }
    }
}

/// Frames in flight.
struct Ring(Vec<(Bound, Reader)>);

impl Ring {
    fn new(gpu: &TestGpu, plan: Plan) -> Self {
        let zeros = || buffer(gpu, &[0; SHAPE[0] * SHAPE[1]]);
        let (input, target) = (zeros(), zeros());
        let bind = |grad: &wgpu::Buffer, first: Option<&Bound>| {
            let buffers = Buffers::new(input.as_entire_buffer_binding())
                .target(target.as_entire_buffer_binding())
                .grad(grad.as_entire_buffer_binding());
            match first {
                None => Bound::new(gpu.kernels(), plan.clone(), &buffers).unwrap(),
                Some(first) => first.rebind(&buffers).unwrap(),
            }
        };
        let first = bind(&zeros(), None);
        let frame = |_| {
            let bound = bind(&zeros(), Some(&first));
            let reader = bound.reader().unwrap();
            (bound, reader)
        };
        Self((0..FRAMES).map(frame).collect())
    }

    /// Submits a step, does something meanwhile, and reads the loss.
    fn step(&self, gpu: &TestGpu, step: usize, meanwhile: impl FnOnce()) {
        let (bound, reader) = &self.0[step % FRAMES];
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        bound.encode(&mut encoder);
        reader.record(&mut encoder);
        gpu.queue().submit([encoder.finish()]);
        meanwhile();
        assert!(reader.wait().unwrap().loss > 0.0);
    }
}
