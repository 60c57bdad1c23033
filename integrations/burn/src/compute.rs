//! One operation on Burn's tensors: their buffers, the library's plan, a submission.

use burn::backend::TensorMetadata;
use burn::tensor::{DType, Shape};
use burn_cubecl::CubeBackend;
use burn_cubecl::cubecl::server::Handle;
use burn_cubecl::tensor::CubeTensor;
use wgpu_loss::{Bound, Buffers, RESULT_BYTES, Reduction, wgpu};

use crate::Error;
use crate::criterion::Criterion;
use crate::device::session;
use crate::layout::Laid;
use crate::operands::Operands;
use crate::ops::{GradOps, LossOps, Target, Weight};
use crate::resource::Resource;
use crate::weigh::weigh;

/// Allocates a tensor in Burn's own pool, laid out like `like` if it has that tensor's shape.
fn empty(like: &CubeTensor, shape: Shape) -> CubeTensor {
    let (client, device) = (like.client.clone(), like.device.clone());
    let handle: Handle = client.empty(shape.num_elements() * size_of::<f32>());
    let mut tensor = CubeTensor::new_contiguous(client, device, shape, handle, DType::F32);
    if tensor.meta.shape() == like.meta.shape() {
        tensor.meta = like.meta.clone();
    }
    tensor
}

/// Returns the first number of a tensor, in place.
fn first_word(mut tensor: CubeTensor) -> CubeTensor {
    let rest = tensor.handle.size_in_used() - size_of::<f32>() as u64;
    tensor.handle = tensor.handle.offset_end(rest);
    CubeTensor::new_contiguous(
        tensor.client,
        tensor.device,
        Shape::new([1]),
        tensor.handle,
        tensor.dtype,
    )
}

/// The buffers and offsets of an operation's tensors.
struct Places {
    input: Resource,
    target: Resource,
    weight: Option<Resource>,
    loss: Resource,
    grad: Option<Resource>,
}

impl Places {
    fn buffers(&self, criterion: &Criterion, in_place: bool) -> Buffers<'_> {
        let mut buffers = Buffers::new(self.input.binding()).target(self.target.binding());
        if let Some(weight) = &self.weight {
            buffers = match criterion.has_classes() {
                true => buffers.weight(weight.binding()),
                false => buffers.element_weight(weight.binding()),
            };
        }
        buffers = match criterion.reduction {
            Reduction::None => buffers.loss(self.loss.binding()),
            _ => buffers.result(self.loss.binding()),
        };
        match &self.grad {
            Some(grad) => buffers.grad(grad.binding()),
            None if in_place => buffers.grad_in_place(),
            None => buffers,
        }
    }
}

/// Computes the loss, and the gradient if it is requested.
fn compute(
    input: CubeTensor,
    target: Target<CubeBackend>,
    weight: Weight<CubeBackend>,
    criterion: &Criterion,
    with_grad: bool,
) -> Result<(CubeTensor, Option<CubeTensor>), Error> {
    let session = session(&input.device)?;
    let operands = Operands::new(input, target, weight, criterion)?;
    let plan = session.plan(operands.problem(with_grad)?)?;
    let Operands { criterion, input: Laid { tensor: input, .. }, target, weight, .. } = operands;

    // The gradient overwrites the input if no other owner will read the input again.
    let in_place = with_grad && input.dtype == DType::F32 && input.handle.can_mut();
    let reduced = criterion.reduction != Reduction::None;
    let numbers = match reduced {
        true => RESULT_BYTES as usize / size_of::<f32>(),
        false => target.shape.iter().product(),
    };
    let loss = empty(&target.tensor, Shape::new([numbers]));
    let grad = (with_grad && !in_place).then(|| empty(&input, input.shape()));

    let places = Places {
        input: Resource::of(&input)?,
        target: Resource::of(&target.tensor)?,
        weight: weight.as_ref().map(|weight| Resource::of(&weight.tensor)).transpose()?,
        loss: Resource::of(&loss)?,
        grad: grad.as_ref().map(Resource::of).transpose()?,
    };
    let bound = Bound::new(&session.kernels, plan, &places.buffers(&criterion, in_place))?;
    let descriptor = wgpu::CommandEncoderDescriptor { label: Some(bound.label()) };
    let mut encoder = session.kernels.device().create_command_encoder(&descriptor);
    bound.encode(&mut encoder);
    session.queue.submit([encoder.finish()]);
    // While the places are held Burn does not touch the memory; work that it submits from now on comes after ours.
    drop(places);
    let loss = if reduced { first_word(loss) } else { loss };
    Ok((loss, if in_place { Some(input) } else { grad }))
}

/// Panics with the error: an operation has no way to return one. Under fusion Burn reports the message when the result
/// is read; without, the panic reaches the caller of `forward`.
fn or_panic<T>(result: Result<T, Error>) -> T {
    result.unwrap_or_else(|error| panic!("wgpu-loss-burn: {error}"))
}

impl LossOps for CubeBackend {
    fn loss(
        input: CubeTensor,
        target: Target<Self>,
        weight: Weight<Self>,
        criterion: Criterion,
    ) -> CubeTensor {
        or_panic(compute(input, target, weight, &criterion, false)).0
    }
}

impl GradOps for CubeBackend {
    fn loss_and_grad(
        input: CubeTensor,
        target: Target<Self>,
        weight: Weight<Self>,
        criterion: Criterion,
    ) -> (CubeTensor, CubeTensor) {
        let (loss, grad) = or_panic(compute(input, target, weight, &criterion, true));
        (loss, or_panic(grad.ok_or(Error::Buffer { reason: "no gradient was made".into() })))
    }

    fn weigh(grad: CubeTensor, upstream: CubeTensor) -> CubeTensor {
        or_panic(weigh(grad, upstream))
    }
}
