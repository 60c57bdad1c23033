//! The host's cost of embedding: the time and the memory of planning, binding, recording and submitting, compared with
//! as many bare wgpu calls; and a test that a thousand steps allocate nothing on the device.
//!
//! `cargo bench --bench record` measures the best adapter; `WGPU_LOSS_ADAPTER=llvmpipe` picks one, `-- --json`
//! answers programs.

use std::alloc::{GlobalAlloc, Layout, System};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use wgpu_loss::loss::Shapes;
use wgpu_loss::{
    BceWithLogits, Bound, Buffers, CrossEntropy, ElementType, Gpu, LabelType, Loss, Outputs, Plan,
    TargetType, wgpu,
};

mod harness;

use harness::{adapter, answer, gpu, say, seconds};

/// Measurements of each: the result is the median.
const SAMPLES: usize = 101;
/// Steps that must not allocate.
const STEPS: usize = 1000;

/// The system's allocator, with a count of its allocations.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps what `alloc` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: it was allocated above, by the system's allocator.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: it was allocated above, by the system's allocator.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// The host's cost of an action.
#[derive(Debug)]
struct Cost {
    times: Vec<Duration>,
    allocations: u64,
}

impl Cost {
    fn json(&self) -> Value {
        json!({ "seconds": seconds(&self.times), "allocations": self.allocations })
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>10.2?} {:>5}", harness::median(&self.times), self.allocations)
    }
}

/// The medians of work on what `before` makes. What the work returns is dropped after the clock has stopped.
fn cost<S, R>(mut before: impl FnMut() -> S, mut work: impl FnMut(S) -> R) -> Cost {
    let (mut times, mut counts) = (Vec::new(), Vec::new());
    for _ in 0..SAMPLES {
        let prepared = before();
        let allocations = ALLOCATIONS.load(Ordering::Relaxed);
        let start = Instant::now();
        let made = work(prepared);
        times.push(start.elapsed());
        counts.push(ALLOCATIONS.load(Ordering::Relaxed) - allocations);
        drop(made);
    }
    counts.sort();
    Cost { times, allocations: counts[SAMPLES / 2] }
}

/// Runs the bench.
pub fn main() {
    let gpu = gpu();
    say(format!("{} ({:?}), medians of {SAMPLES}", gpu.info().name, gpu.info().backend));
    let labels = TargetType::Labels(LabelType::I64);
    let values = TargetType::Values(ElementType::F32);
    let (cross_entropy, bce) = (CrossEntropy::new(), BceWithLogits::new());
    let results = [
        measure(&gpu, "cross-entropy", &cross_entropy, &[2048, 32_000], (labels, &[2048])),
        measure(&gpu, "bce_with_logits", &bce, &[4096, 4096], (values, &[4096, 4096])),
    ];
    let steady = [
        steady(&gpu, "cross-entropy", &cross_entropy, &[256, 1000], (labels, &[256])),
        steady(&gpu, "bce_with_logits", &bce, &[256, 1000], (values, &[256, 1000])),
    ];
    answer("record", adapter(gpu.info()), json!({ "results": results, "steady": steady }));
}

/// A loss with its gradient in place, bound to zeros.
struct Embedded {
    plan: Arc<Plan>,
    input: wgpu::Buffer,
    target: wgpu::Buffer,
}

impl Embedded {
    fn new(gpu: &Gpu, loss: &dyn Loss, shape: &[usize], target: (TargetType, &[usize])) -> Self {
        let buffer = |elements: usize, bytes: u64| {
            gpu.device().create_buffer(&wgpu::BufferDescriptor {
                label: Some("bench"),
                size: elements as u64 * bytes,
                usage: wgpu::BufferUsages::STORAGE,
                mapped_at_creation: false,
            })
        };
        Self {
            plan: Arc::new(plan(gpu, loss, shape, target)),
            input: buffer(shape.iter().product(), 4),
            target: buffer(target.1.iter().product(), 8),
        }
    }

