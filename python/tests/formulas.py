"""The losses and their gradients in float64, by the formulas of their documentation."""

import numpy as np


def log_softmax(x, axis):
    first = np.expand_dims(x.argmax(axis), axis)
    top = np.take_along_axis(x, first, axis)
    # The maximum's own 1 is not in the sum, so that a confident row keeps its digits.
    others = np.exp(x - top)
    np.put_along_axis(others, first, 0.0, axis)
    return x - top - np.log1p(others.sum(axis, keepdims=True))


def reduced(losses, weights, reduction, batch):
    """Reduce the losses of rows, whose parts of the mean's divisor are `weights`."""
    total = losses.sum()
    divisor = {"none": 1.0, "sum": 1.0, "mean": weights.sum(), "batchmean": batch}[reduction]
    with np.errstate(invalid="ignore", divide="ignore"):
        return losses if reduction == "none" else np.divide(total, divisor)


def row_scale(weights, reduction, batch, shape):
    """Return the factor of each row's gradient."""
    divisor = {"none": 1.0, "sum": 1.0, "mean": weights.sum(), "batchmean": batch}[reduction]
    return np.full(shape, 1.0 / divisor if divisor else 0.0)


def cross_entropy(
    x, target, weight=None, *, ignore_index=-100, reduction="mean", label_smoothing=0.0, dim=1, row_weights=None
):
    """Return loss, gradient, and the largest factor of a probability in it."""
    x = np.moveaxis(x.astype(np.float64), dim, -1)
    classes = x.shape[-1]
    weight = np.ones(classes) if weight is None else weight.astype(np.float64)
    if target.ndim == x.ndim:
        shares = np.moveaxis(target.astype(np.float64), dim, -1)
        live = np.ones(x.shape[:-1], bool)
        own = np.ones(x.shape[:-1])
    else:
        live = target != ignore_index
        labels = np.where(live, target, 0).astype(np.int64)
        shares = np.eye(classes)[labels]
        own = weight[labels]
    rows = np.ones(x.shape[:-1]) if row_weights is None else row_weights.astype(np.float64)
    live = live & (rows != 0)
    # q'_c w_c r
    shares = ((1 - label_smoothing) * shares + label_smoothing / classes) * weight * (rows * live)[..., None]
    log_p = log_softmax(x, -1) if x.size else x
    # A class without a share adds nothing, at -inf too.
    with np.errstate(invalid="ignore"):
        losses = -np.where(shares == 0, 0.0, shares * log_p).sum(-1)
    divided = own * rows * live
    batch = x.shape[0] if x.ndim > 1 else 1
    scale = row_scale(divided, reduction, batch, x.shape[:-1])[..., None]
    factor = shares.sum(-1, keepdims=True) * scale
    given = scale * shares
    # V p - q; near a label, where q is V, the same as V (p - 1) + (V - q), with p - 1 by its own digits.
    near, far = factor * np.expm1(log_p) + (factor - given), factor * np.exp(log_p) - given
    gradient = np.moveaxis(np.where(2 * given > factor, near, far), -1, dim)
    return reduced(losses, divided, reduction, batch), gradient, factor.max(initial=0.0)


def pointwise(losses, gradient, reduction, batch):
    """Reduce losses of elements, and scale their gradient."""
    weights = np.ones(losses.shape)
    return reduced(losses, weights, reduction, batch), gradient * row_scale(weights, reduction, batch, losses.shape)


def binary_cross_entropy(x, t, w):
    x, t = x.astype(np.float64), t.astype(np.float64)
    with np.errstate(divide="ignore"):
        a, b = np.maximum(np.log(x), -100), np.maximum(np.log1p(-x), -100)
    return -w * (t * a + (1 - t) * b), w * (x - t) / np.maximum(x * (1 - x), 1e-12)


def binary_cross_entropy_with_logits(x, t, w, p):
    x, t = x.astype(np.float64), t.astype(np.float64)
    minus_log_s, minus_log_1ms = np.logaddexp(0, -x), np.logaddexp(0, x)
    s = np.exp(-minus_log_s)
    return w * (p * t * minus_log_s + (1 - t) * minus_log_1ms), w * ((1 - t) * s - p * t * np.exp(-minus_log_1ms))


def kl_div(x, t, log_target):
    x, t = x.astype(np.float64), t.astype(np.float64)
    if log_target:
        return np.exp(t) * (t - x), -np.exp(t)
    log_t = np.log(np.where(t > 0, t, 1.0))
    return np.where(t > 0, t * (log_t - x), 0.0), -t


def gaussian_nll_loss(x, t, var, full, eps):
    x, t = x.astype(np.float64), t.astype(np.float64)
    v = np.maximum(np.broadcast_to(var.astype(np.float64), x.shape), eps)
    return 0.5 * (np.log(v) + (x - t) ** 2 / v) + (0.5 * np.log(2 * np.pi) if full else 0.0), (x - t) / v


def poisson_nll_loss(x, t, log_input, full, eps):
    x, t = x.astype(np.float64), t.astype(np.float64)
    losses = np.exp(x) - t * x if log_input else x - t * np.log(x + eps)
    if full:
        big = np.where(t > 1, t, 2.0)
        losses = losses + np.where(t > 1, big * np.log(big) - big + 0.5 * np.log(2 * np.pi * big), 0.0)
    return losses, np.exp(x) - t if log_input else 1 - t / (x + eps)
