//! Little memory: budgets of a few bytes, and an address space that is full.

use support::close::Judged;
use wgpu_loss::{CrossEntropy, Error, Gpu, Inputs, Outputs, Tensor};
use wgpu_loss_fuzz::draw::Draw;

use crate::call::Call;
use crate::devices::Devices;

const ROWS: usize = 1 << 20;
const CLASSES: usize = 32;

/// A call within a small budget, then one in little address space.
pub fn step(devices: &mut Devices, bytes: &[u8]) -> Judged {
    let draw = &Draw::new(bytes);
    let call = Call::small(draw);
    let budget = draw.within(1, 12 << 10);
    let gpu = devices.either(draw);
    let tiny = gpu.with_memory_budget(budget);
    let judged = match call.on(&tiny) {
        Ok(got) => call.compare("in a small budget", &got, &call.truth()),
        Err(Error::Budget { needed, given, .. }) => {
            assert!(given == budget && needed > budget, "{needed} for {budget}");
            call.check("in the budget that it asked for", &tiny.with_memory_budget(needed))
        }
        Err(error) => panic!("in {budget} bytes: {error}"),
    };
    // Elsewhere a device has memory of its own, which cannot be limited from here.
    if cfg!(target_os = "linux") && gpu.info().device_type == wgpu::DeviceType::Cpu {
        full(gpu);
    }
    judged
}

/// Uploads more than there is, and computes the same in pieces.
#[cfg(target_os = "linux")]
fn full(gpu: &Gpu) {
    let zeros = vec![0f32; ROWS * CLASSES];
    let labels = vec![7u8; ROWS];
    let shape = [ROWS, CLASSES];
    let inputs = Inputs::new(Tensor::new(&zeros, &shape)).labels(&labels, &shape[..1]);
    let loss = CrossEntropy::new();
    let run = |what: &str| {
        let output = gpu.run(&loss, &inputs, Outputs::loss());
        let output = output.unwrap_or_else(|error| panic!("{what}: {error}"));
        let off = output.loss[0] - (CLASSES as f32).ln();
        assert!(off.abs() < 1e-5, "{what}: off by {off}");
    };
    // Compiles kernels beforehand: a compiler without memory ends the process.
    run("before");
    {
        let _limit = limit::AddressSpace::more(100 << 20);
        let bound = gpu.bind(&loss, &inputs, Outputs::loss());
        let error = bound.err();
        assert!(matches!(error, Some(Error::OutOfMemory { .. })), "128 MiB in 100: {error:?}");
        run("in pieces");
    }
    let bound = gpu.bind(&loss, &inputs, Outputs::loss());
    assert!(bound.is_ok(), "{:?}", bound.err());
}

#[cfg(not(target_os = "linux"))]
fn full(_: &Gpu) {}

#[cfg(target_os = "linux")]
mod limit {
    //! A limit on this process's address space.

    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    /// The limit that was there before, which a drop sets again.
    pub struct AddressSpace(Rlimit);

    impl AddressSpace {
        /// Limits the address space to `more` bytes on top of what is in use.
        pub fn more(more: u64) -> Self {
            let process = procfs::process::Process::myself().expect("this process");
            let used = process.stat().expect("its size").vsize;
            let before = getrlimit(Resource::As);
            set(Rlimit { current: Some(used + more), maximum: before.maximum });
            Self(before)
        }
    }

    impl Drop for AddressSpace {
        fn drop(&mut self) {
            set(self.0);
        }
    }

    fn set(limit: Rlimit) {
        setrlimit(Resource::As, limit).expect("a limit below the hard one");
    }
}
