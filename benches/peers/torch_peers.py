"""The contenders that run in PyTorch. The argument is a job in JSON, as in src/lib.rs, or `probe`."""

import functools
import json
import statistics
import sys
import time

try:
    import torch
    import torch.nn.functional as F
except Exception as error:  # A broken installation raises more than ImportError.
    sys.exit(f"no PyTorch: {error}")


def liger():
    import liger_kernel.transformers
    return liger_kernel.transformers.LigerCrossEntropyLoss()


def probe():
    """Why each contender cannot run here, or None."""
    cuda = None if torch.cuda.is_available() else "torch.cuda.is_available() is False"
    try:
        import liger_kernel  # noqa: F401
        no_liger = cuda
    except Exception as error:
        no_liger = cuda or f"no Liger-Kernel: {error}"
    from importlib import metadata
    versions = {"PyTorch": torch.__version__}
    if not no_liger:
        versions["Liger-Kernel"] = metadata.version("liger-kernel")
    return {
        "versions": versions,
        "reasons": {"torch-cpu": None, "torch-cuda": cuda, "torch-compile": cuda, "liger": no_liger},
        "cuda": None if cuda else f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}",
    }


def rows(logits):
    """(N, C, ...) as (N ..., C)."""
    return logits.movedim(1, -1).reshape(-1, logits.shape[1])


def criterion(name):
    """The loss as a function of logits and labels."""
    if name == "torch-compile":
        # A new function: compiled with its backward pass.
        return torch.compile(lambda logits, labels: F.cross_entropy(logits, labels))
    if name == "liger":
        loss = liger()
        return lambda logits, labels: loss(rows(logits), labels.reshape(-1))
    return F.cross_entropy


class Case:
    """The tensors of one job on their device."""

    def __init__(self, job):
        self.device = torch.device("cpu" if job["name"] == "torch-cpu" else "cuda")
        read = functools.partial(torch.from_file, shared=False)
        shape = job["shape"]
        elements = functools.reduce(lambda a, b: a * b, shape)
        count = elements // shape[1]
        logits = read(f"{job['data']}/logits.bin", size=elements, dtype=torch.float32)
        labels = read(f"{job['data']}/labels.bin", size=count, dtype=torch.int64)
        # A copy even on the CPU: from_file maps the file.
        self.original = logits.reshape(shape).to(self.device, copy=True)
        self.labels = labels.reshape([shape[0], *shape[2:]]).to(self.device, copy=True)
        self.criterion = criterion(job["name"])
        # Liger writes the gradient over the logits, so it needs them anew each time.
        self.overwrites = job["name"] == "liger"
        self.logits = self.original.clone() if self.overwrites else self.original

    def prepare(self, backward):
        """Untimed, before each run."""
        self.logits.grad = None
        self.logits.requires_grad_(backward)
        if self.overwrites:
            with torch.no_grad():
                self.logits.copy_(self.original)
        self.wait()

    def wait(self):
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def run(self, backward):
        if not backward:
            with torch.no_grad():
                return self.criterion(self.logits, self.labels)
        loss = self.criterion(self.logits, self.labels)
        loss.backward()
        return loss

    def once(self, backward):
        """Milliseconds by the clock until all is done, milliseconds by the GPU's events, loss."""
        self.prepare(backward)
        on_cuda = self.device.type == "cuda"
        events = [torch.cuda.Event(enable_timing=True) for _ in range(2)] if on_cuda else []
        start = time.perf_counter()
        if events:
            events[0].record()
        loss = self.run(backward)
        if events:
            events[1].record()
        self.wait()
        clock = 1e3 * (time.perf_counter() - start)
        return clock, events[0].elapsed_time(events[1]) if events else None, loss

    def measure(self, backward, samples, seconds):
        """As Job::time in src/lib.rs."""
        begin = time.perf_counter()
        runs = 0
        while runs < 2 or time.perf_counter() - begin < 0.2:
            self.once(backward)
            runs += 1
        begin = time.perf_counter()
        times = []
        while len(times) < samples and (len(times) < 3 or time.perf_counter() - begin < seconds):
            times.append(self.once(backward)[:2])
        return zip(*times)

    def grad_dot(self):
        """The gradient times the logits, summed, in pieces to need little memory."""
        pairs = zip(self.logits.grad.flatten().split(1 << 24), self.original.flatten().split(1 << 24))
        with torch.no_grad():
            return sum((a.double() * b).sum().item() for a, b in pairs)


def main(job):
    if job["name"] == "torch-cpu":
        torch.set_num_threads(job["threads"])
    case = Case(job)
    cuda = case.device.type == "cuda"
    device = torch.cuda.get_device_name() if cuda else f"CPU, {torch.get_num_threads()} threads"
    for backward in [False, True]:
        clock, events = case.measure(backward, job["samples"], job["seconds"])
        loss = case.once(backward)[2].item()
        print(json.dumps({
            "name": job["name"], "shape": job["shape"],
            "pass": "forward+backward" if backward else "forward", "loss": loss,
            "grad_dot": case.grad_dot() if backward else None,
            "median_ms": statistics.median(clock), "min_ms": min(clock), "samples": len(clock),
            "device_median_ms": statistics.median(events) if cuda else None,
            "device": device, "note": "logits restored before each run" if case.overwrites else "",
        }), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "probe":
        print(json.dumps(probe()))
    else:
        main(json.loads(sys.argv[1]))
