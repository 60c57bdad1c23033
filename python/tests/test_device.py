"""Devices: the default, threads, forks, Ctrl-C, faults. What ends or forks a process does so in one of its own."""

import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import wgpu_loss
from wgpu_loss import _native

on_unix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither forks nor these signals")
has_gpu = pytest.mark.skipif(os.environ.get("WGPU_LOSS_TEST_DEVICE") == "cpu", reason="this machine has no GPU")


def python(code, *, environment=None, timeout=120):
    """Run code in a process of its own, and return its output."""
    done = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning", "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, **(environment or {})},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


CASE = """
import signal
import numpy as np, wgpu_loss
# A shell that starts a process in the background lets it ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)
x, t = np.zeros((4, 8), np.float32), np.arange(4)
"""


@has_gpu
def test_a_gpu_tells_what_it_is(gpu):
    (adapter,) = gpu.adapters
    assert adapter in wgpu_loss.adapters() and gpu.name == adapter.name
    assert adapter.kind in ("discrete", "integrated", "virtual", "software", "other")
    assert gpu.memory_budget == 512 << 20 and repr(gpu).startswith(f"<wgpu_loss.Gpu {adapter.name}")
    (share,) = gpu.shares()
    assert share.failure is None
    with pytest.raises(TypeError, match="belongs to its process"):
        pickle.dumps(gpu)


@has_gpu
def test_options_of_a_gpu(gpu, rng):
    assert wgpu_loss.Gpu(gpu.adapters[0]).adapters == wgpu_loss.Gpu([gpu.adapters[0]]).adapters == gpu.adapters
    own = wgpu_loss.Gpu(gpu.name, memory_budget=1 << 20, turn=7, batch_invariant=True)
    assert own.memory_budget == 1 << 20
    x, t = rng.standard_normal((3000, 300)).astype(np.float32), rng.integers(0, 300, 3000)
    seen = []
    output = wgpu_loss.cross_entropy(x, t, device=own, return_grad=True, progress=lambda *done: seen.append(done))
    assert seen[-1] == (3000, 3000) and seen == sorted(seen)
    np.testing.assert_allclose(output.loss, wgpu_loss.cross_entropy(x, t).loss, rtol=1e-6)
    lse = wgpu_loss.cross_entropy(x, t, device=own, outputs=("lse",)).lse
    part = wgpu_loss.cross_entropy(x[7:9], t[7:9], device=own, outputs=("lse",)).lse
    np.testing.assert_array_equal(part, lse[7:9])


@has_gpu
def test_several_gpus_share_a_call(gpu, rng):
    both = wgpu_loss.Gpu([gpu.name, gpu.name], memory_budget=1 << 20)
    x, t = rng.standard_normal((4000, 200)).astype(np.float32), rng.integers(0, 200, 4000)
    output = wgpu_loss.cross_entropy(x, t, device=both, return_grad=True)
    wanted = wgpu_loss.cross_entropy(x, t, return_grad=True)
    np.testing.assert_allclose(output.loss, wanted.loss, rtol=1e-6)
    np.testing.assert_allclose(output.grad, wanted.grad, rtol=1e-6, atol=1e-12)
    assert len(both.adapters) == 2 and sum(share.rows for share in both.shares()) == 4000
    assert wgpu_loss.Gpu("all").adapters[0] == gpu.adapters[0]


def test_wrong_devices():
    x, t = np.zeros((2, 3), np.float32), np.zeros(2, int)
    for device in ("gpu", "cuda:0", 3, object()):
        with pytest.raises(TypeError, match="device is .* but it must be"):
            wgpu_loss.cross_entropy(x, t, device=device)
    with pytest.raises(wgpu_loss.NoAdapterError, match='no GPU adapter matches "no such GPU"; (there are|install)'):
        wgpu_loss.Gpu("no such GPU")
    assert issubclass(wgpu_loss.NoAdapterError, wgpu_loss.DeviceError)


@has_gpu
def test_a_budget_that_holds_nothing_is_a_memory_error(gpu):
    small = wgpu_loss.Gpu(memory_budget=100)
    with pytest.raises(MemoryError, match="memory budget of 100 bytes"):
        wgpu_loss.binary_cross_entropy(np.full((4, 1 << 20), 0.5, np.float32), np.ones((4, 1 << 20)), device=small)


