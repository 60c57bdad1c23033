//! Kernels with something left out, for the bench that tells what it costs. Nothing else has a use for them: they may
//! give wrong losses.

/// What is done to an assembled text.
type Edit = fn(String) -> String;

/// What is left out; nothing, but in a bench.
#[derive(Clone, Copy, Default)]
pub(super) struct LeftOut {
    pub edit: Option<Edit>,
    /// The checks that are left: all of them, without a word.
    pub checks: Option<wgpu::ShaderRuntimeChecks>,
}

impl LeftOut {
    /// The module of an assembled text.
    pub fn module(self, device: &wgpu::Device, label: &str, text: String) -> wgpu::ShaderModule {
        let text = match self.edit {
            None => text,
            Some(edit) => edit(text),
        };
        let source = wgpu::ShaderSource::Wgsl(text.into());
        let descriptor = wgpu::ShaderModuleDescriptor { label: Some(label), source };
        match self.checks {
            None => device.create_shader_module(descriptor),
            // SAFETY: whoever called `Kernels::trusted` answers for it.
            Some(checks) => unsafe { device.create_shader_module_trusted(descriptor, checks) },
        }
    }
}