    fn buffers(&self) -> Buffers<'_> {
        Buffers::new(self.input.as_entire_buffer_binding())
            .target(self.target.as_entire_buffer_binding())
            .grad_in_place()
    }

    fn bound(&self, gpu: &Gpu) -> Bound {
        Bound::new(gpu.kernels(), self.plan.clone(), &self.buffers()).expect("bound buffers")
    }
}

fn plan(gpu: &Gpu, loss: &dyn Loss, shape: &[usize], target: (TargetType, &[usize])) -> Plan {
    let shapes = Shapes::new(shape).target(target.0, target.1);
    Plan::new(loss, &shapes, Outputs::loss().with_grad(), gpu.kernels().profile()).expect("a plan")
}

fn measure(
    gpu: &Gpu,
    name: &str,
    loss: &dyn Loss,
    shape: &[usize],
    target: (TargetType, &[usize]),
) -> Value {
    let embedded = Embedded::new(gpu, loss, shape, target);
    let bound = embedded.bound(gpu);
    let dispatches = bound.plan().dispatches();
    let bare = Bare::new(gpu, dispatches, bound.label());
    say(format!("\n{shape:?} {name} with gradient: {dispatches} dispatches"));
    let mut steps = Vec::new();
    let mut tell = |what: &str, ours: Cost, bare: Option<Cost>| {
        let of_bare = bare.as_ref().map_or(String::new(), ToString::to_string);
        say(format!("  {what:<20} {ours} {of_bare}"));
        let bare = bare.as_ref().map(Cost::json);
        steps.push(json!({ "what": what, "ours": ours.json(), "bare": bare }));
    };
    say(format!("  {:<20} {:>16}  {:>16}", "", "allocations", "bare wgpu"));

    tell("plan", cost(|| (), |()| plan(gpu, loss, shape, target)), None);
    tell("bind", cost(|| (), |()| embedded.bound(gpu)), None);
    let rebind = |()| bound.rebind(&embedded.buffers()).expect("bound buffers");
    tell("rebind", cost(|| (), rebind), None);

    let ours = |pass: &mut wgpu::ComputePass<'_>| bound.record(pass);
    let as_bare = |pass: &mut wgpu::ComputePass<'_>| bare.record(pass);
    let (alone, alone_bare) = (recorded(gpu, ours), recorded(gpu, as_bare));
    assert_eq!(alone.allocations, alone_bare.allocations, "recording allocates by itself");
    tell("record", alone, Some(alone_bare));
    tell("encoder to commands", encoded(gpu, ours), Some(encoded(gpu, as_bare)));
    tell("submit", submitted(gpu, ours), Some(submitted(gpu, as_bare)));
    json!({ "loss": name, "shape": shape, "dispatches": dispatches, "steps": steps })
}

