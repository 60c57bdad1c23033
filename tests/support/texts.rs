//! Kernels' texts through naga.

use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};

/// What kernels may use where a device has it.
pub fn capabilities() -> Capabilities {
    Capabilities::SUBGROUP
        | Capabilities::SHADER_INT64
        | Capabilities::SHADER_FLOAT16_IN_FLOAT32
        | Capabilities::default()
}

/// Parses and validates.
///
/// # Panics
/// Where naga does not take the text; the message is the text's own error report.
pub fn parsed(text: &str) -> (naga::Module, ModuleInfo) {
    let module = naga::front::wgsl::parse_str(text)
        .unwrap_or_else(|error| panic!("{}\n{text}", error.emit_to_string(text)));
    let mut validator = Validator::new(ValidationFlags::all(), capabilities());
    let info = validator
        .validate(&module)
        .unwrap_or_else(|error| panic!("{}\n{text}", error.emit_to_string(text)));
    (module, info)
}
