//! Burn on wgpu, on the adapter that wgpu-loss would take.

use burn::nn::loss::CrossEntropyLossConfig;
use burn::tensor::wgpu::WgpuBackend;
use burn::tensor::{Device, DeviceKind, Int, Tensor, TensorData};
use peers::{Answer, Fallible, Job, Pass, dot};
use wgpu_loss::{Gpu, wgpu};

fn main() -> Fallible<()> {
    let job = Job::from_stdin()?;
    let device = open(&job)?;
    let name = device.identity().map(|identity| identity.name).unwrap_or_default();

    let data = job.logits()?;
    let labels = job.labels()?;
    for pass in Pass::ALL {
        let device = match pass {
            Pass::Forward => device.clone(),
            Pass::Backward => device.clone().autodiff(),
        };
        let inputs = Inputs::new(&job, &device, &data, &labels, pass);
        let times = job.time(|| inputs.run().map(|_| ()))?;

        let (loss, grad) = inputs.run()?;
        let loss = loss.try_into_scalar::<f32>()?.into();
        let grad_dot = grad.map(host).transpose()?.map(|grad| dot(&grad, &data));
        let answer = Answer { loss, grad_dot };
        job.report(&name, &inputs.note(), pass, answer, &times);
    }
    Ok(())
}

fn host(tensor: Tensor<2>) -> Fallible<Vec<f32>> {
    Ok(tensor.try_into_data()?.try_to_vec()?)
}

/// Burn's device on the adapter that wgpu-loss opens for this job. Burn counts the adapters of each
/// type apart, in the driver's order.
fn open(job: &Job) -> Fallible<Device> {
    let wanted = Gpu::with_adapter(job.adapter.as_deref().unwrap_or_default())?.info().clone();
    let index = Gpu::adapters()
        .iter()
        .filter(|info| (info.backend, info.device_type) == (wanted.backend, wanted.device_type))
        .position(|info| *info == wanted)
        .ok_or("the adapter is gone")?;
    let kind = match wanted.device_type {
        wgpu::DeviceType::DiscreteGpu => DeviceKind::DiscreteGpu(index),
        wgpu::DeviceType::IntegratedGpu => DeviceKind::IntegratedGpu(index),
        wgpu::DeviceType::VirtualGpu => DeviceKind::VirtualGpu(index),
        wgpu::DeviceType::Cpu => DeviceKind::Cpu,
        wgpu::DeviceType::Other => DeviceKind::DefaultDevice,
    };
    let api = match wanted.backend {
        wgpu::Backend::Vulkan => WgpuBackend::Vulkan,
        wgpu::Backend::Metal => WgpuBackend::Metal,
        wgpu::Backend::Dx12 => WgpuBackend::Dx12,
        wgpu::Backend::Gl => WgpuBackend::Gl,
        other => return Err(format!("does not run on {other}").into()),
    };
    let device = Device::wgpu_options().device_kind(kind).graphics_api(api).init()?;
    match device.identity().map(|identity| identity.name) {
        Some(name) if name == wanted.name => Ok(device),
        name => Err(format!("opened {name:?}, not {}", wanted.name).into()),
    }
}

/// The tensors on the device.
struct Inputs<'a> {
    job: &'a Job,
    device: Device,
    /// (N, C), or (N C, H W).
    logits: Tensor<2>,
    labels: Tensor<1, Int>,
    pass: Pass,
}

impl<'a> Inputs<'a> {
    fn new(job: &'a Job, device: &Device, logits: &[f32], labels: &[i64], pass: Pass) -> Self {
        let shape = match job.inner() {
            1 => [job.shape[0], job.classes()],
            inner => [job.shape[0] * job.classes(), inner],
        };
        let mut logits = Tensor::from_data(TensorData::new(logits.to_vec(), shape), device);
        if pass == Pass::Backward {
            logits = logits.require_grad();
        }
        let labels = TensorData::new(labels.to_vec(), [labels.len()]);
        Self {
            job,
            device: device.clone(),
            logits,
            labels: Tensor::from_data(labels, device),
            pass,
        }
    }

    /// Burn's loss wants (N, C): of images, a row for each pixel.
    fn rows(&self) -> Tensor<2> {
        match self.job.inner() {
            1 => self.logits.clone(),
            inner => {
                let (batch, classes) = (self.job.shape[0], self.job.classes());
                let images = self.logits.clone().reshape([batch, classes, inner]);
                images.permute([0, 2, 1]).reshape([batch * inner, classes])
            }
        }
    }

    /// One pass, to its end: `sync` hands over what fusion has kept back, and waits for it.
    fn run(&self) -> Fallible<(Tensor<1>, Option<Tensor<2>>)> {
        let criterion = CrossEntropyLossConfig::new().init(&self.device);
        let loss = criterion.forward(self.rows(), self.labels.clone());
        let grad = match self.pass {
            Pass::Forward => None,
            Pass::Backward => Some(self.logits.grad(&loss.backward()).ok_or("no gradient")?),
        };
        self.device.sync()?;
        Ok((loss, grad))
    }

    fn note(&self) -> String {
        let layout = if self.job.inner() == 1 { "" } else { ", logits permuted to (N H W, C)" };
        format!("labels {:?}{layout}", self.labels.dtype())
    }
}
