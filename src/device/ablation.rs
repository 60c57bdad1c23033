//! Kernels compiled with a part left out, for the benchmark that measures what that part costs. They may give wrong
//! losses and are for that benchmark alone.

/// A change of an assembled text.
type Edit = fn(String) -> String;

/// The parts that are left out; none, except in a benchmark.
#[derive(Clone, Copy, Default)]
pub(super) struct Ablation {
    pub edit: Option<Edit>,
    /// The run-time checks that wgpu compiles in; `None` means all.
    pub checks: Option<wgpu::ShaderRuntimeChecks>,
}

impl Ablation {
    /// Compiles an assembled text into a module.
    pub fn module(self, device: &wgpu::Device, label: &str, text: String) -> wgpu::ShaderModule {
        let text = match self.edit {
            None => text,
            Some(edit) => edit(text),
        };
        let source = wgpu::ShaderSource::Wgsl(text.into());
        let descriptor = wgpu::ShaderModuleDescriptor { label: Some(label), source };
        match self.checks {
            None => device.create_shader_module(descriptor),
            // SAFETY: the caller of `Kernels::trusted` has promised what wgpu requires.
            Some(checks) => unsafe { device.create_shader_module_trusted(descriptor, checks) },
        }
    }
}
