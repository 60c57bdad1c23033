"""The losses for JAX, with gradients: under `jax.jit`, `jax.grad` and `jax.vmap`.

    >>> import jax, jax.numpy as jnp, wgpu_loss.jax
    >>> logits = jnp.array([[2.0, 0.0], [0.0, 3.0]])
    >>> loss, grad = jax.jit(jax.value_and_grad(wgpu_loss.jax.cross_entropy))(logits, jnp.array([0, 1]))
    >>> round(float(loss), 4), grad.shape
    (0.0878, (2, 2))

Operands are arrays; options are Python's values, and static. Their meaning is that of `wgpu_loss`'s functions. Each
call is a `jax.pure_callback` on the host: arrays of other devices are copied there and back. `jax.vmap` computes one
element of the batch after the other.

GPUs compute in float32. The result has the input's type, and a gradient its operand's. There are gradients of inputs,
of the targets of `kl_div` and `gaussian_nll_loss`, and of variances; other operands that need one are a TypeError,
which `jax.lax.stop_gradient` avoids. There are no second derivatives. Shapes that do not fit are a ValueError at once;
bad values are a `jax.errors.JaxRuntimeError` with the library's message when the loss is computed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from . import _functional
from ._device import DeviceLike, native_of
from ._functional import EmptyMean, Reduction
from ._question import Question

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "cross_entropy",
    "entropy",
    "gaussian_nll_loss",
    "kl_div",
    "log_softmax",
    "nll_loss",
    "poisson_nll_loss",
    "softmax",
]

Operands: TypeAlias = dict[str, Any]

# The library's outputs that are gradients, by function and operand.
_OF_INPUT = {"input": "grad"}
_GRADIENTS = {
    "kl_div": {"input": "grad", "target": "target_grad"},
    "gaussian_nll_loss": {"input": "grad", "target": "target_grad", "var": "var_grad"},
}
_QUESTIONS: dict[str, Callable[..., Question]] = {
    "cross_entropy": _functional.cross_entropy.question,
    "nll_loss": _functional.nll_loss.question,
    "entropy": _functional.entropy.question,
    "binary_cross_entropy": _functional.binary_cross_entropy.question,
    "binary_cross_entropy_with_logits": _functional.binary_cross_entropy_with_logits.question,
    "kl_div": _functional.kl_div.question,
    "gaussian_nll_loss": _functional.gaussian_nll_loss.question,
    "poisson_nll_loss": _functional.poisson_nll_loss.question,
    "softmax": partial(_functional.softmax_question, "softmax"),
    "log_softmax": partial(_functional.softmax_question, "log_softmax"),
}
_RESULTS = {"softmax": "probs", "log_softmax": "log_probs"}


@dataclass(frozen=True, slots=True)
class Asked:
    """A function of this module with its options. Equal ones are traced and compiled once."""

    function: str
    options: tuple[tuple[str, Any], ...]

    def question(self, operands: Operands, outputs: list[str], upstream: Any = None) -> Question:
        """Ask for a loss, or with the upstream gradient for outputs."""
        arrays = {name: np.asarray(operand) for name, operand in operands.items()}
        question = _QUESTIONS[self.function](**arrays, **dict(self.options), upstream=upstream)
        return replace(question, outputs=outputs)

    @property
    def result(self) -> str:
        """The output that is the function's result."""
        return _RESULTS.get(self.function, "loss")

    @property
    def gradients(self) -> dict[str, str]:
        """The outputs that are gradients, by the operand."""
        return _GRADIENTS.get(self.function, _OF_INPUT)

    def shape(self, operands: Operands) -> tuple[int, ...]:
        """Return the result's shape, after the checks that need no values."""
        # Arrays of the right shapes, and of one element each.
        blank = {name: np.broadcast_to(np.zeros((), one.dtype), one.shape) for name, one in operands.items()}
        question = self.question(blank, [])
        if question.device is not None:
            native_of(question.device)
        given = {name: operand.shape_alone() for name, operand in question.operands.items()}
        shapes = {name: tuple(shape) for name, shape, _ in question.call.large_outputs(given)}
        return shapes.get(self.result, ())


