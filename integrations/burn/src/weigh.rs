//! A gradient times the upstream gradient.

use burn::backend::ops::FloatTensorOps;
use burn::tensor::Shape;
use burn_cubecl::CubeBackend;
use burn_cubecl::tensor::CubeTensor;
use wgpu_loss::wgpu;

use crate::Error;
use crate::device::session;
use crate::resource::Resource;

/// Returns `grad * upstream`, in place if the gradient has no other owner.
pub(crate) fn weigh(grad: CubeTensor, upstream: CubeTensor) -> Result<CubeTensor, Error> {
    if !grad.handle.can_mut() {
        let ones: Shape = vec![1; grad.meta.shape().num_dims()].into();
        return Ok(CubeBackend::float_mul(grad, CubeBackend::float_reshape(upstream, ones)));
    }
    let session = session(&grad.device)?;
    let (grad_at, upstream_at) = (Resource::of(&grad)?, Resource::of(&upstream)?);
    let device = session.kernels.device();
    let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor {
        label: Some("wgpu-loss-burn scale"),
    });
    let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
        label: Some("wgpu-loss-burn scale"),
        timestamp_writes: None,
    });
    session.scale.record(&mut pass, &grad_at.binding(), &upstream_at.binding());
    drop(pass);
    session.queue.submit([encoder.finish()]);
    drop((grad_at, upstream_at));
    Ok(grad)
}
