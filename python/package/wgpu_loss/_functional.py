"""The losses, by PyTorch's names and with its meaning."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Literal, TypeAlias, cast

import numpy as np

from . import _arrays
from ._arrays import Array, ArrayLike, Given
from ._device import DeviceLike
from ._progress import ProgressLike
from ._question import Question, given, loss_function

Reduction: TypeAlias = Literal["mean", "sum", "none", "batchmean"]
EmptyMean: TypeAlias = Literal["nan", "zero"]


def _floats(name: str, operand: ArrayLike | None) -> Given | None:
    return None if operand is None else _arrays.floats(name, operand)


def _f32(name: str, operand: ArrayLike | None) -> Given | None:
    return None if operand is None else _arrays.f32(name, operand)


def _states(operand: ArrayLike | None) -> Given | None:
    if operand is None:
        return None
    states = _arrays.labels("states", operand)
    if states is None or states.array.ndim == 0:
        raise TypeError("states is no array of uint32 with the shards as the first axis")
    return states


def _names(outputs: Iterable[str], return_grad: bool) -> list[str]:
    if isinstance(outputs, str) or not isinstance(outputs, Iterable):
        raise TypeError(f'outputs is {outputs!r}, but it must be several names, as in ("lse", "argmax")')
    return [*outputs, "grad"] if return_grad else list(outputs)


def _check_labels(of_input: Given, labels: Given | None, dim: int | None) -> None:
    """Refuse labels of another shape than the rows', with a hint."""
    shape, given = of_input.array.shape, () if labels is None else labels.array.shape
    axis = min(1, len(shape) - 1) if dim is None else _axis(dim)
    if labels is None or not -len(shape) <= axis < len(shape):
        return
    rows = shape[:axis] + shape[axis:][1:]
    if given == rows:
        return
    hint = ""
    if given == shape:
        hint = ": class probabilities, as of one-hot targets, must be floats"
    elif given[:-1] == rows and given[-1] == 1:
        hint = ": drop the last axis, by target[..., 0]"
    elif dim is None and given == shape[:-1]:
        hint = f": the classes are axis {axis}; if they are the last, pass dim=-1"
    raise ValueError(f"target has shape {list(given)}, expected {list(rows)}{hint}")


def _axis(dim: int) -> int:
    try:
        return operator.index(dim)
    except TypeError:
        raise TypeError(f"dim is {dim!r}, but it must be an integer") from None


