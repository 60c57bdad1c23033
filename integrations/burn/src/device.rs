//! The wgpu device and queue of a Burn device.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use burn::backend::DispatchDevice;
use burn::tensor::Device;
use burn::tensor::wgpu::{WgpuInitError, WgpuOptions, WgpuSetup};
use burn_cubecl::CubeDevice;
use wgpu_loss::{Kernels, Plan, Problem, wgpu};

use crate::Error;
use crate::scale::Scale;

/// The state of an attached device.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) kernels: Kernels,
    pub(crate) queue: wgpu::Queue,
    pub(crate) scale: Scale,
    plans: Mutex<Vec<Arc<Plan>>>,
}

/// The number of plans that are kept for a device.
const PLANS: usize = 16;

impl Session {
    /// Returns the plan of a problem, and makes it if it is not among the last ones.
    pub(crate) fn plan(&self, problem: Problem) -> Result<Arc<Plan>, Error> {
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        let found = plans.iter().position(|plan| *plan.problem() == problem);
        let plan = match found {
            Some(index) => plans.remove(index),
            None => Arc::new(Plan::of(problem, self.kernels.profile())?),
        };
        plans.truncate(PLANS - 1);
        plans.insert(0, plan.clone());
        Ok(plan)
    }
}

/// Burn has no function from a device to its queue, so the code that opens the device attaches it once.
static SESSIONS: Mutex<Option<HashMap<CubeDevice, Arc<Session>>>> = Mutex::new(None);

/// Attaches a device: the losses of this crate then use the wgpu device and queue that `device` runs on, those it was
/// made from (`Device::wgpu_options().setup(..)`), or those that Burn made (`init_with_setup`).
///
/// Once for each device; its clones and its `autodiff()` are attached with it. Attaching again drops the compiled
/// kernels. The handles must be the device's own, which cannot be checked: wgpu finds a buffer by its number within an
/// instance, so that with the handles of another one losses fail, or read other memory.
///
/// # Errors
/// [`Error::Backend`] for a device of another backend.
pub fn attach(device: &Device, setup: &WgpuSetup) -> Result<(), Error> {
    let key = cube_device(device)?;
    let session = Session {
        kernels: Kernels::new(&setup.device),
        queue: setup.queue.clone(),
        scale: Scale::new(&setup.device),
        plans: Mutex::default(),
    };
    let mut sessions = SESSIONS.lock().unwrap_or_else(PoisonError::into_inner);
    sessions.get_or_insert_default().insert(key, Arc::new(session));
    Ok(())
}

/// Opens a Burn device as [`WgpuOptions::init`] does, and attaches it.
///
/// # Errors
/// Burn's.
pub fn init(options: WgpuOptions) -> Result<Device, WgpuInitError> {
    let (device, setup) = options.init_with_setup()?;
    attach(&device, &setup)
        .map_err(|error| WgpuInitError::InvalidConfiguration { message: error.to_string() })?;
    Ok(device)
}

/// Returns the state of a device.
pub(crate) fn session(device: &CubeDevice) -> Result<Arc<Session>, Error> {
    let sessions = SESSIONS.lock().unwrap_or_else(PoisonError::into_inner);
    let found = sessions.as_ref().and_then(|sessions| sessions.get(device));
    found.cloned().ok_or_else(|| Error::Unattached { device: format!("{device:?}") })
}

/// Returns Burn's device as a device of its CubeCL backend.
pub(crate) fn cube_device(device: &Device) -> Result<CubeDevice, Error> {
    match device.clone().inner().as_dispatch() {
        DispatchDevice::Cube(cube @ CubeDevice::Wgpu(_)) => Ok(cube.clone()),
        // The pattern is irrefutable where wgpu is the only backend that is compiled in.
        #[allow(unreachable_patterns)]
        _ => Err(Error::Backend { device: format!("{device:?}") }),
    }
}
