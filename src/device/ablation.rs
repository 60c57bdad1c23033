//! What is compiled of a kernel's text, and with which of wgpu's checks; and kernels with a part left out, for the
//! benchmark that measures what that part costs. Those may give wrong losses and are for that benchmark alone.

/// A change of an assembled text.
type Edit = fn(String) -> String;

/// The parts that are left out; none, except in a benchmark.
#[derive(Clone, Copy, Default)]
pub(super) struct Ablation {
    pub edit: Option<Edit>,
    /// The run-time checks that wgpu compiles in; `None` means all but the bounds of loops.
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
        match (self.checks, self.edit) {
            // SAFETY: the caller of `Kernels::trusted` has promised what wgpu requires.
            (Some(checks), _) => unsafe { device.create_shader_module_trusted(descriptor, checks) },
            // SAFETY: every loop of the kernels ends. It counts towards a bound that it does not change
            // (`every_loop_is_seen_to_end`), and no counter wraps on its way (`no_counter_wraps`).
            (None, None) => unsafe {
                device.create_shader_module_trusted(descriptor, without_bounds_of_loops())
            },
            (None, Some(_)) => device.create_shader_module(descriptor),
        }
    }
}

/// All checks but one: wgpu would count the turns of each loop in 64 bits, which takes up to a twentieth of a kernel's
/// time.
fn without_bounds_of_loops() -> wgpu::ShaderRuntimeChecks {
    wgpu::ShaderRuntimeChecks { force_loop_bounding: false, ..wgpu::ShaderRuntimeChecks::checked() }
}
