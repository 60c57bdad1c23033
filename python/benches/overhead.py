"""What Python adds to the library: time of a small call, and memory of a large one.

    python benches/overhead.py [--megabytes 1000]

Time: the whole of wgpu_loss.cross_entropy, and the native call in it with its operands prepared, which is the library's
work. The difference is Python's.

Memory: the growth of the process's largest resident size over a call whose array is there already. A copy of the array
would be its size. What grows is the tensors on the GPU, at most the memory budget (of a software driver they are this
process's memory), and parts that must be converted.
"""

import argparse
import statistics
import sys
import time

import numpy as np

import wgpu_loss
from wgpu_loss import _native, cross_entropy

MEGABYTE = 1e6


def measure(call, repeats=200):
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - start) / repeats * 1e6


def overhead(device, rounds=15):
    """Print the microseconds of a call of (64, 100) logits."""
    random = np.random.default_rng(1)
    logits = random.standard_normal((64, 100), np.float32)
    labels = random.integers(100, size=64)
    native = None if device == "cpu" else device._native
    options = {
        "ignore_index": -100,
        "reduction": "mean",
        "label_smoothing": 0.0,
        "class_axis": None,
        "logit_scale": 1.0,
        "softcap": None,
        "z_loss": 0.0,
        "empty_mean": "nan",
    }
    prepared = _native.Call("cross_entropy", options, [], 0, False)
    operands = {"input": (logits, "f32", logits.shape), "labels": (labels, "i64", labels.shape)}

    def alone():
        return prepared.run(native, operands, {}, None)

    def whole():
        return cross_entropy(logits, labels, device=device)

    assert alone()["loss"] == whole().loss
    times = [(measure(alone), measure(whole)) for _ in range(rounds)]
    least = [min(column) for column in zip(*times, strict=True)]
    middle = [statistics.median(column) for column in zip(*times, strict=True)]
    added = statistics.median(second - first for first, second in times)
    print(
        f"native call {middle[0]:.1f} µs ({least[0]:.1f}), whole call {middle[1]:.1f} µs ({least[1]:.1f}), "
        f"added {added:.1f}"
    )


def resident(field):
    """Return a size of this process in megabytes: VmRSS is that of now, VmHWM the largest."""
    with open("/proc/self/status") as status:
        line = next(line for line in status if line.startswith(field))
    return int(line.split()[1]) * 1024 / MEGABYTE


def growth(name, array, labels, **options):
    """Print by how much a call raises the largest resident size."""
    cross_entropy(array[:1000], labels[:1000], **options)
    with open("/proc/self/clear_refs", "w") as largest:
        largest.write("5")
    before = resident("VmRSS")
    cross_entropy(array, labels, **options)
    grown = resident("VmHWM") - before
    print(f"{name}: {array.nbytes / MEGABYTE:.0f} MB, grows by {grown:.0f} MB")
    assert grown < max(array.nbytes / MEGABYTE / 2, 150), "a copy was made"


def main():
    parser = argparse.ArgumentParser(description="What Python adds to the library.")
    parser.add_argument("--megabytes", type=int, default=1000)
    args = parser.parse_args()
    devices = {"cpu": "cpu"}
    if wgpu_loss.adapters():
        gpu = wgpu_loss.Gpu()
        devices = {gpu.name: gpu} | devices

    print("time of (64, 100) float32: median (least)")
    for name, device in devices.items():
        print(f"{name}: ", end="")
        overhead(device)

    if sys.platform != "linux":
        print("memory: not measured, /proc is Linux's")
        return
    print("\nmemory")
    if wgpu_loss.adapters():
        devices = {f"{gpu.name}, 64 MiB budget": wgpu_loss.Gpu(memory_budget=64 << 20)} | devices
    rows = args.megabytes * 1_000_000 // 4000
    labels = np.zeros(rows, np.int64)
    for kind, make in (
        ("float32", lambda: np.ones((rows, 1000), np.float32)),
        ("float64", lambda: np.ones((rows // 2, 1000))),
        ("every second row of float32", lambda: np.ones((2 * (rows // 2), 1000), np.float32)[::2]),
    ):
        array = make()
        for name, device in devices.items():
            growth(f"{kind}, {name}", array, labels[: len(array)], device=device)
        del array


if __name__ == "__main__":
    main()
