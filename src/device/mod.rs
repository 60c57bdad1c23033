//! A device's pipelines, compiled once for each specialisation. A host needs [`Kernels`] alone.

mod ablation;
mod edited;
mod probe;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::ablation::Ablation;
pub(crate) use self::probe::probed;
use crate::Error;
use crate::error_scope::{is_lost, scoped};
use crate::kernels::{Access, Spec};
use crate::plan::{Params, Plan, Profile, Tuning};
use crate::poll::Poller;
use crate::tensor::TensorSlot;

/// The name of compilation in errors.
const COMPILING: &str = "compiling a kernel";

/// A device's pipelines, compiled when first wanted and kept.
///
/// A handle, like those of wgpu: clones share the pipelines, and any thread may use them.
///
/// ```
/// use wgpu_loss::loss::Shapes;
/// use wgpu_loss::{CrossEntropy, Error, Kernels, LabelType, Outputs, Plan, TargetType, wgpu};
///
/// /// Compiles, while the application starts, what its training step will run.
/// fn prepare(device: &wgpu::Device) -> Result<(Kernels, Plan), Error> {
///     let kernels = Kernels::new(device);
///     let shapes = Shapes::new(&[2048, 32_000]).target(TargetType::Labels(LabelType::I32), &[2048]);
///     let outputs = Outputs::loss().with_grad();
///     let plan = Plan::new(&CrossEntropy::new(), &shapes, outputs, kernels.profile())?;
///     kernels.compile(&plan)?;
///     Ok((kernels, plan))
/// }
/// ```
#[derive(Clone)]
pub struct Kernels {
    shared: Arc<Shared>,
}

struct Shared {
    device: wgpu::Device,
    profile: Profile,
    pipelines: Mutex<HashMap<Spec, Arc<Pipeline>>>,
    /// The host's cache, if it has given one.
    cache: Option<wgpu::PipelineCache>,
    ablation: Ablation,
    poller: Poller,
}

/// A compiled specialisation.
#[derive(Debug)]
pub(crate) struct Pipeline {
    pub(crate) pipeline: wgpu::ComputePipeline,
    pub(crate) layout: wgpu::BindGroupLayout,
}

impl Kernels {
    /// Returns an empty cache of pipelines for `device`, with the tuning of its kind of adapter.
    pub fn new(device: &wgpu::Device) -> Self {
        Self::with_tuning(device, Tuning::of(device.adapter_info().device_type))
    }

    /// Returns an empty cache of pipelines for `device`, with this tuning. Plans return an error for numbers that
    /// [`Tuning::check`] rejects.
    ///
    /// ```no_run
    /// use wgpu_loss::{Kernels, plan::Tuning};
    ///
    /// fn kernels(device: &wgpu::Device) -> Kernels {
    ///     // The tuning that `wgpu-loss tune` has stored for this adapter, if it was run.
    ///     match Tuning::stored(&device.adapter_info()) {
    ///         Some(tuning) => Kernels::with_tuning(device, tuning),
    ///         None => Kernels::new(device),
    ///     }
    /// }
    /// ```
    pub fn with_tuning(device: &wgpu::Device, tuning: Tuning) -> Self {
        Self::with_profile(device, Profile { tuning, ..Profile::of(device) })
    }

    /// Returns an empty cache of pipelines for `device` as [`Kernels::with_tuning`] does, after running a small kernel that
    /// shows what WGSL leaves to drivers: if this one numbers the lanes of subgroups in order (if not, no kernel uses
    /// subgroups), and converts f16 exactly (if so, kernels leave that to it, which spares a third of the instructions of
    /// an f16 gradient). A `Gpu` is opened so.
    ///
    /// ```no_run
    /// # fn probed(device: &wgpu_loss::wgpu::Device, queue: &wgpu_loss::wgpu::Queue) -> Result<(), wgpu_loss::Error> {
    /// use wgpu_loss::{Kernels, plan::Tuning};
    ///
    /// let tuning = Tuning::of(device.adapter_info().device_type);
    /// let kernels = pollster::block_on(Kernels::probed(device, queue, tuning))?;
    /// # Ok(()) }
    /// ```
    ///
    /// If the driver rejects that kernel, nothing is assumed of it.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`], [`Error::Lost`].
    pub async fn probed(
        device: &wgpu::Device,
        queue: &wgpu::Queue,
        tuning: Tuning,
    ) -> Result<Self, Error> {
        let profile = Profile { tuning, ..Profile::of(device) };
        Ok(Self::with_profile(device, probed(device, queue, profile).await?))
    }

