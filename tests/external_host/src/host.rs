//! The application's device, with handlers and error scopes of its own.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use wgpu_loss::{Kernels, wanted_features, wanted_limits};

use crate::block_on;

/// A device, its queue, and the errors that its handlers have received.
pub struct Host {
    /// The property that distinguishes it.
    pub name: &'static str,
    /// The device.
    pub device: wgpu::Device,
    /// Its queue.
    pub queue: wgpu::Queue,
    /// The library's pipelines.
    pub kernels: Kernels,
    heard: Arc<Mutex<Vec<String>>>,
}

/// Runs `work` on a device with wgpu's default limits and no features, and on one with everything that the library
/// requests. The application's error scopes are open meanwhile, and neither they nor its handlers may receive an error.
///
/// # Panics
/// If there is no adapter: a test that needs a GPU must not pass without one.
pub fn on_every_host(work: impl Fn(&Host)) {
    let instance =
        wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env());
    let best = wgpu::RequestAdapterOptions {
        power_preference: wgpu::PowerPreference::HighPerformance,
        ..Default::default()
    };
    let adapter = block_on(instance.request_adapter(&best))
        .expect("the tests need a GPU or a software driver");
    println!("on {}", adapter.get_info().name);
    let bare = wgpu::DeviceDescriptor::default();
    let wanted = wgpu::DeviceDescriptor {
        required_features: wanted_features(&adapter),
        required_limits: wanted_limits(&adapter),
        ..Default::default()
    };
    for (name, descriptor) in [("bare", bare), ("wanted", wanted)] {
        let host = Host::open(name, &adapter, &descriptor);
        host.listening(&work);
        assert_eq!(*host.heard.lock().unwrap(), [""; 0], "the handlers of {name}");
    }
}

impl Host {
    fn open(
        name: &'static str,
        adapter: &wgpu::Adapter,
        descriptor: &wgpu::DeviceDescriptor<'_>,
    ) -> Self {
        let (device, queue) = block_on(adapter.request_device(descriptor)).expect("a device");
        let heard = Arc::new(Mutex::new(Vec::new()));
        let hearing = heard.clone();
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            hearing.lock().unwrap().push(error.to_string());
        }));
        let hearing = heard.clone();
        device.set_device_lost_callback(move |reason, message| {
            hearing.lock().unwrap().push(format!("{reason:?}: {message}"));
        });
        let kernels = Kernels::new(&device);
        Self { name, device, queue, kernels, heard }
    }

    /// Runs `work` inside scopes of the application's.
    fn listening(&self, work: impl Fn(&Host)) {
        let scopes = [
            wgpu::ErrorFilter::Validation,
            wgpu::ErrorFilter::OutOfMemory,
            wgpu::ErrorFilter::Internal,
        ]
        .map(|filter| self.device.push_error_scope(filter));
        work(self);
        for scope in scopes.into_iter().rev() {
            let heard = block_on(scope.pop());
            assert!(heard.is_none(), "a scope of {}: {heard:?}", self.name);
        }
    }

    /// An encoder.
    pub fn encoder(&self) -> wgpu::CommandEncoder {
        self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default())
    }

    /// A buffer of the usages that tensors have here.
    pub fn buffer(&self, bytes: u64) -> wgpu::Buffer {
        self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("external host"),
            size: bytes,
            usage: wgpu::BufferUsages::STORAGE
                | wgpu::BufferUsages::COPY_SRC
                | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        })
    }

    /// The bytes of a range of a buffer, once all that was submitted is done.
    pub fn read(&self, range: wgpu::BufferBinding<'_>) -> Vec<u8> {
        let size = range.size.map_or(range.buffer.size() - range.offset, |size| size.get());
        let staging = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("external host's staging"),
            size,
            usage: wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ,
            mapped_at_creation: false,
        });
        let mut encoder = self.encoder();
        encoder.copy_buffer_to_buffer(range.buffer, range.offset, &staging, 0, size);
        self.queue.submit([encoder.finish()]);
        staging.map_async(wgpu::MapMode::Read, .., |mapped| mapped.expect("a mapping"));
        self.device.poll(wgpu::PollType::wait_indefinitely()).expect("a device at work");
        let bytes = staging.get_mapped_range(..).expect("mapped bytes").to_vec();
        staging.unmap();
        bytes
    }

    /// The application's main loop: it polls the device now and then until something has come.
    pub fn until<T>(&self, mut come: impl FnMut() -> Option<T>) -> T {
        let started = Instant::now();
        loop {
            if let Some(come) = come() {
                return come;
            }
            assert!(started.elapsed() < Duration::from_secs(60), "it never comes");
            self.device.poll(wgpu::PollType::Poll).expect("a device at work");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}