@loss_function
def cross_entropy(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
    label_smoothing: float = 0.0,
    dim: int | None = None,
    row_weights: ArrayLike | None = None,
    logit_scale: float = 1.0,
    softcap: float | None = None,
    z_loss: float = 0.0,
    empty_mean: EmptyMean = "nan",
    class_shard: tuple[int, int] | None = None,
    states: ArrayLike | None = None,
    upstream: ArrayLike | None = None,
    outputs: Iterable[str] = (),
    return_grad: bool = False,
    top_k: int = 0,
    device: DeviceLike = None,
    progress: ProgressLike = None,
) -> Question:
    """Cross-entropy of logits against labels or class probabilities.

    For logits ``x`` of a row, with ``log p_c = x_c - log(sum_j exp x_j)``::

        labels         loss = -w_t log p_t
        probabilities  loss = -sum_c w_c q_c log p_c
        smoothing e    q'_c = (1 - e) q_c + e / C
        mean           sum of losses / sum of w_t  (labels), / number of rows  (probabilities)

    Args:
        input: logits, ``(N, C)``, ``(N, C, H, W)`` or any other shape with a class axis; float32, float16 or bfloat16.
            Other numbers are rounded to float32, by parts where they are many.
        target: labels of any integer type, in the input's shape without the class axis; or class probabilities, in the
            input's shape.
        weight: a weight of each class, ``(C,)``.
        ignore_index: the label whose rows are left out, a class or not.
        reduction: ``"mean"``, ``"sum"``, ``"none"``, or ``"batchmean"``: the sum over the extent of the first axis.
        label_smoothing: the part of the target that all classes share, from 0 to 1.
        dim: the class axis; axis 1 by default, and 0 of one axis.
        row_weights: a weight of each row, in the labels' shape. A row of weight 0 is left out.
        logit_scale: a factor of the logits, one over the temperature.
        softcap: bounds the logits, before the factor: ``cap * tanh(x / cap)``.
        z_loss: adds ``z_loss * log(sum exp x)^2`` of each row to the function whose gradient is computed, weighed as
            the row is in the mean; the value is in `Output.z_loss`.
        empty_mean: the mean over nothing, ``"nan"`` or ``"zero"``. Its gradient is zero.
        class_shard: the input has some of the classes: the first of them, and the number of all. Labels and class
            weights are of all. The output ``"states"`` is then what the other shards need of this one.
        states: the states of all shards, uint32, with the shards as the first axis: the loss is that of all classes,
            and the gradient that of this shard's.
        upstream: gradient with respect to the loss: a number, or the loss's shape for ``"none"``.
        outputs: further outputs, from the same pass over the logits: ``"grad"``, ``"log_probs"``, ``"lse"``,
            ``"argmax"``, ``"rank"``, ``"entropy"``, ``"variance"``, ``"row_weights"``, ``"accuracy"``,
            ``"class_losses"``; or ``"states"``, in place of the loss.
        return_grad: the output ``"grad"``.
        top_k: count the rows whose label is among the ``top_k`` largest logits.
        device: a `Gpu`, or ``"cpu"``; the best GPU by default, and the CPU where there is none.
        progress: ``True`` for a bar (tqdm), or a function that is called with the rows done and the rows in all. It
            has the device for itself: it must not wait for a thread that computes.

    Returns:
        The loss, the outputs asked for and a summary.

    Raises:
        BadLabelError: labels that are neither a class nor ``ignore_index``.
        ValueError: shapes and options that do not fit.
        TypeError: arrays of a wrong type, or on another device than the CPU.
        DeviceError: the GPU failed.

    Example:
        >>> import numpy as np, wgpu_loss
        >>> logits = np.array([[2.0, 0.0, 0.0], [0.0, 3.0, 0.0]], np.float32)
        >>> output = wgpu_loss.cross_entropy(logits, np.array([0, 1]), return_grad=True)
        >>> round(output.loss, 4), output.grad.shape
        (0.1672, (2, 3))

    """
    of_input, labels = _arrays.floats("input", input), _arrays.labels("target", target)
    probabilities = None if labels is not None else _arrays.floats("target", target)
    if probabilities is not None and probabilities.array.shape != of_input.array.shape:
        raise ValueError(
            f"target has shape {list(probabilities.array.shape)} and elements that are no integers: labels are "
            f"integers, and class probabilities have the input's shape, {list(of_input.array.shape)}"
        )
    _check_labels(of_input, labels, dim)
    operands = {
        "input": of_input,
        "labels": labels,
        "probabilities": probabilities,
        "weight": _floats("weight", weight),
        "row_weights": _f32("row_weights", row_weights),
        "states": _states(states),
        "upstream": _f32("upstream", upstream),
    }
    options = {
        # Class probabilities have no label to ignore; PyTorch's default is none there.
        "ignore_index": ignore_index if labels is not None or ignore_index >= 0 else None,
        "reduction": reduction,
        "label_smoothing": label_smoothing,
        "class_axis": dim,
        "logit_scale": logit_scale,
        "softcap": softcap,
        "z_loss": z_loss,
        "empty_mean": empty_mean,
        "class_shard": class_shard,
    }
    names, axis = _names(outputs, return_grad), 1 if dim is None else _axis(dim)
    return Question("cross_entropy", given(operands), options, names, top_k, axis, device, progress)


