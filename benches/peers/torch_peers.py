"""The contenders that run in PyTorch. Jobs come on stdin, a line of JSON each, as in src/lib.rs; one
with `probe` asks what can run here."""

import ctypes
import gc
import json
import math
import statistics
import sys
import time
import traceback
from importlib import metadata

try:
    import torch
    import torch.nn.functional as F
except Exception as error:  # A broken installation raises more than ImportError.
    sys.exit(f"no PyTorch: {error}")

DTYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}
NAMES = {dtype: name for name, dtype in DTYPES.items()}
# No GPU's clock is faster: a pause in these cycles is never too short.
CYCLES_PER_SECOND = 2.5e9


# --- What can run ---------------------------------------------------------------------------------


def one_line(error):
    """An error's kind and the beginning of its text, without line breaks."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {' '.join(lines[:3])}"[:300]


def try_cuda():
    if not torch.cuda.is_available():
        raise RuntimeError("torch.cuda.is_available() is False")
    torch.zeros(1, device="cuda").sum().item()


def try_compiling(device):
    try_cuda() if device == "cuda" else None
    torch.compile(lambda x: (2 * x).sum())(torch.ones(1000, device=device)).item()


def try_liger():
    try_cuda()
    liger_loss()(torch.zeros(2, 8, device="cuda"), torch.zeros(2, device="cuda", dtype=torch.int64)).item()


NEEDS = {"torch": lambda: None, "cuda": try_cuda, "triton": lambda: try_compiling("cuda"),
         "c++": lambda: try_compiling("cpu"), "liger": try_liger}


def liger_loss():
    import liger_kernel.transformers
    return liger_kernel.transformers.LigerCrossEntropyLoss()


def about_cuda():
    properties = torch.cuda.get_device_properties(0)
    cache = getattr(properties, "L2_cache_size", 0)
    return (f"{properties.name}, CUDA {torch.version.cuda}, {properties.total_memory / 2**30:.0f} GiB"
            + (f", L2 cache {cache / 2**20:.0f} MiB" if cache else ""))


def versions():
    found = {"PyTorch": torch.__version__, "Python": sys.version.split()[0]}
    for name, package in [("Triton", "triton"), ("Liger-Kernel", "liger-kernel")]:
        try:
            found[name] = metadata.version(package)
        except metadata.PackageNotFoundError:
            pass
    return found


def probe(needs):
    """A line for each of these needs: why it is not met, or null."""
    for need in needs:
        line = {"need": need, "missing": None}
        try:
            NEEDS[need]()
            line |= {"versions": versions()} if need == "torch" else {}
            line |= {"about": about_cuda()} if need == "cuda" else {}
        except Exception as error:
            line["missing"] = one_line(error)
        print(json.dumps(line), flush=True)


# --- What runs ------------------------------------------------------------------------------------


def rows(logits):
    """(N, C, ...) as (N ..., C)."""
    return logits.movedim(1, -1).reshape(-1, logits.shape[1])


def criterion(job):
    """The loss as a function of logits and labels."""
    if job.get("liger"):
        loss = liger_loss()
        return lambda logits, labels: loss(rows(logits), labels.reshape(-1))
    if job.get("upcast"):
        def loss(logits, labels):
            return F.cross_entropy(logits.float(), labels)
    else:
        def loss(logits, labels):
            return F.cross_entropy(logits, labels)
    if job.get("compile"):
        # What was compiled for earlier jobs counts against a limit, past which nothing is.
        torch.compiler.reset()
        # Whole or not at all: else what cannot be compiled would run eagerly and not say so.
        return torch.compile(loss, dynamic=False, fullgraph=True)
    return loss


def read(path, count, dtype):
    """A tensor of a file. PyTorch maps it."""
    # The element types of two bytes are read as integers: not every version reads them as they are.
    stored = torch.int16 if dtype.itemsize == 2 else dtype
    return torch.from_file(path, shared=False, size=count, dtype=stored).view(dtype)


class Case:
    """The tensors of one job on their device."""

    def __init__(self, job):
        self.device = torch.device(job["device"])
        self.on_cuda = self.device.type == "cuda"
        shape = job["shape"]
        elements = math.prod(shape)
        logits = read(f"{job['data']}/logits.bin", elements, DTYPES[job["dtype"]])
        labels = read(f"{job['data']}/labels.bin", elements // shape[1], torch.int64)
        # A copy even on the CPU, of the mapped file.
        self.original = logits.reshape(shape).to(self.device, copy=True)
        self.labels = labels.reshape([shape[0], *shape[2:]]).to(self.device, copy=True)
        self.criterion = criterion(job)
        # Liger writes the gradient over the logits, so it needs them anew each time.
        self.overwrites = job.get("liger", False)
        self.logits = self.original.clone() if self.overwrites else self.original

    def prepare(self, backward):
        """Untimed, before each run."""
        self.logits.requires_grad_(backward)
        if self.overwrites:
            with torch.no_grad():
                self.logits.copy_(self.original)
        self.wait()

    def wait(self):
        if self.on_cuda:
            torch.cuda.synchronize()

    def run(self, backward):
        """The loss, and its gradient if that is wanted. On CUDA they may not be there yet."""
        if not backward:
            with torch.no_grad():
                return self.criterion(self.logits, self.labels), None
        loss = self.criterion(self.logits, self.labels)
        # Not `loss.backward()`, which would copy Liger's gradient into the `grad` of a leaf.
        return loss, torch.autograd.grad(loss, self.logits)[0]

    def by_clock(self, backward):
        """Seconds until the call returns, and until all is done."""
        self.prepare(backward)
        start = time.perf_counter()
        self.run(backward)
        called = time.perf_counter() - start
        self.wait()
        return called, time.perf_counter() - start

    def by_events(self, backward, pause):
        """Seconds between CUDA events around the work.

        The GPU is kept busy for `pause` seconds before the first event. Meanwhile the work is enqueued
        behind it, so it does not wait for launches. (Except where a library itself waits in the middle.)
        """
        self.prepare(backward)
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda._sleep(int(pause * CYCLES_PER_SECOND))
        start.record()
        self.run(backward)
        end.record()
        self.wait()
        return start.elapsed_time(end) / 1e3

    def measure(self, backward, samples, seconds):
        """Seconds of the first run, those by the clock, and those by events. As Job::time in src/lib.rs."""
        begin = time.perf_counter()
        first = self.by_clock(backward)[1]
        calls = [self.by_clock(backward)[0]]
        while time.perf_counter() - begin < first + 0.2:
            calls.append(self.by_clock(backward)[0])
        clock = repeated(lambda: self.by_clock(backward)[1], samples, seconds)
        # Twice what enqueuing takes is enough.
        pause = min(2 * statistics.median(calls), 0.1)
        events = repeated(lambda: self.by_events(backward, pause), samples, seconds) if self.on_cuda else []
        return first, clock, events

    def dot(self, grad):
        """The gradient times the logits, summed, in pieces to need little memory."""
        pairs = zip(grad.flatten().split(1 << 24), self.original.detach().flatten().split(1 << 24))
        return finite(sum((a.double() * b.double()).sum().item() for a, b in pairs))


def repeated(sample, samples, seconds):
    begin = time.perf_counter()
    times = []
    while len(times) < samples and (len(times) < 3 or time.perf_counter() - begin < seconds):
        times.append(sample())
    return times


def finite(value):
    """JSON knows no others."""
    return value if math.isfinite(value) else None


def milliseconds(prefix, times):
    """Median and least, or nothing of no times."""
    return {f"{prefix}median_ms": 1e3 * statistics.median(times) if times else None,
            f"{prefix}min_ms": 1e3 * min(times) if times else None}


def measure(job, case, backward):
    """The line of one pass."""
    first, clock, events = case.measure(backward, job["samples"], job["seconds"])
    # The answer that is checked is of the same calls.
    case.prepare(backward)
    loss, grad = case.run(backward)
    notes = [f"loss in {NAMES[loss.dtype]}"] if loss.dtype != torch.float32 else []
    notes += [f"first run, with compiling, {first:.0f} s"] if job.get("compile") else []
    notes += ["logits restored before each run"] if case.overwrites else []
    device = torch.cuda.get_device_name() if case.on_cuda else f"CPU, {torch.get_num_threads()} threads"
    return {
        "name": job["name"], "shape": job["shape"], "dtype": job["dtype"],
        "pass": "forward+backward" if backward else "forward",
        "loss": finite(loss.item()), "loss_type": NAMES[loss.dtype],
        "grad_dot": case.dot(grad) if backward else None,
        **milliseconds("", clock), **milliseconds("device_", events),
        "samples": len(clock), "device": device, "note": ", ".join(notes),
    }


def measure_all(job):
    """A line for each pass. Then memory is given back, for the next contender."""
    if job["device"] == "cpu":
        torch.set_num_threads(job["threads"])
    case = Case(job)
    for backward in [False, True]:
        print(json.dumps(measure(job, case, backward)), flush=True)
    del case
    gc.collect()
    if job["device"] == "cuda":
        torch.cuda.empty_cache()
    elif hasattr(LIBC := ctypes.CDLL(None), "malloc_trim"):
        LIBC.malloc_trim(0)


def main():
    for line in sys.stdin:
        try:
            job = json.loads(line)
            probe(job["probe"]) if "probe" in job else measure_all(job)
            print("{}", flush=True)
        except Exception as error:
            # Whatever it was, CUDA may not work after it: the driver starts a new process.
            traceback.print_exc()
            sys.exit(one_line(error))


if __name__ == "__main__":
    main()