def _described(shape: tuple[int, ...], dtype: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, dtype)  # type: ignore[no-untyped-call]


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _computed(asked: Asked, operands: Operands) -> jax.Array:
    """Compute a result."""
    of_input = operands["input"].dtype
    dtype = of_input if jnp.issubdtype(of_input, jnp.floating) else np.dtype(np.float32)

    def compute(operands: Operands) -> Any:
        output = asked.question(operands, []).compute()
        result = getattr(output, asked.result)
        return np.asarray(result if output.z_loss is None else result + output.z_loss).astype(dtype, copy=False)

    described = _described(asked.shape(operands), dtype)
    result: jax.Array = jax.pure_callback(compute, described, operands, vmap_method="sequential")
    return result


def _forward(asked: Asked, operands: Operands) -> tuple[jax.Array, tuple[Operands, dict[str, tuple[()]]]]:
    """Compute a result; keep the operands, and the names of those that need a gradient.

    The backward pass reads the operands once more, with the upstream gradient. A gradient computed here would be a
    second array of the logits' size between the passes, and rounded before it is multiplied.
    """
    values = {name: operand.value for name, operand in operands.items()}
    wanted = [name for name, operand in operands.items() if operand.perturbed]
    for name in wanted:
        if name not in asked.gradients:
            raise TypeError(f"{asked.function} has no gradient of {name}: pass jax.lax.stop_gradient({name})")
    # Names are a part of the structure, which is static.
    return _computed(asked, values), (values, {name: () for name in wanted})


def _backward(asked: Asked, kept: tuple[Operands, dict[str, tuple[()]]], upstream: Any) -> tuple[Operands]:
    operands, wanted = kept
    full = dict(operands)
    is_broadcast = "target" in wanted and operands["target"].shape != operands["input"].shape
    if is_broadcast:
        # In float32, so that the sum over the elements that share one is rounded once.
        full["target"] = jnp.broadcast_to(operands["target"].astype(jnp.float32), operands["input"].shape)

    def compute(operands: Operands, upstream: Any) -> Operands:
        names = [asked.gradients[name] for name in wanted]
        output = asked.question(operands, names, np.asarray(upstream)).compute()
        return {
            name: getattr(output, asked.gradients[name]).astype(described[name].dtype, copy=False) for name in wanted
        }

    described = {name: _described(full[name].shape, full[name].dtype) for name in wanted}
    found = jax.pure_callback(compute, described, full, upstream, vmap_method="sequential")
    if is_broadcast:
        found["target"] = _summed(found["target"], operands["target"].shape).astype(operands["target"].dtype)
    # None is the zero of operands that have or need no gradient.
    return ({name: found.get(name) for name in operands},)


_computed.defvjp(_forward, _backward, symbolic_zeros=True)


