//! A device, and calls on host data.

use std::future::poll_fn;
use std::pin::pin;

use js_sys::Uint8Array;
use wasm_bindgen::prelude::*;
use wgpu_loss::reference::Cpu;
use wgpu_loss::{Error, Gpu, stream, wgpu};

use crate::door::Door;
use crate::errors::{argument, error, said};
use crate::operand::{Described, Operand, inputs};
use crate::question::Question;
use crate::results;
use crate::step::Prepared;

/// A GPUDevice with the library's pipelines.
#[wasm_bindgen]
pub struct Device {
    gpu: Gpu,
    door: Door,
}

#[wasm_bindgen]
impl Device {
    /// Opens the page's device, or one of its own where `device` is undefined.
    pub async fn open(device: JsValue) -> Result<Device, JsValue> {
        let door = Door::new(device);
        let gpu = door.open().await.map_err(error)?;
        Ok(Self { gpu, door })
    }

    /// The GPUDevice.
    #[wasm_bindgen(getter)]
    pub fn device(&self) -> JsValue {
        self.door.device()
    }

    /// Computes over host data. `described` has slot, type and shape of each tensor, the input's first, and `data` their
    /// bytes.
    pub async fn compute(
        &self,
        function: String,
        options: JsValue,
        described: JsValue,
        data: Vec<Uint8Array>,
    ) -> Result<JsValue, JsValue> {
        let question = Question::new(&function, options)?;
        let operands = operands(described, &data)?;
        let Question { loss, outputs, .. } = &question;
        let (inputs, outputs) = (inputs(&operands)?, outputs.in_f32());
        let call = self.gpu.run_async(&**loss, &inputs, outputs);
        let output = scoped(self.gpu.device(), call).await?.map_err(error)?;
        Ok(results::output(&output, outputs))
    }

    /// Prepares a call on buffers. With `in_f32`, outputs of f16 and bf16 inputs are f32.
    pub fn prepare(
        &self,
        function: &str,
        options: JsValue,
        described: JsValue,
        in_f32: bool,
    ) -> Result<Prepared, JsValue> {
        let mut question = Question::new(function, options)?;
        question.outputs.in_f32 = in_f32;
        Prepared::new(&self.gpu, &self.door, question, &parsed(described)?)
    }
}

/// Computes on the processor, on this thread.
#[wasm_bindgen(js_name = computeOnCpu)]
pub fn compute_on_cpu(
    function: &str,
    options: JsValue,
    described: JsValue,
    data: Vec<Uint8Array>,
) -> Result<JsValue, JsValue> {
    let Question { loss, outputs, .. } = Question::new(function, options)?;
    let operands = operands(described, &data)?;
    let (inputs, outputs) = (inputs(&operands)?, outputs.in_f32());
    let output = stream::Device::run(&Cpu, &*loss, &inputs, outputs).map_err(error)?;
    Ok(results::output(&output, outputs))
}

/// Awaits work on a device, and returns the device's first error in it. The library opens no error scopes in a browser,
/// where their results come later: numbers read from a failed device would look like any others.
async fn scoped<T>(device: &wgpu::Device, work: impl Future<Output = T>) -> Result<T, JsValue> {
    let mut work = pin!(work);
    let mut reports = Vec::new();
    let done = poll_fn(|context| {
        // A step of the work blocks nobody and is interrupted by nobody: scopes of other calls are not open meanwhile.
        let validation = device.push_error_scope(wgpu::ErrorFilter::Validation);
        let memory = device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let polled = work.as_mut().poll(context);
        reports.extend([memory.pop(), validation.pop()]);
        polled
    });
    let done = done.await;
    for report in reports {
        if let Some(failure) = report.await {
            let during = "computing a loss";
            return Err(error(Error::Device { during, reason: failure.to_string() }));
        }
    }
    Ok(done)
}

fn operands(described: JsValue, data: &[Uint8Array]) -> Result<Vec<Operand>, JsValue> {
    let described = parsed(described)?;
    Ok(described.into_iter().zip(data).map(|(of, data)| Operand::copied(of, data)).collect())
}

fn parsed(described: JsValue) -> Result<Vec<Described>, JsValue> {
    serde_wasm_bindgen::from_value(described).map_err(|error| argument(&said(&error)))
}
