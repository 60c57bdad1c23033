"""The exceptions of this package.

Beside these, calls raise ``ValueError`` for shapes and options that do not fit, ``TypeError`` for arguments of a wrong
type and tensors on other devices, and ``MemoryError`` where a budget, a device or the host has too little memory.
"""

from __future__ import annotations


class DeviceError(RuntimeError):
    """A GPU failed, was lost, or belongs to the process from which this one was forked."""


class NoAdapterError(DeviceError):
    """No GPU has the wanted name, or there is no driver at all."""


class BadLabelError(IndexError):
    """Labels are neither a class nor ``ignore_index``.

    Attributes:
        position: Index of the first such label among all, in C order.
        value: The first such label.
        count: The number of such labels.

    """

    position: int
    value: int
    count: int

    def __init__(self, message: str, position: int = 0, value: int = 0, count: int = 0) -> None:
        """Keep the facts of the message."""
        super().__init__(message)
        self.position, self.value, self.count = position, value, count

    def __reduce__(self) -> tuple[type[BadLabelError], tuple[str, int, int, int]]:
        """Return what a copy is made of."""
        return type(self), (self.args[0], self.position, self.value, self.count)


class BadValueError(ValueError):
    """Elements have values that the loss is not defined for, as a probability of 1.5.

    Attributes:
        tensor: The tensor that has the first such element: ``input``, ``target`` or ``var``.
        position: The element's index in that tensor, in C order.
        value: The element's value.
        count: The number of such elements.

    """

    tensor: str
    position: int
    value: float
    count: int

    def __init__(self, message: str, tensor: str = "", position: int = 0, value: float = 0.0, count: int = 0) -> None:
        """Keep the facts of the message."""
        super().__init__(message)
        self.tensor, self.position, self.value, self.count = tensor, position, value, count

    def __reduce__(self) -> tuple[type[BadValueError], tuple[str, str, int, float, int]]:
        """Return what a copy is made of."""
        return type(self), (self.args[0], self.tensor, self.position, self.value, self.count)


class NoGpuWarning(RuntimeWarning):
    """There is no GPU, so the CPU computes: in float64, on all cores, and slower."""


# Where users import them from, and where they are unpickled from.
for _error in (DeviceError, NoAdapterError, BadLabelError, BadValueError, NoGpuWarning):
    _error.__module__ = "wgpu_loss"
