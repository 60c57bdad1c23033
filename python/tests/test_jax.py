"""Every loss and gradient of `wgpu_loss.jax` against JAX's derivative of its formula in float64."""

import math

import pytest

jax = pytest.importorskip("jax")

import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
from jax.scipy.special import entr  # noqa: E402

import wgpu_loss.jax as ours  # noqa: E402

# Half an ulp of f32, relative, and of the types that results are rounded to.
U = 2.0**-24
ROUNDING = {"float32": U, "float16": 2.0**-11, "bfloat16": 2.0**-8, "float64": 0.0}
DTYPES = [jnp.float32, jnp.float16, jnp.bfloat16]


def check(got, wanted, scale=None):
    """Compare a result with that of f64: see `check` of test_torch.py."""
    assert got.shape == wanted.shape
    scale = np.abs(wanted).max(initial=0.0) if scale is None else scale
    rtol = 16 * U + ROUNDING[got.dtype.name]
    atol = 8 * U * scale + (2.0**-25 if got.dtype == jnp.float16 else 1e-37)
    np.testing.assert_allclose(np.asarray(got, np.float64), np.asarray(wanted), rtol=rtol, atol=atol)


def compare(own, formula, operands, grads=("input",), scale=None, grad_scale=None):
    """Compare loss and gradients, under jit, with a formula in f64 of the same operands by their names."""
    loss, found = jax.jit(jax.value_and_grad(lambda some: own(**(operands | some)).sum()))(
        {name: operands[name] for name in grads}
    )
    assert loss.dtype == operands["input"].dtype
    with jax.enable_x64(True):
        wide = {
            name: jnp.asarray(np.asarray(one, np.float64 if jnp.issubdtype(one.dtype, jnp.floating) else np.int64))
            for name, one in operands.items()
        }
        wanted, derivatives = jax.value_and_grad(lambda some: formula(**(wide | some)).sum())(
            {name: wide[name] for name in grads}
        )
    check(loss, wanted, scale)
    for name in grads:
        assert found[name].dtype == operands[name].dtype
        check(found[name], derivatives[name], grad_scale)


def normal(shape, dtype, spread=1.0, seed=0):
    return jnp.asarray(spread * np.random.default_rng(seed).standard_normal(shape), dtype)


def uniform(shape, dtype, low=0.0, high=1.0, seed=0):
    return jnp.asarray(np.random.default_rng(seed).uniform(low, high, shape), dtype)


def cross_entropy(input, target, weight=None, smoothing=0.0, z_loss=0.0, dim=1):
    """Return the mean: sum of losses over sum of w_t for labels, over the rows for probabilities."""
    log_p = jax.nn.log_softmax(input, dim)
    classes = input.shape[dim]
    q = target
    if not jnp.issubdtype(target.dtype, jnp.floating):
        q = jax.nn.one_hot(target, classes, axis=dim)
    shape = [classes if axis == dim % input.ndim else 1 for axis in range(input.ndim)]
    w = jnp.ones(shape) if weight is None else weight.reshape(shape)
    own = (w * q).sum(dim) if q is not target else jnp.ones(log_p.sum(dim).shape)
    losses = -(w * ((1 - smoothing) * q + smoothing / classes) * log_p).sum(dim)
    losses += z_loss * own * jax.nn.logsumexp(input, dim) ** 2
    return losses.sum() / own.sum()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "dim"), [((5, 7), 1), ((2, 3, 2, 33), -1)])
@pytest.mark.parametrize("kind", ["labels", "probabilities"])
def test_cross_entropy(dtype, shape, dim, kind):
    labels = np.random.default_rng(0).integers(0, shape[dim], np.delete(shape, dim))
    operands = {
        "input": normal(shape, dtype, 4.0),
        "target": jnp.asarray(labels) if kind == "labels" else uniform(shape, dtype),
        "weight": uniform(shape[dim], dtype, 0.2),
    }
    compare(
        lambda **given: ours.cross_entropy(**given, dim=dim, label_smoothing=0.1, z_loss=0.01),
        lambda **given: cross_entropy(**given, dim=dim, smoothing=0.1, z_loss=0.01),
        operands,
        # Shares and probabilities cancel.
        grad_scale=1.0,
    )