@loss_function
def nll_loss(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
    dim: int | None = None,
    row_weights: ArrayLike | None = None,
    empty_mean: EmptyMean = "nan",
    upstream: ArrayLike | None = None,
    outputs: Iterable[str] = (),
    return_grad: bool = False,
    device: DeviceLike = None,
    progress: ProgressLike = None,
) -> Question:
    """Negative log-likelihood of log-probabilities at labels: ``-w_t x_t``.

    Args:
        input: log-probabilities, as of `log_softmax`, with a class axis.
        target: labels, in the input's shape without the class axis.
        weight: a weight of each class, ``(C,)``.
        ignore_index: the label whose rows are left out.
        reduction: as for `cross_entropy`.
        dim: the class axis; axis 1 by default, and 0 of one axis.
        row_weights: a weight of each row, in the labels' shape.
        empty_mean: the mean over nothing, ``"nan"`` or ``"zero"``.
        upstream: gradient with respect to the loss.
        outputs: ``"grad"``, ``"row_weights"``, ``"class_losses"``.
        return_grad: the output ``"grad"``.
        device: as for `cross_entropy`.
        progress: as for `cross_entropy`.

    Returns:
        The loss, the outputs asked for and a summary.

    Raises:
        BadLabelError: labels that are neither a class nor ``ignore_index``.
        ValueError: shapes and options that do not fit.
        TypeError: arrays of a wrong type, or on another device than the CPU.
        DeviceError: the GPU failed.

    """
    of_input, labels = _arrays.floats("input", input), _arrays.labels("target", target)
    if labels is None:
        raise TypeError("target has elements that are no integers, expected labels")
    _check_labels(of_input, labels, dim)
    operands = {
        "input": of_input,
        "labels": labels,
        "weight": _floats("weight", weight),
        "row_weights": _f32("row_weights", row_weights),
        "upstream": _f32("upstream", upstream),
    }
    options = {"ignore_index": ignore_index, "reduction": reduction, "class_axis": dim, "empty_mean": empty_mean}
    names, axis = _names(outputs, return_grad), 1 if dim is None else _axis(dim)
    return Question("nll_loss", given(operands), options, names, 0, axis, device, progress)


@loss_function
def entropy(
    input: ArrayLike,
    dim: int = -1,
    *,
    reduction: Reduction = "mean",
    empty_mean: EmptyMean = "nan",
    class_shard: tuple[int, int] | None = None,
    states: ArrayLike | None = None,
    upstream: ArrayLike | None = None,
    outputs: Iterable[str] = (),
    return_grad: bool = False,
    device: DeviceLike = None,
    progress: ProgressLike = None,
) -> Question:
    """Entropy of the softmax of logits: ``-sum_c p_c log p_c``, PyTorch's ``Categorical(logits=x).entropy()``.

    Args:
        input: logits.
        dim: the axis of the classes.
        reduction: as for `cross_entropy`.
        empty_mean: the mean over nothing, ``"nan"`` or ``"zero"``.
        class_shard: as for `cross_entropy`.
        states: as for `cross_entropy`.
        upstream: gradient with respect to the loss.
        outputs: ``"grad"``, ``"lse"``, ``"argmax"``, ``"variance"``.
        return_grad: the output ``"grad"``.
        device: as for `cross_entropy`.
        progress: as for `cross_entropy`.

    Returns:
        The entropy, the outputs asked for and a summary.

    Raises:
        ValueError: shapes and options that do not fit.
        TypeError: arrays of a wrong type, or on another device than the CPU.
        DeviceError: the GPU failed.

    """
    operands = {
        "input": _arrays.floats("input", input),
        "states": _states(states),
        "upstream": _f32("upstream", upstream),
    }
    axis, names = _axis(dim), _names(outputs, return_grad)
    options = {"axis": axis, "reduction": reduction, "empty_mean": empty_mean, "class_shard": class_shard}
    return Question("entropy", given(operands), options, names, 0, axis, device, progress)


