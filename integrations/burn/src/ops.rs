//! The losses as operations of Burn's backends: lazy under fusion, differentiated under autodiff.

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind, unary};
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Autodiff, Backend, ExtensionType, TensorMetadata, backend_extension};
use burn::tensor::DType;
#[cfg(feature = "fusion")]
use burn::{backend::fusion::custom::TensorSpec, tensor::Shape};

use crate::criterion::Criterion;

/// The target of a loss.
#[derive(ExtensionType)]
#[extension_type(fusion: cfg(feature = "fusion"))]
pub enum Target<B: Backend> {
    /// One class for each row.
    Labels(IntTensor<B>),
    /// One value for each element.
    Values(FloatTensor<B>),
}

/// Weights of classes, or of elements.
#[derive(ExtensionType)]
#[extension_type(fusion: cfg(feature = "fusion"))]
pub enum Weight<B: Backend> {
    /// All the same.
    None,
    /// One for each.
    Given(FloatTensor<B>),
}

/// The loss of an input, f32: one number, or with reduction `none` one for each row or element.
#[backend_extension(Cube, Fusion: cfg(feature = "fusion"), Autodiff)]
pub trait LossOps: Backend {
    /// Computes the loss. The gradient is with respect to the input alone.
    #[fusion(meta = loss_spec)]
    fn loss(
        input: FloatTensor<Self>,
        #[extension_type] target: Target<Self>,
        #[extension_type] weight: Weight<Self>,
        criterion: Criterion,
    ) -> FloatTensor<Self>;
}

/// The operations that differentiating a loss needs.
#[backend_extension(Cube, Fusion: cfg(feature = "fusion"))]
pub trait GradOps: Backend {
    /// Computes the loss and its gradient with respect to the input, both f32, in one submission.
    #[fusion(meta = loss_and_grad_spec)]
    fn loss_and_grad(
        input: FloatTensor<Self>,
        #[extension_type] target: Target<Self>,
        #[extension_type] weight: Weight<Self>,
        criterion: Criterion,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// Multiplies a gradient by a number on the GPU. Nothing is read or written if the number is 1, as it is if
    /// `backward` starts at the loss.
    #[fusion(dtype = grad, shape = grad)]
    fn weigh(grad: FloatTensor<Self>, upstream: FloatTensor<Self>) -> FloatTensor<Self>;
}

/// Returns a result's shape and type, which fusion needs before it is computed.
#[cfg(feature = "fusion")]
fn loss_spec(
    input: &TensorSpec,
    target: &TargetMetadata,
    _weight: &WeightMetadata,
    criterion: &Criterion,
) -> TensorSpec {
    let count = match target {
        TargetMetadata::Labels(labels) => labels.shape.num_elements(),
        TargetMetadata::Values(_) => input.shape.num_elements(),
    };
    TensorSpec::new(Shape::new([criterion.losses(count)]), DType::F32)
}

#[cfg(feature = "fusion")]
fn loss_and_grad_spec(
    input: &TensorSpec,
    target: &TargetMetadata,
    weight: &WeightMetadata,
    criterion: &Criterion,
) -> (TensorSpec, TensorSpec) {
    let grad = TensorSpec::new(input.shape.clone(), DType::F32);
    (loss_spec(input, target, weight, criterion), grad)
}

/// The step of the backward pass. The forward pass has computed the gradient, except for the upstream one.
#[derive(Debug)]
struct LossBackward;

/// The tensors that the step keeps.
#[derive(Clone, Debug)]
struct Kept<T> {
    grad: T,
    /// The type of the input.
    dtype: DType,
    has_classes: bool,
}

impl<B: Backend + GradOps> Backward<B, 1> for LossBackward {
    type State = Kept<B::FloatTensorPrimitive>;

    fn backward(
        self,
        ops: Ops<Self::State, 1>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let Kept { grad, dtype, has_classes } = ops.state;
        unary::<B, _>(ops.parents, ops.node, grads, |upstream| {
            let grad = if upstream.shape().num_elements() == 1 {
                B::weigh(grad, upstream)
            } else {
                // One number for each row: the gradient's shape with one class.
                let mut rows = grad.shape();
                if has_classes {
                    rows[1] = 1;
                }
                B::float_mul(grad, B::float_reshape(upstream, rows))
            };
            match burn::tensor::FloatDType::from(dtype) {
                burn::tensor::FloatDType::F32 => grad,
                narrow => B::float_cast(grad, narrow),
            }
        });
    }
}

impl<B: Backend + LossOps + GradOps, C: CheckpointStrategy> LossOps for Autodiff<B, C> {
    fn loss(
        input: FloatTensor<Self>,
        target: Target<Self>,
        weight: Weight<Self>,
        criterion: Criterion,
    ) -> FloatTensor<Self> {
        let target = match target {
            Target::Labels(labels) => Target::Labels(labels),
            Target::Values(values) => Target::Values(values.into_primitive()),
        };
        let weight = match weight {
            Weight::None => Weight::None,
            Weight::Given(weight) => Weight::Given(weight.into_primitive()),
        };
        let (dtype, has_classes) = (input.dtype(), criterion.has_classes());
        let (input, node) = input.into_parts();
        match LossBackward.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let (loss, grad) = B::loss_and_grad(input, target, weight, criterion);
                prep.finish(Kept { grad, dtype, has_classes }, loss)
            }
            OpsKind::UnTracked(prep) => prep.finish(B::loss(input, target, weight, criterion)),
        }
    }
}
