"""Every loss and gradient of `wgpu_loss.torch` against PyTorch's own in float64, on the rounded inputs."""

import copy
import math
import pickle
import subprocess
import sys
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402

import wgpu_loss  # noqa: E402
import wgpu_loss.torch as ours  # noqa: E402

# kl_div's own warning is about its mean, which is tested here; gradcheck's is about f32.
pytestmark = [
    pytest.mark.filterwarnings("ignore:reduction. 'mean' divides"),
    pytest.mark.filterwarnings("ignore:Input #:UserWarning"),
]

DTYPES = [torch.float32, torch.float16, torch.bfloat16, torch.float64]
REDUCTIONS = ["mean", "sum", "none"]
# Half an ulp of f32, relative: one rounding of the arithmetic.
U = 2.0**-24
# Half an ulp of the types that results are rounded to, and where they run out of digits.
ROUNDING = {torch.float32: U, torch.float64: 0.0, torch.float16: 2.0**-11, torch.bfloat16: 2.0**-8}
SMALLEST = {torch.float32: 1e-37, torch.float64: 1e-37, torch.float16: 2.0**-25, torch.bfloat16: 1e-37}


def check(got, wanted, scale=None, roundings=16):
    """Compare a result with that of f64.

    A term of a loss or gradient has some ten roundings in f32, in a row: 16 are granted, relative. Where terms of size
    `scale` cancel, as p - q does, their own 8 roundings remain. By default it is the largest result: terms such as
    x - t, or p of a row with others, are as large as some result. A last rounding is to the type of the result. And f64
    itself errs by ulps of logits of up to 100.
    """
    assert got.shape == wanted.shape
    dtype, got = got.dtype, got.detach().double()
    if scale is None:
        finite = wanted.abs()[wanted.isfinite()]
        scale = finite.amax() if finite.numel() else 0.0
    bound = (roundings * U + ROUNDING[dtype]) * wanted.abs() + 8 * U * scale + SMALLEST[dtype] + 1e-14
    is_close = wanted.isfinite() & ((got - wanted).abs() <= bound)
    assert (is_close | (got == wanted) | (got.isnan() & wanted.isnan())).all(), (got, wanted)


def compare(own, their, operands, grads, loss_scale=0.0, grad_scales=None, roundings=16):
    """Compare loss and gradients of functions of the same operands, under an upstream gradient."""
    mine = {name: one.clone().requires_grad_(name in grads) for name, one in operands.items()}
    wide = {name: one.double() if one.is_floating_point() else one for name, one in operands.items()}
    wide = {name: one.clone().requires_grad_(name in grads) for name, one in wide.items()}
    got, wanted = own(**mine), their(**wide)
    assert got.dtype == operands["input"].dtype
    check(got, wanted.detach(), loss_scale, roundings)
    upstream = torch.linspace(0.5, 2.0, max(1, got.numel())).to(got.dtype)[: got.numel()].view(got.shape)
    got.backward(upstream)
    wanted.backward(upstream.double())
    for name in grads:
        assert mine[name].grad.dtype == operands[name].dtype
        check(mine[name].grad, wide[name].grad, (grad_scales or {}).get(name))


def steep(x):
    """Return the roundings of exp(x - max), to which the errors of x - max and of its product with log2 e add."""
    return 16 + 2 * float(x.max() - x.min()) if x.numel() else 16


def reduced(losses, reduction):
    return {"none": losses, "sum": losses.sum(), "mean": losses.sum() / max(1, losses.numel())}[reduction]


def with_classes(draw):
    """Return a shape with its classes on axis 1, or 0 of one axis."""
    classes = draw(st.sampled_from([1, 2, 5, 33]))
    sizes = st.sampled_from([0, 1, 2, 3])
    shapes = {1: [classes], 2: [draw(sizes) * 3, classes], 4: [draw(sizes), classes, draw(sizes), draw(sizes)]}
    return shapes[draw(st.sampled_from(sorted(shapes)))]


