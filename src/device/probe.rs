//! What WGSL leaves to a driver, found out by running a kernel.

use bytemuck::{Pod, Zeroable};
use half::f16;

use crate::Error;
use crate::error_scope::{allocating, scoped};
use crate::plan::Profile;
use crate::poll::{Poller, Wait, map};

const DURING: &str = "probing the driver";
/// Lanes of the probe, in groups of up to 256.
const LANES: u32 = 1024;
/// The exponent of 2^-14 in an f32, the smallest of an f16 with all of its bits.
const SMALLEST_NORMAL: u32 = 127 - 14;

/// The inputs of a lane, as `probe.wgsl` reads them: two f32, two f16 in a word, and a word of padding.
type Given = [u32; 4];

/// What becomes of them; `Answer` in `probe.wgsl`.
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
#[repr(C)]
struct Answer {
    narrowed: u32,
    low: u32,
    high: u32,
    thread: u32,
    subgroup_size: u32,
}

/// Returns the profile of a device after a look at what its driver does: `f16` and `f16_rounds` if conversions are exact,
/// and subgroups only if their lanes are numbered as the kernels assume. If the driver refuses the kernel, nothing is
/// assumed of it.
pub(crate) async fn probed(
    device: &wgpu::Device,
    queue: &wgpu::Queue,
    profile: Profile,
) -> Result<Profile, Error> {
    let workgroup = 256.min(profile.limits.max_compute_invocations_per_workgroup);
    let workgroup = 1 << workgroup.min(profile.limits.max_compute_workgroup_size_x).max(1).ilog2();
    let text = text(workgroup, profile.subgroup_size.is_some());
    match answers(device, queue, &text, workgroup).await {
        Ok(answers) => Ok(found(&device.adapter_info(), profile, &answers, workgroup)),
        Err(error @ Error::Device { .. }) => {
            log::warn!("{error}: f16 are converted in integers, and there are no subgroups");
            Ok(judged(profile, &[], workgroup))
        }
        Err(error) => Err(error),
    }
}

/// Returns the profile of a device that has given these answers.
fn found(
    info: &wgpu::AdapterInfo,
    profile: Profile,
    answers: &[Answer],
    workgroup: u32,
) -> Profile {
    // For any GPU under Metal wgpu names 4 to 64. All GPUs of Apple's own have 32.
    if info.backend == wgpu::Backend::Metal
        && info.name.starts_with("Apple")
        && profile.subgroup_size.is_some()
    {
        let alike = Profile { subgroup_size: Some(32), subgroups_alike: true, ..profile.clone() };
        let judged = judged(alike, answers, workgroup);
        if judged.subgroup_size.is_some() {
            return judged;
        }
    }
    judged(profile, answers, workgroup)
}

/// Returns the kernel's text.
fn text(workgroup: u32, subgroups: bool) -> String {
    let (parameters, thread) = match subgroups {
        true => (
            "@builtin(subgroup_id) subgroup: u32, @builtin(subgroup_size) size: u32, \
             @builtin(subgroup_invocation_id) lane: u32,",
            "subgroup * size + lane, size",
        ),
        false => ("", "index, 1u"),
    };
    format!(
        "{}
@compute @workgroup_size({workgroup})
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
    {parameters}
) {{
    let at = group.x * {workgroup}u + index;
    let words = given[at];
    let wide = bitcast<vec2<u32>>(unpack2x16float(words.z));
    let narrowed = pack2x16float(bitcast<vec2<f32>>(words.xy));
    answers[at] = Answer(narrowed, wide.x, wide.y, {thread});
}}
",
        include_str!("../../shaders/probe.wgsl")
    )
}

/// Returns the inputs of each lane.
fn given() -> Vec<Given> {
    let (reals, halves) = (reals(), halves());
    let lanes = 0..LANES as usize;
    lanes
        .map(|lane| {
            let [low, high] = [halves[2 * lane], halves[2 * lane + 1]].map(u32::from);
            [reals[2 * lane], reals[2 * lane + 1], low | high << 16, 0]
        })
        .collect()
}

