//! The parts that the examples share.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use wgpu_loss::wgpu;

use crate::places;

/// Any error, with a sentence to print.
pub type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The path of a file of the sample data.
pub fn data(name: &str) -> PathBuf {
    places::root().join("examples/data").join(name)
}

/// Writes a file, in a folder that need not be there.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let written = match path.parent() {
        Some(folder) => fs::create_dir_all(folder).and_then(|()| fs::write(path, bytes)),
        None => fs::write(path, bytes),
    };
    written.map_err(|error| format!("{} cannot be written: {error}", path.display()).into())
}

/// The host's device: no features and WebGPU's default limits.
pub fn device() -> Result<(wgpu::Device, wgpu::Queue)> {
    let instance =
        wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env());
    let adapter = instance.request_adapter(&wgpu::RequestAdapterOptions {
        power_preference: wgpu::PowerPreference::HighPerformance, // of several, not a software driver
        ..Default::default()
    });
    let adapter = pollster::block_on(adapter).map_err(|_| {
        "no GPU adapter found: install your GPU's Vulkan driver, or a software one\n\
         (on Debian and Ubuntu: apt-get install mesa-vulkan-drivers libvulkan1)"
    })?;
    println!("adapter   {}", adapter.get_info().name);
    Ok(pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor::default()))?)
}

/// Waits for everything that was submitted and reads a buffer with `MAP_READ` usage.
pub fn read(device: &wgpu::Device, staging: &wgpu::Buffer) -> Result<Vec<u8>> {
    staging.map_async(wgpu::MapMode::Read, .., |_| {}); // the view below reports a failure
    device.poll(wgpu::PollType::wait_indefinitely())?;
    let bytes = staging.get_mapped_range(..)?.to_vec();
    staging.unmap();
    Ok(bytes)
}