def _summed(gradient: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Sum a gradient over the axes along which an operand was broadcast."""
    added = gradient.ndim - len(shape)
    alone = [added + axis for axis, extent in enumerate(shape) if extent == 1]
    return gradient.sum((*range(added), *alone), keepdims=True).reshape(shape)


def _ask(function: str, operands: dict[str, ArrayLike | None], **options: Any) -> jax.Array:
    given = {name: jnp.asarray(operand) for name, operand in operands.items() if operand is not None}
    result: jax.Array = _computed(Asked(function, tuple(options.items())), given)
    return result


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
    device: DeviceLike = None,
) -> jax.Array:
    """Cross-entropy of logits against labels or class probabilities; see `wgpu_loss.cross_entropy`.

    With ``z_loss``, the value is the sum of loss and z-loss, and the gradient that of the sum.
    """
    return _ask(
        "cross_entropy",
        {"input": input, "target": target, "weight": weight, "row_weights": row_weights},
        ignore_index=ignore_index,
        reduction=reduction,
        label_smoothing=label_smoothing,
        dim=dim,
        logit_scale=logit_scale,
        softcap=softcap,
        z_loss=z_loss,
        empty_mean=empty_mean,
        device=device,
    )


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
    device: DeviceLike = None,
) -> jax.Array:
    """Negative log-likelihood of log-probabilities at labels; see `wgpu_loss.nll_loss`."""
    return _ask(
        "nll_loss",
        {"input": input, "target": target, "weight": weight, "row_weights": row_weights},
        ignore_index=ignore_index,
        reduction=reduction,
        dim=dim,
        empty_mean=empty_mean,
        device=device,
    )


def entropy(
    input: ArrayLike,
    dim: int = -1,
    *,
    reduction: Reduction = "mean",
    empty_mean: EmptyMean = "nan",
    device: DeviceLike = None,
) -> jax.Array:
    """Entropy of the softmax of logits; see `wgpu_loss.entropy`."""
    return _ask("entropy", {"input": input}, dim=dim, reduction=reduction, empty_mean=empty_mean, device=device)


def binary_cross_entropy(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    reduction: Reduction = "mean",
    empty_mean: EmptyMean = "nan",
    device: DeviceLike = None,
) -> jax.Array:
    """Binary cross-entropy of probabilities; see `wgpu_loss.binary_cross_entropy`."""
    operands = {"input": input, "target": target, "weight": weight}
    return _ask("binary_cross_entropy", operands, reduction=reduction, empty_mean=empty_mean, device=device)


def binary_cross_entropy_with_logits(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    pos_weight: ArrayLike | None = None,
    *,
    reduction: Reduction = "mean",
    empty_mean: EmptyMean = "nan",
    device: DeviceLike = None,
) -> jax.Array:
    """Binary cross-entropy of logits; see `wgpu_loss.binary_cross_entropy_with_logits`."""
    operands = {"input": input, "target": target, "weight": weight, "pos_weight": pos_weight}
    return _ask("binary_cross_entropy_with_logits", operands, reduction=reduction, empty_mean=empty_mean, device=device)


def kl_div(
    input: ArrayLike,
    target: ArrayLike,
    *,
    reduction: Reduction = "mean",
    log_target: bool = False,
    empty_mean: EmptyMean = "nan",
    device: DeviceLike = None,
) -> jax.Array:
    """Kullback-Leibler divergence of log-probabilities from a target; see `wgpu_loss.kl_div`."""
    operands: dict[str, ArrayLike | None] = {"input": input, "target": target}
    return _ask("kl_div", operands, reduction=reduction, log_target=log_target, empty_mean=empty_mean, device=device)


def gaussian_nll_loss(
    input: ArrayLike,
    target: ArrayLike,
    var: ArrayLike,
    *,
    full: bool = False,
    eps: float = 1e-6,
    reduction: Reduction = "mean",
    empty_mean: EmptyMean = "nan",
    device: DeviceLike = None,
) -> jax.Array:
    """Negative log-likelihood under normal distributions; see `wgpu_loss.gaussian_nll_loss`."""
    if jnp.ndim(var) == 0:
        var = jnp.reshape(var, (1,) * jnp.ndim(input))
    return _ask(
        "gaussian_nll_loss",
        {"input": input, "target": target, "var": var},
        full=full,
        eps=eps,
        reduction=reduction,
        empty_mean=empty_mean,
        device=device,
    )


def poisson_nll_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    log_input: bool = True,
    full: bool = False,
    eps: float = 1e-8,
    reduction: Reduction = "mean",
    empty_mean: EmptyMean = "nan",
    device: DeviceLike = None,
) -> jax.Array:
    """Negative log-likelihood of counts; see `wgpu_loss.poisson_nll_loss`."""
    return _ask(
        "poisson_nll_loss",
        {"input": input, "target": target},
        log_input=log_input,
        full=full,
        eps=eps,
        reduction=reduction,
        empty_mean=empty_mean,
        device=device,
    )


def softmax(input: ArrayLike, dim: int = -1, *, device: DeviceLike = None) -> jax.Array:
    """Softmax along an axis; see `wgpu_loss.softmax`."""
    return _ask("softmax", {"input": input}, dim=dim, device=device)


def log_softmax(input: ArrayLike, dim: int = -1, *, device: DeviceLike = None) -> jax.Array:
    """Logarithm of the softmax along an axis; see `wgpu_loss.log_softmax`."""
    return _ask("log_softmax", {"input": input}, dim=dim, device=device)
