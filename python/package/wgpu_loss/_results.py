"""What a call returns."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Summary:
    """Counts and sums over the rows; for losses of single elements, every element is a row.

    Attributes:
        rows: All rows.
        live: Rows that count.
        ignored: Rows left out by ``ignore_index``, or by a row weight of 0.
        weight: Sum of the weights of the rows that count: their number, without weights.
        nonfinite: Rows that count whose loss is NaN because of their logits or weights.
        first_nonfinite: The first such row.
        correct: Rows that count whose label has the largest logit, if the output ``"accuracy"`` is asked for.
        in_top_k: Rows that count whose label is among the ``top_k`` largest logits, if that is asked for.
        bad: Rows with labels or values out of range. A call raises an exception for them; a partial counts
            them.
        first_bad: The first row with a bad label, and the label.

    """

    rows: int
    live: int
    ignored: int
    weight: float
    nonfinite: int
    first_nonfinite: int | None
    correct: int | None
    in_top_k: int | None
    bad: int = 0
    first_bad: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ClassLosses:
    """Sums over the rows of each class, arrays with an element for each class.

    Attributes:
        loss: Sum of the rows' losses.
        rows: Number of rows.
        correct: Rows that are predicted right, with the output ``"accuracy"``; zeros otherwise.

    """

    loss: npt.NDArray[np.float64]
    rows: npt.NDArray[np.uint64]
    correct: npt.NDArray[np.uint64]

    @property
    def mean(self) -> npt.NDArray[np.float64]:
        """Mean loss of each class; NaN for classes without rows."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return self.loss / self.rows


@dataclass(frozen=True, slots=True, eq=False)
class Output:
    """The results of a call: the loss, the outputs that were asked for, and a summary.

    ``float(output)`` is a reduced loss; NumPy takes it as an array of the loss.

    Attributes:
        loss: A float; for ``reduction="none"`` an array with the losses of rows (or elements).
        summary: Counts and sums over the rows.
        z_loss: The z-loss, reduced as the loss and not part of it.
        grad: Gradient with respect to the input, in its shape and type.
        target_grad: Gradient with respect to the target.
        var_grad: Gradient with respect to the variance.
        log_probs: Log-softmax of the logits.
        probs: Softmax of the logits.
        lse: log-sum-exp of each row, float32.
        argmax: Predicted class of each row, uint32; 4294967295 for rows without a distribution.
        rank: Number of classes before each row's label, uint32; 4294967295 for rows that do not count.
        entropy: Entropy of each row's distribution, float32.
        variance: Variance of each row's log-probabilities, float32.
        row_weights: Each row's part of the mean's divisor, float32.
        states: The states of the rows over some of the classes, uint32: the labels' shape, and an axis of their
            fields.
        class_losses: Sums over the rows of each class.

    """

    loss: Any
    summary: Summary
    z_loss: Any = None
    grad: Any = None
    target_grad: Any = None
    var_grad: Any = None
    log_probs: Any = None
    probs: Any = None
    lse: Any = None
    argmax: Any = None
    rank: Any = None
    entropy: Any = None
    variance: Any = None
    row_weights: Any = None
    states: Any = None
    class_losses: ClassLosses | None = None

    @property
    def perplexity(self) -> float:
        """``exp(loss)`` of a mean."""
        if not isinstance(self.loss, float):
            raise AttributeError("there is no perplexity without a reduced loss")
        try:
            return math.exp(self.loss)
        except OverflowError:
            return math.inf

    @property
    def accuracy(self) -> float:
        """Part of the rows that count which are predicted right; NaN of no rows."""
        return self._part(self.summary.correct, 'outputs=("accuracy",)')

    @property
    def top_k_accuracy(self) -> float:
        """Part of the rows that count whose label is among the ``top_k`` largest logits; NaN of no rows."""
        return self._part(self.summary.in_top_k, "top_k")

    def _part(self, count: int | None, option: str) -> float:
        if count is None:
            raise AttributeError(f"it was not asked for: pass {option}")
        return count / self.summary.live if self.summary.live else math.nan

    def __float__(self) -> float:
        """Return a reduced loss."""
        return float(self.loss)

    def item(self) -> float:
        """Return a reduced loss."""
        return float(self)

    def __format__(self, specification: str) -> str:
        """Return a reduced loss as text."""
        return format(float(self), specification) if specification else str(self)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        """Return the loss as an array."""
        return np.array(self.loss, dtype=dtype) if copy else np.asarray(self.loss, dtype=dtype)

    def __repr__(self) -> str:
        """Return numbers as they are, arrays by type and shape."""
        values = ((field.name, getattr(self, field.name)) for field in fields(self))
        return f"Output({', '.join(f'{name}={_brief(value)}' for name, value in values if value is not None)})"


def _brief(value: Any) -> str:
    shape = getattr(value, "shape", None)
    if shape is None or shape == ():
        return repr(value)
    return f"<{value.dtype} {tuple(shape)}>"


def of_native(small: dict[str, Any], large: dict[str, Any]) -> Output:
    """Return the output of a call's small and large results."""
    classes = small.get("class_losses")
    if classes is not None:
        loss, rows, correct = classes
        classes = ClassLosses(
            np.frombuffer(loss, np.float64), np.frombuffer(rows, np.uint64), np.frombuffer(correct, np.uint64)
        )
    # Losses of rows are large results.
    numbers = {"loss": small["loss"], "z_loss": small["z_loss"]}
    return Output(summary=Summary(**small["summary"]), class_losses=classes, **(numbers | large))
