"""The losses for PyTorch: `torch.nn.functional`'s names and `torch.nn`'s modules, with gradients.

    >>> import torch, wgpu_loss.torch
    >>> logits = torch.tensor([[2.0, 0.0], [0.0, 3.0]], requires_grad=True)
    >>> loss = wgpu_loss.torch.cross_entropy(logits, torch.tensor([0, 1]))
    >>> loss.backward()
    >>> round(loss.item(), 4), tuple(logits.grad.shape)
    (0.0878, (2, 2))

Tensors lie in the host's memory. Arguments and meaning are those of PyTorch's functions of the same names, and further
keywords those of `wgpu_loss`'s. GPUs compute in float32: float64 tensors are rounded for them, and results widened.

The loss has the input's type, as in PyTorch, so that a sum in float16 may be infinite; under `torch.autocast` the loss
of float16 and bfloat16 is float32. A gradient has its tensor's type. There are no second derivatives, and no transforms
of `torch.func`. `torch.compile` leaves these functions out of its graphs and calls them between graphs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, ParamSpec, TypeAlias

import torch
from torch import Tensor
from torch.nn.functional import softplus

from . import _functional
from ._arrays import Array
from ._device import DeviceLike
from ._functional import EmptyMean, Reduction
from ._question import Question
from ._results import Output

__all__ = [
    "BCELoss",
    "BCEWithLogitsLoss",
    "CrossEntropyLoss",
    "GaussianNLLLoss",
    "KLDivLoss",
    "NLLLoss",
    "PoissonNLLLoss",
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

P = ParamSpec("P")
Operands: TypeAlias = dict[str, Tensor]

_TYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}
_HALVES = (torch.float16, torch.bfloat16)
# The library's outputs that are gradients, by the operand.
_GRADIENTS = {"input": "grad", "target": "target_grad", "var": "var_grad"}


def _in_torch(name: str, shape: tuple[int, ...], kind: str) -> tuple[Tensor, Array]:
    """Make room in a tensor."""
    tensor = torch.empty(shape, dtype=_TYPES[kind])
    # NumPy has no bf16: its array has the bits.
    return tensor, (tensor.view(torch.int16) if kind == "bf16" else tensor).numpy()


# Gradients that the library does not compute, by the operand: functions of all operands and the upstream gradient.
Formulas: TypeAlias = dict[str, Callable[["Asked", Operands, Tensor], Tensor]]


@dataclass(slots=True)
class Asked:
    """A function of this module with its options."""

    question: Callable[..., Question]
    """Takes operands, options and the upstream gradient, all by their names."""
    options: dict[str, Any]
    result: str = "loss"
    formulas: Formulas = field(default_factory=dict)
    names: tuple[str, ...] = ()
    """The names of the tensors, in their order."""

    def compute(self, operands: Operands, outputs: list[str], upstream: Tensor | None = None) -> Output:
        """Compute a loss, or with the upstream gradient its outputs."""
        detached = {name: operand.detach() for name, operand in operands.items()}
        question = self.question(**detached, **self.options, upstream=upstream)
        return replace(question, outputs=outputs, allocate=_in_torch).compute()

    def operands(self, tensors: tuple[Tensor, ...]) -> Operands:
        """Return tensors by their names."""
        return dict(zip(self.names, tensors, strict=True))

    def value(self, operands: Operands) -> Tensor:
        """Compute the result."""
        output, of_input = self.compute(operands, []), operands["input"]
        if self.result != "loss":
            return _as_type(getattr(output, self.result), of_input.dtype)
        loss = output.loss if output.z_loss is None else output.loss + output.z_loss
        is_wide = of_input.dtype in _HALVES and torch.is_autocast_enabled("cpu")
        return _as_type(loss, torch.float32 if is_wide else of_input.dtype)

    def gradients(self, operands: Operands, wanted: set[str], upstream: Tensor) -> Operands:
        """Compute gradients with respect to some operands, by their names."""
        own = {name: _GRADIENTS[name] for name in wanted - self.formulas.keys()}
        output = self.compute(operands, [*own.values()], upstream) if own else None
        found = {name: getattr(output, of_library) for name, of_library in own.items()}
        for name in wanted & self.formulas.keys():
            found[name] = self.formulas[name](self, operands, upstream.float())
        return {name: _as_type(gradient, operands[name].dtype) for name, gradient in found.items()}


def _as_type(value: Any, dtype: torch.dtype) -> Tensor:
    return torch.as_tensor(value, dtype=dtype if dtype.is_floating_point else torch.float32)


class _Computed(torch.autograd.Function):
    """A result whose gradients are computed when they are wanted, and not before.

    Backward reads the inputs once more, with the upstream gradient. A gradient computed in advance would be a second
    tensor of the logits' size between the passes. And if it were rounded to float16 before the multiplication with a
    large upstream gradient, it would have lost the small numbers that loss scaling is to keep.
    """

    @staticmethod
    def forward(ctx: Any, asked: Asked, *tensors: Tensor) -> Tensor:
        """Compute the result."""
        ctx.asked = asked
        ctx.save_for_backward(*tensors)
        return asked.value(asked.operands(tensors))

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        """Compute the gradients of the tensors that need one."""
        asked: Asked = ctx.asked
        needed = ctx.needs_input_grad[1:]
        wanted = [name for name, is_needed in zip(asked.names, needed, strict=True) if is_needed]
        found = dict(zip(wanted, _Gradients.apply(asked, wanted, upstream, *ctx.saved_tensors), strict=True))
        return None, *(found.get(name) for name in asked.names)


class _Gradients(torch.autograd.Function):
    """The gradients, which refuse to be differentiated: without a graph of their own they would count as constants."""

    @staticmethod
    def forward(ctx: Any, asked: Asked, wanted: list[str], upstream: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Compute the gradients of some operands."""
        found = asked.gradients(asked.operands(tensors), set(wanted), upstream.detach())
        return tuple(found[name] for name in wanted)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> None:
        """Refuse."""
        raise RuntimeError("wgpu_loss.torch computes no second derivatives: torch.nn.functional does")


