//! Profiles of devices that need not exist.

use wgpu_loss::kernels::VectorWidth;
use wgpu_loss::plan::{Lanes, Profile, Tuning};

use crate::draw::Draw;

/// Draws a device of any limits.
pub fn profile(draw: &Draw<'_>) -> Profile {
    let mut profile = Profile::portable().with_device_type(draw.one_of(&[
        wgpu::DeviceType::DiscreteGpu,
        wgpu::DeviceType::Cpu,
        wgpu::DeviceType::IntegratedGpu,
        wgpu::DeviceType::VirtualGpu,
        wgpu::DeviceType::Other,
    ]));
    let limits = &mut profile.limits;
    if draw.comes(4) {
        limits.max_storage_buffers_per_shader_stage = draw.within(0, 20) as u32;
    }
    if draw.comes(5) {
        limits.max_storage_buffer_binding_size = draw.one_of(&[
            1 << 30,
            1 << 12,
            1 << 16,
            1 << 20,
            u64::MAX,
            u32::MAX.into(),
            (1 << 20) + 4,
            288,
            320,
            0,
        ]);
    }
    if draw.comes(3) {
        limits.max_compute_workgroups_per_dimension =
            draw.one_of(&[65_535, 256, 16, 3, 1, 0, u32::MAX]);
    }
    if draw.comes(3) {
        limits.max_compute_invocations_per_workgroup =
            draw.one_of(&[1024, 128, 48, 8, 1, 0, u32::MAX]);
    }
    if draw.comes(2) {
        limits.max_compute_workgroup_size_x = draw.one_of(&[1024, 128, 48, 8, 1, 0, u32::MAX]);
    }
    if draw.comes(4) {
        limits.max_compute_workgroup_storage_size =
            draw.one_of(&[32_768, 49_152, 65_536, 8_192, 1_024, 128, 64, 0, u32::MAX]);
    }
    if draw.comes(3) {
        limits.min_storage_buffer_offset_alignment = draw.one_of(&[32, 16, 64, 4, 1024, 0]);
    }
    profile.subgroup_size = match draw.below(4) {
        0 => None,
        1 => Some(draw.within(0, 200) as u32),
        _ => Some(1 << draw.below(8)),
    };
    profile.subgroups_alike = draw.comes(4);
    (profile.int64, profile.f16) = (draw.comes(4), draw.comes(4));
    if draw.comes(4) {
        profile.tuning = tuning(draw);
    }
    profile
}

/// Draws a tuning that is mostly valid.
fn tuning(draw: &Draw<'_>) -> Tuning {
    let up_to = |draw: &Draw<'_>, most: u64| match draw.within(0, 63) {
        63 => draw.bits() as u32,
        _ => draw.within(1, draw_size(draw, most)) as u32,
    };
    let lanes = |draw: &Draw<'_>| 1 << draw.below(11);
    let mut tuning = Tuning::DISCRETE;
    tuning.workgroup = if draw.within(0, 63) == 63 { draw.bits() as u32 } else { lanes(draw) };
    tuning.groups = up_to(draw, 4096);
    tuning.fill = up_to(draw, 4096);
    tuning.together = draw.comes(4);
    let (one, other): (u32, u32) = (lanes(draw), lanes(draw));
    tuning.lanes = match draw.comes(2) {
        true => Lanes::Subgroup,
        false => Lanes::Keeping { fewest: one.min(other), most: one.max(other) },
    };
    tuning.resident_row = up_to(draw, 512);
    tuning.resident_read = up_to(draw, 512);
    tuning.resident_lanes = lanes(draw);
    tuning.resident_columns = up_to(draw, 512);
    tuning.resident_short = up_to(draw, 512);
    // Not drawn: a further draw would change what the seeds mean.
    tuning.staged_short = if tuning.together { 18 << 10 } else { 0 };
    tuning.lone_lanes = tuning.resident_lanes;
    tuning.rounds_f16 = tuning.together;
    tuning.part_loads = up_to(draw, 1 << 20);
    tuning.branches = draw.comes(4);
    tuning.load = draw.one_of(&[VectorWidth::Four, VectorWidth::One, VectorWidth::Eight]);
    tuning
}

/// The largest of a range of numbers of some size.
fn draw_size(draw: &Draw<'_>, most: u64) -> u64 {
    (most >> draw.below(most.ilog2() as usize + 1)).max(1)
}