    /// Returns an empty cache of pipelines for a device of this profile.
    pub(crate) fn with_profile(device: &wgpu::Device, profile: Profile) -> Self {
        Self::of(device, profile, None, Ablation::default())
    }

    fn of(
        device: &wgpu::Device,
        profile: Profile,
        cache: Option<wgpu::PipelineCache>,
        ablation: Ablation,
    ) -> Self {
        let shared = Shared {
            device: device.clone(),
            profile,
            pipelines: Mutex::new(HashMap::new()),
            cache,
            ablation,
            poller: Poller::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Returns an empty cache of pipelines that are created with the host's `cache`, for hosts that keep what drivers
    /// compile. The driver may find each pipeline in it, or add it. The host stores the cache's content
    /// ([`wgpu::PipelineCache::get_data`]).
    ///
    /// ```no_run
    /// use wgpu_loss::{Kernels, wgpu};
    ///
    /// /// A device with `Features::PIPELINE_CACHE`, and the bytes that its cache held when the program ended.
    /// fn kernels(device: &wgpu::Device, stored: Option<&[u8]>) -> (Kernels, wgpu::PipelineCache) {
    ///     let cache = wgpu::PipelineCacheDescriptor { label: None, data: stored, fallback: true };
    ///     // SAFETY: the bytes are what `get_data` gave for this adapter.
    ///     let cache = unsafe { device.create_pipeline_cache(&cache) };
    ///     (Kernels::new(device).with_pipeline_cache(&cache), cache)
    /// }
    /// ```
    pub fn with_pipeline_cache(&self, cache: &wgpu::PipelineCache) -> Self {
        let Shared { device, profile, ablation, .. } = &*self.shared;
        Self::of(device, profile.clone(), Some(cache.clone()), *ablation)
    }

    /// Returns the device.
    pub fn device(&self) -> &wgpu::Device {
        &self.shared.device
    }

    /// Returns the properties of the device that plans depend on.
    pub fn profile(&self) -> &Profile {
        &self.shared.profile
    }

    /// Compiles those pipelines of a plan that are not compiled yet; it needs no buffers. A later
    /// [`Bound::new`](crate::Bound::new) then finds all of its pipelines, if the tensors start at the beginnings of
    /// their buffers (or at multiples of 256 bytes), the buffers hold whole multiples of 32 bytes, no buffer has both
    /// inputs and outputs, no tensor is cut into pieces, and the gradient does not overwrite the input. Other tensors
    /// may need other variants, which are compiled as they are bound; [`Kernels::compile_all`] compiles these too.
    ///
    /// Threads may share `Kernels` and compile a plan each. Some drivers, among them those that run on the processor,
    /// postpone a part of the compilation until a kernel is first run.
    ///
    /// # Errors
    /// [`Error::Device`] if the driver rejects a kernel.
    pub fn compile(&self, plan: &Plan) -> Result<(), Error> {
        plan.specs().try_for_each(|spec| self.get(&spec).map(drop))
    }

    /// Compiles all that any [`Bound`](crate::Bound) of a plan may need, wherever its tensors lie: for hosts that
    /// rebind while frames are drawn and must not wait for a compiler. These are a few variants of each kernel: for
    /// tensors that start on 16 or 32 bytes or do not, in buffers of their own or shared by inputs and outputs, with
    /// the gradient in the input's place or not.
    ///
    /// # Errors
    /// As [`Kernels::compile`].
    pub fn compile_all(&self, plan: &Plan) -> Result<(), Error> {
        let specs: HashSet<Spec> = plan.bound_variants().collect();
        specs.iter().try_for_each(|spec| self.get(spec).map(drop))
    }

    /// Returns the number of compiled pipelines.
    pub fn compiled(&self) -> usize {
        self.cached().len()
    }

    /// Drops all compiled pipelines. A [`Bound`](crate::Bound) keeps those that it uses; later ones compile theirs
    /// again. For hosts that run for long and see many shapes: pipelines are never removed otherwise, and on a software
    /// driver each takes some megabytes.
    pub fn clear(&self) {
        self.cached().clear();
    }

    /// Returns the pipeline of a specialisation.
    pub(crate) fn get(&self, spec: &Spec) -> Result<Arc<Pipeline>, Error> {
        if let Some(found) = self.cached().get(spec) {
            return Ok(found.clone());
        }
        self.check(spec)?;
        // The lock is not held here: a compilation may take seconds, and other threads need other kernels.
        let assembly = spec.assembled();
        let made = scoped(self.device(), COMPILING, || self.build(spec, &assembly.text));
        let made = Arc::new(made.map_err(|error| match error {
            Error::Device { during, reason } => {
                Error::Device { during, reason: assembly.with_origins(&reason) }
            }
            other => other,
        })?);
        if is_lost(self.device()) {
            return Err(Error::Lost { during: COMPILING });
        }
        Ok(self.cached().entry(*spec).or_insert(made).clone())
    }

    /// Returns the poller that polls the device for futures.
    pub(crate) fn poller(&self) -> &Poller {
        &self.shared.poller
    }

    fn cached(&self) -> MutexGuard<'_, HashMap<Spec, Arc<Pipeline>>> {
        // A panic while the lock was held leaves the map valid: an entry is there or it is not.
        self.shared.pipelines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns an error for a kernel that the device does not run. wgpu would report it too, but less clearly.
    fn check(&self, spec: &Spec) -> Result<(), Error> {
        let features = self.device().features();
        let missing = spec.features().into_iter().find(|feature| !features.contains(feature.0));
        if let Some((_, feature)) = missing {
            return Err(Error::Feature { what: "a kernel of this plan", feature });
        }
        let limits = &self.profile().limits;
        let lanes =
            limits.max_compute_invocations_per_workgroup.min(limits.max_compute_workgroup_size_x);
        let needs = [
            (
                "max_compute_invocations_per_workgroup",
                spec.layout.geometry.workgroup.into(),
                lanes.into(),
            ),
            (
                "max_compute_workgroup_storage_size",
                spec.workgroup_bytes(),
                limits.max_compute_workgroup_storage_size.into(),
            ),
            (
                "max_storage_buffers_per_shader_stage",
                spec.storage_bindings(),
                limits.max_storage_buffers_per_shader_stage.into(),
            ),
        ];
        match needs.into_iter().find(|(_, needed, allowed): &(_, u64, u64)| needed > allowed) {
            Some((limit, needed, allowed)) => {
                Err(Error::Limit { what: "a kernel of this plan", limit, needed, allowed })
            }
            None => Ok(()),
        }
    }

    fn build(&self, spec: &Spec, text: &str) -> Pipeline {
        log::debug!("compiling {spec:?}");
        let formula = spec.pointwise.map(|pointwise| format!(" {:?}", pointwise.formula));
        let label = format!("wgpu-loss {:?}{}", spec.kernel, formula.unwrap_or_default());
        let module = self.shared.ablation.module(self.device(), &label, text.to_owned());
        let entries: Vec<_> = spec.slots().into_iter().map(layout_entry).collect();
        let layout = self.device().create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some(&label),
            entries: &entries,
        });
        let pipeline_layout =
            self.device().create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
                label: Some(&label),
                bind_group_layouts: &[Some(&layout)],
                immediate_size: 0,
            });
        let pipeline = self.device().create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(&label),
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                // The kernels read only what they have written to workgroup memory.
                zero_initialize_workgroup_memory: false,
                ..Default::default()
            },
            cache: self.shared.cache.as_ref(),
        });
        Pipeline { pipeline, layout }
    }
}

impl fmt::Debug for Kernels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.device().adapter_info().name;
        write!(f, "Kernels on {name}, {} compiled", self.compiled())
    }
}

fn layout_entry((slot, access): (TensorSlot, Access)) -> wgpu::BindGroupLayoutEntry {
    let ty = match access {
        Access::Uniform => wgpu::BufferBindingType::Uniform,
        Access::Read => wgpu::BufferBindingType::Storage { read_only: true },
        Access::Write => wgpu::BufferBindingType::Storage { read_only: false },
    };
    let min_binding_size = match access {
        Access::Uniform => wgpu::BufferSize::new(size_of::<Params>() as u64),
        _ => None,
    };
    wgpu::BindGroupLayoutEntry {
        binding: slot as u32,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size },
        count: None,
    }
}