def _computed(asked: Asked, **operands: Any) -> Tensor:
    """Compute a result that autograd knows."""
    tensors = {name: operand for name, operand in operands.items() if isinstance(operand, Tensor)}
    # Operands that are numbers have no gradients.
    asked.options |= {name: operands[name] for name in operands.keys() - tensors.keys()}
    if not isinstance(operands["input"], Tensor):
        raise TypeError(f"input is a {type(operands['input']).__name__}, expected a tensor")
    for name, tensor in tensors.items():
        is_computed = name in _GRADIENTS or name in asked.formulas
        if tensor.requires_grad and torch.is_grad_enabled() and not is_computed:
            raise RuntimeError(f"{name} requires a gradient, which this loss does not compute: pass {name}.detach()")
    asked.names = tuple(tensors)
    computed: Tensor = _Computed.apply(asked, *tensors.values())
    return computed


def _outside_of_graphs(function: Callable[P, Tensor]) -> Callable[P, Tensor]:
    disabled: Callable[P, Tensor] = torch.compiler.disable(function)  # type: ignore[no-untyped-call]
    return disabled


def _in_full(target: Any, input: Tensor) -> Any:
    """Expand a target that needs a gradient: autograd sums it over the elements that share one."""
    is_small = isinstance(target, Tensor) and target.requires_grad and target.shape != input.shape
    # In float32, so that the sum is rounded once.
    return target.float().expand(input.shape) if is_small else target


def _by_element(asked: Asked, upstream: Tensor, input: Tensor) -> Tensor:
    """Return the gradient with respect to the loss of each element."""
    divisors = {"mean": input.numel(), "batchmean": input.shape[0] if input.ndim else 1}
    return upstream / divisors.get(asked.options["reduction"], 1)


def _rows_of_probabilities(asked: Asked, given: Operands, upstream: Tensor, axis: int) -> Tensor:
    """Return the gradient with respect to the loss of each row, times its weight, with the class axis."""
    weights = given.get("row_weights")
    rows = torch.ones_like(given["input"].select(axis, 0).float()) if weights is None else weights.float()
    divisors = {"mean": rows.sum(), "batchmean": rows.shape[0] if rows.ndim else 1}
    # Where no row counts, the gradient of the mean is zero.
    divisor = torch.as_tensor(divisors.get(asked.options["reduction"], 1.0))
    return torch.where(rows == 0, 0.0, upstream * rows / divisor).unsqueeze(axis)


def _log_probs(asked: Asked, input: Tensor, axis: int) -> Tensor:
    """Return log p, which as the library's output would be rounded to the input's type."""
    x, softcap = input.float(), asked.options["softcap"]
    x = x if softcap is None else softcap * torch.tanh(x / softcap)
    return torch.log_softmax(asked.options["logit_scale"] * x, axis)