/// Returns words of f32 around everything that rounds to an f16: of each exponent from below its smallest number to
/// beyond its largest, fractions at a tie, next to one, and between; and numbers that are far outside.
fn reals() -> Vec<u32> {
    let mut words = vec![0, 1, 0x007f_ffff, f32::MAX.to_bits(), f32::INFINITY.to_bits()];
    for exponent in 127 - 27..=127 + 16 {
        // The fraction's bits that an f16 keeps, and those that it drops. Below 2^-14 it drops one more for each power.
        let powers = (0..10).map(|bit| 1 << bit).chain([0, 0x3ff]).collect();
        let (kept, dropped): (Vec<u32>, &[u32]) = match exponent < SMALLEST_NORMAL {
            true => (powers, &[0, 1]),
            false => (vec![0, 1, 0x155, 0x3ff], &[0, 1, 0xfff, 0x1000, 0x1001]),
        };
        for kept in kept {
            words.extend(dropped.iter().map(|dropped| exponent << 23 | kept << 13 | dropped));
        }
    }
    let negative: Vec<u32> = words.iter().map(|word| word | 1 << 31).collect();
    words.extend(negative);
    debug_assert!(words.len() <= 2 * LANES as usize, "{} words", words.len());
    words.resize(2 * LANES as usize, 0);
    words
}

/// Returns f16 of both signs and of every exponent.
fn halves() -> Vec<u16> {
    let fractions = |high: u16| (0..32).map(move |k| high << 10 | (k * 0x21));
    (0..64).flat_map(fractions).collect()
}

/// Runs the kernel.
async fn answers(
    device: &wgpu::Device,
    queue: &wgpu::Queue,
    text: &str,
    workgroup: u32,
) -> Result<Vec<Answer>, Error> {
    let given = given();
    let bytes = u64::from(LANES) * size_of::<Answer>() as u64;
    let result = allocating(device, DURING, 2 * bytes, || {
        let buffer = |size, usage| {
            let (label, mapped_at_creation) = (Some("wgpu-loss probe"), false);
            device.create_buffer(&wgpu::BufferDescriptor { label, size, usage, mapped_at_creation })
        };
        let source = buffer(
            size_of_val(&given[..]) as u64,
            wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST,
        );
        let answers = buffer(bytes, wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC);
        let result = buffer(bytes, wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST);
        queue.write_buffer(&source, 0, bytemuck::cast_slice(&given));
        let mut encoder = device.create_command_encoder(&Default::default());
        record(device, &mut encoder, text, [&source, &answers], LANES / workgroup);
        encoder.copy_buffer_to_buffer(&answers, 0, &result, 0, bytes);
        queue.submit([encoder.finish()]);
        result
    })?;
    let mapped = scoped(device, DURING, || map(&result, wgpu::MapMode::Read, DURING))?;
    let poller = Poller::default();
    Wait::Elsewhere(&poller).for_answers(device, None, [&mapped], DURING).await?;
    let view = result.slice(..).get_mapped_range();
    let view = view.map_err(|_| Error::Lost { during: DURING })?;
    Ok(bytemuck::pod_collect_to_vec(&view))
}

/// Records the kernel over its buffers.
fn record(
    device: &wgpu::Device,
    encoder: &mut wgpu::CommandEncoder,
    text: &str,
    buffers: [&wgpu::Buffer; 2],
    groups: u32,
) {
    let label = Some("wgpu-loss probe");
    let source = wgpu::ShaderSource::Wgsl(text.into());
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor { label, source });
    let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label,
        layout: None,
        module: &module,
        entry_point: Some("main"),
        compilation_options: Default::default(),
        cache: None,
    });
    let entries = [0, 1].map(|binding| wgpu::BindGroupEntry {
        binding,
        resource: buffers[binding as usize].as_entire_binding(),
    });
    let layout = &pipeline.get_bind_group_layout(0);
    let bind_group =
        device.create_bind_group(&wgpu::BindGroupDescriptor { label, layout, entries: &entries });
    let mut pass = encoder.begin_compute_pass(&Default::default());
    pass.set_pipeline(&pipeline);
    pass.set_bind_group(0, &bind_group, &[]);
    pass.dispatch_workgroups(groups, 1, 1);
}

