//! Kernels' texts through naga.

use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use wgpu_loss::kernels::Spec;

/// Returns the capabilities that kernels may use if a device has them.
pub fn capabilities() -> Capabilities {
    Capabilities::SUBGROUP
        | Capabilities::SHADER_INT64
        | Capabilities::SHADER_FLOAT16_IN_FLOAT32
        | Capabilities::default()
}

/// Bytes of the variables in workgroup memory that a kernel uses, each rounded up as WebGPU counts them.
pub fn workgroup_bytes(module: &naga::Module, info: &ModuleInfo) -> u64 {
    let of_kernel = info.get_entry_point(0);
    let shared = module.global_variables.iter().filter(|(handle, variable)| {
        variable.space == naga::AddressSpace::WorkGroup && !of_kernel[*handle].is_empty()
    });
    let bytes = |ty| u64::from(module.types[ty].inner.size(module.to_ctx()));
    shared.map(|(_, variable)| bytes(variable.ty).next_multiple_of(16)).sum()
}

/// Parses and validates a kernel.
///
/// # Panics
/// If naga does not accept its text, with the files and lines that it comes from.
pub fn parsed_kernel(spec: &Spec) -> (naga::Module, ModuleInfo) {
    let assembly = spec.assembled();
    let refuse = |report: String| panic!("{spec}: {}", assembly.with_origins(&report));
    validated(&assembly.text).unwrap_or_else(refuse)
}

/// Parses and validates.
///
/// # Panics
/// If naga does not accept the text.
pub fn parsed(text: &str) -> (naga::Module, ModuleInfo) {
    validated(text).unwrap_or_else(|report| panic!("{report}\n{text}"))
}

fn validated(text: &str) -> Result<(naga::Module, ModuleInfo), String> {
    let module = naga::front::wgsl::parse_str(text).map_err(|error| error.emit_to_string(text))?;
    let mut validator = Validator::new(ValidationFlags::all(), capabilities());
    let info = validator.validate(&module).map_err(|error| error.emit_to_string(text))?;
    Ok((module, info))
}