def _cross_entropy_grad(of: str, asked: Asked, given: Operands, upstream: Tensor) -> Tensor:
    """Return the gradient with respect to the class probabilities q, or to the class weights w."""
    q, dim, smoothing = given["target"].float(), asked.options["dim"], asked.options["label_smoothing"]
    axis = (min(1, q.ndim - 1) if dim is None else dim) % q.ndim
    log_p = _log_probs(asked, given["input"], axis)
    classes = log_p.shape[axis]
    rows = _rows_of_probabilities(asked, given, upstream, axis)
    along = [classes if index == axis else 1 for index in range(log_p.ndim)]
    if of == "target":
        weight = given["weight"].float().view(along) if "weight" in given else 1.0
        # dloss/dq_c = -(1 - e) w_c log p_c
        return torch.where(rows == 0, 0.0, -(1.0 - smoothing) * weight * log_p * rows)
    q = (1.0 - smoothing) * q + smoothing / classes
    # dloss/dw_c = -q'_c log p_c, of all rows
    by_row = torch.where((rows == 0) | (q == 0), 0.0, -q * log_p * rows)
    return by_row.sum([index for index in range(log_p.ndim) if index != axis]) if log_p.ndim > 1 else by_row


@_outside_of_graphs
def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
    label_smoothing: float = 0.0,
    dim: int | None = None,
    row_weights: Tensor | None = None,
    logit_scale: float = 1.0,
    softcap: float | None = None,
    z_loss: float = 0.0,
    empty_mean: EmptyMean = "nan",
    device: DeviceLike = None,
) -> Tensor:
    """Cross-entropy of logits against labels or class probabilities, `torch.nn.functional.cross_entropy`.

    Further keywords are those of `wgpu_loss.cross_entropy`. With ``z_loss``, the value is the sum of loss and z-loss,
    and the gradient that of the sum. Gradients are those of the logits and, as in PyTorch, of class probabilities and
    with them of ``weight``.
    """
    options = {
        "ignore_index": ignore_index,
        "reduction": reduction,
        "label_smoothing": label_smoothing,
        "dim": dim,
        "logit_scale": logit_scale,
        "softcap": softcap,
        "z_loss": z_loss,
        "empty_mean": empty_mean,
        "device": device,
    }
    is_probabilities = isinstance(target, Tensor) and target.is_floating_point()
    names = ("target", "weight") if is_probabilities else ()
    formulas: Formulas = {name: partial(_cross_entropy_grad, name) for name in names}
    asked = Asked(_functional.cross_entropy.question, options, "loss", formulas)
    return _computed(asked, input=input, target=target, weight=weight, row_weights=row_weights)


@_outside_of_graphs
def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
    dim: int | None = None,
    row_weights: Tensor | None = None,
    empty_mean: EmptyMean = "nan",
    device: DeviceLike = None,
) -> Tensor:
    """Negative log-likelihood of log-probabilities at labels, `torch.nn.functional.nll_loss`."""
    options = {
        "ignore_index": ignore_index,
        "reduction": reduction,
        "dim": dim,
        "empty_mean": empty_mean,
        "device": device,
    }
    asked = Asked(_functional.nll_loss.question, options)
    return _computed(asked, input=input, target=target, weight=weight, row_weights=row_weights)


@_outside_of_graphs
def entropy(
    input: Tensor,
    dim: int = -1,
    reduction: Reduction = "mean",
    *,
    empty_mean: EmptyMean = "nan",
    device: DeviceLike = None,
) -> Tensor:
    """Entropy of the softmax of logits, ``torch.distributions.Categorical(logits=input).entropy()``."""
    options = {"dim": dim, "reduction": reduction, "empty_mean": empty_mean, "device": device}
    return _computed(Asked(_functional.entropy.question, options), input=input)


def _bce_target(asked: Asked, given: Operands, upstream: Tensor) -> Tensor:
    x, weight = given["input"].float(), given["weight"].float() if "weight" in given else 1.0
    # dloss/dt = w (log(1 - x) - log x), each logarithm at least -100
    slope = torch.log1p(-x).clamp(min=-100.0) - torch.log(x).clamp(min=-100.0)
    return _by_element(asked, upstream, x) * weight * slope


@_outside_of_graphs
def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    reduction: Reduction = "mean",
    empty_mean: EmptyMean = "nan",
    device: DeviceLike = None,
) -> Tensor:
    """Binary cross-entropy of probabilities, `torch.nn.functional.binary_cross_entropy`.

    Gradients are those of input and target.
    """
    options = {"reduction": reduction, "empty_mean": empty_mean, "device": device}
    asked = Asked(_functional.binary_cross_entropy.question, options, formulas={"target": _bce_target})
    return _computed(asked, input=input, target=target, weight=weight)