/// Returns a profile without what these answers disprove; without answers, with nothing but what is known of any device.
fn judged(profile: Profile, answers: &[Answer], workgroup: u32) -> Profile {
    let inputs = given();
    let lanes = || inputs.iter().zip(answers);
    let all = answers.len() == inputs.len();
    let narrow = |word: u32| u32::from(f16::from_f32(f32::from_bits(word)).to_bits());
    let rounds = |&(given, answer): &(&Given, &Answer)| {
        answer.narrowed == narrow(given[0]) | narrow(given[1]) << 16
    };
    let widens = |half: u32, word: u32| {
        let (wanted, got) = (f16::from_bits(half as u16).to_f32(), f32::from_bits(word));
        wanted.to_bits() == word || wanted.is_nan() && got.is_nan()
    };
    let widened = |&(given, answer): &(&Given, &Answer)| {
        widens(given[2] & 0xffff, answer.low) && widens(given[2] >> 16, answer.high)
    };
    let numbered =
        all && answers.chunks(workgroup as usize).all(|group| is_numbered(group, &profile));
    Profile {
        f16: all && lanes().all(|lane| widened(&lane)),
        f16_rounds: all && lanes().all(|lane| rounds(&lane)),
        subgroup_size: profile.subgroup_size.filter(|_| numbered),
        subgroups_alike: profile.subgroups_alike && numbered,
        ..profile
    }
}

/// Returns true if each lane of a group has a number of its own, in subgroups no smaller than the profile tells, or of
/// just that size if all have it.
fn is_numbered(group: &[Answer], profile: &Profile) -> bool {
    let mut seen = vec![false; group.len()];
    let least = profile.subgroup_size.unwrap_or(1).min(group.len() as u32);
    group.iter().all(|answer| {
        let size = answer.subgroup_size;
        let expected = size == least || size > least && !profile.subgroups_alike;
        let seen = seen.get_mut(answer.thread as usize);
        expected && seen.is_some_and(|seen| !std::mem::replace(seen, true))
    })
}

#[cfg(all(test, feature = "gpu"))]
mod tests {
    use super::*;
    use crate::Gpu;
    use crate::poll::block_on;

    /// Returns what is found out if the kernel's text is edited: a driver that does something else.
    fn edited(gpu: &Gpu, edits: &[(&str, &str)]) -> Profile {
        let profile = Profile::of(gpu.device());
        let mut text = text(64, profile.subgroup_size.is_some());
        for (here, there) in edits {
            assert!(text.contains(here), "{here} in {text}");
            text = text.replace(here, there);
        }
        let answers = block_on(answers(gpu.device(), gpu.queue(), &text, 64)).expect("answers");
        judged(profile, &answers, 64)
    }

