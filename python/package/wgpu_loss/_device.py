"""GPUs, and the one that is used where none is named."""

from __future__ import annotations

import operator
import threading
import warnings
from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeAlias

from . import _native
from ._errors import NoAdapterError, NoGpuWarning


class Adapter(NamedTuple):
    """A GPU as a driver offers it, or a driver that computes on the CPU.

    Attributes:
        name: The device's name, as the driver gives it.
        kind: ``"discrete"``, ``"integrated"``, ``"virtual"``, ``"software"`` or ``"other"``.
        backend: The API: ``"vulkan"``, ``"metal"``, ``"dx12"``, ``"gl"``.
        driver: The driver with its version.

    """

    name: str
    kind: str
    backend: str
    driver: str


class Share(NamedTuple):
    """What one of several GPUs has computed.

    Attributes:
        rows: Rows that it has computed.
        bytes: Bytes of tensors that went to the GPU and came back.
        failure: Why it computes no more.

    """

    rows: int
    bytes: int
    failure: str | None


def _names(adapter: str | Adapter | Sequence[str | Adapter] | None) -> list[str]:
    """Return texts that adapters have; none for the best one."""
    if adapter is None:
        return []
    several = [adapter] if isinstance(adapter, (str, Adapter)) else adapter
    names = [one.name if isinstance(one, Adapter) else one for one in several] if isinstance(several, Sequence) else []
    if not names or not all(isinstance(name, str) for name in names):
        raise TypeError(f"adapter is {adapter!r}, but it must be text, an Adapter, or several; turn= takes a number")
    return names


def _whole(name: str, given: int | None) -> int | None:
    try:
        return None if given is None else operator.index(given)
    except TypeError:
        raise TypeError(f"{name} is {given!r}, but it must be an integer") from None


class Gpu:
    """A GPU, or several that share the work of a call.

    Opening one takes a fraction of a second, and kernels are compiled when they are first used: open one, and use
    it for all calls. Threads may share it; their calls take turns.

    Args:
        adapter: text that is in the adapter's name, driver or backend, in any case, or an `Adapter`; several of them,
            for several GPUs; ``"all"`` for all GPUs of the machine. The best adapter by default.
        memory_budget: bytes of tensors that a call holds on each GPU at a time, 512 MiB by default. Larger tensors
            pass through in pieces.
        turn: take GPU number ``turn`` of those that match, and the first again after the last: for processes that
            share the GPUs of a machine.
        batch_invariant: make the bits of a row's results independent of the other rows of its batch.

    Raises:
        NoAdapterError: no adapter matches; the message lists those there are.
        DeviceError: the driver gives no device, or the process was forked from one that had computed.

    """

    def __init__(
        self,
        adapter: str | Adapter | Sequence[str | Adapter] | None = None,
        *,
        memory_budget: int | None = None,
        turn: int | None = None,
        batch_invariant: bool = False,
    ) -> None:
        """Open the GPU."""
        self._native = _native.Gpu(
            _names(adapter),
            _whole("turn", turn),
            _whole("memory_budget", memory_budget),
            batch_invariant,
        )

    @property
    def adapters(self) -> tuple[Adapter, ...]:
        """The adapters that compute."""
        return tuple(Adapter(*adapter) for adapter in self._native.adapters)

    @property
    def name(self) -> str:
        """The names of the adapters."""
        return " + ".join(adapter.name for adapter in self.adapters)

    @property
    def memory_budget(self) -> int:
        """Bytes of tensors that a call holds on each GPU at a time."""
        return self._native.memory_budget

    def shares(self) -> tuple[Share, ...]:
        """Return what each of several GPUs has computed since it was opened."""
        return tuple(Share(*share) for share in self._native.shares())

    def __repr__(self) -> str:
        """Return name, kind and API of each adapter."""
        return f"<wgpu_loss.Gpu {', '.join(f'{a.name} ({a.kind}, {a.backend})' for a in self.adapters)}>"

    def __reduce__(self) -> str | tuple[object, ...]:
        """Refuse to be copied into another process."""
        raise TypeError("a Gpu belongs to its process: open one in each")


DeviceLike: TypeAlias = Gpu | Literal["cpu"] | None

# A signal's handler or a finalizer may compute while the default device is opened.
_lock = threading.RLock()
# The native device, or None for the CPU; empty before its first use. It is replaced as a whole, and read without
# the lock.
_default: tuple[_native.Gpu | None, ...] = ()


def adapters() -> tuple[Adapter, ...]:
    """Return all adapters of the machine, best first."""
    return tuple(Adapter(*adapter) for adapter in _native.adapters())


def set_default_device(device: Gpu | Literal["cpu"] | None) -> None:
    """Set the device of calls that name none; ``None``: the best GPU, as before."""
    global _default
    native = () if device is None else (native_of(device),)
    with _lock:
        _default = native


def native_of(device: DeviceLike) -> _native.Gpu | None:
    """Return the native device, or None for the CPU."""
    if device is None:
        default = _default
        return default[0] if default else _open_default()
    if isinstance(device, Gpu):
        return device._native
    if isinstance(device, str) and device == "cpu":
        return None
    raise TypeError(f'device is {device!r}, but it must be a wgpu_loss.Gpu, "cpu" or None')


def _open_default() -> _native.Gpu | None:
    global _default
    # Another thread may have held the lock when this process was forked.
    _native.check_process()
    with _lock:
        if _default:
            return _default[0]
        opened: _native.Gpu | None = None
        missing: NoAdapterError | None = None
        try:
            opened = _native.Gpu([], None, None, False)
        except NoAdapterError as error:
            missing = error
        # What computed meanwhile in this thread has opened one.
        _default = _default or (opened,)
        opened = _default[0]
    if missing is not None:
        message = f'the CPU computes, in float64: {missing} (device="cpu" says so without this warning)'
        try:
            warnings.warn(message, NoGpuWarning, stacklevel=5)
        except NoGpuWarning:
            # An error by the user's filters, for the next call too.
            _default = ()
            raise
    return opened