def _bce_with_logits_target(asked: Asked, given: Operands, upstream: Tensor) -> Tensor:
    x = given["input"].float()
    weight, positive = (given[name].float() if name in given else 1.0 for name in ("weight", "pos_weight"))
    # dloss/dt = w (p softplus(-x) - softplus(x))
    return _by_element(asked, upstream, x) * weight * (positive * softplus(-x) - softplus(x))


@_outside_of_graphs
def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    reduction: Reduction = "mean",
    pos_weight: Tensor | None = None,
    empty_mean: EmptyMean = "nan",
    device: DeviceLike = None,
) -> Tensor:
    """Binary cross-entropy of logits, `torch.nn.functional.binary_cross_entropy_with_logits`.

    Gradients are those of input and target.
    """
    options = {"reduction": reduction, "empty_mean": empty_mean, "device": device}
    question = _functional.binary_cross_entropy_with_logits.question
    asked = Asked(question, options, formulas={"target": _bce_with_logits_target})
    return _computed(asked, input=input, target=target, weight=weight, pos_weight=pos_weight)


@_outside_of_graphs
def kl_div(
    input: Tensor,
    target: Tensor,
    *,
    reduction: Reduction = "mean",
    log_target: bool = False,
    empty_mean: EmptyMean = "nan",
    device: DeviceLike = None,
) -> Tensor:
    """Kullback-Leibler divergence of log-probabilities from a target, `torch.nn.functional.kl_div`.

    Gradients are those of input and target, which must broadcast to the input's shape.
    """
    options = {"reduction": reduction, "log_target": log_target, "empty_mean": empty_mean, "device": device}
    asked = Asked(_functional.kl_div.question, options)
    return _computed(asked, input=input, target=_in_full(target, input))


@_outside_of_graphs
def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Tensor | float,
    full: bool = False,
    eps: float = 1e-6,
    reduction: Reduction = "mean",
    *,
    empty_mean: EmptyMean = "nan",
    device: DeviceLike = None,
) -> Tensor:
    """Negative log-likelihood under normal distributions, `torch.nn.functional.gaussian_nll_loss`.

    Gradients are those of input, variance, and target, which must broadcast to the input's shape.
    """
    options = {"full": full, "eps": eps, "reduction": reduction, "empty_mean": empty_mean, "device": device}
    asked = Asked(_functional.gaussian_nll_loss.question, options)
    return _computed(asked, input=input, target=_in_full(target, input), var=var)


def _poisson_target(asked: Asked, given: Operands, upstream: Tensor) -> Tensor:
    x, t, options = given["input"].float(), given["target"].float(), asked.options
    # dloss/dt = -x, or -log(x + eps) without log_input
    slope = -x if options["log_input"] else -torch.log(x + options["eps"])
    if options["full"]:
        # + log t + 1 / (2 t), where t > 1
        slope = slope + torch.where(t > 1, torch.log(t) + 0.5 / t, 0.0)
    return _by_element(asked, upstream, x) * slope


@_outside_of_graphs
def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    *,
    eps: float = 1e-8,
    reduction: Reduction = "mean",
    empty_mean: EmptyMean = "nan",
    device: DeviceLike = None,
) -> Tensor:
    """Negative log-likelihood of counts, `torch.nn.functional.poisson_nll_loss`.

    Gradients are those of input and target, which must broadcast to the input's shape.
    """
    options = {
        "log_input": log_input,
        "full": full,
        "eps": eps,
        "reduction": reduction,
        "empty_mean": empty_mean,
        "device": device,
    }
    asked = Asked(_functional.poisson_nll_loss.question, options, formulas={"target": _poisson_target})
    return _computed(asked, input=input, target=_in_full(target, input))


@_outside_of_graphs
def softmax(input: Tensor, dim: int = -1, *, dtype: torch.dtype | None = None, device: DeviceLike = None) -> Tensor:
    """Softmax along an axis, `torch.nn.functional.softmax`. With ``dtype``, the input is converted first."""
    return _distribution("softmax", "probs", input, dim, dtype, device)


