//! wgpu's errors, caught where they arise instead of in the host's handler.
//!
//! Not in browsers: there a scope's result comes later, and blocking until then is not allowed. A scope whose result is
//! never read would swallow the error, so none is opened, and the host's own scopes and its handler receive the errors.

use crate::Error;

/// Runs `work` inside error scopes and returns wgpu's error as an [`Error::Device`], or as an [`Error::OutOfMemory`].
///
/// The scopes open and close on this thread, so a host's own scopes stay as they are.
pub(crate) fn scoped<T>(
    device: &wgpu::Device,
    during: &'static str,
    work: impl FnOnce() -> T,
) -> Result<T, Error> {
    allocating(device, during, 0, work)
}

/// Returns true if the device is lost. wgpu reports the loss only to the host's callback and has no query for it; but a
/// buffer that is made on a lost device has no memory, without an error.
///
/// The host maps this buffer. For any other, wgpu adds a copy of the initial contents to the next submission. wgpu 30
/// then frees a buffer that is destroyed while another thread submits the copy.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn is_lost(device: &wgpu::Device) -> bool {
    let canary = scoped(device, "making a buffer", || {
        let buffer = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("wgpu-loss canary"),
            size: 4,
            usage: wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::MAP_WRITE,
            mapped_at_creation: true,
        });
        let nothing = buffer.get_mapped_range(..).is_err();
        buffer.destroy();
        nothing
    });
    // If there is no memory left, the scope has an error.
    canary.unwrap_or(false)
}

/// Returns false: in a browser, a buffer of a lost device looks like any other, and only mappings fail.
#[cfg(target_arch = "wasm32")]
pub(crate) fn is_lost(_: &wgpu::Device) -> bool {
    false
}

/// Runs `work` as [`scoped`] does; it allocates `bytes` bytes of the device's memory.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn allocating<T>(
    device: &wgpu::Device,
    during: &'static str,
    bytes: u64,
    work: impl FnOnce() -> T,
) -> Result<T, Error> {
    let validation = device.push_error_scope(wgpu::ErrorFilter::Validation);
    let memory = device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
    let internal = device.push_error_scope(wgpu::ErrorFilter::Internal);
    let done = work();
    let reports = [internal.pop(), memory.pop(), validation.pop()];
    for report in reports {
        if let Some(error) = pollster::block_on(report) {
            return Err(match error {
                wgpu::Error::OutOfMemory { .. } => Error::OutOfMemory { what: during, bytes },
                // A lost device yields invalid objects, whose use wgpu reports as an error.
                _ if is_lost(device) => Error::Lost { during },
                error => Error::Device { during, reason: error.to_string() },
            });
        }
    }
    Ok(done)
}

/// Runs `work` without scopes; see above.
#[cfg(target_arch = "wasm32")]
pub(crate) fn allocating<T>(
    _: &wgpu::Device,
    _: &'static str,
    _: u64,
    work: impl FnOnce() -> T,
) -> Result<T, Error> {
    Ok(work())
}

#[cfg(all(test, feature = "gpu"))]
mod tests {
    use super::is_lost;
    use crate::Gpu;

    #[test]
    fn looks_leave_nothing_on_the_device() {
        let gpu = Gpu::new().expect("a GPU adapter");
        let allocations = || {
            let report = gpu.device().generate_allocator_report().expect("an allocator's report");
            report.allocations.len()
        };
        let before = allocations();
        (0..100).for_each(|_| assert!(!is_lost(gpu.device()), "the device is lost"));
        assert_eq!(allocations(), before);
    }
}