@loss_function
def binary_cross_entropy(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    reduction: Reduction = "mean",
    empty_mean: EmptyMean = "nan",
    upstream: ArrayLike | None = None,
    return_grad: bool = False,
    device: DeviceLike = None,
    progress: ProgressLike = None,
) -> Question:
    """Binary cross-entropy of probabilities: ``-w (t log x + (1 - t) log(1 - x))``, each logarithm at least -100.

    Args:
        input: probabilities, from 0 to 1.
        target: probabilities, in the input's shape.
        weight: a weight of each element, in a shape that broadcasts to the input's.
        reduction: as for `cross_entropy`; the mean is over elements.
        empty_mean: the mean over nothing, ``"nan"`` or ``"zero"``.
        upstream: gradient with respect to the loss.
        return_grad: the gradient with respect to the input.
        device: as for `cross_entropy`.
        progress: as for `cross_entropy`.

    Returns:
        The loss, the gradient if it is asked for, and a summary.

    Raises:
        BadValueError: inputs or targets that are no probabilities.
        ValueError: shapes and options that do not fit.
        TypeError: arrays of a wrong type, or on another device than the CPU.
        DeviceError: the GPU failed.

    """
    operands = {
        "input": _arrays.floats("input", input),
        "target": _arrays.floats("target", target),
        "element_weight": _floats("weight", weight),
        "upstream": _f32("upstream", upstream),
    }
    options = {"reduction": reduction, "empty_mean": empty_mean}
    names = _names((), return_grad)
    return Question("binary_cross_entropy", given(operands), options, names, device=device, progress=progress)


@loss_function
def binary_cross_entropy_with_logits(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    pos_weight: ArrayLike | None = None,
    *,
    reduction: Reduction = "mean",
    empty_mean: EmptyMean = "nan",
    upstream: ArrayLike | None = None,
    return_grad: bool = False,
    device: DeviceLike = None,
    progress: ProgressLike = None,
) -> Question:
    """Binary cross-entropy of logits: ``-w (p t log s(x) + (1 - t) log(1 - s(x)))``, with ``s(x) = 1 / (1 + exp -x)``.

    Args:
        input: logits.
        target: values, usually from 0 to 1, in the input's shape.
        weight: a weight ``w`` of each element, in a shape that broadcasts to the input's.
        pos_weight: a weight ``p`` of the positive part, in a shape that broadcasts to the input's.
        reduction: as for `cross_entropy`; the mean is over elements.
        empty_mean: the mean over nothing, ``"nan"`` or ``"zero"``.
        upstream: gradient with respect to the loss.
        return_grad: the gradient with respect to the input.
        device: as for `cross_entropy`.
        progress: as for `cross_entropy`.

    Returns:
        The loss, the gradient if it is asked for, and a summary.

    Raises:
        ValueError: shapes and options that do not fit.
        TypeError: arrays of a wrong type, or on another device than the CPU.
        DeviceError: the GPU failed.

    """
    operands = {
        "input": _arrays.floats("input", input),
        "target": _arrays.floats("target", target),
        "element_weight": _floats("weight", weight),
        "pos_weight": _floats("pos_weight", pos_weight),
        "upstream": _f32("upstream", upstream),
    }
    options = {"reduction": reduction, "empty_mean": empty_mean}
    return Question(
        "binary_cross_entropy_with_logits",
        given(operands),
        options,
        _names((), return_grad),
        device=device,
        progress=progress,
    )


@loss_function
def kl_div(
    input: ArrayLike,
    target: ArrayLike,
    *,
    reduction: Reduction = "mean",
    log_target: bool = False,
    empty_mean: EmptyMean = "nan",
    upstream: ArrayLike | None = None,
    outputs: Iterable[str] = (),
    return_grad: bool = False,
    device: DeviceLike = None,
    progress: ProgressLike = None,
) -> Question:
    """Kullback-Leibler divergence of log-probabilities from a target: ``t (log t - x)`` of each element.

    Args:
        input: log-probabilities.
        target: probabilities, or their logarithms with ``log_target``; in a shape that broadcasts to the input's.
        reduction: ``"batchmean"`` is the divergence; the mean is over elements.
        log_target: the target's elements are logarithms: ``exp(t) (t - x)``.
        empty_mean: the mean over nothing, ``"nan"`` or ``"zero"``.
        upstream: gradient with respect to the loss.
        outputs: ``"grad"``, ``"target_grad"``.
        return_grad: the output ``"grad"``.
        device: as for `cross_entropy`.
        progress: as for `cross_entropy`.

    Returns:
        The loss, the outputs asked for and a summary.

    Raises:
        ValueError: shapes and options that do not fit.
        TypeError: arrays of a wrong type, or on another device than the CPU.
        DeviceError: the GPU failed.

    """
    operands = {
        "input": _arrays.floats("input", input),
        "target": _arrays.floats("target", target),
        "upstream": _f32("upstream", upstream),
    }
    options = {"reduction": reduction, "log_target": log_target, "empty_mean": empty_mean}
    names = _names(outputs, return_grad)
    return Question("kl_div", given(operands), options, names, device=device, progress=progress)