@_outside_of_graphs
def log_softmax(input: Tensor, dim: int = -1, *, dtype: torch.dtype | None = None, device: DeviceLike = None) -> Tensor:
    """Logarithm of the softmax along an axis, `torch.nn.functional.log_softmax`; see `softmax`."""
    return _distribution("log_softmax", "log_probs", input, dim, dtype, device)


def _distribution(
    function: str, result: str, input: Tensor, dim: int, dtype: torch.dtype | None, device: DeviceLike
) -> Tensor:
    question = partial(_functional.softmax_question, function)
    asked = Asked(question, {"dim": dim, "device": device}, result)
    return _computed(asked, input=input if dtype is None else input.to(dtype))


class _Module:
    """The functions' keywords that PyTorch's modules do not have."""

    reduction: str

    def __init__(self, *args: Any, empty_mean: EmptyMean = "nan", device: DeviceLike = None, **kwargs: Any) -> None:
        """Take the arguments of PyTorch's module, and further ones."""
        super().__init__(*args, **kwargs)
        self.further: dict[str, Any] = {"empty_mean": empty_mean, "device": device}

    def _keywords(self) -> dict[str, Any]:
        return {"reduction": self.reduction, **self.further}


class CrossEntropyLoss(_Module, torch.nn.CrossEntropyLoss):
    """The module of `cross_entropy`: `torch.nn.CrossEntropyLoss` with the function's further keywords."""

    def __init__(
        self,
        *args: Any,
        dim: int | None = None,
        logit_scale: float = 1.0,
        softcap: float | None = None,
        z_loss: float = 0.0,
        **kwargs: Any,
    ) -> None:
        """Take the arguments of PyTorch's module, and further ones."""
        super().__init__(*args, **kwargs)
        self.further |= {"dim": dim, "logit_scale": logit_scale, "softcap": softcap, "z_loss": z_loss}

    def forward(self, input: Tensor, target: Tensor, row_weights: Tensor | None = None) -> Tensor:
        """Compute the loss."""
        keywords = {"ignore_index": self.ignore_index, "label_smoothing": self.label_smoothing, **self._keywords()}
        return cross_entropy(input, target, self.weight, row_weights=row_weights, **keywords)


class NLLLoss(_Module, torch.nn.NLLLoss):
    """The module of `nll_loss`: `torch.nn.NLLLoss` with the function's further keywords."""

    def __init__(self, *args: Any, dim: int | None = None, **kwargs: Any) -> None:
        """Take the arguments of PyTorch's module, and further ones."""
        super().__init__(*args, **kwargs)
        self.further["dim"] = dim

    def forward(self, input: Tensor, target: Tensor, row_weights: Tensor | None = None) -> Tensor:
        """Compute the loss."""
        keywords = {"ignore_index": self.ignore_index, **self._keywords()}
        return nll_loss(input, target, self.weight, row_weights=row_weights, **keywords)


class BCELoss(_Module, torch.nn.BCELoss):
    """The module of `binary_cross_entropy`: `torch.nn.BCELoss` with the function's further keywords."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Compute the loss."""
        return binary_cross_entropy(input, target, self.weight, **self._keywords())


class BCEWithLogitsLoss(_Module, torch.nn.BCEWithLogitsLoss):
    """The module of `binary_cross_entropy_with_logits`: PyTorch's with the function's further keywords."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Compute the loss."""
        keywords = {"pos_weight": self.pos_weight, **self._keywords()}
        return binary_cross_entropy_with_logits(input, target, self.weight, **keywords)


class KLDivLoss(_Module, torch.nn.KLDivLoss):
    """The module of `kl_div`: `torch.nn.KLDivLoss` with the function's further keywords."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Compute the loss."""
        return kl_div(input, target, log_target=self.log_target, **self._keywords())


class GaussianNLLLoss(_Module, torch.nn.GaussianNLLLoss):
    """The module of `gaussian_nll_loss`: `torch.nn.GaussianNLLLoss` with the function's further keywords."""

    def forward(self, input: Tensor, target: Tensor, var: Tensor | float) -> Tensor:
        """Compute the loss."""
        return gaussian_nll_loss(input, target, var, self.full, self.eps, **self._keywords())


class PoissonNLLLoss(_Module, torch.nn.PoissonNLLLoss):
    """The module of `poisson_nll_loss`: `torch.nn.PoissonNLLLoss` with the function's further keywords."""

    def forward(self, log_input: Tensor, target: Tensor) -> Tensor:
        """Compute the loss."""
        keywords = {"eps": self.eps, **self._keywords()}
        return poisson_nll_loss(log_input, target, self.log_input, self.full, **keywords)
