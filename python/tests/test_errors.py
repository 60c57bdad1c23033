"""Errors: their types, their facts, and the library's own sentences."""

import pickle

import numpy as np
import pytest

import wgpu_loss


def one_hot():
    return wgpu_loss.cross_entropy(X, np.eye(3, dtype=int)[T])


def target_grad():
    return wgpu_loss.cross_entropy(X, T, outputs=["target_grad"])


X, T = np.zeros((2, 3), np.float32), np.zeros(2, np.int64)


def test_bad_labels():
    with pytest.raises(IndexError, match=r"^2 of 2 labels are out of range: the first is -3, at position 0") as caught:
        wgpu_loss.cross_entropy(X, T - 3)
    error = caught.value
    assert isinstance(error, wgpu_loss.BadLabelError)
    assert (error.position, error.value, error.count) == (0, -3, 2)
    huge = np.array([0, 2**64 - 1], np.uint64)
    with pytest.raises(wgpu_loss.BadLabelError) as caught:
        wgpu_loss.cross_entropy(X, huge)
    assert (caught.value.position, caught.value.value) == (1, 2**64 - 1)


def test_bad_values():
    with pytest.raises(ValueError, match="expected a probability from 0 to 1") as caught:
        wgpu_loss.binary_cross_entropy(np.array([0.5, 1.5], np.float32), np.zeros(2))
    error = caught.value
    assert isinstance(error, wgpu_loss.BadValueError)
    assert (error.tensor, error.position, error.value, error.count) == ("input", 1, 1.5, 1)
    again = pickle.loads(pickle.dumps(error))
    assert (again.tensor, again.position, again.value, again.count) == ("input", 1, 1.5, 1)
    with pytest.raises(wgpu_loss.BadValueError, match="var"):
        wgpu_loss.gaussian_nll_loss(X, X, -1.0)


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (ValueError, "class axis 5 is out of range", lambda: wgpu_loss.cross_entropy(X, T, dim=5)),
        (ValueError, "class axis -3 is out of range", lambda: wgpu_loss.softmax(X, -3)),
        (ValueError, r"target has shape \[3\], expected \[2\]", lambda: wgpu_loss.cross_entropy(X, [0, 0, 0])),
        (ValueError, "label_smoothing is 1.5", lambda: wgpu_loss.cross_entropy(X, T, label_smoothing=1.5)),
        (ValueError, "softcap is -1", lambda: wgpu_loss.cross_entropy(X, T, softcap=-1)),
        (ValueError, 'reduction is "avg"', lambda: wgpu_loss.kl_div(X, X, reduction="avg")),
        (TypeError, "reduction: ", lambda: wgpu_loss.kl_div(X, X, reduction=3)),
        (ValueError, 'empty_mean is "one"', lambda: wgpu_loss.kl_div(X, X, empty_mean="one")),
        (TypeError, "ignore_index: ", lambda: wgpu_loss.cross_entropy(X, T, ignore_index=1.5)),
        (ValueError, "ignore_index: ", lambda: wgpu_loss.cross_entropy(X, T, ignore_index=2**63)),
        (TypeError, "label_smoothing: ", lambda: wgpu_loss.cross_entropy(X, T, label_smoothing="much")),
        (
            ValueError,
            'no output "gradient"; the documentation',
            lambda: wgpu_loss.cross_entropy(X, T, outputs=["gradient"]),
        ),
        (TypeError, "it must be several names", lambda: wgpu_loss.cross_entropy(X, T, outputs="grad")),
        (ValueError, "accuracy", lambda: wgpu_loss.cross_entropy(X, X, outputs=["accuracy"])),
        (ValueError, "outputs", lambda: wgpu_loss.kl_div(X, X, outputs=["var_grad"])),
        (ValueError, "does not broadcast", lambda: wgpu_loss.kl_div(X, X[:, :2])),
        (ValueError, "weight", lambda: wgpu_loss.cross_entropy(X, T, np.ones(4))),
        (ValueError, "target has shape", lambda: wgpu_loss.binary_cross_entropy(X, X[0])),
        (ValueError, "upstream", lambda: wgpu_loss.cross_entropy(X, T, upstream=[1.0, 2.0, 3.0], return_grad=True)),
        (ValueError, "ignore_index is 1", lambda: wgpu_loss.cross_entropy(X, X, ignore_index=1)),
        (ValueError, "labels are integers, and class probabilities", lambda: wgpu_loss.cross_entropy(X, X[:, 0])),
        (ValueError, r"expected \[2\]: class probabilities, as of one-hot targets, must be floats", one_hot),
        (ValueError, r"expected \[2\]: drop the last axis", lambda: wgpu_loss.cross_entropy(X, T[:, None])),
        (ValueError, "pass dim=-1", lambda: wgpu_loss.cross_entropy(np.zeros((2, 7, 3)), np.zeros((2, 7), int))),
        (ValueError, "pass dim=-1", lambda: wgpu_loss.nll_loss(np.zeros((2, 7, 3)), np.zeros((2, 7), int))),
        (TypeError, "input is None", lambda: wgpu_loss.cross_entropy(None, T)),
        (ValueError, "target_grad is asked for, but losses of single", target_grad),
        (TypeError, "adapter is 0, but", lambda: wgpu_loss.Gpu(0)),
        (TypeError, "adapter is \\[\\], but", lambda: wgpu_loss.Gpu([])),
        (TypeError, "memory_budget is '1GB', but", lambda: wgpu_loss.Gpu(memory_budget="1GB")),
        (ValueError, "row_weights has shape", lambda: wgpu_loss.cross_entropy(X, T, row_weights=X)),
        (TypeError, "expected labels", lambda: wgpu_loss.nll_loss(X, X)),
        (TypeError, "unexpected keyword", lambda: wgpu_loss.cross_entropy(X, T, smoothing=1)),
        (ValueError, "top_k is -1", lambda: wgpu_loss.cross_entropy(X, T, top_k=-1)),
        (ValueError, "memory_budget is -1", lambda: wgpu_loss.Gpu(memory_budget=-1)),
        (ValueError, "turn is -1", lambda: wgpu_loss.Gpu(turn=-1)),
        (TypeError, "reduction is None", lambda: wgpu_loss.cross_entropy(X, T, reduction=None)),
        (TypeError, "dim is None", lambda: wgpu_loss.softmax(X, None)),
        (TypeError, "dim is 'a'", lambda: wgpu_loss.cross_entropy(X, T, dim="a")),
        (TypeError, "upstream is None", lambda: wgpu_loss.softmax_grad(X, None)),
        (TypeError, "outputs is None", lambda: wgpu_loss.cross_entropy(X, T, outputs=None)),
    ],
)
def test_every_error_says_what_was_given(error, message, call):
    with pytest.raises(error, match=message):
        call()
    # And the next call is right.
    assert wgpu_loss.cross_entropy(X, T).loss == pytest.approx(np.log(3))


def test_weights_need_no_dimension_to_be_refused():
    with pytest.raises(ValueError, match="weight"):
        wgpu_loss.cross_entropy(X, T, np.float32(1.0))
    with pytest.raises(ValueError, match="weight"):
        wgpu_loss.cross_entropy(X, T, np.ones((3, 1)))
