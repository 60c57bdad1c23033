//! wgpu's handles of a page's own objects: see `door.js`.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use js_sys::Reflect;
use wasm_bindgen::prelude::*;
use wgpu_loss::{Error, Gpu, GpuOptions, wgpu};

#[wasm_bindgen(module = "/src/door.js")]
extern "C" {
    pub type Door;

    #[wasm_bindgen(constructor)]
    pub fn new(device: JsValue) -> Door;

    /// The GPUDevice.
    #[wasm_bindgen(method, getter)]
    pub fn device(this: &Door) -> JsValue;

    #[wasm_bindgen(method, js_name = putUp)]
    fn put_up(this: &Door);

    #[wasm_bindgen(method, js_name = takeDown)]
    fn take_down(this: &Door);

    #[wasm_bindgen(method, js_name = passBuffer)]
    fn pass_buffer(this: &Door, buffer: &JsValue);

    #[wasm_bindgen(method, js_name = passPass)]
    fn pass_pass(this: &Door, pass: &JsValue);
}

impl Door {
    /// Opens the device behind the door, the page's or a new one.
    pub async fn open(&self) -> Result<Gpu, Error> {
        let options = GpuOptions::new();
        let mut opening = pin!(Gpu::open(&options));
        // wgpu looks for `navigator.gpu` when it makes an instance, in the first step of this.
        let first = poll_fn(|context| {
            self.put_up();
            let polled = opening.as_mut().poll(context);
            self.take_down();
            Poll::Ready(polled)
        });
        match first.await {
            Poll::Ready(opened) => opened,
            Poll::Pending => opening.await,
        }
    }

    /// Returns wgpu's handle of a buffer of the page.
    pub fn buffer(&self, device: &wgpu::Device, buffer: &JsValue) -> wgpu::Buffer {
        let number = |name: &str| {
            let value = Reflect::get(buffer, &name.into()).ok();
            value.and_then(|value| value.as_f64()).unwrap_or(0.0)
        };
        self.pass_buffer(buffer);
        device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: number("size") as u64,
            usage: wgpu::BufferUsages::from_bits_truncate(number("usage") as u32),
            mapped_at_creation: false,
        })
    }

    /// Returns wgpu's handle of a compute pass of the page.
    pub fn pass(&self, device: &wgpu::Device, pass: &JsValue) -> wgpu::ComputePass<'static> {
        self.pass_pass(pass);
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default()).forget_lifetime()
    }
}
