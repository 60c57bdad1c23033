//! Any valid tuning gives valid plans: no panic, no endless loops, no excessive workspace, and valid WGSL. No GPU is
//! needed.

use std::collections::HashSet;

use naga::valid::{Capabilities, ValidationFlags, Validator};
use support::random::Random;
use wgpu_loss::kernels::Spec;
use wgpu_loss::loss::Shapes;
use wgpu_loss::plan::Tuning;
use wgpu_loss::{CrossEntropy, Error, LabelType, Outputs, Plan, Profile, TargetType};

/// The number of tunings that are tried.
const TUNINGS: usize = 1500;
/// The number of texts that are validated: debug builds take long.
const TEXTS: usize = 400;

/// From empty shapes to some larger than any memory.
const SHAPES: [&[usize]; 15] = [
    &[0, 5],
    &[3, 0],
    &[1, 1],
    &[9, 3],
    &[8, 32],
    &[5, 1001],
    &[4096, 1000],
    &[4, 151_936],
    &[1, 30_000_000],
    &[1_000_000_000, 3],
    &[3, 5, 0],
    &[2, 21, 64, 64],
    &[2, 100, 7, 7],
    &[1, 20_000, 3],
    &[70_000, 19, 33, 17],
];

fn device(kind: wgpu::DeviceType, subgroup_size: Option<u32>, tuning: Tuning) -> Profile {
    let cpu = kind == wgpu::DeviceType::Cpu;
    let mut profile = Profile::portable().with_device_type(kind).with_tuning(tuning);
    (profile.subgroup_size, profile.int64) = (subgroup_size, cpu);
    profile
}

fn plan(shape: &[usize], profile: &Profile) -> Result<Plan, Error> {
    let mut label_shape = shape.to_vec();
    label_shape.remove(1);
    let target = TargetType::Labels(LabelType::I64);
    let shapes = Shapes::new(shape).target(target, &label_shape);
    Plan::new(&CrossEntropy::new(), &shapes, Outputs::loss().with_grad(), profile)
}

#[test]
fn every_tuning_gives_sound_plans() {
    let mut random = Random(42);
    let mut specs = HashSet::new();
    for _ in 0..TUNINGS {
        let tuning = random.tuning();
        assert_eq!(tuning.check(), Ok(()), "{tuning:?}");
        for (kind, subgroup_size) in [
            (wgpu::DeviceType::DiscreteGpu, Some(32)),
            (wgpu::DeviceType::Other, None),
            (wgpu::DeviceType::Cpu, Some(8)),
        ] {
            let profile = device(kind, subgroup_size, tuning);
            for shape in SHAPES {
                let what = format!("{shape:?}, {kind:?}: {tuning:?}");
                match plan(shape, &profile) {
                    Ok(plan) => check(&plan, &profile, &what, &mut specs),
                    Err(Error::Limit { .. }) => {}
                    Err(error) => panic!("{error} for {what}"),
                }
            }
        }
    }
    validate(specs);
}

fn check(plan: &Plan, profile: &Profile, what: &str, specs: &mut HashSet<Spec>) {
    if profile.device_type == wgpu::DeviceType::Cpu {
        assert!(plan.longest_loops() < 65_536, "{} loops, {what}", plan.longest_loops());
    }
    let limits = &profile.limits;
    let bytes = plan.workspace_bytes();
    assert!(bytes <= limits.max_storage_buffer_binding_size, "{bytes} bytes, {what}");
    for spec in plan.variants() {
        let geometry = spec.layout.geometry;
        assert!(geometry.workgroup <= limits.max_compute_invocations_per_workgroup, "{what}");
        assert!(geometry.lanes <= geometry.workgroup && geometry.cluster <= geometry.lanes);
        assert!(geometry.lanes.is_power_of_two() && geometry.cluster.is_power_of_two(), "{what}");
        specs.insert(spec);
    }
}

/// Some of the texts, spread evenly.
fn validate(specs: HashSet<Spec>) {
    let mut texts: Vec<String> = specs.into_iter().map(|spec| spec.wgsl()).collect();
    texts.sort();
    let step = texts.len().div_ceil(TEXTS);
    for text in texts.iter().step_by(step) {
        let module = naga::front::wgsl::parse_str(text)
            .unwrap_or_else(|error| panic!("{}\n{text}", error.emit_to_string(text)));
        let mut validator = Validator::new(ValidationFlags::all(), Capabilities::all());
        validator.subgroup_stages(naga::valid::ShaderStages::COMPUTE);
        validator.subgroup_operations(naga::valid::SubgroupOperationSet::all());
        validator.validate(&module).unwrap_or_else(|error| panic!("{error:?}\n{text}"));
    }
}