@pytest.mark.parametrize("dtype", DTYPES)
def test_losses_of_elements(dtype):
    x, p = normal((4, 3), dtype, 3.0), uniform((4, 3), dtype, 0.1, 0.9)
    t, w, row = uniform((4, 3), dtype, 0.1, 0.9, 1), uniform((4, 3), dtype, 0.5, 2.0), uniform(3, dtype, 0.5, 2.0)
    compare(
        ours.binary_cross_entropy,
        lambda input, target, weight: (-weight * (target * jnp.log(input) + (1 - target) * jnp.log1p(-input))).mean(),
        {"input": p, "target": t, "weight": row},
    )
    compare(
        lambda **given: ours.binary_cross_entropy_with_logits(**given, reduction="sum"),
        lambda input, target, weight, pos_weight: (
            weight * (pos_weight * target * jax.nn.softplus(-input) + (1 - target) * jax.nn.softplus(input))
        ),
        {"input": x, "target": t, "weight": w, "pos_weight": row},
    )
    compare(
        lambda **given: ours.poisson_nll_loss(**given, reduction="batchmean"),
        lambda input, target: (jnp.exp(input) - target * input) / 4,
        {"input": p, "target": t},
        # exp(x) and t x cancel.
        scale=10.0,
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(4, 3), (3,), (1, 3)])
def test_losses_with_gradients_of_targets(dtype, shape):
    x, t = -uniform((4, 3), dtype, 0.1, 3.0), uniform(shape, dtype, 0.1, 0.9)
    compare(
        lambda **given: ours.kl_div(**given, reduction="batchmean"),
        lambda input, target: target * (jnp.log(target) - input) / 4,
        {"input": x, "target": t},
        ["input", "target"],
        # Sums of 4 terms up to 4, a quarter each.
        4.0,
        4.0,
    )
    for var in ((4, 3), (4, 1), (4,)):
        compare(
            lambda **given: ours.gaussian_nll_loss(**given, full=True),
            lambda input, target, var: (
                0.5 * (jnp.log(v := var.reshape(4, -1)) + (input - target) ** 2 / v + math.log(2 * math.pi)).mean()
            ),
            {"input": x, "target": t, "var": uniform(var, dtype, 0.3, 2.0)},
            ["input", "target", "var"],
            4.0,
            # 1 / v - d^2 / v^2, of d up to 4, cancel.
            20.0,
        )


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_distributions_entropy_and_nll(dtype):
    # The upstream gradient is rounded to the type of the result.
    x, u = normal((4, 5), dtype, 3.0), uniform((4, 5), dtype, 0.0, 2.0).astype(jnp.float32)
    for own, of_jax in ((ours.softmax, jax.nn.softmax), (ours.log_softmax, jax.nn.log_softmax)):
        for dim in (0, -1):
            check(own(x, dim), np.asarray(of_jax(jnp.asarray(x, jnp.float32), dim), np.float64), 10.0)
            compare(
                # In f32 after the function, so that it is the function's rounding that is seen.
                lambda input, own=own, dim=dim: (u * own(input, dim)).sum().astype(dtype),
                lambda input, of_jax=of_jax, dim=dim: (np.asarray(u, np.float64) * of_jax(input, dim)).sum(),
                {"input": x},
                # The results are rounded before they are added up.
                scale=100.0 * ROUNDING[jnp.dtype(dtype).name] / U,
                grad_scale=10.0,
            )
    compare(ours.entropy, lambda input: entr(jax.nn.softmax(input)).sum(-1).mean(), {"input": x}, grad_scale=4.0)
    labels = jnp.array([4, -100, 0, 2])
    compare(
        lambda input: ours.nll_loss(input, labels, reduction="sum"),
        lambda input: -(input[0, 4] + input[2, 0] + input[3, 2]),
        {"input": x},
        scale=10.0,
    )


def test_reductions_and_rows():
    x, labels = normal((4, 5), jnp.float32, 3.0), jnp.array([4, 1, 0, 2], jnp.uint8)
    rows = jnp.array([1.0, 0.0, 2.0, 0.5])
    losses = ours.cross_entropy(x, labels, reduction="none", row_weights=rows)
    assert losses.shape == (4,) and losses[1] == 0
    check(ours.cross_entropy(x, labels, reduction="sum", row_weights=rows), np.asarray(losses, np.float64).sum())
    mean = np.asarray(losses, np.float64).sum() / 3.5
    check(ours.cross_entropy(x, labels, row_weights=rows), mean)
    upstream = jnp.arange(4.0)
    _, pull = jax.vjp(lambda x: ours.cross_entropy(x, labels, reduction="none"), x)
    check(pull(upstream)[0], upstream[:, None] * (jax.nn.softmax(x) - jax.nn.one_hot(labels, 5)), 3.0)


def test_transformations():
    x, labels = normal((3, 4, 5), jnp.float32), jnp.array([4, 1, 0, 2])
    separate = [jax.value_and_grad(ours.cross_entropy)(one, labels) for one in x]
    losses, grads = jax.jit(jax.vmap(jax.value_and_grad(ours.cross_entropy), (0, None)))(x, labels)
    assert losses.tolist() == [float(loss) for loss, _ in separate]
    assert (grads == jnp.stack([grad for _, grad in separate])).all()

    def step(x, _):
        loss, grad = jax.value_and_grad(ours.cross_entropy)(x, labels)
        return x - grad, loss

    losses = jax.jit(lambda x: jax.lax.scan(step, x, length=4)[1])(x[0])
    assert losses[0] == separate[0][0] and (jnp.diff(losses) < 0).all()
    with pytest.raises(Exception, match="pure_callback|callback|JVP|jvp|differentiat"):
        jax.hessian(ours.entropy)(x[0])


