//! A host with a device of its own, which notices the errors that wgpu reports to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use wgpu_loss::{Bound, Kernels, Reader};

use super::frame::{Frame, submit_frame};

/// A host's device, with handlers that count the errors that they receive.
pub struct Host {
    pub device: wgpu::Device,
    pub queue: wgpu::Queue,
    /// Errors that no scope received.
    pub uncaptured: Arc<AtomicUsize>,
    /// Losses of the device: one at most.
    pub lost: Arc<AtomicUsize>,
}

/// The adapter of this name.
///
/// # Panics
/// If there is none.
pub fn adapter(name: &str) -> wgpu::Adapter {
    let descriptor = wgpu::InstanceDescriptor::new_without_display_handle_from_env();
    let instance = wgpu::Instance::new(descriptor);
    let adapters = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::all()));
    adapters.into_iter().find(|adapter| adapter.get_info().name == name).unwrap()
}

impl Host {
    /// Opens a device on an adapter.
    pub fn on(adapter: &wgpu::Adapter, descriptor: &wgpu::DeviceDescriptor<'_>) -> Self {
        let (device, queue) = pollster::block_on(adapter.request_device(descriptor)).unwrap();
        let (uncaptured, lost) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let heard = uncaptured.clone();
        device.on_uncaptured_error(Arc::new(move |error| {
            eprintln!("the host's handler heard: {error}");
            heard.fetch_add(1, Ordering::SeqCst);
        }));
        let heard = lost.clone();
        device.set_device_lost_callback(move |_, _| {
            heard.fetch_add(1, Ordering::SeqCst);
        });
        Self { device, queue, uncaptured, lost }
    }

    /// Runs `work` inside scopes of the host's, and asserts that neither they nor the handler receive an error.
    #[track_caller]
    pub fn undisturbed<T>(&self, work: impl FnOnce() -> T) -> T {
        let filters = [
            wgpu::ErrorFilter::Validation,
            wgpu::ErrorFilter::OutOfMemory,
            wgpu::ErrorFilter::Internal,
        ];
        let scopes = filters.map(|filter| self.device.push_error_scope(filter));
        let done = work();
        for scope in scopes.into_iter().rev() {
            let heard = pollster::block_on(scope.pop()).map(|error| error.to_string());
            assert_eq!(heard, None, "a scope of the host's");
        }
        assert_eq!(self.uncaptured.load(Ordering::SeqCst), 0, "the host's handler");
        done
    }

    pub fn kernels(&self) -> Kernels {
        Kernels::new(&self.device)
    }

    pub fn frame(&self, rows: usize, classes: usize) -> Frame {
        Frame::new(&self.device, &self.queue, [rows, classes], 0)
    }

    pub fn submit(&self, bound: &Bound, reader: Option<&Reader>) {
        submit_frame(&self.device, &self.queue, bound, reader);
    }
}
