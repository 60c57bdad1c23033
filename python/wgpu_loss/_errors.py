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
    """Labels are neither a class nor ``ignore_index``."""

    position: int
    """Index of the first such label among all, in C order."""
    value: int
    """The first such label."""
    count: int
    """The number of such labels."""

    def __init__(self, message: str, position: int = 0, value: int = 0, count: int = 0) -> None:
        """Keep the facts of the message."""
        super().__init__(message)
        self.position, self.value, self.count = position, value, count

    def __reduce__(self) -> tuple[type[BadLabelError], tuple[str, int, int, int]]:
        """Return what a copy is made of."""
        return type(self), (self.args[0], self.position, self.value, self.count)


class BadValueError(ValueError):
    """Elements have values that the loss is not defined for, as a probability of 1.5."""

    tensor: str
    """The tensor that has the first such element: ``input``, ``target`` or ``var``."""
    position: int
    """The element's index in that tensor, in C order."""
    value: float
    """The element's value."""
    count: int
    """The number of such elements."""

    def __init__(self, message: str, tensor: str = "", position: int = 0, value: float = 0.0, count: int = 0) -> None:
        """Keep the facts of the message."""
        super().__init__(message)
        self.tensor, self.position, self.value, self.count = tensor, position, value, count

    def __reduce__(self) -> tuple[type[BadValueError], tuple[str, str, int, float, int]]:
        """Return what a copy is made of."""
        return type(self), (self.args[0], self.tensor, self.position, self.value, self.count)


class NoGpuWarning(RuntimeWarning):
    """There is no GPU, so the CPU computes: in float64, on all cores, and slower."""