def normal(shape, dtype, spread=1.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (spread * torch.randn(shape, generator=generator)).to(dtype)


def uniform(shape, dtype, low=0.0, high=1.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (low + (high - low) * torch.rand(shape, generator=generator)).to(dtype)


@st.composite
def classified(draw):
    """Logits, labels with ignored ones, and class weights."""
    shape, dtype, seed = with_classes(draw), draw(st.sampled_from(DTYPES)), draw(st.integers(0, 99))
    rows, classes = [shape[0], *shape[2:]] if len(shape) > 1 else [], shape[0 if len(shape) == 1 else 1]
    generator = torch.Generator().manual_seed(seed)
    target = torch.randint(classes, rows, generator=generator)
    ignored = draw(st.sampled_from([-100, 0, 255]))
    target[torch.rand(rows, generator=generator) < 0.2] = ignored
    x = normal(shape, dtype, draw(st.sampled_from([0.3, 3.0, 20.0])), seed)
    return {"input": x, "target": target, "weight": uniform(classes, dtype, 0.2, 1.0, seed)}, ignored


@settings(max_examples=60)
@given(classified(), st.sampled_from(REDUCTIONS), st.sampled_from([0.0, 0.2]), st.booleans())
def test_cross_entropy_of_labels(case, reduction, smoothing, weighted):
    operands, ignored = case
    if not weighted:
        del operands["weight"]
    options = {"ignore_index": ignored, "reduction": reduction, "label_smoothing": smoothing}
    compare(
        lambda **given: ours.cross_entropy(**given, **options),
        lambda **given: F.cross_entropy(**given, **options),
        operands,
        ["input"],
        # Shares of the smoothing cancel probabilities of their size, but no label does.
        grad_scales={"input": 2.0} if smoothing else None,
        roundings=steep(operands["input"]),
    )


@settings(max_examples=40)
@given(classified(), st.sampled_from(REDUCTIONS), st.sampled_from([0.0, 0.2]), st.booleans())
def test_cross_entropy_of_probabilities(case, reduction, smoothing, weighted):
    operands, _ = case
    operands["target"] = uniform(operands["input"].shape, operands["input"].dtype, seed=7)
    if not weighted:
        del operands["weight"]
    options = {"reduction": reduction, "label_smoothing": smoothing}
    compare(
        lambda **given: ours.cross_entropy(**given, **options),
        lambda **given: F.cross_entropy(**given, **options),
        operands,
        operands.keys(),
        # Terms of up to the number of classes, each weighed by up to 1.
        grad_scales={"input": 2.0 * operands["input"].shape[0 if operands["input"].ndim == 1 else 1]},
    )


def by_formula(input, target, dim, softcap, logit_scale, z_loss, row_weights, reduction, weight=None, **options):
    """Return the loss with the options that PyTorch lacks, by the formulas in the documentation."""
    x = torch.movedim(input, dim, 1)
    x = logit_scale * softcap * torch.tanh(x / softcap)
    is_labels = not target.is_floating_point()
    target = target if is_labels else torch.movedim(target, dim, 1)
    losses = F.cross_entropy(x, target, weight, reduction="none", **options)
    weights = torch.ones_like(losses)
    if is_labels and weight is not None:
        weights = weight[target]
    weights = weights * row_weights
    total = losses * row_weights + z_loss * torch.logsumexp(x, 1) ** 2 * weights
    divisors = {"none": 1.0, "sum": 1.0, "mean": weights.sum(), "batchmean": len(losses)}
    return (total if reduction == "none" else total.sum()) / divisors[reduction]


@pytest.mark.parametrize("reduction", ["mean", "sum", "none", "batchmean"])
@pytest.mark.parametrize("kind", ["labels", "probabilities"])
@pytest.mark.parametrize("dim", [0, -1])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_options_beyond_pytorch(reduction, kind, dim, dtype):
    x = normal((5, 4, 6), dtype, 4.0)
    rows = torch.movedim(x, dim, 1).shape[::2]
    labels = torch.randint(x.shape[dim], rows)
    operands = {
        "input": x,
        "target": labels if kind == "labels" else uniform(x.shape, torch.float32),
        "weight": uniform(x.shape[dim], torch.float32, 0.5),
        "row_weights": uniform(rows, torch.float32) * (uniform(rows, torch.float32, seed=1) > 0.3),
    }
    options = {
        "dim": dim,
        "softcap": 5.0,
        "logit_scale": 0.7,
        "z_loss": 0.01,
        "label_smoothing": 0.1,
        "reduction": reduction,
    }
    compare(
        lambda **given: ours.cross_entropy(**given, **options),
        lambda **given: by_formula(**given, **options),
        operands,
        ["input"] if kind == "labels" else ["input", "target", "weight"],
    )


@settings(max_examples=30)
@given(classified(), st.sampled_from(REDUCTIONS), st.booleans())
def test_nll_loss(case, reduction, weighted):
    operands, ignored = case
    axis = 0 if operands["input"].ndim == 1 else 1
    operands["input"] = torch.log_softmax(operands["input"].float(), axis).to(operands["input"].dtype)
    if not weighted:
        del operands["weight"]
    options = {"ignore_index": ignored, "reduction": reduction}
    compare(
        lambda **given: ours.nll_loss(**given, **options),
        lambda **given: F.nll_loss(**given, **options),
        operands,
        ["input"],
    )


@settings(max_examples=30)
@given(
    st.sampled_from([(3,), (0, 4), (5, 7), (2, 3, 4, 33)]),
    st.integers(-1, 0),
    st.sampled_from(DTYPES),
    st.sampled_from([0.3, 3.0, 20.0]),
)
def test_distributions_and_entropy(shape, dim, dtype, spread):
    operands = {"input": normal(shape, dtype, spread)}
    # x_c and log-sum-exp cancel, and in the gradient u_c and p_c sum_j u_j, of u up to 2.
    compare(
        lambda input: ours.log_softmax(input, dim),
        lambda input: torch.log_softmax(input, dim),
        operands,
        ["input"],
        8.0 * spread,
        {"input": 2.0 * shape[dim]},
    )
    # p_c (u_c - sum_j p_j u_j)
    compare(
        lambda input: ours.softmax(input, dim),
        lambda input: torch.softmax(input, dim),
        operands,
        ["input"],
        grad_scales={"input": 2.0},
        roundings=steep(operands["input"]),
    )
    for reduction in REDUCTIONS:

        def their(input, reduction=reduction):
            # Categorical gives probabilities of 0 another gradient, and has no reduction.
            entropies = torch.special.entr(torch.softmax(input, dim)).sum(dim)
            return entropies.mean() if reduction == "mean" else reduced(entropies, reduction)

        compare(
            lambda input, reduction=reduction: ours.entropy(input, dim, reduction),
            their,
            operands,
            ["input"],
            # p_c (-log p_c - H), whose terms are up to log C
            grad_scales={"input": 4.0},
            roundings=steep(operands["input"]),
        )


@st.composite
def elements(draw):
    """A shape, a shape that broadcasts to it, and a type."""
    shape, small = draw(st.sampled_from([((), ()), ((7,), (1,)), ((0, 3), (3,)), ((4, 5), (5,)), ((2, 3, 4), (3, 1))]))
    return shape, small, draw(st.sampled_from(DTYPES)), draw(st.sampled_from(REDUCTIONS)), draw(st.integers(0, 99))


@settings(max_examples=40)
@given(elements(), st.booleans())
def test_binary_cross_entropy(case, weighted):
    shape, small, dtype, reduction, seed = case
    # Rounded to the type, and still inside: at 0 and 1 are cases of their own.
    operands = {"input": uniform(shape, dtype, 0.02, 0.98, seed), "target": uniform(shape, dtype, seed=seed + 1)}
    if weighted:
        operands["weight"] = uniform(small, dtype, 0.2, 2.0, seed)
    compare(
        lambda **given: ours.binary_cross_entropy(**given, reduction=reduction),
        lambda **given: F.binary_cross_entropy(**given, reduction=reduction),
        operands,
        ["input", "target"],
        # log x and log(1 - x) cancel, up to 4 each, with weights up to 2.
        grad_scales={"target": 16.0},
    )


@settings(max_examples=40)
@given(elements(), st.booleans(), st.booleans())
def test_binary_cross_entropy_with_logits(case, weighted, positive):
    shape, small, dtype, reduction, seed = case
    x = normal(shape, dtype, 5.0, seed)
    operands = {"input": x, "target": uniform(shape, dtype, seed=seed + 1)}
    if weighted:
        operands["weight"] = uniform(small, dtype, 0.2, 2.0, seed)
    if positive:
        operands["pos_weight"] = uniform(small, dtype, 0.2, 5.0, seed)
    compare(
        lambda **given: ours.binary_cross_entropy_with_logits(**given, reduction=reduction),
        lambda **given: F.binary_cross_entropy_with_logits(**given, reduction=reduction),
        operands,
        ["input", "target"],
        # (1 - t) s(x) and p t s(-x) cancel, of weights up to 2 and 5; and so do softplus(x) and p softplus(-x).
        grad_scales={"input": 20.0, "target": 20.0 * max(1.0, x.abs().max().item() if x.numel() else 0.0)},
        roundings=steep(x),
    )


@settings(max_examples=40)
@given(elements(), st.booleans(), st.booleans())
def test_kl_div(case, log_target, broadcast):
    shape, small, dtype, reduction, seed = case
    reduction = "batchmean" if reduction == "sum" and shape and shape[0] else reduction
    p = uniform(small if broadcast else shape, torch.float32, 0.01, 1.0, seed)
    operands = {"input": -uniform(shape, dtype, 0.0, 5.0, seed), "target": (p.log() if log_target else p).to(dtype)}
    t, x = operands["target"].double(), operands["input"].double()
    # t log t, or exp(t) t, and t x cancel.
    size = (t.exp() * t.abs() if log_target else (t * t.log()).abs()) + (t.exp() if log_target else t) * x.abs()
    scale = size.sum() if reduction == "batchmean" else reduced(size, reduction)
    compare(
        lambda **given: ours.kl_div(**given, reduction=reduction, log_target=log_target),
        lambda **given: F.kl_div(**given, reduction=reduction, log_target=log_target),
        operands,
        ["input", "target"],
        scale,
        # Sums of terms up to 6 over the elements that share a target.
        {"target": 12.0 * x.numel() / max(1, t.numel())},
    )


@settings(max_examples=40)
@given(elements(), st.booleans(), st.sampled_from(["same", "row", "one"]), st.booleans())
def test_gaussian_nll_loss(case, full, of, broadcast):
    shape, small, dtype, reduction, seed = case
    var = {"same": shape, "row": shape[:-1], "one": (*shape[:-1], 1) if shape else shape}[of]
    operands = {
        "input": normal(shape, dtype, 2.0, seed),
        "target": normal(small if broadcast else shape, dtype, 2.0, seed + 1),
        "var": uniform(var, dtype, 0.2, 3.0, seed),
    }
    x, t, v = (operands[name].double() for name in ("input", "target", "var"))
    v = v.unsqueeze(-1) if v.ndim < x.ndim else v
    # log v may be negative; x - t has the error of the larger.
    size = v.log().abs() + (x - t) ** 2 / v + (x.abs() + t.abs()) * (x - t).abs() / v + 1.0
    compare(
        lambda **given: ours.gaussian_nll_loss(**given, full=full, reduction=reduction),
        lambda **given: F.gaussian_nll_loss(**given, full=full, reduction=reduction),
        operands,
        ["input", "target", "var"],
        reduced(size, reduction),
        # Sums over the elements that share a target or a variance, which may cancel.
        {
            "target": 2 * size.amax() / 0.2 * x.numel() / max(1, t.numel()) if x.numel() else 0.0,
            "var": 2 * size.amax() / 0.2 * x.numel() / max(1, operands["var"].numel()) if x.numel() else 0.0,
        },
    )


@settings(max_examples=40)
@given(elements(), st.booleans(), st.booleans(), st.booleans())
def test_poisson_nll_loss(case, log_input, full, broadcast):
    shape, small, dtype, reduction, seed = case
    x = normal(shape, dtype, 1.0, seed) if log_input else uniform(shape, dtype, 0.1, 4.0, seed)
    t = uniform(small if broadcast else shape, dtype, 0.0, 6.0, seed + 1)
    wide, count = x.double(), t.double()
    # exp(x), t x and Stirling's terms, or x and t log x, cancel.
    size = (wide.exp() + count * wide.abs() if log_input else wide + count * wide.log().abs()) + 20.0 * full
    compare(
        lambda **given: ours.poisson_nll_loss(**given, log_input=log_input, full=full, reduction=reduction),
        lambda **given: F.poisson_nll_loss(**given, log_input=log_input, full=full, reduction=reduction),
        {"input": x, "target": t},
        ["input", "target"],
        reduced(size, reduction),
        {"target": 12.0 * x.numel() / max(1, t.numel())},
    )


# Cases of PyTorch's own tests, and those where the meaning is not PyTorch's.


def leaf(values, dtype=torch.float32):
    return torch.tensor(values, dtype=dtype, requires_grad=True)


@pytest.mark.parametrize("loss", [ours.cross_entropy, ours.nll_loss])
def test_nothing_but_ignored_rows(loss):
    x, target = normal((4, 3), torch.float32).requires_grad_(), torch.full((4,), -100)
    mean = loss(x, target)
    mean.backward()
    assert mean.isnan() and (x.grad == 0).all()
    assert loss(x, target, reduction="sum") == 0
    assert (loss(x, target, reduction="none") == 0).all()
    assert loss(x, target, empty_mean="zero") == 0


def test_weights_whose_sum_is_zero():
    x, target = normal((2, 3), torch.float32).requires_grad_(), torch.tensor([1, 1])
    loss = ours.cross_entropy(x, target, torch.tensor([1.0, 0.0, 1.0]))
    loss.backward()
    # On purpose, not PyTorch, whose gradient is NaN: the mean over nothing has none.
    assert loss.isnan() and (x.grad == 0).all()


def test_an_ignored_row_of_nan_has_no_gradient():
    x = leaf([[math.nan, 1.0], [0.0, 0.0]])
    loss = ours.cross_entropy(x, torch.tensor([-100, 0]))
    loss.backward()
    check(loss, torch.tensor(math.log(2.0), dtype=torch.float64))
    # On purpose, not PyTorch, whose gradient of the first row is NaN.
    assert x.grad.tolist() == [[0.0, 0.0], [-0.5, 0.5]]


def test_a_class_without_share_at_minus_infinity():
    x, q, w = leaf([[-math.inf, 0.0, 0.0]]), leaf([[0.0, 0.5, 0.5]]), leaf([1.0, 1.0, 1.0])
    loss = ours.cross_entropy(x, q, w)
    loss.backward()
    # On purpose, not PyTorch, where 0 times infinity is NaN.
    check(loss, torch.tensor(math.log(2.0), dtype=torch.float64))
    assert x.grad.tolist() == [[0.0, 0.0, 0.0]]
    assert q.grad[0, 0] == math.inf
    check(w.grad, torch.tensor([0.0, 0.5 * math.log(2.0), 0.5 * math.log(2.0)], dtype=torch.float64))


def test_rows_of_weight_zero_have_no_gradients():
    x, q, w = leaf([[-math.inf, 0.0], [1.0, 2.0]]), leaf([[0.5, 0.5], [0.2, 0.8]]), leaf([1.0, 2.0])
    for rows in (torch.tensor([0.0, 1.0]), torch.zeros(2)):
        grads = torch.autograd.grad(ours.cross_entropy(x, q, w, row_weights=rows), (x, q, w))
        only = [one.detach()[1:].double().requires_grad_() for one in (x, q)] + [w.detach().double().requires_grad_()]
        # A mean over nothing is NaN, with gradients of zero.
        wanted = torch.autograd.grad(F.cross_entropy(*only) * rows[1].double(), only)
        for got, of_row in zip(grads[:2], wanted[:2], strict=True):
            assert (got[0] == 0).all()
            check(got[1:], of_row, 1.0)
        check(grads[2], wanted[2], 1.0)


@pytest.mark.parametrize(
    "loss",
    [
        "binary_cross_entropy",
        "binary_cross_entropy_with_logits",
        "poisson_nll_loss",
        "kl_div",
    ],
)
def test_batchmean(loss):
    # PyTorch has it for kl_div alone.
    operands = {
        "input": uniform((4, 3), torch.float32, 0.1, 0.9),
        "target": uniform((4, 3), torch.float32, 0.1, seed=1),
    }
    compare(
        lambda **given: getattr(ours, loss)(**given, reduction="batchmean"),
        lambda **given: getattr(F, loss)(**given, reduction="sum") / 4,
        operands,
        ["input", "target"],
        1.0,
    )


def test_infinite_logits():
    x = leaf([[-math.inf, 0.0], [-math.inf, 0.0], [-math.inf, -math.inf], [math.inf, 0.0]])
    target = torch.tensor([0, 1, 0, 0])
    loss = ours.cross_entropy(x, target, reduction="none")
    loss.sum().backward()
    assert loss.tolist()[:2] == [math.inf, 0.0] and loss[2:].isnan().all()
    assert x.grad[:2].tolist() == [[-1.0, 1.0], [0.0, 0.0]] and x.grad[2:].isnan().all()


@pytest.mark.parametrize("offset", [-1e4, 0.0, 1e4])
def test_large_logits(offset):
    x = leaf([[offset + 3.0, offset - 3.0], [offset + 100.0, offset - 100.0]])
    target = torch.tensor([0, 1])
    loss = ours.cross_entropy(x, target, reduction="none")
    # 3 - -3 and 100 - -100 have no error in f32.
    check(loss, torch.tensor([math.log1p(math.exp(-6.0)), 200.0], dtype=torch.float64), 0.0)


def test_binary_cross_entropy_at_0_and_1():
    x, t = leaf([0.0, 1.0, 0.0, 1.0]), leaf([0.0, 1.0, 1.0, 0.0])
    wide = [one.detach().double().requires_grad_() for one in (x, t)]
    # Each logarithm is at least -100; the gradient's divisor x (1 - x) at least 1e-12.
    loss = ours.binary_cross_entropy(x, t, reduction="none")
    loss.sum().backward()
    F.binary_cross_entropy(*wide, reduction="none").sum().backward()
    assert loss.tolist() == [0.0, 0.0, 100.0, 100.0]
    check(x.grad, wide[0].grad)
    assert x.grad.tolist()[:2] == [0.0, 0.0] and x.grad.abs().max() > 9e11
    # The derivative of that loss: on purpose, not PyTorch, whose gradient of the target is infinite.
    assert t.grad.tolist() == [100.0, -100.0, 100.0, -100.0] and wide[1].grad.isinf().all()


def test_targets_of_kl_div_that_are_zero():
    x, t = leaf([[-1.0, -math.inf]]), leaf([[1.0, 0.0]])
    loss = ours.kl_div(x, t, reduction="batchmean")
    loss.backward()
    # On purpose, not PyTorch: a target of 0 has gradient 0, where PyTorch's is NaN or -inf.
    assert loss == 1.0 and x.grad.tolist() == [[-1.0, 0.0]] and t.grad.tolist() == [[2.0, 0.0]]


def test_variances_below_eps():
    x, t, var = leaf([1.0, 2.0]), torch.tensor([0.0, 0.0]), leaf([1e-9, 4.0])
    wide = [one.detach().double().requires_grad_() for one in (x, var)]
    ours.gaussian_nll_loss(x, t, var, eps=1e-3).backward()
    F.gaussian_nll_loss(wide[0], t.double(), wide[1], eps=1e-3).backward()
    # The bound has no gradient of its own, but the variance has one at the bound.
    check(x.grad, wide[0].grad)
    check(var.grad, wide[1].grad)
    assert var.grad[0] < -1e5


def test_a_variance_that_is_a_number():
    x, t = normal((4, 3), torch.float32), normal((4, 3), torch.float32, seed=1)
    wanted = F.gaussian_nll_loss(x.double(), t.double(), 0.5)
    check(ours.gaussian_nll_loss(x, t, 0.5), wanted)
    check(
        ours.gaussian_nll_loss(x[:, 0], t[:, 0], torch.tensor(0.5)),
        F.gaussian_nll_loss(x[:, 0].double(), t[:, 0].double(), 0.5),
    )


def test_empty_means():
    none = torch.empty(0, 3, requires_grad=True)
    for loss in (
        ours.cross_entropy(none, torch.empty(0, dtype=torch.int64)),
        ours.binary_cross_entropy_with_logits(none, none.detach()),
        ours.kl_div(none, none.detach()),
        ours.entropy(none),
    ):
        assert loss.isnan()
        loss.backward()
    assert none.grad.shape == (0, 3)
    assert ours.kl_div(none, none.detach(), empty_mean="zero") == 0


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_copies_that_are_made_in_parts(monkeypatch, reduction):
    # f64 tensors are copied to f32: of many rows, a part at a time.
    monkeypatch.setattr("wgpu_loss._question.COPIED_BYTES", 100)
    operands = {"input": normal((40, 5), torch.float64, 3.0), "target": torch.randint(5, (40,))}
    compare(
        lambda **given: ours.cross_entropy(**given, reduction=reduction),
        lambda **given: F.cross_entropy(**given, reduction=reduction),
        operands,
        ["input"],
    )
    operands = {name: uniform((40, 5), torch.float64, 0.1, 0.9, seed) for seed, name in enumerate(["input", "target"])}
    compare(
        lambda **given: ours.kl_div(**given, reduction=reduction),
        lambda **given: F.kl_div(**given, reduction=reduction),
        operands,
        ["input", "target"],
        # t log t and t x cancel, each at most 1, of 200 elements.
        200.0 if reduction == "sum" else 2.0,
        {"target": 4.0},
    )


def test_labels_of_other_types_and_0_d_tensors():
    x, target = normal((3, 4), torch.float32), torch.tensor([0, 3, 1])
    wanted = ours.cross_entropy(x, target)
    for dtype in (torch.uint8, torch.int16, torch.int32):
        assert ours.cross_entropy(x, target.to(dtype)) == wanted
    number = leaf(2.0)
    loss = ours.binary_cross_entropy_with_logits(number, torch.tensor(1.0))
    loss.backward()
    check(loss, torch.tensor(math.log1p(math.exp(-2.0)), dtype=torch.float64))
    check(number.grad, torch.tensor(-1.0 / (1.0 + math.exp(2.0)), dtype=torch.float64))


def test_softmax_takes_a_type():
    x = normal((3, 4), torch.bfloat16, 3.0).requires_grad_()
    p = ours.softmax(x, -1, dtype=torch.float32)
    check(p, torch.softmax(x.detach().double(), -1))
    p[0, 0].backward()
    assert p.dtype == torch.float32 and x.grad.dtype == torch.bfloat16


def test_the_cpu_computes_too():
    x, q = normal((4, 3), torch.float16).requires_grad_(), uniform((4, 3), torch.float16).requires_grad_()
    wide = [one.detach().double().requires_grad_() for one in (x, q)]
    loss = ours.cross_entropy(x, q, device="cpu")
    loss.backward()
    wanted = F.cross_entropy(*wide)
    wanted.backward()
    check(loss, wanted.detach())
    check(x.grad, wide[0].grad)
    check(q.grad, wide[1].grad)
    double = normal((4, 3), torch.float64)
    got = ours.cross_entropy(double, torch.tensor([0, 1, 2, 0]), device="cpu")
    # Logits and loss are rounded to f32, once; the arithmetic between is f64.
    wanted = F.cross_entropy(double.float().double(), torch.tensor([0, 1, 2, 0]))
    assert abs(got - wanted) <= U * wanted


# Errors.


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: ours.cross_entropy(x, torch.tensor([0, 1, 2])), ValueError, "has shape"),
        (lambda x: ours.cross_entropy(x, torch.zeros(2, 4)), ValueError, "probabilities"),
        (lambda x: ours.cross_entropy(x, torch.tensor([0, 3])), wgpu_loss.BadLabelError, "3"),
        (lambda x: ours.cross_entropy(x, torch.tensor([0, 1]), torch.ones(4)), ValueError, "weight"),
        (lambda x: ours.cross_entropy(x, torch.tensor([0, 1]), label_smoothing=1.5), ValueError, "smoothing"),
        (lambda x: ours.cross_entropy(x, torch.tensor([0, 1]), reduction="total"), ValueError, "reduction"),
        (lambda x: ours.nll_loss(x, torch.zeros(2, 3)), TypeError, "labels"),
        (lambda x: ours.binary_cross_entropy(x + 2, x), wgpu_loss.BadValueError, "input"),
        (lambda x: ours.binary_cross_entropy_with_logits(x, x[0]), ValueError, "target"),
        (lambda x: ours.binary_cross_entropy_with_logits(x, x, pos_weight=torch.ones(2)), ValueError, "pos_weight"),
        (lambda x: ours.kl_div(x, torch.zeros(4)), ValueError, "target"),
        (lambda x: ours.gaussian_nll_loss(x, x, -1.0), wgpu_loss.BadValueError, "var"),
        (lambda x: ours.gaussian_nll_loss(x, x, torch.ones(3)), ValueError, "var"),
        # PyTorch broadcasts the input, which is more often a fault than meant.
        (lambda x: ours.poisson_nll_loss(x[0], x), ValueError, "target"),
        (lambda x: ours.softmax(x, 2), ValueError, "axis"),
        (lambda x: ours.softmax(x.numpy()), TypeError, "tensor"),
        (lambda x: ours.softmax(x.to("meta")), TypeError, "input"),
        (lambda x: ours.cross_entropy(x, torch.tensor([0, 1], device="meta")), TypeError, "target"),
        (lambda x: ours.softmax(x.to_sparse()), TypeError, "input"),
        (lambda x: ours.softmax(x.to(torch.complex64)), TypeError, "input"),
        (lambda x: ours.softmax(x, device="cuda"), TypeError, "device"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message) as caught:
        call(torch.zeros(2, 3))
    assert "\n" not in str(caught.value)


class OnAnotherDevice(torch.Tensor):
    """A tensor that says that it is on a GPU."""

    def __dlpack_device__(self):
        return (2, 1)

    def detach(self):
        return self


def test_tensors_on_gpus_are_refused(monkeypatch):
    # PyTorch's DLPack interface for C, where there is one, is not asked.
    monkeypatch.delattr(torch.Tensor, "__dlpack_c_exchange_api__", raising=False)
    x = torch.zeros(2, 3).as_subclass(OnAnotherDevice)
    with pytest.raises(TypeError, match=r"input is on a CUDA device \(1\).*tensor\.cpu\(\)"):
        ours.softmax(x)


def test_weights_that_require_gradients_are_refused():
    x, labels, w = torch.full((2, 3), 0.5), torch.tensor([0, 1]), torch.ones(3, requires_grad=True)
    for call in (
        lambda: ours.cross_entropy(x, labels, w),
        lambda: ours.nll_loss(x, labels, w),
        lambda: ours.binary_cross_entropy(x, x, w),
        lambda: ours.binary_cross_entropy_with_logits(x, x, w),
        lambda: ours.binary_cross_entropy_with_logits(x, x, pos_weight=w),
        lambda: ours.cross_entropy(x, labels, row_weights=torch.ones(2, requires_grad=True)),
    ):
        with pytest.raises(RuntimeError, match="requires a gradient"):
            call()
        with torch.no_grad():
            call()


# Autograd.


def test_gradients_of_float16_are_exact_under_loss_scaling():
    x = torch.tensor([[0.0, 18.0], [18.0, 0.0]], dtype=torch.float16, requires_grad=True)
    wide = x.detach().double().requires_grad_()
    target, upstream = torch.tensor([1, 0]), 2.0**15
    # p = 1.5e-8 is less than half of float16's least number: a gradient rounded before the product would be 0.
    (ours.cross_entropy(x, target) * upstream).backward()
    (F.cross_entropy(wide, target) * upstream).backward()
    check(x.grad, wide.grad)
    assert (x.grad != 0).all() and (x.grad / upstream == 0).all()


def test_nothing_is_kept_but_the_inputs():
    x, target = normal((64, 100), torch.float32).requires_grad_(), torch.randint(100, (64,))
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda one: kept.append(one) or one, lambda one: one):
        ours.cross_entropy(x, target)
    assert sorted(one.data_ptr() for one in kept) == sorted(one.data_ptr() for one in (x, target))


