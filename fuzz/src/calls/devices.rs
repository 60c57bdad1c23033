//! Devices and ways of calling them.

use std::cell::RefCell;

use wgpu_loss::gpu::TuningChoice;
use wgpu_loss::kernels::VectorWidth;
use wgpu_loss::plan::{Lanes, Tuning};
use wgpu_loss::{GpuOptions, Profile};

use crate::draw::Draw;
use support::gpus::TestGpu;

/// Number of calls after which devices are reopened: each keeps all kernels that it has compiled.
const CALLS: usize = 400;

/// The way in which a call is made.
#[derive(Debug)]
pub enum Way {
    /// On host data, with so many bytes of memory.
    Host(u64),
    /// Recorded by a host, by a plan for a device of this profile.
    Recorded(Box<Profile>),
}

thread_local! {
    static OPENED: RefCell<(usize, Vec<TestGpu>)> = const { RefCell::new((0, Vec::new())) };
}

/// Returns the number of pipelines that this thread's devices keep.
pub fn pipelines() -> usize {
    OPENED.with_borrow(|(_, gpus)| gpus.iter().map(|gpu| gpu.kernels().compiled()).sum())
}

/// Closes this thread's devices.
pub fn close() {
    OPENED.take();
}

/// Calls `work` with a device and a way of calling.
pub fn with_device<T>(draw: &Draw<'_>, work: impl FnOnce(&TestGpu, Way, &Draw<'_>) -> T) -> T {
    OPENED.with_borrow_mut(|(calls, gpus)| {
        if calls.is_multiple_of(CALLS) {
            *gpus = opened();
        }
        *calls += 1;
        let gpu = &gpus[draw.below(gpus.len())];
        let way = match draw.comes(3) {
            true => Way::Host(draw.one_of(&[512 << 20, 4 << 10, 12 << 10, 64 << 10, 512 << 10])),
            false => Way::Recorded(Box::new(lesser(gpu.kernels().profile(), draw))),
        };
        work(gpu, way, draw)
    })
}

/// The devices that the tests have, and one that hides its memory from the host.
fn opened() -> Vec<TestGpu> {
    let all = GpuOptions::new().tuning(TuningChoice::Table);
    let flat = all.clone().without_subgroups();
    let portable = flat.clone().default_limits().without_probe();
    let own = all.clone().own_memory();
    [("all", all), ("no subgroups", flat), ("default limits", portable), ("own memory", own)]
        .into_iter()
        .map(|(what, options)| TestGpu::open(what, options))
        .collect()
}

/// Draws a device that this one can stand in for: of lower limits, smaller subgroups and any tuning.
fn lesser(own: &Profile, draw: &Draw<'_>) -> Profile {
    let mut profile = own.clone();
    let limits = &mut profile.limits;
    let lower = |draw: &Draw<'_>, limit: &mut u32, to: &[u32]| {
        if draw.comes(3) {
            *limit = draw.one_of(to).min(*limit);
        }
    };
    lower(draw, &mut limits.max_storage_buffers_per_shader_stage, &[8, 7, 6, 5, 4]);
    lower(draw, &mut limits.max_compute_workgroups_per_dimension, &[16, 3, 2, 1]);
    lower(draw, &mut limits.max_compute_invocations_per_workgroup, &[64, 16, 8, 4, 1]);
    lower(draw, &mut limits.max_compute_workgroup_storage_size, &[16_384, 4096, 1024, 512]);
    if draw.comes(3) {
        let bytes = draw.one_of(&[4096, 1 << 14, 1024, 448, 352, 1 << 16]);
        limits.max_storage_buffer_binding_size = bytes.min(limits.max_storage_buffer_binding_size);
    }
    if let (Some(own), true) = (profile.subgroup_size, draw.comes(3)) {
        profile.subgroup_size = Some(draw.one_of(&[1, 2, 4])).filter(|&size| size < own);
        profile.subgroups_alike = false;
    }
    profile.int64 &= draw.comes(6);
    profile.f16 &= draw.comes(4);
    if draw.comes(4) {
        profile.tuning = tuning(draw);
    }
    profile
}

/// Draws a tuning that is valid and quickly compiled.
fn tuning(draw: &Draw<'_>) -> Tuning {
    let mut tuning = Tuning::SOFTWARE;
    tuning.workgroup = draw.one_of(&[8, 1, 2, 4, 16, 32, 64, 256]);
    tuning.groups = draw.one_of(&[64, 1, 2, 3, 7, 1024]);
    tuning.fill = draw.one_of(&[32, 1, 2, 5, 512, 4096]);
    tuning.together = draw.comes(4);
    tuning.lanes = match draw.below(3) {
        0 => Lanes::Subgroup,
        1 => Lanes::Keeping { fewest: 1, most: draw.one_of(&[8, 1, 2, 4, 64]) },
        _ => Lanes::Keeping { fewest: draw.one_of(&[2, 4, 8, 16]), most: 64 },
    };
    let words = [32, 1, 2, 4, 7, 8, 64, 128];
    tuning.resident_row = draw.one_of(&words);
    tuning.resident_read = draw.one_of(&words);
    tuning.resident_lanes = draw.one_of(&[8, 1, 16, 64]);
    tuning.resident_columns = draw.one_of(&words);
    tuning.resident_short = draw.one_of(&words);
    // Not drawn: a further draw would change what the seeds mean.
    tuning.staged_short = if tuning.together { 18 << 10 } else { 0 };
    tuning.lone_lanes = tuning.resident_lanes;
    tuning.rounds_f16 = tuning.together;
    tuning.part_loads = draw.one_of(&[512, 1, 2, 4, 16]);
    tuning.branches = draw.comes(4);
    tuning.load = draw.one_of(&[VectorWidth::Eight, VectorWidth::One, VectorWidth::Four]);
    tuning
}
