//! SPIR-V as wgpu 30 makes it.

use std::error::Error;

use naga::back::spv;
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
use naga::valid::{Capabilities, ValidationFlags, Validator};

/// The wgpu runtime checks in the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Checks {
    /// All of them.
    Checked,
    /// No bound on loops: what the library asks for.
    Loops,
    /// None.
    Trusted,
}

/// Returns the module's words. With `robust`, the driver checks the bounds of buffers.
///
/// # Errors
/// The errors of naga, with the place in the text.
pub fn words(
    text: &str,
    bindings: &[u32],
    checks: Checks,
    robust: bool,
) -> Result<Vec<u32>, Box<dyn Error>> {
    let module = naga::front::wgsl::parse_str(text).map_err(|e| e.emit_to_string(text))?;
    let capabilities = Capabilities::SUBGROUP
        | Capabilities::SHADER_INT64
        | Capabilities::SHADER_FLOAT16
        | Capabilities::SHADER_FLOAT16_IN_FLOAT32
        | Capabilities::default();
    let info = Validator::new(ValidationFlags::all(), capabilities)
        .validate(&module)
        .map_err(|e| e.emit_to_string(text))?;
    let trusted = checks == Checks::Trusted;
    let policy = |on: bool| match on {
        true => BoundsCheckPolicy::Restrict,
        false => BoundsCheckPolicy::Unchecked,
    };
    let binding_map = bindings.iter().enumerate().map(|(number, &binding)| {
        let info = spv::BindingInfo {
            descriptor_set: 0,
            binding: number as u32,
            binding_array_size: None,
        };
        (naga::ResourceBinding { group: 0, binding }, info)
    });
    let options = spv::Options {
        lang_version: (1, 6),
        flags: spv::WriterFlags::LABEL_VARYINGS | spv::WriterFlags::FORCE_POINT_SIZE,
        bounds_check_policies: BoundsCheckPolicies {
            index: policy(!trusted),
            buffer: policy(!trusted && !robust),
            image_load: policy(!trusted),
            binding_array: BoundsCheckPolicy::Unchecked,
        },
        zero_initialize_workgroup_memory: spv::ZeroInitializeWorkgroupMemoryMode::None,
        force_loop_bounding: checks == Checks::Checked,
        emit_int_div_checks: !trusted,
        binding_map: binding_map.collect(),
        ..Default::default()
    };
    let pipeline = spv::PipelineOptions {
        entry_point: "main".to_owned(),
        shader_stage: naga::ShaderStage::Compute,
    };
    Ok(spv::write_vec(&module, &info, &options, Some(&pipeline))?)
}