@loss_function
def gaussian_nll_loss(
    input: ArrayLike,
    target: ArrayLike,
    var: ArrayLike,
    *,
    full: bool = False,
    eps: float = 1e-6,
    reduction: Reduction = "mean",
    empty_mean: EmptyMean = "nan",
    upstream: ArrayLike | None = None,
    outputs: Iterable[str] = (),
    return_grad: bool = False,
    device: DeviceLike = None,
    progress: ProgressLike = None,
) -> Question:
    """Negative log-likelihood under normal distributions: ``(log v + (x - t)^2 / v) / 2``, with ``v = max(var, eps)``.

    Args:
        input: means.
        target: samples, in a shape that broadcasts to the input's.
        var: variances, 0 or more: in the input's shape, in that without its last axis, or with 1 in place of it; or a
            number.
        full: adds the constant ``log(2 pi) / 2``.
        eps: the least variance.
        reduction: as for `cross_entropy`; the mean is over elements.
        empty_mean: the mean over nothing, ``"nan"`` or ``"zero"``.
        upstream: gradient with respect to the loss.
        outputs: ``"grad"``, ``"target_grad"``, ``"var_grad"``.
        return_grad: the output ``"grad"``.
        device: as for `cross_entropy`.
        progress: as for `cross_entropy`.

    Returns:
        The loss, the outputs asked for and a summary.

    Raises:
        BadValueError: negative variances.
        ValueError: shapes and options that do not fit.
        TypeError: arrays of a wrong type, or on another device than the CPU.
        DeviceError: the GPU failed.

    """
    of_input = _arrays.floats("input", input)
    if isinstance(var, (int, float, np.number)):
        # PyTorch's way to give every element the same.
        var = np.full((1,) * of_input.array.ndim, var, np.float32)
    operands = {
        "input": of_input,
        "target": _arrays.floats("target", target),
        "var": _arrays.floats("var", var),
        "upstream": _f32("upstream", upstream),
    }
    options = {"reduction": reduction, "full": full, "eps": eps, "empty_mean": empty_mean}
    names = _names(outputs, return_grad)
    return Question("gaussian_nll_loss", given(operands), options, names, device=device, progress=progress)


@loss_function
def poisson_nll_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    log_input: bool = True,
    full: bool = False,
    eps: float = 1e-8,
    reduction: Reduction = "mean",
    empty_mean: EmptyMean = "nan",
    upstream: ArrayLike | None = None,
    return_grad: bool = False,
    device: DeviceLike = None,
    progress: ProgressLike = None,
) -> Question:
    """Negative log-likelihood of counts: ``exp(x) - t x``, or ``x - t log(x + eps)`` without ``log_input``.

    Args:
        input: logarithms of the expected counts, or the counts.
        target: counts, in a shape that broadcasts to the input's.
        log_input: the input's elements are logarithms.
        full: adds Stirling's approximation of ``log(t!)``, where ``t > 1``.
        eps: keeps the logarithm of an expected count finite.
        reduction: as for `cross_entropy`; the mean is over elements.
        empty_mean: the mean over nothing, ``"nan"`` or ``"zero"``.
        upstream: gradient with respect to the loss.
        return_grad: the gradient with respect to the input.
        device: as for `cross_entropy`.
        progress: as for `cross_entropy`.

    Returns:
        The loss, the gradient if it is asked for, and a summary.

    Raises:
        ValueError: shapes and options that do not fit.
        TypeError: arrays of a wrong type, or on another device than the CPU.
        DeviceError: the GPU failed.

    """
    operands = {
        "input": _arrays.floats("input", input),
        "target": _arrays.floats("target", target),
        "upstream": _f32("upstream", upstream),
    }
    options = {
        "reduction": reduction,
        "log_input": log_input,
        "full": full,
        "eps": eps,
        "empty_mean": empty_mean,
    }
    names = _names((), return_grad)
    return Question("poisson_nll_loss", given(operands), options, names, device=device, progress=progress)


