"""Sums that add up."""

import copy
import pickle

import numpy as np
import pytest

import wgpu_loss
from wgpu_loss import Partial, cross_entropy


@pytest.fixture
def shards(rng):
    return [
        (rng.standard_normal((rows, 12)).astype(np.float32), rng.integers(0, 12, rows)) for rows in (40, 1, 300, 0, 77)
    ]


def test_they_add_up_in_any_order(shards):
    x, t = (np.concatenate(parts) for parts in zip(*shards, strict=True))
    names = ("accuracy", "class_losses")
    whole = cross_entropy(x, t, outputs=names, top_k=2)
    parts = [Partial.of(cross_entropy, *shard, outputs=names, top_k=2) for shard in shards]
    total = sum(parts)
    output = total.finish()
    np.testing.assert_allclose(output.loss, whole.loss, rtol=1e-7)
    assert output.summary == whole.summary == total.summary
    np.testing.assert_array_equal(output.class_losses.correct, whole.class_losses.correct)
    np.testing.assert_allclose(output.class_losses.loss, whole.class_losses.loss, rtol=1e-6)
    # To the bit, in every grouping.
    a, b, c, d, e = parts
    for other in ((a + b) + (c + (d + e)), e + d + c + b + a, sum(reversed(parts[1:]), a)):
        assert other == total and other.to_bytes() == total.to_bytes() and hash(other) == hash(total)
    assert a != b and a != 3


def test_their_forms(shards):
    partial = Partial.of(cross_entropy, *shards[0], reduction="none")
    for again in (
        pickle.loads(pickle.dumps(partial)),
        copy.deepcopy(partial),
        Partial.from_bytes(partial.to_bytes()),
        Partial.from_json(partial.to_json()),
    ):
        assert again == partial and again.standard_error == partial.standard_error
    with pytest.raises(ValueError, match="not a partial"):
        Partial.from_bytes(partial.to_bytes()[:-1])
    with pytest.raises(ValueError, match="not a partial"):
        Partial.from_json("{}")
    with pytest.raises(TypeError, match="comes from Partial.of"):
        Partial()


def test_mean_and_standard_error_of_losses_that_came_one_by_one(shards):
    parts = [Partial.of(cross_entropy, *shard, reduction="none") for shard in shards]
    total = sum(parts).reduced("mean")
    losses = np.concatenate([cross_entropy(*shard, reduction="none").loss for shard in shards]).astype(np.float64)
    np.testing.assert_allclose(total.finish().loss, losses.mean(), rtol=2.0**-24)
    # The CPU's losses are f64 in the sum, and rounded where they are returned.
    np.testing.assert_allclose(total.standard_error, losses.std(ddof=1) / np.sqrt(len(losses)), rtol=1e-6)
    assert Partial.of(cross_entropy, *shards[0]).standard_error is None
    assert (total.function, total.classes) == ("cross_entropy", 12)
    assert repr(total) == "<wgpu_loss.Partial of cross_entropy, 418 rows>"


def test_they_refuse_what_does_not_add_up(shards):
    partial = Partial.of(cross_entropy, *shards[0])
    for other, what in (
        (Partial.of(cross_entropy, *shards[0], label_smoothing=0.1), "label_smoothing"),
        (Partial.of(cross_entropy, *shards[0], outputs=("accuracy",)), "accuracy"),
        (Partial.of(wgpu_loss.nll_loss, *shards[0]), "loss"),
    ):
        with pytest.raises(ValueError, match=f"cannot be merged: .*{what}"):
            partial + other
    for other in (1, 0.0, "a", None):
        with pytest.raises(TypeError):
            partial + other
        with pytest.raises(TypeError):
            other + partial
    for wrong in (len, np.mean, wgpu_loss.softmax):
        with pytest.raises(TypeError, match="is no loss of wgpu_loss"):
            Partial.of(wrong, *shards[0])
    with pytest.raises(ValueError, match="the gradient of a mean over some of its rows"):
        Partial.of(cross_entropy, *shards[0], return_grad=True)


def test_of_inputs_that_cannot_be_divided(rng):
    x, t = rng.standard_normal((12, 5)).astype(np.float32), rng.integers(0, 12, 5)
    for arguments, options in (((x, t), {"dim": 0}), ((x[:, 0], 3), {}), ((np.float64(x[:, ::2]), t[::2]), {"dim": 0})):
        total = Partial.of(cross_entropy, *arguments, **options)
        assert total.finish().loss == pytest.approx(cross_entropy(*arguments, **options).loss, rel=1e-6)
    assert Partial.of(wgpu_loss.binary_cross_entropy, 0.3, 0.4).summary.rows == 1
    seen = []
    Partial.of(cross_entropy, np.zeros((500, 12)), np.zeros(500, int), progress=lambda *done: seen.append(done))
    assert seen[-1] == (500, 500)


def test_bad_labels_are_counted_and_refused_at_the_end(shards):
    good, bad = (Partial.of(cross_entropy, shards[0][0], labels) for labels in (shards[0][1], shards[0][1] + 11))
    total = good + bad
    assert total.summary.bad == (shards[0][1] > 0).sum()
    first = 40 + int(np.argmax(shards[0][1] > 0))
    assert total.summary.first_bad[0] == first
    with pytest.raises(wgpu_loss.BadLabelError) as caught:
        total.finish()
    assert caught.value.position == first and caught.value.count == total.summary.bad
    again = pickle.loads(pickle.dumps(caught.value))
    assert (again.position, again.value, str(again)) == (first, caught.value.value, str(caught.value))


def test_on_the_cpu_and_of_what_must_be_copied(shards, monkeypatch):
    from wgpu_loss import _question

    monkeypatch.setattr(_question, "COPIED_BYTES", 1 << 10)
    x, t = shards[2]
    here = Partial.of(cross_entropy, x.astype(np.float64)[::-1], t[::-1], device="cpu")
    np.testing.assert_allclose(here.finish().loss, cross_entropy(x, t).loss, rtol=1e-6)
