"""A loss with its operands, options and outputs, before anything is computed."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, ParamSpec, Protocol, TypeAlias, cast

import numpy as np

from . import _native, _results
from ._arrays import Array, Given, bf16_dtype
from ._device import DeviceLike, native_of
from ._progress import ProgressLike, Report, reporting

# Bytes of copies that a call makes at once; what needs larger ones is computed in batches.
COPIED_BYTES = 64 << 20

# The operands that have the first axis of the input, if it is not that of the classes.
_OF_ROWS = ("input", "labels", "probabilities", "row_weights")
_NUMPY: dict[str, np.dtype[Any]] = {
    "f32": np.dtype(np.float32),
    "f16": np.dtype(np.float16),
    "u32": np.dtype(np.uint32),
}

# Makes room for an output of a shape and type: the object that is returned, and a NumPy array on its memory.
Allocate: TypeAlias = Callable[[str, tuple[int, ...], str], tuple[Any, Array]]
Operands: TypeAlias = dict[str, tuple[Any, str, tuple[int, ...]]]
Destinations: TypeAlias = dict[str, tuple[Array, tuple[int, ...], int]]


def in_numpy(name: str, shape: tuple[int, ...], kind: str) -> tuple[Array, Array]:
    """Make room in a NumPy array."""
    if kind == "bf16":
        bits = np.empty(shape, np.uint16)
        return bits.view(cast(Any, bf16_dtype())), bits
    array = np.empty(shape, _NUMPY[kind])
    return array, array


@dataclass(slots=True)
class Question:
    """What a function of this package was asked."""

    function: str
    operands: dict[str, Given]
    options: dict[str, Any]
    outputs: Iterable[str] = ()
    top_k: int = 0
    class_axis: int | None = None
    """The axis of the classes; nothing for losses of single elements."""
    device: DeviceLike = None
    progress: ProgressLike = None
    allocate: Allocate = in_numpy
    call: _native.Call = field(init=False)

    def __post_init__(self) -> None:
        """Check the options."""
        # Without a type for bf16 in NumPy, results are f32.
        is_bf16 = any(given.is_bf16 for given in self.operands.values())
        in_f32 = is_bf16 and self.allocate is in_numpy and bf16_dtype() is None
        self.call = _native.Call(self.function, self.options, list(self.outputs), self.top_k, in_f32)

    def compute(self) -> _results.Output:
        """Compute the loss."""
        gpu = native_of(self.device)
        large, destinations = self._large_outputs()
        batches = self._batches()
        with reporting(self.progress) as report:
            if batches is None:
                small = self.call.run(gpu, self._read(), destinations, report)
            else:
                small = self._run_batches(gpu, batches, destinations, self._divisor(), report).finish()
        return _results.of_native(small, large)

    def partial(self) -> _native.Partial:
        """Compute sums that add up with those of other rows."""
        gradients = {"grad", "target_grad", "var_grad"}.intersection(self.outputs)
        if gradients and self.options.get("reduction") in ("mean", "batchmean"):
            raise ValueError(
                f"{min(gradients)}: the gradient of a mean over some of its rows needs the number of all rows"
            )
        gpu = native_of(self.device)
        # Operands that do not fit the whole may fit its parts.
        self.call.large_outputs(self._shapes())
        batches = self._batches()
        with reporting(self.progress) as report:
            if batches is None:
                return self.call.partial(gpu, self._read(), report)
            return self._run_batches(gpu, batches, {}, None, report)

    def _run_batches(
        self,
        gpu: _native.Gpu | None,
        batches: Iterator[Operands],
        destinations: Destinations,
        divisor: float | None,
        report: Report | None,
    ) -> _native.Partial:
        """Compute batches, and report how many of all rows are done: a stream of batches does not know their number."""
        if report is None:
            return self.call.run_batches(gpu, batches, destinations, divisor, None)
        of = self._rows()
        partial = self.call.run_batches(gpu, batches, destinations, divisor, lambda rows, _: report(rows, of))
        report(of, of)
        return partial

    def _read(self) -> Operands:
        return {name: given.read() for name, given in self.operands.items()}

    def _shapes(self) -> Operands:
        return {name: given.shape_alone() for name, given in self.operands.items()}

    def _rows(self) -> int:
        """Return the number of rows."""
        array = self.operands["input"].array
        classes = 1 if self.class_axis is None else array.shape[self.class_axis]
        return array.size // max(classes, 1)

    def _large_outputs(self) -> tuple[dict[str, Any], Destinations]:
        large, destinations = {}, {}
        for name, shape, kind in self.call.large_outputs(self._shapes()):
            large[name], array = self.allocate(name, tuple(shape), kind)
            destinations[name] = (array, tuple(shape), array.itemsize)
        return large, destinations

    def _batches(self) -> Iterator[Operands] | None:
        """Return parts along the first axis, if a copy of the whole would be large and it can be divided."""
        copied = sum(given.copied_bytes for given in self.operands.values())
        if copied <= COPIED_BYTES:
            return None
        sliced = self._sliced()
        shape = self.operands["input"].array.shape
        if sliced is None or shape[0] < 2:
            return None
        steps = max(1, shape[0] * COPIED_BYTES // copied)
        whole = {name: given.read() for name, given in self.operands.items() if name not in sliced}

        def batches() -> Iterator[Operands]:
            for start in range(0, shape[0], steps):
                parts = {name: self.operands[name].rows(start, start + steps).read() for name in sliced}
                yield whole | parts

        return batches()

    def _sliced(self) -> set[str] | None:
        """Return the operands that are divided with the input, or nothing if it cannot be divided."""
        shape = self.operands["input"].array.shape
        if self.class_axis is not None:
            is_shard = self.options.get("class_shard") is not None
            if is_shard or not shape or self.class_axis % len(shape) == 0:
                return None
            sliced = {name for name in _OF_ROWS if name in self.operands}
            upstream = self.operands.get("upstream")
            if upstream is not None and upstream.array.ndim > 0 and upstream.array.shape[:1] == shape[:1]:
                sliced.add("upstream")
            return sliced
        if not shape:
            return None
        sliced = {name for name, given in self.operands.items() if _has_first_axis(name, given.array.shape, shape)}
        # What all batches share has a gradient that is a sum over them.
        gradients = {"target_grad": "target", "var_grad": "var"}
        shared = self.operands.keys() - sliced
        return sliced if shared.isdisjoint(gradients[name] for name in gradients.keys() & set(self.outputs)) else None

    def _divisor(self) -> float | None:
        """Return the divisor of a mean over all batches."""
        known = {
            name: given.read() if name in ("labels", "weight", "row_weights") else given.shape_alone()
            for name, given in self.operands.items()
        }
        return self.call.divisor(known)


def _has_first_axis(name: str, operand: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    """Return true if an operand that broadcasts has the first axis of the input's shape."""
    # A variance may have one for each row of the last axis.
    is_of_rows = name == "var" and operand == shape[:-1]
    return bool(operand) and (is_of_rows or len(operand) == len(shape) and operand[0] != 1)


P = ParamSpec("P")


class LossFunction(Protocol, Generic[P]):
    """A loss of this package, which `Partial.of` takes too."""

    __name__: str
    question: Callable[P, Question]

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> _results.Output:
        """Compute the loss."""
        ...


def loss_function(ask: Callable[P, Question]) -> LossFunction[P]:
    """Make a function that computes what another one asks."""

    @functools.wraps(ask)
    def compute(*args: P.args, **kwargs: P.kwargs) -> _results.Output:
        return ask(*args, **kwargs).compute()

    # What `help` shows.
    compute.__dict__["__signature__"] = inspect.signature(ask).replace(return_annotation="Output")
    function = cast("LossFunction[P]", compute)
    function.question = ask
    return function


def given(operands: Mapping[str, Given | None]) -> dict[str, Given]:
    """Leave out operands that are not there."""
    return {name: operand for name, operand in operands.items() if operand is not None}