/// Measures the calls of a recording alone.
fn recorded(gpu: &Gpu, record: impl Fn(&mut wgpu::ComputePass<'_>)) -> Cost {
    let pass = || {
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        let pass = encoder.begin_compute_pass(&Default::default()).forget_lifetime();
        (pass, encoder)
    };
    let work = |(mut pass, encoder): (wgpu::ComputePass<'static>, _)| {
        record(&mut pass);
        (pass, encoder)
    };
    cost(pass, work)
}

/// Measures from a new encoder to its commands.
fn commands(gpu: &Gpu, record: impl Fn(&mut wgpu::ComputePass<'_>)) -> wgpu::CommandBuffer {
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    record(&mut encoder.begin_compute_pass(&Default::default()));
    encoder.finish()
}

fn encoded(gpu: &Gpu, record: impl Fn(&mut wgpu::ComputePass<'_>)) -> Cost {
    cost(|| (), |()| commands(gpu, &record))
}

fn submitted(gpu: &Gpu, record: impl Fn(&mut wgpu::ComputePass<'_>)) -> Cost {
    let before = || {
        gpu.device().poll(wgpu::PollType::wait_indefinitely()).expect("a device at work");
        commands(gpu, &record)
    };
    cost(before, |commands| gpu.queue().submit([commands]))
}

/// The same number of dispatches of kernels that do next to nothing, each with its own pipeline and bind group.
struct Bare {
    dispatches: Vec<(wgpu::ComputePipeline, wgpu::BindGroup)>,
    label: String,
}

impl Bare {
    fn new(gpu: &Gpu, dispatches: usize, label: &str) -> Self {
        let device = gpu.device();
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: None,
            source: wgpu::ShaderSource::Wgsl(
                "@group(0) @binding(0) var<storage, read_write> a: array<u32>;
                 @group(0) @binding(1) var<storage, read_write> b: array<u32>;
                 @group(0) @binding(2) var<storage, read_write> c: array<u32>;
                 @group(0) @binding(3) var<storage, read_write> d: array<u32>;
                 @compute @workgroup_size(1) fn main() { a[0] = b[0] + c[0] + d[0]; }"
                    .into(),
            ),
        });
        let buffers = [(); 4].map(|()| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: None,
                size: 256,
                usage: wgpu::BufferUsages::STORAGE,
                mapped_at_creation: false,
            })
        });
        let mut entries = Vec::new();
        for (binding, buffer) in (0..).zip(&buffers) {
            let resource = buffer.as_entire_binding();
            entries.push(wgpu::BindGroupEntry { binding, resource });
        }
        let dispatch = |_| {
            let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: None,
                layout: None,
                module: &module,
                entry_point: Some("main"),
                compilation_options: Default::default(),
                cache: None,
            });
            let bind_group = device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: None,
                layout: &pipeline.get_bind_group_layout(0),
                entries: &entries,
            });
            (pipeline, bind_group)
        };
        Self { dispatches: (0..dispatches).map(dispatch).collect(), label: label.into() }
    }

    fn record(&self, pass: &mut wgpu::ComputePass<'_>) {
        pass.push_debug_group(&self.label);
        for (pipeline, bind_group) in &self.dispatches {
            pass.set_pipeline(pipeline);
            pass.set_bind_group(0, bind_group, &[]);
            pass.dispatch_workgroups(1, 1, 1);
        }
        pass.pop_debug_group();
    }
}

/// Runs steps that are recorded, submitted and waited for; `tests/embedding/no_allocation.rs` also checks while they
/// are in flight.
fn steady(
    gpu: &Gpu,
    name: &str,
    loss: &dyn Loss,
    shape: &[usize],
    target: (TargetType, &[usize]),
) -> Value {
    let embedded = Embedded::new(gpu, loss, shape, target);
    let bound = embedded.bound(gpu);
    let reader = bound.reader().expect("a reader");
    let step = || {
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        bound.encode(&mut encoder);
        reader.record(&mut encoder);
        gpu.queue().submit([encoder.finish()]);
        assert!(reader.wait().expect("a result").loss.is_finite());
    };
    let allocated = || {
        let report = gpu.device().generate_allocator_report().expect("an allocator's report");
        (report.total_allocated_bytes, report.allocations.len())
    };
    (0..20).for_each(|_| step());
    let before = allocated();
    let allocations = ALLOCATIONS.load(Ordering::Relaxed);
    let start = Instant::now();
    (0..STEPS).for_each(|_| step());
    let (time, count) = (start.elapsed(), ALLOCATIONS.load(Ordering::Relaxed) - allocations);
    assert_eq!(allocated(), before, "the device's allocations");
    let (time, count) = (time / STEPS as u32, count / STEPS as u64);
    say(format!(
        "\n{STEPS} steps of {shape:?} {name} with gradient and a loss read: {time:.2?} and {count} allocations on \
         the host each, none on the device"
    ));
    json!({
        "loss": name,
        "shape": shape,
        "steps": STEPS,
        "seconds": time.as_secs_f64(),
        "allocations": count,
    })
}
