"""Perplexity of an evaluation set whose shards Ray workers compute.

    pip install ./python ray
    python ray_perplexity.py                             # of a small set, made up
    python ray_perplexity.py --workers 8 eval/logits-*.npy    # the labels of logits-3.npy are in labels-3.npy

A worker opens its GPU once and returns sums over a shard's rows: some hundred bytes, whatever the shard's size. They
add up exactly, so the result has the same bits for any number of workers of one kind of GPU. On a cluster, the files
must be where every machine sees them.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import ray
from ray.util import ActorPool

from wgpu_loss import Gpu, Partial, cross_entropy


@ray.remote
class Worker:
    def __init__(self, number, on_cpu):
        # Workers of one machine take its GPUs in turn.
        self.device = "cpu" if on_cpu else Gpu(turn=number)

    def partial(self, path):
        return partial_of(path, self.device)


def partial_of(path, device=None):
    """Return the sums over the rows of a shard."""
    # Pages are read when the GPU takes them: a shard may be larger than the memory.
    logits = np.load(path, mmap_mode="r")
    labels = np.load(path.with_name(path.name.replace("logits", "labels")))
    # Losses of single rows, which are not kept, make a standard error possible.
    return Partial.of(cross_entropy, logits, labels, reduction="none", device=device).reduced("mean")


def make_shards(folder, shards=6, rows=200, classes=3000):
    """Write logits and labels of a made-up set, always the same, and return the files of logits."""
    random = np.random.default_rng(1)
    paths = [folder / f"logits-{shard}.npy" for shard in range(shards)]
    for shard, path in enumerate(paths):
        logits = 2 * random.standard_normal((rows + shard, classes), np.float32)
        labels = random.integers(classes, size=len(logits))
        logits[np.arange(len(logits)), labels] += 6
        np.save(path, logits)
        np.save(folder / f"labels-{shard}.npy", labels)
    return paths


def perplexity(paths, workers, on_cpu=False):
    """Return the sums over the rows of all shards."""
    pool = ActorPool([Worker.remote(number, on_cpu) for number in range(workers)])
    # In the order of the shards: an error about a bad label then has its row's number among all.
    return sum(pool.map(lambda worker, path: worker.partial.remote(path), paths))


def main():
    parser = argparse.ArgumentParser(description="Perplexity of shards of logits, over Ray workers.")
    parser.add_argument("logits", nargs="*", type=Path, help="files logits*.npy, each next to its labels*.npy")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--cpu", action="store_true", help="compute on the CPU, in float64")
    parser.add_argument("--save", type=Path, help="keep the sums: Partial.from_json reads them")
    args = parser.parse_args()

    ray.init(include_dashboard=False)
    with tempfile.TemporaryDirectory() as folder:
        paths = [path.resolve() for path in args.logits] or make_shards(Path(folder))
        total = perplexity(paths, args.workers, args.cpu)
    output = total.finish()
    if args.save:
        args.save.write_text(total.to_json())
    print(f"perplexity  {output.perplexity:.6g}")
    print(f"loss        {output.loss:.9g}, standard error {total.standard_error:.3g}")
    print(f"rows        {output.summary.rows} of {len(paths)} shards")


if __name__ == "__main__":
    main()
