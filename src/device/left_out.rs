//! Kernels with something left out, for the bench that tells what it costs. Nothing else has a use for them: they may
//! give wrong losses.

use super::Kernels;
use crate::plan::Profile;

/// What is done to an assembled text.
type Edit = fn(String) -> String;

/// What is left out; nothing, but in a bench.
#[derive(Clone, Copy, Default)]
pub(super) struct LeftOut {
    edit: Option<Edit>,
    /// The checks that are left: all of them, without a word.
    checks: Option<wgpu::ShaderRuntimeChecks>,
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

impl Kernels {
    /// Kernels of their own whose texts are edited before they are compiled.
    #[doc(hidden)]
    pub fn edited(&self, edit: fn(String) -> String) -> Self {
        self.varied(
            self.shared.profile.clone(),
            LeftOut { edit: Some(edit), ..self.shared.left_out },
        )
    }

    /// Kernels of their own, with no more than these of wgpu's checks in them.
    ///
    /// # Safety
    /// No kernel may read or write outside its bindings, and none may have a loop without end. This crate's own do
    /// not, as long as plans and bindings fit each other; edited ones are the editor's business.
    #[doc(hidden)]
    pub unsafe fn trusted(&self, checks: wgpu::ShaderRuntimeChecks) -> Self {
        let left_out = LeftOut { checks: Some(checks), ..self.shared.left_out };
        self.varied(self.shared.profile.clone(), left_out)
    }

    /// Kernels of their own, laid out for a device without subgroups.
    #[doc(hidden)]
    pub fn without_subgroups(&self) -> Self {
        let profile = Profile { subgroup_size: None, ..self.shared.profile.clone() };
        self.varied(profile, self.shared.left_out)
    }

    fn varied(&self, profile: Profile, left_out: LeftOut) -> Self {
        Self::of(&self.shared.device, profile, self.shared.cache.clone(), left_out)
    }
}

#[cfg(all(test, feature = "gpu"))]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use crate::loss::Shapes;
    use crate::{CrossEntropy, Gpu, LabelType, Outputs, Plan, TargetType};

    static EDITED: AtomicUsize = AtomicUsize::new(0);

    fn edit(text: String) -> String {
        EDITED.fetch_add(1, Ordering::Relaxed);
        text
    }

    /// Edited kernels are compiled beside the others, and only they are edited.
    #[test]
    fn what_is_left_out_stays_apart() {
        let gpu = Gpu::new().expect("a GPU adapter");
        let shapes = Shapes::new(&[4, 3]).target(TargetType::Labels(LabelType::U8), &[4]);
        let kernels = gpu.kernels();
        let plan = Plan::new(&CrossEntropy::new(), &shapes, Outputs::loss(), kernels.profile());
        let plan = plan.expect("a plan");
        kernels.compile(&plan).expect("kernels");
        let compiled = kernels.compiled();
        assert_eq!((compiled, EDITED.load(Ordering::Relaxed)), (plan.dispatches(), 0));

        let edited = kernels.edited(edit);
        assert_eq!(edited.compiled(), 0);
        edited.compile(&plan).expect("kernels");
        assert_eq!((edited.compiled(), EDITED.load(Ordering::Relaxed)), (compiled, compiled));
        assert_eq!(kernels.compiled(), compiled);
        // SAFETY: nothing runs.
        let trusted = unsafe { edited.trusted(wgpu::ShaderRuntimeChecks::unchecked()) };
        trusted.compile(&plan).expect("kernels");
        assert_eq!(EDITED.load(Ordering::Relaxed), 2 * compiled);
    }
}
