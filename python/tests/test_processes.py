"""Sums from other processes of this machine."""

import multiprocessing

import numpy as np

from wgpu_loss import Partial, adapters, cross_entropy

CLASSES = 20


def partial_of_shard(shard):
    """Return the sums over some rows, which a worker makes up itself."""
    random = np.random.default_rng(shard)
    logits = random.standard_normal((30 + shard, CLASSES), np.float32)
    labels = random.integers(CLASSES, size=len(logits))
    device = None if adapters() else "cpu"
    return Partial.of(cross_entropy, logits, labels, reduction="none", device=device).reduced("mean")


def test_sums_of_spawned_processes_are_those_of_one():
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        parts = pool.map(partial_of_shard, range(4), chunksize=1)
    assert parts == [partial_of_shard(shard) for shard in range(4)]
    # Without bad rows, which are named by their order, sums in any order are the same text too.
    assert sum(reversed(parts)).to_json() == sum(parts).to_json()
    assert sum(parts).summary.rows == 30 + 31 + 32 + 33
