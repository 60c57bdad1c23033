//! stub
use crate::{Error, Inputs, Loss, Output, Outputs};
/// stub
pub struct Gpu;
impl Gpu {
    /// best adapter; software adapters only where there is nothing else
    pub fn new() -> Result<Self, Error> {
        todo!()
    }
    /// first adapter whose name, driver or backend contains the text (case-insensitive)
    pub fn with_adapter(_name: &str) -> Result<Self, Error> {
        todo!()
    }
    /// every adapter, best first
    pub fn adapters() -> Vec<wgpu::AdapterInfo> {
        todo!()
    }
    /// stub
    pub fn info(&self) -> &wgpu::AdapterInfo {
        todo!()
    }
    /// blocking
    pub fn run(
        &self,
        _loss: &dyn Loss,
        _inputs: &Inputs<'_>,
        _outputs: Outputs,
    ) -> Result<Output<f32>, Error> {
        todo!()
    }
}
