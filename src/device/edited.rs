//! Kernels compiled with a part left out: [`Ablation`].

use super::Kernels;
use super::ablation::Ablation;
use crate::plan::Profile;

impl Kernels {
    /// Returns kernels with a cache of their own, whose texts are edited before they are compiled.
    #[doc(hidden)]
    pub fn edited(&self, edit: fn(String) -> String) -> Self {
        self.varied(
            self.shared.profile.clone(),
            Ablation { edit: Some(edit), ..self.shared.ablation },
        )
    }

    /// Returns kernels with a cache of their own, compiled with no more than these of wgpu's checks.
    ///
    /// # Safety
    /// No kernel may read or write outside its bindings, and none may have an endless loop. This crate's own kernels do
    /// neither, as long as plans and bindings fit each other; for edited kernels, the caller must ensure it.
    #[doc(hidden)]
    pub unsafe fn trusted(&self, checks: wgpu::ShaderRuntimeChecks) -> Self {
        let ablation = Ablation { checks: Some(checks), ..self.shared.ablation };
        self.varied(self.shared.profile.clone(), ablation)
    }

    /// Returns kernels with a cache of their own, laid out for a device without subgroups.
    #[doc(hidden)]
    pub fn without_subgroups(&self) -> Self {
        let profile = Profile { subgroup_size: None, ..self.shared.profile.clone() };
        self.varied(profile, self.shared.ablation)
    }

    fn varied(&self, profile: Profile, ablation: Ablation) -> Self {
        Self::of(&self.shared.device, profile, self.shared.cache.clone(), ablation)
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

    fn broken(text: String) -> String {
        text.replace("var totals = empty_totals();", "var totals = full_totals();")
    }

    /// An error in a kernel names the file that it comes from, and the line there.
    #[test]
    fn an_error_in_a_kernel_names_file_and_line() {
        let gpu = Gpu::new().expect("a GPU adapter");
        let shapes = Shapes::new(&[4, 3]).target(TargetType::Labels(LabelType::U8), &[4]);
        let kernels = gpu.kernels().edited(broken);
        let plan = Plan::new(&CrossEntropy::new(), &shapes, Outputs::loss(), kernels.profile());
        let error =
            kernels.compile(&plan.expect("a plan")).expect_err("a broken kernel").to_string();
        let file = include_str!("../../shaders/shared/walk.wgsl");
        let line = 1 + file.lines().position(|line| line.contains("var totals =")).expect("a line");
        assert!(error.contains(&format!("shaders/shared/walk.wgsl:{line}, wgsl:")), "{error}");
        assert!(error.contains("full_totals"), "{error}");
    }

    /// Edited kernels are compiled in addition to the others, and only they are edited.
    #[test]
    fn ablated_kernels_stay_apart() {
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
        // SAFETY: no kernel is run.
        let trusted = unsafe { edited.trusted(wgpu::ShaderRuntimeChecks::unchecked()) };
        trusted.compile(&plan).expect("kernels");
        assert_eq!(EDITED.load(Ordering::Relaxed), 2 * compiled);
    }
}