def test_without_a_driver_the_cpu_computes_and_says_so():
    code = """
    import warnings
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        losses = [wgpu_loss.cross_entropy(x, t).loss for _ in range(3)]
    (warning,) = caught
    assert warning.category is wgpu_loss.NoGpuWarning and warning.filename == "<string>", warning
    assert "the CPU computes" in str(warning.message)
    assert losses == [wgpu_loss.cross_entropy(x, t, device="cpu").loss] * 3
    assert wgpu_loss.adapters() == ()
    """
    nothing = {name: "/nonexistent" for name in ("VK_DRIVER_FILES", "VK_ICD_FILENAMES")}
    python(CASE + textwrap.dedent(code), environment={**nothing, "WGPU_BACKEND": "vulkan"})


def test_what_computes_while_the_default_is_opened_waits_for_nothing():
    # A hook of warnings that computes, and one that sets the device; a handler of a signal would do, too.
    code = """
    import warnings
    for hook in (lambda *_: wgpu_loss.cross_entropy(x, t), lambda *_: wgpu_loss.set_default_device("cpu")):
        wgpu_loss.set_default_device(None)
        warnings.showwarning = lambda *_, hook=hook, **__: hook()
        warnings.simplefilter("always")
        assert wgpu_loss.cross_entropy(x, t).loss > 0
    wgpu_loss.set_default_device(None)
    warnings.simplefilter("error")
    for _ in range(2):
        try:
            wgpu_loss.cross_entropy(x, t)
            raise SystemExit("no error")
        except wgpu_loss.NoGpuWarning:
            pass
    """
    nothing = {name: "/nonexistent" for name in ("VK_DRIVER_FILES", "VK_ICD_FILENAMES")}
    python(CASE + textwrap.dedent(code), environment={**nothing, "WGPU_BACKEND": "vulkan"})


def test_calls_without_a_gpu_open_none():
    code = """
    wgpu_loss.cross_entropy(x, t, device="cpu")
    assert wgpu_loss._device._default == ()
    """
    python(CASE + textwrap.dedent(code))


@on_unix
@pytest.mark.parametrize("device", [pytest.param("None", marks=has_gpu), '"cpu"'])
def test_a_forked_process_is_told(device):
    code = f"""
    import os, sys, warnings
    warnings.simplefilter("ignore")
    wanted = wgpu_loss.cross_entropy(x, t, device={device}).loss
    if os.fork() == 0:
        # By either device, by a new one, and by another thread: no hang.
        for call in (
            lambda: wgpu_loss.cross_entropy(x, t),
            lambda: wgpu_loss.cross_entropy(x, t, device="cpu"),
            lambda: wgpu_loss.Gpu(),
            lambda: wgpu_loss.adapters(),
        ):
            try:
                call()
                os._exit(3)
            except wgpu_loss.DeviceError as error:
                if "was forked from process" not in str(error):
                    os._exit(4)
        # The parent's device goes, with everything else.
        wgpu_loss._device._default = ()
        import gc
        gc.collect()
        os._exit(7)
    assert os.waitstatus_to_exitcode(os.wait()[1]) == 7
    assert wgpu_loss.cross_entropy(x, t, device={device}).loss == wanted
    """
    python(CASE + textwrap.dedent(code))


@on_unix
def test_a_process_forked_before_the_first_call_computes():
    code = """
    import os, sys, warnings
    warnings.simplefilter("ignore")
    if os.fork() == 0:
        os._exit(7 if abs(wgpu_loss.cross_entropy(x, t).loss - np.log(8)) < 1e-6 else 3)
    assert os.waitstatus_to_exitcode(os.wait()[1]) == 7
    assert abs(wgpu_loss.cross_entropy(x, t).loss - np.log(8)) < 1e-6
    """
    python(CASE + textwrap.dedent(code))


@on_unix
def test_ctrl_c_ends_a_long_call():
    # On the CPU, where a call of a minute is easily made.
    code = """
    import os, signal, threading, time
    x = np.broadcast_to(np.float32(0.5), (1 << 21, 1000))
    t = np.broadcast_to(np.int64(3), 1 << 21)
    began = time.monotonic()
    threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT)).start()
    try:
        wgpu_loss.cross_entropy(x, t, outputs=("entropy", "rank"), device="cpu")
        raise SystemExit("it was not interrupted")
    except KeyboardInterrupt:
        took = time.monotonic() - began
    assert took < 5, took
    # And the next call is as if nothing had been.
    assert abs(wgpu_loss.cross_entropy(x[:4], t[:4], device="cpu").loss - np.log(1000)) < 1e-5
    """
    python(CASE + textwrap.dedent(code))


