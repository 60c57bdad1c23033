"""Classes that are split over several devices or processes."""

import numpy as np
import pytest

import wgpu_loss

SPLITS = [(0, 4), (4, 5), (5, 5), (5, 12)]


@pytest.mark.parametrize("shape", [(30, 12), (4, 12, 5)])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_shards_give_the_whole(rng, shape, smoothing):
    x = (8 * rng.standard_normal(shape)).astype(np.float32)
    rows = np.delete(shape, 1)
    t = rng.integers(0, 12, rows)
    t[..., 0] = -100
    weight = rng.random(12).astype(np.float32)
    outputs = ("lse", "argmax", "entropy")
    options = {"label_smoothing": smoothing, "weight": weight}
    whole = wgpu_loss.cross_entropy(x, t, outputs=outputs, return_grad=True, **options)
    shards = [(first, np.ascontiguousarray(x[:, first:end])) for first, end in SPLITS]
    states = [
        wgpu_loss.cross_entropy(part, t, class_shard=(first, 12), outputs=(*outputs, "states"), **options)
        for first, part in shards
    ]
    assert all(output.loss is None and output.lse is None for output in states)
    gathered = np.stack([output.states for output in states])
    assert gathered.shape[:-1] == (len(SPLITS), *rows) and gathered.dtype == np.uint32
    got = [
        wgpu_loss.cross_entropy(
            part, t, class_shard=(first, 12), states=gathered, outputs=outputs, return_grad=True, **options
        )
        for first, part in shards
    ]
    assert len({output.loss for output in got}) == 1
    np.testing.assert_allclose(got[0].loss, whole.loss, rtol=2e-6)
    np.testing.assert_array_equal(got[0].argmax, whole.argmax)
    np.testing.assert_allclose(got[0].lse, whole.lse, rtol=2e-6)
    np.testing.assert_allclose(got[0].entropy, whole.entropy, rtol=1e-5, atol=1e-7)
    together = np.concatenate([output.grad for output in got], axis=1)
    np.testing.assert_allclose(together, whole.grad, rtol=1e-5, atol=1e-8)


def test_the_entropy_of_shards(rng):
    x = rng.standard_normal((7, 12)).astype(np.float32)
    shards = [(first, np.ascontiguousarray(x[:, first:end])) for first, end in SPLITS]
    states = [wgpu_loss.entropy(part, class_shard=(first, 12), outputs=("states",)) for first, part in shards]
    gathered = np.stack([output.states for output in states])
    got = wgpu_loss.entropy(shards[1][1], class_shard=(4, 12), states=gathered)
    np.testing.assert_allclose(got.loss, wgpu_loss.entropy(x).loss, rtol=2e-6)


def test_states_that_do_not_fit(rng):
    x, t = rng.standard_normal((3, 4)).astype(np.float32), np.zeros(3, int)
    shard = {"class_shard": (0, 8)}
    states = wgpu_loss.cross_entropy(x, t, outputs=("states",), **shard).states
    for wrong, error in (
        (states[None, :2], ValueError),
        (states.astype(np.float32), TypeError),
        (states[:0][None].astype(np.int64), TypeError),
        (np.uint32(1), TypeError),
    ):
        with pytest.raises(error, match="states"):
            wgpu_loss.cross_entropy(x, t, states=wrong, **shard)
    with pytest.raises(ValueError, match="class"):
        wgpu_loss.cross_entropy(x, t, outputs=("states",), class_shard=(5, 8))
    with pytest.raises((TypeError, ValueError), match="class_shard"):
        wgpu_loss.cross_entropy(x, t, outputs=("states",), class_shard=(-1, 8))