def test_functions_are_traced_once():
    traces = []

    @jax.jit
    def loss(x):
        traces.append(x)
        return ours.cross_entropy(x, jnp.array([0, 1]), z_loss=0.1)

    for seed in range(3):
        loss(normal((2, 3), jnp.float32, seed=seed))
    assert len(traces) == 1
    assert ours.Asked("kl_div", (("eps", 0.1),)) == ours.Asked("kl_div", (("eps", 0.1),))


def test_numbers_empty_inputs_and_the_cpu():
    assert ours.binary_cross_entropy_with_logits(0.0, 1.0) == jnp.log(jnp.float32(2.0))
    check(jax.grad(ours.binary_cross_entropy_with_logits)(1.0, 1.0), np.float64(-1 / (1 + math.e)))
    for shape in ((), (3,), (2, 3)):
        # (1 - 1 / 2) / (2 * 2)
        check(jax.grad(ours.gaussian_nll_loss, 2)(jnp.ones(shape), jnp.zeros(shape), 2.0), np.float64(0.125))
    empty, labels = jnp.zeros((0, 3)), jnp.zeros(0, int)
    assert jnp.isnan(ours.cross_entropy(empty, labels)) and ours.cross_entropy(empty, labels, empty_mean="zero") == 0
    assert jax.grad(ours.cross_entropy)(empty, labels).shape == (0, 3)
    x, labels = normal((4, 5), jnp.float32, 3.0), jnp.array([4, 1, 0, 2])
    loss, grad = jax.value_and_grad(ours.cross_entropy)(x, labels)
    again, exact = jax.value_and_grad(lambda x: ours.cross_entropy(x, labels, device="cpu"))(x)
    check(loss, np.float64(again))
    check(grad, np.asarray(exact, np.float64))


def test_float64_with_x64():
    with jax.enable_x64(True):
        x = jnp.asarray(np.random.default_rng(0).standard_normal((4, 5)))
        loss, grad = jax.value_and_grad(ours.cross_entropy)(x, jnp.array([4, 1, 0, 2]))
        assert loss.dtype == grad.dtype == jnp.float64
        check(loss, np.float64(cross_entropy(x, jnp.array([4, 1, 0, 2]))), 1.0)


def test_large_inputs_under_jit():
    # Many more bytes than a callback's arguments are copied with at once.
    x = jnp.ones((1024, 2048))
    grad = jax.jit(jax.grad(lambda x: ours.cross_entropy(2 * x, jnp.zeros(1024, int))))(x)
    check(grad[:, 1], np.full(1024, 2 / 1024 / 2048))
    check(grad[:, 0], np.full(1024, 2 / 1024 * (1 / 2048 - 1)))


def test_errors():
    x, labels, q = normal((4, 5), jnp.float32), jnp.array([4, 1, 0, 2]), uniform((4, 5), jnp.float32)
    for call, error, message in (
        (lambda: ours.cross_entropy(x, labels[:2]), ValueError, "has shape"),
        (lambda: jax.jit(ours.kl_div)(x, q[:2]), ValueError, "target"),
        (lambda: ours.cross_entropy(x, labels, reduction="total"), ValueError, "reduction"),
        (lambda: ours.nll_loss(x, q), TypeError, "labels"),
        (lambda: ours.softmax(x, device="gpu"), TypeError, "device"),
        (lambda: ours.softmax(x.astype(jnp.complex64)), TypeError, "input"),
        (lambda: jax.grad(ours.cross_entropy, 1)(x, q), TypeError, "gradient of target.*stop_gradient"),
        (lambda: jax.grad(lambda w: ours.nll_loss(x, labels, w))(q[0]), TypeError, "gradient of weight"),
        (lambda: jax.jit(lambda z: ours.cross_entropy(x, labels, z_loss=z))(0.1), TypeError, "z_loss.*concrete"),
        (lambda: ours.cross_entropy(x, labels + 1), jax.errors.JaxRuntimeError, "the first is 5, at position 0"),
    ):
        with pytest.raises(error, match=message):
            call()
    # What needs no gradient is not asked for one.
    grad = jax.grad(lambda x: ours.cross_entropy(x, jax.lax.stop_gradient(jax.nn.softmax(2 * x))))(x)
    check(grad, np.asarray(jax.nn.softmax(x) - jax.nn.softmax(2 * x), np.float64) / 4, 1.0)
