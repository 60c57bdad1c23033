"""Time of cross-entropy from NumPy arrays, next to what else computes it on a CPU.

    python benches/peers.py [--rounds 7] [--shape 4096x1000]...

All take the same float32 logits and int64 labels, and give the mean. In each round the contenders take turns, so that
other work on the machine slows all of them. A time is the median of the rounds; the least is in brackets. Every answer
is compared with float64 first.

    ours (GPU)   wgpu_loss.cross_entropy on the default adapter: copies to the GPU and back are in the time
    ours (cpu)   the same with device="cpu", which computes in float64
    torch        torch.nn.functional.cross_entropy of torch.from_numpy, sharing the memory; its gradient by autograd
    scipy        scipy.special.log_softmax, the labels' entries, their mean; no gradient
    sklearn      sklearn.metrics.log_loss, which wants probabilities: they are made before, out of the time; no gradient
"""

import argparse
import statistics
import time

import numpy as np

import wgpu_loss

SHAPES = ["64x100", "4096x1000", "2048x32000", "1048576x10"]
# A measurement repeats short calls until it takes this long.
LEAST_SECONDS = 0.02
PAUSE_SECONDS = 0.1


def contenders():
    """Return the names, the functions that make a call of logits, labels and gradient or not, and the error allowed."""
    found = {}
    if wgpu_loss.adapters():
        gpu = wgpu_loss.Gpu()
        print(f"ours (GPU): {gpu.adapters[0].name}, {gpu.adapters[0].kind}, {gpu.adapters[0].driver}")
        found["ours (GPU)"] = (ours(gpu), 2e-6)
    else:
        print("left out: ours (GPU), there is no adapter")
    found["ours (cpu)"] = (ours("cpu"), 2e-6)
    for name, make in (("torch", torch), ("scipy", scipy), ("sklearn", sklearn)):
        try:
            version, call = make()
        except ImportError as error:
            print(f"left out: {name}, {error}")
        else:
            print(f"{name}: {version}")
            found[name] = (call, 1e-4)
    return found


def ours(device):
    def prepare(logits, labels, with_grad):
        def call():
            output = wgpu_loss.cross_entropy(logits, labels, return_grad=with_grad, device=device)
            return output.loss, output.grad

        return call

    return prepare


def torch():
    import torch
    from torch.nn.functional import cross_entropy

    def prepare(logits, labels, with_grad):
        def forward():
            with torch.no_grad():
                return cross_entropy(torch.from_numpy(logits), torch.from_numpy(labels)).item(), None

        def both():
            leaf = torch.from_numpy(logits).requires_grad_()
            loss = cross_entropy(leaf, torch.from_numpy(labels))
            (grad,) = torch.autograd.grad(loss, leaf)
            return loss.item(), grad.numpy()

        return both if with_grad else forward

    return f"{torch.__version__}, {torch.get_num_threads()} threads", prepare


def scipy():
    import scipy
    from scipy.special import log_softmax

    def prepare(logits, labels, with_grad):
        rows = np.arange(len(labels))
        return None if with_grad else lambda: (-log_softmax(logits, axis=1)[rows, labels].mean(), None)

    return scipy.__version__, prepare


def sklearn():
    import sklearn
    from sklearn.metrics import log_loss

    def prepare(logits, labels, with_grad):
        if with_grad:
            return None
        probabilities = wgpu_loss.softmax(logits, device="cpu")
        classes = np.arange(logits.shape[1])
        return lambda: (log_loss(labels, probabilities, labels=classes), None)

    return sklearn.__version__, prepare


def truth(logits, labels, rows_at_once=4096):
    """Return the loss and the gradient in float64."""
    losses, grads = [], []
    for start in range(0, len(labels), rows_at_once):
        x, t = logits[start : start + rows_at_once].astype(np.float64), labels[start : start + rows_at_once]
        x -= x.max(axis=1, keepdims=True)
        sums = np.exp(x).sum(axis=1, keepdims=True)
        rows = np.arange(len(t))
        losses.append(np.log(sums[:, 0]) - x[rows, t])
        grad = np.exp(x) / sums
        grad[rows, t] -= 1
        grads.append((grad / len(labels)).astype(np.float32))
    return np.concatenate(losses).mean(), np.concatenate(grads)


def check(name, call, loss, grad, allowed):
    found, found_grad = call()
    assert abs(found / loss - 1) < allowed, f"{name}: loss {found}, expected {loss}"
    if found_grad is not None:
        off = np.abs(found_grad - grad).max() * len(grad)
        assert off < 1e-4, f"{name}: a gradient is off by {off} of a row's"


def measure(call, repeats):
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - start) / repeats


def times(calls, rounds):
    """Return the seconds of each call in each round."""
    repeats = {name: max(1, int(LEAST_SECONDS / measure(call, 1))) for name, call in calls.items()}
    found = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            # Threads of the one before may spin for a while.
            time.sleep(PAUSE_SECONDS)
            found[name].append(measure(call, repeats[name]))
    return found


def in_words(seconds):
    median, least = statistics.median(seconds), min(seconds)
    scale, unit = (1e6, "µs") if median < 1e-3 else (1e3, "ms")
    return f"{median * scale:.3g} {unit} ({least * scale:.3g})"


def main():
    parser = argparse.ArgumentParser(description="Time of cross-entropy next to other libraries.")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--shape", action="append", help="ROWSxCLASSES; four shapes by default")
    args = parser.parse_args()

    print(f"wgpu-loss {wgpu_loss.__version__}, NumPy {np.__version__}, {args.rounds} rounds")
    found = contenders()
    tables = {False: [], True: []}
    for shape in args.shape or SHAPES:
        rows, classes = map(int, shape.split("x"))
        random = np.random.default_rng(1)
        # Not wider: scikit-learn takes a probability below 1.2e-7, a loss above 15.9, for that.
        logits = random.standard_normal((rows, classes), np.float32)
        labels = random.integers(classes, size=rows)
        loss, grad = truth(logits, labels)
        for with_grad, table in tables.items():
            calls = {name: make(logits, labels, with_grad) for name, (make, _) in found.items()}
            calls = {name: call for name, call in calls.items() if call is not None}
            for name, call in calls.items():
                check(name, call, loss, grad, found[name][1])
            seconds = times(calls, args.rounds)
            cells = [in_words(seconds[name]) if name in seconds else "" for name in found]
            table.append(f"| ({rows}, {classes}) | {' | '.join(cells)} |")
    for with_grad, table in tables.items():
        print(f"\n| {'loss and gradient' if with_grad else 'loss'} | {' | '.join(found)} |")
        print("|---" * (len(found) + 1) + "|")
        print("\n".join(table))


if __name__ == "__main__":
    main()
