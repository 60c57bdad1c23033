"""Every loss against its formula in float64, on the rounded inputs."""

import numpy as np
import pytest
from formulas import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cross_entropy,
    gaussian_nll_loss,
    kl_div,
    log_softmax,
    pointwise,
    poisson_nll_loss,
)
from hypothesis import given, settings
from hypothesis import strategies as st

import wgpu_loss

DTYPES = [np.float32, np.float16]
# Half an ulp of each type, relative; the arithmetic is f32 and has a few of its own.
ROUNDING = {"float32": 0.0, "float16": 2.0**-11, "bfloat16": 2.0**-8}
# Below it, f16 has fewer digits.
SMALLEST = {"float32": 1e-37, "float16": 2.0**-25, "bfloat16": 1e-37}
REDUCTIONS = ["mean", "sum", "none", "batchmean"]


def check_loss(got, wanted, scale=0.0):
    """Losses are sums of terms that are not negative; `scale` is the size of those that may cancel."""
    np.testing.assert_allclose(np.asarray(got, np.float64), wanted, rtol=3e-6, atol=3e-6 * scale + 1e-37)


def check_grad(got, wanted, scale=0.0):
    dtype = got.dtype.name
    largest = np.abs(wanted).max(initial=0.0)
    np.testing.assert_allclose(
        got.astype(np.float64),
        wanted,
        # The arithmetic errs by a few ulps of the probability, which is at most the row's largest share.
        rtol=5e-6 + 2 * ROUNDING[dtype],
        atol=SMALLEST[dtype] + 5e-7 * largest + 3e-6 * scale,
    )