def test_inputs_that_change_before_backward_are_an_error():
    x = normal((4, 3), torch.float32).requires_grad_()
    y = x * 1.0
    loss = ours.cross_entropy(y, torch.tensor([0, 1, 2, 0]))
    y.add_(1.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_no_gradient_is_computed_without_need(monkeypatch):
    outputs = []
    compute = ours.Asked.compute
    monkeypatch.setattr(ours.Asked, "compute", lambda self, *args: outputs.append(args[1]) or compute(self, *args))
    x, target = normal((4, 3), torch.float32).requires_grad_(), uniform((4, 3), torch.float32)
    with torch.no_grad():
        assert not ours.kl_div(x, target).requires_grad
    assert not ours.kl_div(x.detach(), target).requires_grad
    ours.kl_div(x, target).backward()
    assert outputs == [[], [], [], ["grad"]]
    target.requires_grad_()
    ours.kl_div(x.detach(), target).backward()
    assert outputs[-1] == ["target_grad"]


def test_there_is_no_second_derivative():
    x = normal((2, 3), torch.float32).requires_grad_()
    (grad,) = torch.autograd.grad(ours.softmax(x).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="computes no second derivatives"):
        grad.sum().backward()
    with pytest.raises(RuntimeError, match="functorch"):
        torch.func.grad(lambda x: ours.entropy(x))(x.detach())


def test_strided_inputs_and_upstream_gradients():
    base = normal((2, 6, 5, 4), torch.float32, 3.0)
    target = torch.randint(5, (4, 2, 3)).transpose(0, 1)
    for x in (base.permute(0, 2, 3, 1)[..., ::2], base[:, ::2].permute(0, 2, 3, 1).contiguous()):
        compare(
            lambda input: ours.cross_entropy(input, target, reduction="none"),
            lambda input: F.cross_entropy(input, target, reduction="none"),
            {"input": x},
            ["input"],
        )
    x = base[0].permute(1, 2, 0).requires_grad_()
    wide = x.detach().double().requires_grad_()
    # A sum's gradient is one number in all places, with strides of 0.
    for loss in (ours.softmax(x), torch.softmax(wide, -1)):
        loss[..., 0].sum().backward(retain_graph=True)
        loss.square().sum().backward()
    check(x.grad, wide.grad, 4.0)


@pytest.mark.parametrize(
    "function",
    [
        lambda x, q: ours.cross_entropy(x, torch.tensor([0, 2, 1]), label_smoothing=0.1, z_loss=0.1, reduction="sum"),
        lambda x, q: ours.cross_entropy(x, q, softcap=2.0, reduction="sum"),
        lambda x, q: ours.nll_loss(x, torch.tensor([0, 2, 1]), reduction="sum"),
        lambda x, q: ours.binary_cross_entropy(q, x.sigmoid(), reduction="sum"),
        lambda x, q: ours.binary_cross_entropy_with_logits(x, q, reduction="sum"),
        lambda x, q: ours.kl_div(x, q, reduction="sum"),
        lambda x, q: ours.gaussian_nll_loss(x, 1 - x, q, full=True, reduction="sum"),
        lambda x, q: ours.poisson_nll_loss(x, 4 * q, full=True, reduction="sum"),
        lambda x, q: ours.softmax(x, 0).square(),
        lambda x, q: ours.log_softmax(x, 1),
        lambda x, q: ours.entropy(x, 1, "none"),
    ],
)
def test_gradients_against_differences(function):
    x, q = normal((3, 4), torch.float32).requires_grad_(), uniform((3, 4), torch.float32, 0.3, 0.7).requires_grad_()
    # Differences over 2 eps err by eps^2 / 6 of the third derivative, up to some hundred here (1 / q^3): 2e-3; and by
    # an ulp of the loss over eps, 1e-4. A wrong factor or sign errs by tenths.
    assert torch.autograd.gradcheck(function, (x, q), eps=5e-3, atol=5e-3, rtol=1e-2)


def test_backward_in_other_threads():
    target = torch.randint(10, (20,))
    inputs = [normal((20, 10), torch.float32, seed=seed).requires_grad_() for seed in range(4)]
    losses = [ours.cross_entropy(x, target) for x in inputs]
    threads = [threading.Thread(target=loss.backward) for loss in losses]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for x in inputs:
        wide = x.detach().double().requires_grad_()
        F.cross_entropy(wide, target).backward()
        check(x.grad, wide.grad)


def test_autocast_widens_the_loss():
    x, target = normal((4, 3), torch.bfloat16).requires_grad_(), torch.tensor([0, 1, 2, 0])
    with torch.autocast("cpu", torch.bfloat16):
        loss, their = ours.cross_entropy(x, target), F.cross_entropy(x, target)
    loss.backward()
    assert loss.dtype == their.dtype == torch.float32 and x.grad.dtype == torch.bfloat16
    check(loss, F.cross_entropy(x.detach().double(), target))


# PyTorch's own, where it looks at the tensors of a graph's end.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")
def test_a_compiled_function_calls_the_loss_between_graphs():
    x, target = normal((4, 3), torch.float32).requires_grad_(), torch.tensor([0, 1, 2, 0])
    compiled = torch.compile(lambda x: 1 + ours.cross_entropy(2 * x, target), backend="eager")
    compiled(x).backward()
    wide = x.detach().double().requires_grad_()
    F.cross_entropy(2 * wide, target).backward()
    check(x.grad, wide.grad)


# Modules.

WEIGHT = torch.tensor([0.5, 1.0, 2.0])
MODULES = [
    ("CrossEntropyLoss", {"weight": WEIGHT, "ignore_index": 1, "label_smoothing": 0.1}),
    ("NLLLoss", {"weight": WEIGHT, "reduction": "sum"}),
    ("BCELoss", {"weight": WEIGHT}),
    ("BCEWithLogitsLoss", {"weight": WEIGHT, "pos_weight": 2 * WEIGHT, "reduction": "none"}),
    ("KLDivLoss", {"reduction": "batchmean", "log_target": True}),
    ("GaussianNLLLoss", {"full": True, "eps": 0.5}),
    ("PoissonNLLLoss", {"log_input": False, "full": True, "eps": 0.01}),
]


def arguments(name, dtype=torch.float32):
    x, p = normal((4, 3), dtype), uniform((4, 3), dtype, 0.1, 0.9)
    labels = torch.tensor([0, 1, 2, 2])
    return {
        "CrossEntropyLoss": (x, labels),
        "NLLLoss": (x, labels),
        "BCELoss": (p, 1 - p),
        "BCEWithLogitsLoss": (x, p),
        "KLDivLoss": (x, p),
        "GaussianNLLLoss": (x, p, p),
        "PoissonNLLLoss": (p, 4 * p),
    }[name]


@pytest.mark.parametrize(("name", "options"), MODULES)
def test_modules_are_pytorchs(name, options):
    mine, their = getattr(ours, name)(**copy.deepcopy(options)), getattr(torch.nn, name)(**copy.deepcopy(options))
    assert repr(mine) == repr(their) and isinstance(mine, type(their))
    assert mine.state_dict().keys() == their.state_dict().keys() == options.keys() & {"weight", "pos_weight"}
    given = arguments(name)
    wanted = their.double()(*(one.double() if one.is_floating_point() else one for one in given))
    # Terms of up to 4 cancel, and add up to the sum.
    check(mine(*given), wanted, 4.0)
    for copied in (copy.deepcopy(mine), pickle.loads(pickle.dumps(mine))):
        assert torch.equal(copied(*given), mine(*given))

    # State goes both ways.
    other = {key: 3 * value if torch.is_tensor(value) else value for key, value in options.items()}
    their = getattr(torch.nn, name)(**other)
    mine.load_state_dict(their.state_dict())
    assert all(torch.equal(one, 3 * options[key]) for key, one in mine.state_dict().items())
    their.load_state_dict(getattr(ours, name)(**options).state_dict())
    assert all(torch.equal(one, options[key]) for key, one in their.state_dict().items())


def test_modules_take_pytorchs_positions_and_our_keywords():
    x, labels = normal((4, 3), torch.float32), torch.tensor([0, 1, 2, 2])
    rows = torch.tensor([1.0, 0.0, 0.5, 2.0])
    module = ours.CrossEntropyLoss(WEIGHT, None, 1, None, "sum", 0.1, softcap=3.0, z_loss=0.1, logit_scale=0.5, dim=-1)
    options = {"ignore_index": 1, "reduction": "sum", "label_smoothing": 0.1}
    further = {"softcap": 3.0, "z_loss": 0.1, "logit_scale": 0.5, "dim": -1}
    wanted = ours.cross_entropy(x, labels, WEIGHT, row_weights=rows, **options, **further)
    assert module(x, labels, rows) == wanted != module(x, labels)
    empty = torch.empty(0, 3)
    assert ours.KLDivLoss(None, None, "mean", True, empty_mean="zero", device="cpu")(empty, empty) == 0
    assert ours.NLLLoss(dim=0)(x, torch.tensor([0, 1, 3])) == ours.nll_loss(x.T, torch.tensor([0, 1, 3]))


class Classifier(torch.nn.Module):
    def __init__(self, loss):
        super().__init__()
        self.linear = torch.nn.Linear(8, 3)
        self.loss = loss

    def forward(self, x, target):
        return self.loss(self.linear(x), target)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_models_in_other_types(dtype):
    x, target = normal((6, 8), dtype), torch.randint(3, (6,))
    model = Classifier(ours.CrossEntropyLoss(WEIGHT)).to(dtype)
    loss = model(x, target)
    loss.backward()
    assert model.loss.weight.dtype == loss.dtype == model.linear.weight.grad.dtype == dtype
    logits = model.linear(x).detach().double()
    check(loss, F.cross_entropy(logits, target, WEIGHT.double()))


def test_training_gives_pytorchs_weights():
    x, target = normal((50, 8), torch.float32), torch.randint(3, (50,), generator=torch.Generator().manual_seed(0))
    mine = Classifier(ours.CrossEntropyLoss(WEIGHT, label_smoothing=0.1))
    their = Classifier(torch.nn.CrossEntropyLoss(WEIGHT, label_smoothing=0.1))
    their.linear.load_state_dict(mine.linear.state_dict())
    before = mine.linear.weight.detach().clone()
    losses = []
    for model in (mine, their):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
        for _ in range(20):
            optimizer.zero_grad()
            loss = model(x, target)
            loss.backward()
            optimizer.step()
        losses.append(loss.item())
    # 20 steps of up to 0.5 / (1 - 0.9) times a gradient that errs by 8 roundings in both.
    bound = 20 * 5.0 * 2 * 8 * U
    torch.testing.assert_close(mine.linear.weight, their.linear.weight, rtol=0, atol=bound)
    assert abs(losses[0] - losses[1]) < bound and (mine.linear.weight - before).abs().max() > 0.1


def test_functions_without_autograd_refuse_tensors_that_need_it():
    x = normal((2, 3), torch.float32).requires_grad_()
    with pytest.raises(TypeError, match="input requires a gradient.*wgpu_loss.torch"):
        wgpu_loss.softmax(x)
    check(torch.from_numpy(wgpu_loss.softmax(x.detach())), torch.softmax(x.detach().double(), -1))


def test_the_package_alone_does_not_import_pytorch():
    code = "import sys, wgpu_loss; assert 'torch' not in sys.modules and 'jax' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_second_derivatives_are_refused_and_not_zero():
    x = torch.randn(4, 3, requires_grad=True)
    t = torch.tensor([0, 1, 2, 0])
    loss = ours.cross_entropy(x, t)
    (gradient,) = torch.autograd.grad(loss, x, create_graph=True)
    # A penalty of the gradient, whose derivative would be missing otherwise.
    with pytest.raises(RuntimeError, match="computes no second derivatives"):
        (loss + gradient.pow(2).sum()).backward()
    with pytest.raises(RuntimeError, match="computes no second derivatives"):
        torch.autograd.functional.hessian(lambda x: ours.cross_entropy(x, t), x.detach())
    # The gradient itself may be kept in a graph.
    wanted = torch.autograd.grad(torch.nn.functional.cross_entropy(x, t), x)[0]
    torch.testing.assert_close(gradient.detach(), wanted, rtol=1e-5, atol=1e-7)
