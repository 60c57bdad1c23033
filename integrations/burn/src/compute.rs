//! One operation on Burn's tensors: their buffers, the library's plan, a submission.

use burn::backend::TensorMetadata;
use burn::tensor::{DType, Shape};
use burn_cubecl::CubeBackend;
use burn_cubecl::cubecl::server::Handle;
use burn_cubecl::cubecl::wgpu::{AutoCompiler, WgpuResource, WgpuServer};
use burn_cubecl::tensor::CubeTensor;
use cubecl_runtime::storage::ManagedResource;
use wgpu_loss::loss::Shapes;
use wgpu_loss::{
    Bound, Buffers, ElementType, LabelType, Loss, Outputs, Problem, RESULT_BYTES, Reduction,
    TargetType, wgpu,
};

use crate::Error;
use crate::criterion::Criterion;
use crate::device::session;
use crate::layout::Laid;
use crate::ops::{GradOps, LossOps, Target, Weight};

/// A tensor's buffer. Burn neither frees nor moves the tensor's memory while this is held.
pub(crate) struct Resource(ManagedResource<WgpuResource>);

impl Resource {
    /// Where the tensor behind a handle is. All work that was recorded for it is submitted with this, so
    /// that whatever is submitted next to Burn's queue finds it done.
    pub(crate) fn of(tensor: &CubeTensor) -> Result<Self, Error> {
        let handle = tensor.handle.clone();
        let found = tensor.client.get_resource::<WgpuServer<AutoCompiler>>(handle);
        found.map(Self).map_err(|error| Error::Buffer { reason: error.to_string() })
    }

    pub(crate) fn binding(&self) -> wgpu::BufferBinding<'_> {
        let resource: &WgpuResource = self.0.resource();
        // Burn's memory comes in slices of whole words.
        let size = wgpu::BufferSize::new(resource.size.next_multiple_of(4));
        wgpu::BufferBinding { buffer: &resource.buffer, offset: resource.offset, size }
    }
}

/// Memory of Burn's own pool for a tensor, laid out like `like` where it has that tensor's shape.
fn empty(like: &CubeTensor, shape: Shape) -> CubeTensor {
    let (client, device) = (like.client.clone(), like.device.clone());
    let handle: Handle = client.empty(shape.num_elements() * size_of::<f32>());
    let mut tensor = CubeTensor::new_contiguous(client, device, shape, handle, DType::F32);
    if tensor.meta.shape() == like.meta.shape() {
        tensor.meta = like.meta.clone();
    }
    tensor
}

/// The first number of a tensor, where it is.
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

/// The element types that the kernels read.
pub(crate) fn element_type(what: &'static str, dtype: DType) -> Result<ElementType, Error> {
    match dtype {
        DType::F32 | DType::Flex32 => Ok(ElementType::F32),
        DType::F16 => Ok(ElementType::F16),
        DType::BF16 => Ok(ElementType::BF16),
        other => {
            let (given, wanted) = (format!("{other:?}"), "f32, f16 or bf16");
            Err(Error::ElementType { what, given, wanted })
        }
    }
}

/// The label types that the kernels read.
pub(crate) fn label_type(dtype: DType) -> Result<LabelType, Error> {
    match dtype {
        DType::I64 => Ok(LabelType::I64),
        DType::I32 => Ok(LabelType::I32),
        DType::I16 => Ok(LabelType::I16),
        DType::I8 => Ok(LabelType::I8),
        DType::U64 => Ok(LabelType::U64),
        DType::U32 => Ok(LabelType::U32),
        DType::U16 => Ok(LabelType::U16),
        DType::U8 => Ok(LabelType::U8),
        other => {
            let (given, wanted) = (format!("{other:?}"), "integers");
            Err(Error::ElementType { what: "targets", given, wanted })
        }
    }
}

/// The tensors of an operation, each laid out as it is read.
struct Operands {
    criterion: Criterion,
    input: Laid,
    target: Laid,
    target_type: TargetType,
    weight: Option<Laid>,
}

