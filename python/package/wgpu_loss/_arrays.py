"""What callers give, seen as NumPy arrays without a copy."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, TypeAlias, cast, runtime_checkable

import numpy as np
import numpy.typing as npt

from . import _native

Array: TypeAlias = npt.NDArray[Any]


@runtime_checkable
class SupportsDLPack(Protocol):
    """A tensor of another library."""

    def __dlpack__(self, *args: Any, **kwargs: Any) -> Any:
        """Return a capsule with the tensor."""

    def __dlpack_device__(self) -> tuple[Any, Any]:
        """Return the kind and the number of the device."""


ArrayLike: TypeAlias = npt.ArrayLike | SupportsDLPack

# The library's names of the types that it reads as they are.
_FLOATS = {np.dtype(np.float32): "f32", np.dtype(np.float16): "f16"}
_INTEGERS = {
    np.dtype(name): name[0] + str(8 * np.dtype(name).itemsize)
    for name in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
}
_F32 = np.dtype(np.float32)
_U8 = np.dtype(np.uint8)


class Given(NamedTuple):
    """An array of a call, and what the library wants of it."""

    array: Array
    """Any strides; bf16 as its bits, in uint16."""
    kind: str
    """The library's name of the type that it reads."""
    dtype: np.dtype[Any]
    """The type that it reads."""
    is_bf16: bool = False
    """True if the array was one of bf16, which is then a type of its owner's, too."""

    @property
    def is_ready(self) -> bool:
        """True if the library can read the memory as it is."""
        flags = self.array.flags
        return self.array.dtype == self.dtype and flags.c_contiguous and flags.aligned

    def read(self) -> tuple[Array, str, tuple[int, ...]]:
        """Return the array as the library reads it, copied if it must be."""
        array = self.array
        if not self.is_ready:
            # Numbers of f64 beyond f32 become infinite, as in any other conversion.
            with np.errstate(over="ignore"):
                array = np.require(array, self.dtype, ["C_CONTIGUOUS", "ALIGNED"])
        return array, self.kind, array.shape

    def shape_alone(self) -> tuple[None, str, tuple[int, ...]]:
        """Return what stands for the array where only its shape is asked about."""
        return None, self.kind, self.array.shape

    def rows(self, start: int, stop: int) -> Given:
        """Return a part along the first axis."""
        return self._replace(array=self.array[start:stop])

    @property
    def copied_bytes(self) -> int:
        """Bytes of the copy that reading it makes."""
        return 0 if self.is_ready else self.array.size * self.dtype.itemsize


def floats(name: str, given: ArrayLike) -> Given:
    """Return floats as they are, and other numbers as f32."""
    array, is_bf16 = _array(name, given)
    if is_bf16:
        return Given(array, "bf16", array.dtype, True)
    kind = _FLOATS.get(array.dtype)
    if kind is not None:
        return Given(array, kind, array.dtype)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} has elements of type {array.dtype}, expected numbers")
    return Given(array, "f32", _F32)


def f32(name: str, given: ArrayLike) -> Given:
    """Return numbers as f32."""
    array = floats(name, given)
    if array.is_bf16:
        return Given((array.array.astype(np.uint32) << 16).view(np.float32), "f32", _F32)
    return Given(array.array, "f32", _F32)


def labels(name: str, given: ArrayLike) -> Given | None:
    """Return integers as they are, or nothing for numbers that are no labels."""
    array, is_bf16 = _array(name, given)
    if is_bf16 or array.dtype.kind == "f":
        return None
    if array.dtype.kind == "b":
        return Given(array.view(np.uint8), "u8", _U8)
    kind = _INTEGERS.get(array.dtype)
    if kind is not None:
        return Given(array, kind, array.dtype)
    native = array.dtype.newbyteorder("=")
    if array.dtype.kind in "iu" and native in _INTEGERS:
        return Given(array, _INTEGERS[native], native)
    raise TypeError(f"{name} has elements of type {array.dtype}, expected integers or probabilities")


def is_bf16(dtype: np.dtype[Any]) -> bool:
    """Return true for the bfloat16 of ml_dtypes, which need not be installed."""
    return bool(dtype.name == "bfloat16")


def bf16_dtype() -> np.dtype[Any] | None:
    """Return the bfloat16 of ml_dtypes, where a user of bf16 has it."""
    try:
        import ml_dtypes
    except ImportError:
        return None
    return cast("np.dtype[Any]", np.dtype(ml_dtypes.bfloat16))


def _array(name: str, given: Any) -> tuple[Array, bool]:
    """Return an array on the same memory, and true if its elements are the bits of bf16."""
    if given is None:
        raise TypeError(f"{name} is None, expected an array")
    if isinstance(given, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array, whose mask would be lost: pass row_weights, or fill it")
    if isinstance(given, np.ndarray):
        array = given if type(given) is np.ndarray else given.view(np.ndarray)
    elif getattr(given, "__dlpack__", None) is not None and not isinstance(given, np.generic):
        # PyTorch refuses such tensors itself, but not by its DLPack interface for C.
        if getattr(given, "requires_grad", False):
            raise TypeError(f"{name} requires a gradient: wgpu_loss.torch computes it, and {name}.detach() needs none")
        try:
            view = _native.View(given, name)
        # PyTorch has no one class of errors for tensors without memory of the host.
        except (BufferError, RuntimeError, ValueError) as error:
            # PyTorch's further lines are addresses in its own code.
            reason = str(error).partition("\n")[0]
            raise TypeError(f"{name} cannot be read: {reason}") from error
        # The array holds the view, and the view the tensor.
        return np.asarray(view), view.is_bf16
    else:
        try:
            array = np.asarray(given)
        except (TypeError, ValueError) as error:
            raise TypeError(f"{name} is no array: {error}") from error
    if array.dtype.kind == "V" and is_bf16(array.dtype):
        return array.view(np.uint16), True
    return array, False
