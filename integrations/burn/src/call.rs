//! The parts that all losses share: the checks before an operation, and the operation.

use burn::backend::Dispatch;
use burn::tensor::{DType, Device, FloatDType, Int, Tensor};
use wgpu_loss::loss::Shapes;
use wgpu_loss::{Loss, Outputs, TargetType};

use crate::Error;
use crate::criterion::Criterion;
use crate::device::{cube_device, session};
use crate::operands::{element_type, label_type};
use crate::ops::{LossOps, Target, Weight};

/// The targets of a call.
pub(crate) enum Targets<const D: usize, const E: usize> {
    /// A class for each row.
    Labels(Tensor<E, Int>),
    /// A value for each element.
    Values(Tensor<D>),
}

/// Returns the loss of an input, in the input's element type.
///
/// All errors that can be found without the device are found before anything is queued, so that an
/// operation fails only if the device or the driver refuses it.
pub(crate) fn call<const D: usize, const E: usize, const W: usize>(
    input: Tensor<D>,
    targets: Targets<D, E>,
    weight: Option<Tensor<W>>,
    criterion: Criterion,
) -> Result<Tensor<1>, Error> {
    let dtype = input.dtype();
    let input = as_read(input);
    let weight = weight.map(as_read);
    check(&input, &targets, weight.as_ref(), &criterion)?;
    let target = match targets {
        Targets::Labels(labels) => Target::Labels(labels.into_dispatch()),
        Targets::Values(values) => Target::Values(as_read(values).into_dispatch()),
    };
    let weight = match weight {
        Some(weight) => Weight::Given(weight.into_dispatch()),
        None => Weight::None,
    };
    let loss = <Dispatch as LossOps>::loss(input.into_dispatch(), target, weight, criterion);
    Ok(Tensor::<1>::from_dispatch(loss).cast(FloatDType::from(dtype)))
}

/// Asserts what Burn's own losses assert of their options.
pub(crate) fn assert_options(smoothing: Option<f32>, weights: Option<&[f32]>) {
    if let Some(smoothing) = smoothing {
        assert!((0.0..=1.0).contains(&smoothing), "smoothing must be from 0 to 1, not {smoothing}");
    }
    let mut weights = weights.into_iter().flatten();
    if let Some(bad) = weights.find(|weight| weight.is_nan() || **weight <= 0.0) {
        panic!("weights must be above 0, not {bad}");
    }
}

/// Returns the tensor in an element type that the kernels read.
fn as_read<const D: usize>(tensor: Tensor<D>) -> Tensor<D> {
    match tensor.dtype() {
        DType::F64 | DType::Flex32 => tensor.cast(FloatDType::F32),
        _ => tensor,
    }
}

fn check<const D: usize, const E: usize, const W: usize>(
    input: &Tensor<D>,
    targets: &Targets<D, E>,
    weight: Option<&Tensor<W>>,
    criterion: &Criterion,
) -> Result<(), Error> {
    let device = input.device();
    let session = session(&cube_device(&device)?)?;
    let (dims, target_dims, target_type, target_device);
    dims = input.dims();
    match targets {
        Targets::Labels(labels) => {
            target_dims = labels.dims().to_vec();
            target_type = TargetType::Labels(label_type(labels.dtype())?);
            target_device = labels.device();
        }
        Targets::Values(values) => {
            target_dims = values.dims().to_vec();
            target_type = TargetType::Values(element_type("targets", values.dtype())?);
            target_device = values.device();
        }
    }
    same_device("targets", &target_device, &device)?;
    let mut shapes = Shapes::new(&dims)
        .input_type(element_type("input", input.dtype())?)
        .target(target_type, &target_dims);
    let weight_dims = weight.map(|weight| weight.dims());
    if let (Some(weight), Some(dims)) = (weight, &weight_dims) {
        same_device("weights", &weight.device(), &device)?;
        let weight_type = element_type("weights", weight.dtype())?;
        shapes = match criterion.has_classes() {
            true => shapes.weight(dims[0]).weight_type(weight_type),
            false => shapes.element_weight(weight_type, dims),
        };
    }
    let problem = criterion.problem(&shapes, Outputs::loss().in_f32().with_grad())?;
    session.plan(problem).map(drop)
}

fn same_device(what: &'static str, given: &Device, wanted: &Device) -> Result<(), Error> {
    if cube_device(given)? == cube_device(wanted)? {
        return Ok(());
    }
    Err(Error::Device { what, given: format!("{given:?}"), wanted: format!("{wanted:?}") })
}