    #[test]
    fn a_driver_that_rounds_otherwise_is_found_out() {
        let gpu = Gpu::new().expect("a GPU adapter");
        let exact = "pack2x16float(bitcast<vec2<f32>>(words.xy))";
        let ours = "nearest(words.x) | nearest(words.y) << 16u";
        // Of the nearest f16, by integers: what the kernels compute.
        let nearest = |odd: &str, carry: &str, small: &str| {
            format!(
                "fn nearest(word: u32) -> u32 {{
                    let magnitude = word & 0x7fffffffu;
                    let odd = {odd};
                    let normal = (min(magnitude, 0x47800000u) + {carry} + odd) >> 13u;
                    let small = {small};
                    let half = select(normal, small, magnitude < 0x38800000u);
                    return half | ((word >> 16u) & 0x8000u);
                }}
                @compute"
            )
        };
        let even = "(magnitude >> 13u) & 1u";
        let small = "bitcast<u32>(bitcast<f32>(magnitude) + 0.5) - 0x3f000000u";
        let rounds = |odd, carry, small| {
            let text = nearest(odd, carry, small);
            edited(&gpu, &[("@compute", &text), (exact, ours)]).f16_rounds
        };
        assert!(rounds(even, "0xc8000fffu", small));
        assert!(!rounds("0u", "0xc8000fffu", small), "ties go towards 0");
        assert!(!rounds("1u", "0xc8000fffu", small), "ties go away from 0");
        assert!(!rounds("0u", "0xc8000000u", small), "all go towards 0");
        assert!(!rounds(even, "0xc8000fffu", "0u"), "small numbers are flushed");
        let wide = "bitcast<vec2<u32>>(unpack2x16float(words.z))";
        let flushed = "select(vec2<u32>(0u), bitcast<vec2<u32>>(unpack2x16float(words.z)), \
                       abs(unpack2x16float(words.z)) >= vec2<f32>(0x1p-14f))";
        assert!(!edited(&gpu, &[(wide, flushed)]).f16);
    }

    #[test]
    fn lanes_that_are_numbered_otherwise_have_no_subgroups() {
        let gpu = Gpu::new().expect("a GPU adapter");
        let plain = edited(&gpu, &[]);
        assert_eq!(plain.subgroup_size, Profile::of(gpu.device()).subgroup_size);
        let Some(size) = plain.subgroup_size else { return };
        assert!(size < 64, "a group of several subgroups");
        let thread = "subgroup * size + lane";
        for other in ["lane", "subgroup * size", "subgroup * size + lane + 1u", "subgroup + lane"] {
            let profile = edited(&gpu, &[(thread, other)]);
            assert_eq!((profile.subgroup_size, profile.subgroups_alike), (None, false), "{other}");
        }
        // Another order is one too.
        let other = "63u - (subgroup * size + lane)";
        assert_eq!(edited(&gpu, &[(thread, other)]).subgroup_size, plain.subgroup_size);
        let narrow = edited(&gpu, &[(", size);", ", size / 2u);")]);
        assert_eq!(narrow.subgroup_size, None);
    }

    /// wgpu knows no more of Metal's subgroups than that they have 4 to 64 lanes.
    #[test]
    fn subgroups_of_apples_gpus_have_32_lanes() {
        let gpu = Gpu::new().expect("a GPU adapter");
        let mut info = gpu.info().clone();
        let mut profile = Profile::of(gpu.device());
        (profile.subgroup_size, profile.subgroups_alike) = (Some(4), false);
        let mut seen = |backend, name: &str, size| {
            (info.backend, info.name) = (backend, name.to_owned());
            let lane = |lane| Answer { thread: lane % 64, subgroup_size: size, ..Answer::zeroed() };
            let answers: Vec<Answer> = (0..LANES).map(lane).collect();
            let profile = found(&info, profile.clone(), &answers, 64);
            (profile.subgroup_size, profile.subgroups_alike)
        };
        assert_eq!(seen(wgpu::Backend::Metal, "Apple M2 Max", 32), (Some(32), true));
        // Should there be another one, it is used as wgpu describes it.
        assert_eq!(seen(wgpu::Backend::Metal, "Apple Z9", 64), (Some(4), false));
        assert_eq!(seen(wgpu::Backend::Metal, "Apple Z9", 2), (None, false));
        assert_eq!(seen(wgpu::Backend::Metal, "AMD Radeon Pro 5500M", 32), (Some(4), false));
        assert_eq!(seen(wgpu::Backend::Vulkan, "Apple M2 Max (G14C B1)", 32), (Some(4), false));
    }

    /// A device opens whatever its driver makes of the probe.
    #[test]
    fn a_driver_that_refuses_the_kernel_has_nothing_assumed_of_it() {
        let gpu = Gpu::new().expect("a GPU adapter");
        let refused = block_on(answers(gpu.device(), gpu.queue(), "fn main() -> {", 64));
        assert!(matches!(refused, Err(Error::Device { .. })), "{refused:?}");
        let profile = judged(Profile::of(gpu.device()), &[], 64);
        assert_eq!((profile.f16, profile.f16_rounds), (false, false));
        assert_eq!((profile.subgroup_size, profile.subgroups_alike), (None, false));
    }

    /// The inputs are around every way to round.
    #[test]
    fn inputs_cover_what_may_differ() {
        let reals = reals();
        let is = |wanted: &dyn Fn(u32) -> bool| reals.iter().any(|&word| wanted(word));
        for exponent in 127 - 25..127 + 16 {
            let dropped = 13 + SMALLEST_NORMAL.saturating_sub(exponent);
            let tie = (exponent << 23) | ((1 << dropped >> 1) & 0x7f_ffff);
            assert!(is(&|word| word == tie) && is(&|word| word == tie | 1 << 31), "{tie:#x}");
            assert!(is(&|word| word == tie + 1), "beyond {tie:#x}");
        }
        let halves = halves();
        for exponent in 0..64 {
            assert!(halves.contains(&(exponent << 10)), "{exponent}");
            assert!(halves.contains(&(exponent << 10 | 0x3ff)), "{exponent}");
        }
        assert_eq!(halves.len(), 2 * LANES as usize);
    }
}
