"""Sums over some of the rows, which add up."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec

from . import _native
from ._functional import Reduction
from ._question import LossFunction
from ._results import Output, Summary, of_native

P = ParamSpec("P")


class Partial:
    """What a loss over some of the rows found: exact sums and counts.

    Partials of the same loss and options add up, from other processes and machines too, in any grouping to the same
    bits: ``a + b``, ``sum(parts)``. They are pickled, and have a text and a binary form.

    Example:
        >>> import numpy as np
        >>> from wgpu_loss import Partial, cross_entropy
        >>> batches = [(np.zeros((2, 10), np.float32), np.array([3, 5])) for _ in range(4)]
        >>> total = sum(Partial.of(cross_entropy, logits, labels) for logits, labels in batches)
        >>> round(total.finish().loss, 4), total.summary.rows
        (2.3026, 8)

    """

    __slots__ = ("_sums",)

    _sums: _native.Partial

    def __init__(self) -> None:
        """Refuse: there is no empty partial, since it would not know of what."""
        raise TypeError("a partial comes from Partial.of, Partial.from_bytes or Partial.from_json")

    @classmethod
    def _of(cls, sums: _native.Partial) -> Partial:
        partial = object.__new__(cls)
        partial._sums = sums
        return partial

    @classmethod
    def of(cls, function: LossFunction[P] | Callable[P, Output], /, *args: P.args, **kwargs: P.kwargs) -> Partial:
        """Compute a loss over some of the rows.

        Args:
            function: one of this package's, as `cross_entropy`.
            *args: the function's arguments.
            **kwargs: the function's options. There is no gradient of a mean over some of its rows; large outputs are
                not kept.

        Raises:
            TypeError: another function; and what the function raises, except for bad labels and values, which `finish`
                refuses.

        """
        ask = getattr(function, "question", None)
        if ask is None:
            raise TypeError(f"{function!r} is no loss of wgpu_loss")
        return cls._of(ask(*args, **kwargs).partial())

    @property
    def function(self) -> str:
        """The loss."""
        return self._sums.function

    @property
    def classes(self) -> int:
        """The number of classes; 0 for losses of single elements."""
        return self._sums.classes

    @property
    def summary(self) -> Summary:
        """Counts and sums over the rows."""
        return Summary(**self._sums.summary())

    @property
    def standard_error(self) -> float | None:
        """How far to trust the mean: ``sqrt(sum (loss_i - mean)^2 / (n (n - 1)))``.

        ``None`` unless losses came one by one (``reduction="none"``) and have no weights.
        """
        return self._sums.standard_error

    def reduced(self, reduction: Reduction) -> Partial:
        """Return the same sums with another reduction, as ``"mean"`` of a loss with ``reduction="none"``."""
        return self._of(self._sums.reduced(reduction))

    def finish(self) -> Output:
        """Return the loss over all rows, in float64.

        Raises:
            BadLabelError: some labels were bad; the position counts all rows, in the order of the sums.
            BadValueError: some values were.

        """
        return of_native(self._sums.finish(), {})

    def to_bytes(self) -> bytes:
        """Return the binary form, which has a version and a checksum."""
        return self._sums.to_bytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> Partial:
        """Read the binary form.

        Raises:
            ValueError: the bytes are damaged, or no partial.

        """
        return cls._of(_native.Partial.from_bytes(data))

    def to_json(self) -> str:
        """Return the text form: that of each shard in the files of the program's ``--save-partial``."""
        return self._sums.to_json()

    @classmethod
    def from_json(cls, text: str) -> Partial:
        """Read the text form.

        Raises:
            ValueError: the text is no partial.

        """
        return cls._of(_native.Partial.from_json(text))

    def __add__(self, later: object) -> Partial:
        """Return the sums over these rows and those of ``later``."""
        if isinstance(later, Partial):
            return self._of(self._sums.merged(later._sums))
        return NotImplemented

    def __radd__(self, earlier: object) -> Partial:
        """Return these sums: ``sum`` begins with 0."""
        return self if isinstance(earlier, int) and earlier == 0 else NotImplemented

    def __eq__(self, other: object) -> bool:
        """Return true for the same sums of the same loss."""
        return self._sums == other._sums if isinstance(other, Partial) else NotImplemented

    def __hash__(self) -> int:
        """Return a hash of the sums."""
        return hash(self.to_bytes())

    def __reduce__(self) -> tuple[Callable[[bytes], Partial], tuple[bytes]]:
        """Return what a copy is made of."""
        return Partial.from_bytes, (self.to_bytes(),)

    def __repr__(self) -> str:
        """Return the loss and the number of rows."""
        return f"<wgpu_loss.Partial of {self.function}, {self.summary.rows} rows>"
