"""Neural-network losses and their gradients, on any GPU: Vulkan, Metal, DX12.

The functions have PyTorch's names and meaning. They take NumPy arrays and whatever shares its memory by DLPack or the
buffer protocol, and compute on the best GPU of the machine, or on its CPU where there is none.

`wgpu_loss.torch` and `wgpu_loss.jax` compute the same for tensors of PyTorch and JAX, with gradients.

    >>> import numpy as np, wgpu_loss
    >>> logits = np.array([[3.5, -3.45, 0.23], [-2.14, 0.54, 2.67]], np.float32)
    >>> output = wgpu_loss.cross_entropy(logits, np.array([0, 2]), outputs=("argmax", "accuracy"))
    >>> round(output.loss, 4), output.argmax, output.accuracy
    (0.0789, array([0, 2], dtype=uint32), 1.0)
"""

from ._device import Adapter, Gpu, Share, adapters, set_default_device
from ._errors import BadLabelError, BadValueError, DeviceError, NoAdapterError, NoGpuWarning
from ._functional import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cross_entropy,
    entropy,
    gaussian_nll_loss,
    kl_div,
    log_softmax,
    log_softmax_grad,
    nll_loss,
    poisson_nll_loss,
    softmax,
    softmax_grad,
)
from ._native import __version__
from ._partial import Partial
from ._results import ClassLosses, Output, Summary

__all__ = [
    "Adapter",
    "BadLabelError",
    "BadValueError",
    "ClassLosses",
    "DeviceError",
    "Gpu",
    "NoAdapterError",
    "NoGpuWarning",
    "Output",
    "Partial",
    "Share",
    "Summary",
    "__version__",
    "adapters",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "cross_entropy",
    "entropy",
    "gaussian_nll_loss",
    "kl_div",
    "log_softmax",
    "log_softmax_grad",
    "nll_loss",
    "poisson_nll_loss",
    "set_default_device",
    "softmax",
    "softmax_grad",
]