def softmax_question(
    function: str,
    input: ArrayLike,
    dim: int,
    upstream: ArrayLike | None = None,
    device: DeviceLike = None,
    progress: ProgressLike = None,
) -> Question:
    """Ask for a distribution, or for its gradient."""
    operands = {"input": _arrays.floats("input", input), "upstream": _floats("upstream", upstream)}
    axis, names = _axis(dim), () if upstream is None else ("grad",)
    return Question(function, given(operands), {"axis": axis}, names, 0, axis, device, progress)


def _grad(
    function: str,
    input: ArrayLike,
    upstream: ArrayLike,
    dim: int,
    device: DeviceLike,
    progress: ProgressLike,
) -> Array:
    if upstream is None:
        raise TypeError("upstream is None, expected the gradient of the result")
    return cast(Array, softmax_question(function, input, dim, upstream, device, progress).compute().grad)


def softmax(input: ArrayLike, dim: int = -1, *, device: DeviceLike = None, progress: ProgressLike = None) -> Array:
    """Softmax along an axis: ``exp(x_c) / sum_j exp x_j``, in the input's shape and type.

    Args:
        input: logits.
        dim: the axis of the classes.
        device: as for `cross_entropy`.
        progress: as for `cross_entropy`.

    Returns:
        The probabilities. A class at ``-inf`` has 0; a row of nothing else, or with ``inf`` or NaN, is NaN.

    Raises:
        ValueError: there is no such axis.
        TypeError: an array of a wrong type, or on another device than the CPU.
        DeviceError: the GPU failed.

    Example:
        >>> import numpy as np, wgpu_loss
        >>> wgpu_loss.softmax(np.zeros((1, 4), np.float32))
        array([[0.25, 0.25, 0.25, 0.25]], dtype=float32)

    """
    return cast(Array, softmax_question("softmax", input, dim, None, device, progress).compute().probs)


def log_softmax(input: ArrayLike, dim: int = -1, *, device: DeviceLike = None, progress: ProgressLike = None) -> Array:
    """Logarithm of the softmax along an axis: ``x_c - log(sum_j exp x_j)``.

    Arguments, result and errors are those of `softmax`.
    """
    return cast(Array, softmax_question("log_softmax", input, dim, None, device, progress).compute().log_probs)


def softmax_grad(
    input: ArrayLike,
    upstream: ArrayLike,
    dim: int = -1,
    *,
    device: DeviceLike = None,
    progress: ProgressLike = None,
) -> Array:
    """Gradient of `softmax` with respect to its input: ``p_c (u_c - sum_j p_j u_j)``, with ``u`` that of its result.

    Arguments, type and errors are those of `softmax`; ``upstream`` has the input's shape.
    """
    return _grad("softmax", input, upstream, dim, device, progress)


def log_softmax_grad(
    input: ArrayLike,
    upstream: ArrayLike,
    dim: int = -1,
    *,
    device: DeviceLike = None,
    progress: ProgressLike = None,
) -> Array:
    """Gradient of `log_softmax` with respect to its input: ``u_c - p_c sum_j u_j``, with ``u`` that of its result.

    Arguments, type and errors are those of `softmax`; ``upstream`` has the input's shape.
    """
    return _grad("log_softmax", input, upstream, dim, device, progress)