@on_unix
@has_gpu
def test_ctrl_c_ends_a_call_on_a_gpu_and_a_wait_for_one():
    code = """
    import os, signal, threading, time
    gpu = wgpu_loss.Gpu(memory_budget=1 << 20)
    x = np.zeros((1 << 17, 1000), np.float32)
    t = np.zeros(1 << 17, np.int64)
    wgpu_loss.cross_entropy(x[:9], t[:9], device=gpu)
    def calls():
        while not stop.is_set():
            wgpu_loss.cross_entropy(x, t, device=gpu)
    for waits in (False, True):
        stop = threading.Event()
        other = threading.Thread(target=calls)
        if waits:
            other.start()
        began = time.monotonic()
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
        try:
            while True:
                wgpu_loss.cross_entropy(x, t, outputs=("grad", "rank"), device=gpu)
        except KeyboardInterrupt:
            assert time.monotonic() - began < 5
        stop.set()
        if waits:
            other.join()
    assert abs(wgpu_loss.cross_entropy(x[:9], t[:9], device=gpu).loss - np.log(1000)) < 1e-5
    """
    python(CASE + textwrap.dedent(code))


def test_an_exception_of_progress_ends_a_call(rng):
    x, t = np.zeros((300, 100)), np.zeros(300, int)

    def report(rows, of):
        raise LookupError("enough")

    with pytest.raises(LookupError, match="enough"):
        wgpu_loss.cross_entropy(x, t, progress=report)
    for wrong in ("yes", 3):
        with pytest.raises(TypeError, match="progress is"):
            wgpu_loss.cross_entropy(x, t, progress=wrong)
    assert wgpu_loss.cross_entropy(x, t, progress=False).loss > 0


def test_progress_may_compute(rng):
    x, t = rng.standard_normal((300, 100)).astype(np.float32), rng.integers(0, 100, 300)
    wanted, inner = wgpu_loss.cross_entropy(x, t).loss, []
    got = wgpu_loss.cross_entropy(x, t, progress=lambda *_: inner.append(wgpu_loss.cross_entropy(x, t).loss))
    assert got.loss == wanted and set(inner) == {wanted}


def test_a_bar(capsys):
    pytest.importorskip("tqdm")
    x, t = np.zeros((300, 100), np.float32), np.zeros(300, int)
    assert wgpu_loss.cross_entropy(x, t, progress=True).loss > 0
    assert "rows" in capsys.readouterr().err


def test_a_panic_is_an_exception(capfd):
    with pytest.raises(RuntimeError, match="^a fault of wgpu-loss itself: on purpose$"):
        _native.panic("on purpose")
    assert wgpu_loss.cross_entropy(np.zeros((1, 2), np.float32), [0]).loss > 0
    capfd.readouterr()


@has_gpu
def test_a_lost_device_is_an_error_of_each_call():
    own = wgpu_loss.Gpu()
    x, t = np.zeros((4, 8), np.float32), np.arange(4)
    assert wgpu_loss.cross_entropy(x, t, device=own).loss > 0
    own._native.destroy()
    for _ in range(2):
        with pytest.raises(wgpu_loss.DeviceError, match="lost"):
            wgpu_loss.cross_entropy(x, t, device=own)
    assert wgpu_loss.cross_entropy(x, t).loss > 0


def test_results_are_pickled(rng):
    x, t = rng.standard_normal((5, 4)).astype(np.float32), rng.integers(0, 4, 5)
    output = wgpu_loss.cross_entropy(x, t, outputs=("grad", "class_losses"))
    again = pickle.loads(pickle.dumps(output))
    assert again.loss == output.loss and again.summary == output.summary and (again.grad == output.grad).all()
    assert (again.class_losses.rows == output.class_losses.rows).all()


def test_threads_have_the_results_that_they_would_have_alone(rng):
    cases = []
    for classes in (3, 10, 65):
        for dtype in (np.float32, np.float16):
            x = rng.standard_normal((50, classes)).astype(dtype)
            t = rng.integers(0, classes, 50)
            cases.append((x, t, wgpu_loss.cross_entropy(x, t, return_grad=True)))

    def work(number):
        x, t, wanted = cases[number % len(cases)]
        device = "cpu" if number % 7 == 0 else None
        if number % 5 == 0:
            with pytest.raises(wgpu_loss.BadLabelError):
                wgpu_loss.cross_entropy(x, t + 1000, device=device)
        output = wgpu_loss.cross_entropy(x, t, return_grad=True, device=device)
        if device is None:
            assert output.loss == wanted.loss and (output.grad == wanted.grad).all()
        else:
            np.testing.assert_allclose(output.loss, wanted.loss, rtol=1e-6)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(400)))


