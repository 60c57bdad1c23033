"""DLPack tensors of any type, as another library would export them."""

import ctypes

import numpy as np


class _DLTensor(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    ]


class _Managed(ctypes.Structure):
    _fields_ = [("tensor", _DLTensor), ("context", ctypes.c_void_p), ("deleter", ctypes.c_void_p)]


_new = ctypes.pythonapi.PyCapsule_New
_new.restype, _new.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
# The memory of exported tensors, to the end of the tests.
_kept = []

INT, UINT, FLOAT, BFLOAT, COMPLEX, BOOL = 0, 1, 2, 4, 5, 6


class Exported:
    """The bits of an array, exported as elements of a type of DLPack's."""

    def __init__(self, array, code, bits, lanes=1):
        self.array, self.type = np.ascontiguousarray(array), (code, bits, lanes)

    def __dlpack_device__(self):
        return 1, 0

    def __dlpack__(self, stream=None):
        shape = (ctypes.c_int64 * max(self.array.ndim, 1))(*self.array.shape)
        code, bits, lanes = self.type
        tensor = _DLTensor(self.array.ctypes.data, 1, 0, self.array.ndim, code, bits, lanes, shape, None, 0)
        managed = _Managed(tensor, None, None)
        _kept.append((managed, shape, self.array))
        return _new(ctypes.addressof(managed), b"dltensor", None)


def bf16(array):
    """Export numbers of float32, whose lower halves are cut off, as bf16."""
    bits = np.ascontiguousarray(array, np.float32).view(np.uint32) >> 16
    return Exported(bits.astype(np.uint16), BFLOAT, 16)