@st.composite
def logits(draw, ranks=(1, 2, 3, 4)):
    rank = draw(st.sampled_from(ranks))
    dim = draw(st.integers(0, rank - 1))
    shape = [draw(st.sampled_from([0, 1, 2, 3, 5, 8])) for _ in range(rank)]
    shape[dim] = draw(st.sampled_from([1, 2, 3, 7, 10, 33]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    spread = draw(st.sampled_from([0.1, 3.0, 30.0]))
    x = (spread * rng.standard_normal(shape)).astype(draw(st.sampled_from(DTYPES)))
    return x, dim, rng


@settings(max_examples=120)
@given(
    logits(),
    st.sampled_from(REDUCTIONS),
    st.sampled_from(["labels", "probabilities"]),
    st.sampled_from([0.0, 0.1]),
    st.booleans(),
    st.booleans(),
    st.sampled_from([np.int64, np.uint8, np.int32]),
)
def test_cross_entropy(case, reduction, kind, smoothing, weighted, masked, labels):
    check_cross_entropy(case, reduction, kind, smoothing, weighted, masked, labels)


def check_cross_entropy(case, reduction, kind, smoothing, weighted, masked, labels):
    x, dim, rng = case
    rows = np.delete(x.shape, dim)
    classes = x.shape[dim]
    if kind == "labels":
        target = rng.integers(0, classes, rows).astype(labels)
        target[rng.random(rows) < 0.2] = 255
        ignored = 255
    else:
        target = rng.random(x.shape).astype(np.float32)
        target /= target.sum(dim, keepdims=True)
        ignored = -100
    options = {
        "weight": rng.random(classes).astype(np.float32) if weighted else None,
        "row_weights": (rng.random(rows) * (rng.random(rows) > 0.3)).astype(np.float32) if masked else None,
        "label_smoothing": smoothing,
        "reduction": reduction,
        "dim": dim,
        "ignore_index": ignored,
    }
    output = wgpu_loss.cross_entropy(x, target, return_grad=True, **options)
    wanted, gradient, factor = cross_entropy(x, target, **options)
    check_loss(output.loss, wanted)
    # Shares near the probability cancel it; a label's 1 does not, since 1 - p comes from the other classes.
    check_grad(output.grad, gradient, 0.2 * factor if kind == "probabilities" or smoothing else 0.0)
    assert output.grad.dtype == x.dtype and output.grad.shape == x.shape
    assert output.summary.rows == np.prod(rows, dtype=int)


@settings(max_examples=30)
@given(logits(), st.sampled_from(REDUCTIONS), st.sampled_from(["labels", "probabilities"]), st.sampled_from([0.0, 0.1]))
def test_cross_entropy_of_bf16(case, reduction, kind, smoothing):
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    x, dim, rng = case
    check_cross_entropy((x.astype(bfloat16), dim, rng), reduction, kind, smoothing, True, True, np.int64)


def test_distributions_of_bf16(rng):
    x = (5 * rng.standard_normal((20, 33))).astype(pytest.importorskip("ml_dtypes").bfloat16)
    for got, wanted in ((wgpu_loss.log_softmax(x), 1), (wgpu_loss.softmax(x), 0)):
        log_p = log_softmax(x.astype(np.float64), 1)
        check_grad(got, log_p if wanted else np.exp(log_p))
        assert got.dtype == x.dtype


def test_confident_rows_keep_their_digits():
    for ahead in (12.0, 28.0, 60.0):
        x = np.array([[ahead, 0.0, 0.0]], np.float32)
        output = wgpu_loss.cross_entropy(x, np.array([0]), return_grad=True)
        wanted = np.log1p(2 * np.exp(-ahead))
        # exp(-ahead) has the relative error of `ahead log2 e`, rounded.
        rtol = 1e-6 + ahead * 2.0**-23
        np.testing.assert_allclose(output.loss, wanted, rtol=rtol)
        # p_t - 1 = -(1 - p_t), from the other classes.
        np.testing.assert_allclose(output.grad[0, 0], -2 * np.exp(-ahead) / (1 + 2 * np.exp(-ahead)), rtol=rtol)


@settings(max_examples=60)
@given(logits((2, 4)), st.sampled_from(REDUCTIONS), st.booleans())
def test_nll_loss(case, reduction, weighted):
    x, dim, rng = case
    rows, classes = np.delete(x.shape, dim), x.shape[dim]
    target = rng.integers(0, classes, rows)
    weight = rng.random(classes).astype(np.float32) if weighted else None
    output = wgpu_loss.nll_loss(x, target, weight, reduction=reduction, dim=dim, return_grad=True)
    own = np.ones(classes) if weight is None else weight.astype(np.float64)
    picked = np.take_along_axis(x.astype(np.float64), np.expand_dims(target, dim), dim).squeeze(dim)
    losses, weights = -own[target] * picked, own[target]
    batch = rows[0] if len(rows) else 1
    divisor = {"none": 1.0, "sum": 1.0, "mean": weights.sum(), "batchmean": batch}[reduction]
    with np.errstate(invalid="ignore", divide="ignore"):
        wanted = losses if reduction == "none" else np.divide(losses.sum(), divisor)
    check_loss(output.loss, wanted, np.abs(losses).sum() / max(divisor, 1e-30) if reduction != "none" else 0.0)
    gradient = np.zeros(x.shape)
    scale = -weights / divisor if divisor else np.zeros_like(weights)
    np.put_along_axis(gradient, np.expand_dims(target, dim), np.expand_dims(scale, dim), dim)
    check_grad(output.grad, gradient)


@settings(max_examples=60)
@given(logits(), st.booleans())
def test_distributions(case, log):
    x, dim, rng = case
    wanted = log_softmax(x.astype(np.float64), dim) if x.size else x.astype(np.float64)
    p = np.exp(wanted)
    upstream = rng.standard_normal(x.shape).astype(x.dtype)
    u = upstream.astype(np.float64)
    if log:
        got, grad = wgpu_loss.log_softmax(x, dim), wgpu_loss.log_softmax_grad(x, upstream, dim)
        gradient = u - p * u.sum(dim, keepdims=True)
    else:
        got, grad = wgpu_loss.softmax(x, dim), wgpu_loss.softmax_grad(x, upstream, dim)
        wanted, gradient = p, p * (u - (p * u).sum(dim, keepdims=True))
    check_grad(got, wanted)
    # Sums of `u` of either sign.
    check_grad(grad, gradient, np.abs(u).sum(dim).max(initial=0.0) / 3)
    assert got.dtype == x.dtype and grad.dtype == x.dtype


@settings(max_examples=40)
@given(logits(), st.sampled_from(REDUCTIONS))
def test_entropy(case, reduction):
    x, dim, _ = case
    log_p = log_softmax(x.astype(np.float64), dim) if x.size else x.astype(np.float64)
    entropies = -(np.exp(log_p) * log_p).sum(dim)
    output = wgpu_loss.entropy(x, dim, reduction=reduction, return_grad=True)
    gradient = np.exp(log_p) * (-log_p - np.expand_dims(entropies, dim))
    batch = entropies.shape[0] if entropies.ndim else 1
    wanted, gradient = pointwise(entropies, np.moveaxis(gradient, dim, 0), reduction, batch)
    check_loss(output.loss, wanted)
    check_grad(output.grad, np.moveaxis(gradient, 0, dim), 0.1 / max(1, entropies.size if reduction == "mean" else 1))


@st.composite
def elements(draw):
    shape = draw(st.sampled_from([(), (1,), (7,), (3, 5), (4, 3, 2), (0, 3)]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    return shape, draw(st.sampled_from(DTYPES)), rng, draw(st.sampled_from(REDUCTIONS))


def batch_of(shape):
    return shape[0] if shape else 1


@settings(max_examples=80)
@given(elements(), st.booleans(), st.booleans())
def test_binary_cross_entropies(case, weighted, with_logits):
    shape, dtype, rng, reduction = case
    t = rng.random(shape).astype(dtype)
    row = shape[-1:]
    weight = rng.random(row).astype(np.float32) if weighted else None
    w = 1.0 if weight is None else weight.astype(np.float64)
    if with_logits:
        x = (5 * rng.standard_normal(shape)).astype(dtype)
        positive = (3 * rng.random(row)).astype(np.float32) if weighted else None
        p = 1.0 if positive is None else positive.astype(np.float64)
        output = wgpu_loss.binary_cross_entropy_with_logits(
            x, t, weight, positive, reduction=reduction, return_grad=True
        )
        losses, gradient = binary_cross_entropy_with_logits(x, t, w, p)
    else:
        x = rng.random(shape).astype(dtype)
        output = wgpu_loss.binary_cross_entropy(x, t, weight, reduction=reduction, return_grad=True)
        losses, gradient = binary_cross_entropy(x, t, w)
    losses, gradient = (np.asarray(part) for part in (losses, gradient))
    largest = np.abs(gradient).max(initial=0.0)
    wanted, gradient = pointwise(losses, gradient, reduction, batch_of(shape))
    check_loss(output.loss, wanted)
    # (1 - t) s - p t (1 - s) cancels, and x - t of numbers near each other.
    check_grad(output.grad, gradient, largest / max(1, losses.size if reduction == "mean" else 1) * 0.3)


@settings(max_examples=60)
@given(elements(), st.booleans())
def test_kl_div(case, log_target):
    shape, dtype, rng, reduction = case
    x = np.log(rng.random(shape) + 1e-3).astype(dtype)
    t = rng.random(shape) * (rng.random(shape) > 0.2)
    t = (np.log(t + 1e-3) if log_target else t).astype(dtype)
    output = wgpu_loss.kl_div(x, t, reduction=reduction, log_target=log_target, return_grad=True)
    losses, gradient = (np.asarray(part) for part in kl_div(x, t, log_target))
    wanted, gradient = pointwise(losses, gradient, reduction, batch_of(shape))
    # t log t and t x cancel.
    terms = np.abs(x.astype(np.float64)).max(initial=0.0) + 1.0
    check_loss(output.loss, wanted, terms * (1.0 if reduction in ("none", "mean") else losses.size))
    check_grad(output.grad, gradient)


@settings(max_examples=60)
@given(elements(), st.booleans(), st.sampled_from(["full", "row", "column", "number"]))
def test_gaussian_nll_loss(case, full, kind):
    shape, dtype, rng, reduction = case
    if not shape:
        kind = "number"
    x, t = (rng.standard_normal(shape).astype(dtype) for _ in range(2))
    if kind == "number":
        var = 0.5
        of_elements = np.full(shape, np.float32(var))
    else:
        of_rows = {"full": shape, "row": shape[:-1], "column": (*shape[:-1], 1)}[kind]
        var = (rng.random(of_rows) + 0.01).astype(dtype)
        of_elements = var[..., None] if kind == "row" else var
    options = {"full": full, "reduction": reduction}
    output = wgpu_loss.gaussian_nll_loss(x, t, var, return_grad=True, **options)
    losses, gradient = (np.asarray(part) for part in gaussian_nll_loss(x, t, np.asarray(of_elements), full, 1e-6))
    wanted, gradient = pointwise(losses, gradient, reduction, batch_of(shape))
    # log v is negative, and the square is not.
    check_loss(output.loss, wanted, 6.0 * (1.0 if reduction in ("none", "mean") else losses.size))
    check_grad(output.grad, gradient)


@settings(max_examples=60)
@given(elements(), st.booleans(), st.booleans())
def test_poisson_nll_loss(case, log_input, full):
    shape, dtype, rng, reduction = case
    x = (rng.standard_normal(shape) if log_input else rng.random(shape) * 5 + 0.1).astype(dtype)
    t = rng.poisson(3.0, shape)
    options = {"log_input": log_input, "full": full, "reduction": reduction}
    output = wgpu_loss.poisson_nll_loss(x, t, return_grad=True, **options)
    losses, gradient = (np.asarray(part) for part in poisson_nll_loss(x, np.asarray(t), log_input, full, 1e-8))
    terms = 30.0 * (1.0 if reduction in ("none", "mean") else losses.size)
    wanted, gradient = pointwise(losses, gradient, reduction, batch_of(shape))
    check_loss(output.loss, wanted, terms)
    check_grad(output.grad, gradient, 20.0 / max(1, losses.size if reduction == "mean" else 1))


def test_further_outputs(rng):
    x = rng.standard_normal((50, 9)).astype(np.float32)
    t = rng.integers(0, 9, 50)
    names = ("log_probs", "lse", "argmax", "rank", "entropy", "variance", "row_weights", "accuracy", "class_losses")
    output = wgpu_loss.cross_entropy(x, t, outputs=names, top_k=3, z_loss=0.5, reduction="none")
    log_p = log_softmax(x.astype(np.float64), 1)
    lse = x[:, 0] - log_p[:, 0]
    losses = -log_p[np.arange(50), t]
    rank = (x > x[np.arange(50), t][:, None]).sum(1)
    np.testing.assert_allclose(output.loss, losses, rtol=3e-6)
    np.testing.assert_allclose(output.log_probs, log_p, rtol=3e-6)
    np.testing.assert_allclose(output.lse, lse, rtol=3e-6)
    np.testing.assert_allclose(output.z_loss, 0.5 * lse**2, rtol=6e-6)
    np.testing.assert_array_equal(output.argmax, x.argmax(1))
    np.testing.assert_array_equal(output.rank, rank)
    np.testing.assert_allclose(output.entropy, -(np.exp(log_p) * log_p).sum(1), rtol=3e-6)
    surprise = (np.exp(log_p) * log_p**2).sum(1) - (np.exp(log_p) * log_p).sum(1) ** 2
    np.testing.assert_allclose(output.variance, surprise, rtol=2e-5)
    np.testing.assert_array_equal(output.row_weights, np.ones(50))
    assert output.summary.correct == (rank == 0).sum() and output.accuracy == (rank == 0).mean()
    assert output.summary.in_top_k == (rank < 3).sum() and output.top_k_accuracy == (rank < 3).mean()
    np.testing.assert_array_equal(output.class_losses.rows, np.bincount(t, minlength=9))
    np.testing.assert_allclose(output.class_losses.loss, np.bincount(t, losses, 9), rtol=3e-6)
    np.testing.assert_array_equal(output.class_losses.correct, np.bincount(t[rank == 0], minlength=9))
    assert output.grad is None and output.probs is None


def test_what_was_not_asked_for_is_not_there():
    x, t = np.zeros((2, 4), np.float32), [0, 1]
    for output in (wgpu_loss.cross_entropy(x, t), wgpu_loss.Partial.of(wgpu_loss.cross_entropy, x, t).finish()):
        assert output.summary.correct is None and output.summary.in_top_k is None
        for name in ("accuracy", "top_k_accuracy"):
            with pytest.raises(AttributeError, match="not asked for"):
                getattr(output, name)
    with pytest.raises(AttributeError, match="no perplexity"):
        wgpu_loss.cross_entropy(x, t, reduction="none").perplexity  # noqa: B018


def test_maps_of_logits(rng):
    x = (10 * rng.standard_normal((20, 5))).astype(np.float32)
    t = rng.integers(0, 5, 20)
    output = wgpu_loss.cross_entropy(x, t, softcap=7.0, logit_scale=0.5, return_grad=True)
    tanh = np.tanh(x.astype(np.float64) / 7)
    wanted, gradient, _ = cross_entropy(0.5 * 7 * tanh, t)
    np.testing.assert_allclose(output.loss, wanted, rtol=3e-6)
    check_grad(output.grad, gradient * 0.5 * (1 - tanh**2))


def test_gradients_of_targets_and_variances(rng):
    x, t, var = rng.standard_normal((4, 5)), rng.random((4, 5)) + 0.1, rng.random((4, 5)) + 0.1
    x, t, var = (array.astype(np.float32).astype(np.float64) for array in (x, t, var))
    upstream = 3.0
    kl, log_kl = (
        wgpu_loss.kl_div(x, t, log_target=log, outputs=("target_grad",), upstream=upstream) for log in (False, True)
    )
    gaussian = wgpu_loss.gaussian_nll_loss(x, t, var, outputs=("target_grad", "var_grad"), upstream=upstream)
    for got, wanted in (
        (kl.target_grad, np.log(t) + 1 - x),
        (log_kl.target_grad, np.exp(t) * (t - x + 1)),
        (gaussian.target_grad, (t - x) / var),
        (gaussian.var_grad, 0.5 * (1 / var - ((x - t) / var) ** 2)),
    ):
        check_grad(got, upstream * wanted / 20, 0.5)
    whole = wgpu_loss.gaussian_nll_loss(x, t, np.array([[0.5]]), outputs=("var_grad",)).var_grad
    check_grad(whole, np.array([[(0.5 * (1 / 0.5 - ((x - t) / 0.5) ** 2)).mean()]]), 1.0)


def test_the_gradient_of_z_loss(rng):
    x, t, w = rng.standard_normal((6, 4)).astype(np.float32), rng.integers(0, 4, 6), rng.random(4).astype(np.float32)
    output = wgpu_loss.cross_entropy(x, t, w, z_loss=0.5, return_grad=True)
    _, gradient, _ = cross_entropy(x, t, w)
    log_p = log_softmax(x.astype(np.float64), 1)
    lse = (x - log_p)[:, :1]
    part = (w[t] / w[t].astype(np.float64).sum())[:, None]
    np.testing.assert_allclose(output.z_loss, 0.5 * (part * lse**2).sum(), rtol=6e-6)
    check_grad(output.grad, gradient + part * lse * np.exp(log_p), 0.2)


def test_upstream(rng):
    x = rng.standard_normal((6, 4)).astype(np.float32)
    t = rng.integers(0, 4, 6)
    whole = wgpu_loss.cross_entropy(x, t, return_grad=True).grad
    for three in (3.0, np.float32(3), np.array(3.0)):
        np.testing.assert_allclose(
            wgpu_loss.cross_entropy(x, t, upstream=three, return_grad=True).grad, 3 * whole, 1e-6
        )
    each = rng.standard_normal(6)
    rows = wgpu_loss.cross_entropy(x, t, reduction="none", upstream=each, return_grad=True).grad
    np.testing.assert_allclose(rows, 6 * whole * each[:, None], rtol=1e-5, atol=1e-7)


def test_a_mean_over_nothing():
    x, t = np.zeros((3, 2), np.float32), np.full(3, -100)
    output = wgpu_loss.cross_entropy(x, t, return_grad=True)
    assert np.isnan(output.loss) and not output.grad.any()
    assert np.isnan(wgpu_loss.cross_entropy(x, t, outputs=("accuracy",)).accuracy)
    assert wgpu_loss.cross_entropy(x, t, empty_mean="zero").loss == 0.0
    assert wgpu_loss.cross_entropy(x, t, reduction="sum").loss == 0.0


def test_the_cpu_computes_the_same(rng):
    x = rng.standard_normal((300, 33)).astype(np.float16)
    t = rng.integers(0, 33, 300)
    names = ("grad", "lse", "argmax", "class_losses")
    there, here = (wgpu_loss.cross_entropy(x, t, outputs=names, device=device) for device in (None, "cpu"))
    np.testing.assert_allclose(there.loss, here.loss, rtol=1e-6)
    np.testing.assert_allclose(there.grad.astype(np.float64), here.grad.astype(np.float64), rtol=2e-3, atol=1e-7)
    np.testing.assert_array_equal(there.argmax, here.argmax)
    np.testing.assert_array_equal(there.class_losses.rows, here.class_losses.rows)


def test_an_output_is_a_number():
    output = wgpu_loss.cross_entropy(np.zeros((2, 4), np.float32), np.zeros(2, np.int8))
    assert float(output) == output.loss == pytest.approx(np.log(4))
    assert np.asarray(output).shape == () and output.perplexity == pytest.approx(4)
    assert f"{output:.3f}" == "1.386" and output.item() == output.loss and len({output, output}) == 1
    assert repr(output).startswith("Output(loss=1.386") and "summary=Summary(rows=2" in repr(output)
    many = wgpu_loss.cross_entropy(np.zeros((2, 4), np.float32), np.zeros(2, np.int8), reduction="none")
    assert "loss=<float32 (2,)>" in repr(many) and np.asarray(many).shape == (2,)