def test_the_interpreter_is_free_while_a_device_works():
    x, t = np.zeros((20_000, 2000), np.float32), np.zeros(20_000, int)
    wgpu_loss.cross_entropy(x[:9], t[:9], return_grad=True)
    stop, turns = threading.Event(), []

    def count():
        while not stop.is_set():
            turns.append(time.monotonic())
            time.sleep(0.0005)

    other = threading.Thread(target=count)
    other.start()
    began = time.monotonic()
    wgpu_loss.cross_entropy(x, t, return_grad=True)
    ended = time.monotonic()
    stop.set()
    other.join()
    during = [turn for turn in turns if began < turn < ended]
    longest = max(later - earlier for earlier, later in zip([began, *during], [*during, ended], strict=True))
    # One call, which would stop the other thread from its begin to its end.
    assert longest < (ended - began) / 2, (longest, ended - began)


def resident():
    """Return bytes of memory that the process holds."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="memory is counted as Linux does")
@pytest.mark.parametrize("calls", [3_000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_memory_is_flat(rng, calls):
    cases = [
        (rng.standard_normal((rows, 20)).astype(np.float32), rng.integers(0, 20, rows)) for rows in (1, 16, 100, 300)
    ]

    def call(number):
        x, t = cases[number % len(cases)]
        if number % 9 == 0:
            with pytest.raises(wgpu_loss.BadLabelError):
                wgpu_loss.cross_entropy(x, t + 20)
        wgpu_loss.cross_entropy(x, t, return_grad=number % 2 == 0, reduction="none" if number % 3 == 0 else "mean")
        wgpu_loss.Partial.of(wgpu_loss.cross_entropy, x.astype(np.float64)[::-1], t)

    for number in range(500):
        call(number)
    before = resident()
    for number in range(calls):
        call(number)
    grown = resident() - before
    # The allocator's pools grow once; of 3,000 calls, a leak of 1 KiB each would be 3 MiB.
    assert grown < 2 << 20, grown


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="memory is counted as Linux does")
def test_a_large_array_is_not_copied():
    code = """
    def peak():
        with open("/proc/self/status") as file:
            return next(int(line.split()[1]) << 10 for line in file if line.startswith("VmHWM"))
    gpu = None if wgpu_loss._device.native_of(None) is not None else "cpu"
    x = np.ones((100_000, 1000), np.float32)
    t = np.zeros(100_000, np.int64)
    small = wgpu_loss.Gpu(memory_budget=32 << 20) if gpu is None else "cpu"
    wgpu_loss.cross_entropy(x[:100], t[:100], return_grad=True, device=small)
    before = peak()
    wgpu_loss.cross_entropy(x, t, device=small)
    assert peak() - before < x.nbytes / 4, (before, peak())
    grad = wgpu_loss.cross_entropy(x, t, return_grad=True, device=small).grad
    assert peak() - before < grad.nbytes + x.nbytes / 4, (before, peak())
    # Rounded in batches, and gathered.
    wide = np.broadcast_to(np.linspace(0, 1, 1000), (100_000, 1000))
    before = peak()
    wgpu_loss.cross_entropy(wide, t, device=small)
    assert peak() - before < x.nbytes / 2, (before, peak())
    """
    warned = CASE + "import warnings; warnings.simplefilter('ignore')\n"
    python(warned + textwrap.dedent(code))


@has_gpu
@pytest.mark.slow
def test_ten_thousand_random_calls_of_threads():
    from test_losses import DTYPES

    wrong = []

    def work(seed):
        rng = np.random.default_rng(seed)
        for _ in range(1250):
            rows, classes = int(rng.integers(1, 40)), int(rng.integers(2, 40))
            x = rng.standard_normal((rows, classes)).astype(DTYPES[rng.integers(len(DTYPES))])
            t = rng.integers(0, classes, rows)
            output = wgpu_loss.cross_entropy(x, t, outputs=[("grad",), ("lse",), ()][rng.integers(3)])
            wide = x.astype(np.float64)
            wanted = (np.log(np.exp(wide).sum(1)) - wide[np.arange(rows), t]).mean()
            if not abs(output.loss - wanted) <= 3e-6 * abs(wanted):
                wrong.append((seed, x, t, output))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong, wrong[0]


@pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="there is no such signal")
def test_a_handler_of_a_signal_runs_during_a_call():
    x, t = np.zeros((100_000, 1000)), np.zeros(100_000, int)
    called = []
    before = signal.signal(signal.SIGALRM, lambda *_: called.append(time.monotonic()))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        wgpu_loss.cross_entropy(x, t)
        ended = time.monotonic()
    finally:
        signal.signal(signal.SIGALRM, before)
    assert called and called[0] < ended