impl Operands {
    fn new(
        input: CubeTensor,
        target: Target<CubeBackend>,
        weight: Weight<CubeBackend>,
        criterion: &Criterion,
    ) -> Result<Self, Error> {
        let input = match criterion.has_classes() {
            true => Laid::of(input),
            false => Laid::contiguous(input),
        };
        let (target, target_type) = match target {
            Target::Labels(labels) => {
                let label_type = label_type(labels.dtype)?;
                (Laid::contiguous(labels), TargetType::Labels(label_type))
            }
            Target::Values(values) => {
                let value_type = element_type("targets", values.dtype)?;
                (Laid::contiguous(values), TargetType::Values(value_type))
            }
        };
        let weight = match weight {
            Weight::None => None,
            Weight::Given(weight) => Some(Laid::contiguous(weight)),
        };
        let criterion = Criterion { class_axis: input.class_axis, ..criterion.clone() };
        Ok(Self { criterion, input, target, target_type, weight })
    }

    /// What is computed, over the axes as they lie in memory.
    fn problem(&self, with_grad: bool) -> Result<Problem, Error> {
        let mut shapes = Shapes::new(&self.input.shape)
            .input_type(element_type("input", self.input.tensor.dtype)?)
            .target(self.target_type, &self.target.shape);
        if let Some(weight) = &self.weight {
            let weight_type = element_type("weights", weight.tensor.dtype)?;
            shapes = match self.criterion.has_classes() {
                true => shapes.weight(weight.shape.iter().product()).weight_type(weight_type),
                false => shapes.element_weight(weight_type, &weight.shape),
            };
        }
        let mut outputs = Outputs::loss().in_f32();
        outputs.grad = with_grad;
        Ok(self.criterion.problem(&shapes, outputs)?)
    }
}

/// Computes the loss, and the gradient where it is asked for.
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

    // The gradient takes the input's place where nobody else will look at the input again.
    let in_place = with_grad && input.dtype == DType::F32 && input.handle.can_mut();
    let losses = criterion.losses(target.shape.iter().product());
    let loss = match criterion.reduction {
        Reduction::None => empty(&target.tensor, Shape::new([losses])),
        _ => empty(&target.tensor, Shape::new([RESULT_BYTES as usize / size_of::<f32>()])),
    };
    let grad = (with_grad && !in_place).then(|| empty(&input, input.shape()));

    let (input_at, target_at) = (Resource::of(&input)?, Resource::of(&target.tensor)?);
    let weight_at = weight.as_ref().map(|weight| Resource::of(&weight.tensor)).transpose()?;
    let (loss_at, grad_at) = (Resource::of(&loss)?, grad.as_ref().map(Resource::of).transpose()?);

    let mut buffers = Buffers::new(input_at.binding()).target(target_at.binding());
    if let Some(weight) = &weight_at {
        buffers = match criterion.has_classes() {
            true => buffers.weight(weight.binding()),
            false => buffers.element_weight(weight.binding()),
        };
    }
    let reduced = criterion.reduction != Reduction::None;
    buffers = match reduced {
        true => buffers.result(loss_at.binding()),
        false => buffers.loss(loss_at.binding()),
    };
    if let Some(grad) = &grad_at {
        buffers = buffers.grad(grad.binding());
    } else if in_place {
        buffers = buffers.grad_in_place();
    }
    let bound = Bound::new(&session.kernels, plan, &buffers)?;

    let descriptor = wgpu::CommandEncoderDescriptor { label: Some(bound.label()) };
    let mut encoder = session.kernels.device().create_command_encoder(&descriptor);
    bound.encode(&mut encoder);
    session.queue.submit([encoder.finish()]);
    // Until here Burn kept its hands off the memory; what it submits from now on comes behind.
    drop((input_at, target_at, weight_at, loss_at, grad_at));
    let loss = if reduced { first_word(loss) } else { loss };
    Ok((loss, if in_place { Some(input) } else { grad }))
}

/// An operation has nowhere to return an error to. Under fusion Burn keeps the message for whoever reads
/// the result; without, it reaches the caller of `forward`.
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
        or_panic(crate::scale::weigh(grad, upstream))
    }
}
