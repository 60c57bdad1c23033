"""Inputs: whatever shares its memory is read there, and everything else is refused or rounded as documented."""

import array
import warnings
from functools import partial

import numpy as np
import pytest
from capsules import BFLOAT, BOOL, COMPLEX, FLOAT, INT, UINT, Exported, bf16
from formulas import cross_entropy

import wgpu_loss
from wgpu_loss import _question


@pytest.fixture
def small_copies(monkeypatch):
    """Let everything that must be copied go in batches of few rows."""
    monkeypatch.setattr(_question, "COPIED_BYTES", 1 << 10)


NUMPY_HAS_VERSIONS = int(np.__version__.partition(".")[0]) > 1


class Tensor:
    """A tensor of another library, as DLPack sees it: NumPy's, with another device."""

    def __init__(self, of, device=(1, 0)):
        self.of, self.device, self.exports = of, device, 0

    def __dlpack__(self, **kwargs):
        kwargs = kwargs if NUMPY_HAS_VERSIONS else {}
        self.exports += 1
        return self.of.__dlpack__(**kwargs)

    def __dlpack_device__(self):
        return self.device


def logits(rng, shape, dtype=np.float32):
    return rng.standard_normal(shape).astype(dtype)


def test_memory_is_shared_by_dlpack(rng):
    x, t = logits(rng, (40, 7)), rng.integers(0, 7, 40)
    wanted = wgpu_loss.cross_entropy(x, t, return_grad=True)
    tensor = Tensor(x)
    got = wgpu_loss.cross_entropy(tensor, Tensor(t), return_grad=True)
    assert got.loss == wanted.loss and (got.grad == wanted.grad).all() and tensor.exports == 1
    # Strides of any kind, and memory that may not be written to.
    x.flags.writeable = not NUMPY_HAS_VERSIONS
    for view, labels in ((x[::-2], t[::-2]), (x[:, ::-1], 6 - t), (np.asfortranarray(x), t)):
        wanted, gradient, _ = cross_entropy(view, labels)
        got = wgpu_loss.cross_entropy(Tensor(view), labels, return_grad=True)
        np.testing.assert_allclose(got.loss, wanted, rtol=1e-6)
        np.testing.assert_allclose(got.grad, gradient, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("device", [(2, 1), (8, 0), (10, 0), (7, 0), (99, 3)])
def test_tensors_of_other_devices_are_named(rng, device):
    tensor = Tensor(logits(rng, (4, 3)), device)
    with pytest.raises(TypeError, match=rf"^input is on .* device \({device[1]}\).*move it there first"):
        wgpu_loss.cross_entropy(tensor, np.zeros(4, int))
    assert tensor.exports == 0
    with pytest.raises(TypeError, match="^target is on"):
        wgpu_loss.cross_entropy(np.zeros((4, 3), np.float32), tensor)


def test_pinned_memory_is_the_hosts(rng):
    x = logits(rng, (4, 3))
    # NumPy exports it as the CPU's, which is what counts.
    assert wgpu_loss.cross_entropy(Tensor(x, (1, 0)), np.zeros(4, int)).loss > 0


def test_a_tensor_that_refuses_is_named():
    class Refusing(Tensor):
        def __dlpack__(self, **kwargs):
            raise BufferError("it requires a gradient")

    with pytest.raises(TypeError, match="^input cannot be read: it requires a gradient"):
        wgpu_loss.cross_entropy(Refusing(np.zeros((2, 2), np.float32)), np.zeros(2, int))


def test_tensors_of_libraries_that_know_no_versions(rng):
    class Old(Tensor):
        def __dlpack__(self, stream=None):
            return self.of.__dlpack__()

    x, t = logits(rng, (4, 3)), np.zeros(4, int)
    assert wgpu_loss.cross_entropy(Old(x), Old(t)).loss == wgpu_loss.cross_entropy(x, t).loss


def test_bf16_by_dlpack(rng):
    x = logits(rng, (30, 11))
    x.view(np.uint32)[...] &= 0xFFFF0000
    t = rng.integers(0, 11, 30)
    wanted, gradient, _ = cross_entropy(x, t)
    output = wgpu_loss.cross_entropy(bf16(x), t, return_grad=True)
    np.testing.assert_allclose(output.loss, wanted, rtol=1e-6)
    # Without ml_dtypes, in float32.
    np.testing.assert_allclose(output.grad.astype(np.float64), gradient, rtol=2.0**-8, atol=1e-9)
    rows = rng.random(30).astype(np.float32)
    rows.view(np.uint32)[...] &= 0xFFFF0000
    a, b = (wgpu_loss.cross_entropy(bf16(x), t, row_weights=weights).loss for weights in (rows, bf16(rows)))
    assert a == b


@pytest.mark.parametrize(
    ("code", "bits", "lanes"),
    [(BFLOAT, 8, 1), (BFLOAT, 32, 1), (FLOAT, 8, 1), (FLOAT, 128, 1), (INT, 4, 1), (INT, 24, 1), (UINT, 128, 1)]
    + [(COMPLEX, 64, 1), (BOOL, 16, 1), (7, 8, 1), (200, 8, 1), (FLOAT, 32, 4)],
)
def test_elements_of_other_types_are_refused(code, bits, lanes):
    tensor = Exported(np.zeros((4, 3), np.uint8), code, bits, lanes)
    with pytest.raises(TypeError, match="^input has elements of a type that losses are not defined for"):
        wgpu_loss.cross_entropy(tensor, np.zeros(4, int))
    with pytest.raises(TypeError, match="^target has elements"):
        wgpu_loss.cross_entropy(np.zeros((4, 3), np.float32), tensor)


def test_the_native_module_reads_no_array_as_another():
    # A slip of the Python files would be a read beyond the array's end.
    call = wgpu_loss._native.Call("softmax", {"axis": -1}, [], 0, False)
    small = np.zeros((2, 3), np.uint16)
    for given, kind, shape in (
        (small, "f32", (2, 3)),
        (small, "f16", (2, 4)),
        (small, "f16", (6,)),
        (small.T, "f16", (3, 2)),
        (small, "u64", (2, 3)),
        (small, "complex", (2, 3)),
    ):
        with pytest.raises(ValueError, match="another shape, type or layout"):
            call.run(None, {"input": (given, kind, shape)}, {}, None)
    place = np.zeros((2, 3), np.float16)
    for shape, size in (((2, 3), 4), ((2, 4), 2), ((3, 2), 2)):
        with pytest.raises(ValueError, match="another shape, type or layout"):
            call.run(None, {"input": (place, "f16", (2, 3))}, {"probs": (place, shape, size)}, None)


def test_an_object_with_no_method_for_dlpack_is_an_array():
    class Odd(list):
        __dlpack__ = None

    assert wgpu_loss.cross_entropy(Odd([[0.0, 0.0]]), [1]).loss > 0


def test_tensors_without_elements():
    tensor = Tensor(np.zeros((0, 3), np.float32))
    assert wgpu_loss.cross_entropy(tensor, Tensor(np.zeros(0, int)), reduction="sum").loss == 0


def test_buffers_and_lists(rng):
    x = logits(rng, (2, 3))
    wanted = wgpu_loss.cross_entropy(x, np.array([2, 0])).loss
    assert wgpu_loss.cross_entropy(memoryview(x), array.array("q", [2, 0])).loss == wanted
    assert wgpu_loss.cross_entropy(x.tolist(), [2, 0]).loss == wanted
    assert wgpu_loss.cross_entropy(x, memoryview(bytes([2, 0]))).loss == wanted


@pytest.mark.parametrize(
    "name", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", ">i4", ">u8"]
)
def test_labels_of_every_type(rng, name):
    x, t = logits(rng, (9, 5)), rng.integers(0, 5, 9)
    wanted = wgpu_loss.cross_entropy(x, t).loss
    assert wgpu_loss.cross_entropy(x, t.astype(name)).loss == wanted
    assert (
        wgpu_loss.cross_entropy(x[::2], t.astype(name)[::2]).loss == wgpu_loss.cross_entropy(x[::2].copy(), t[::2]).loss
    )


def test_labels_of_truth_values(rng):
    x, t = logits(rng, (9, 2)), rng.integers(0, 2, 9)
    assert wgpu_loss.cross_entropy(x, t.astype(bool)).loss == wgpu_loss.cross_entropy(x, t).loss


def test_bf16_of_ml_dtypes(rng):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    x = logits(rng, (30, 11), ml_dtypes.bfloat16)
    t = rng.integers(0, 11, 30)
    output = wgpu_loss.cross_entropy(x, t, return_grad=True)
    wanted, gradient, _ = cross_entropy(x, t)
    assert output.grad.dtype == ml_dtypes.bfloat16
    np.testing.assert_allclose(output.loss, wanted, rtol=1e-6)
    np.testing.assert_allclose(output.grad.astype(np.float64), gradient, rtol=2.0**-8, atol=1e-9)
    transposed = np.ascontiguousarray(x.T).T
    assert wgpu_loss.cross_entropy(transposed, t).loss == output.loss
    # Row weights and upstream gradients are f32: each bf16 is one.
    rows = rng.random(30).astype(ml_dtypes.bfloat16)
    a, b = (wgpu_loss.cross_entropy(x, t, row_weights=w).loss for w in (rows, rows.astype(np.float32)))
    assert a == b


def test_bf16_without_its_type_in_numpy_gives_gradients_in_f32(rng, monkeypatch):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    x = logits(rng, (30, 11), ml_dtypes.bfloat16)
    t = rng.integers(0, 11, 30)
    monkeypatch.setattr(_question, "bf16_dtype", lambda: None)
    output = wgpu_loss.cross_entropy(x, t, return_grad=True)
    assert output.grad.dtype == np.float32
    np.testing.assert_allclose(output.grad, cross_entropy(x, t)[1], rtol=1e-5, atol=1e-8)


def test_other_numbers_are_rounded_to_f32(rng):
    x, t = logits(rng, (30, 6), np.float64), rng.integers(0, 6, 30)
    wanted = wgpu_loss.cross_entropy(x.astype(np.float32), t, return_grad=True)
    got = wgpu_loss.cross_entropy(x, t, return_grad=True)
    assert got.loss == wanted.loss and got.grad.dtype == np.float32 and (got.grad == wanted.grad).all()
    whole = rng.integers(-5, 5, (30, 6))
    assert wgpu_loss.cross_entropy(whole, t).loss == wgpu_loss.cross_entropy(whole.astype(np.float32), t).loss
    swapped = x.astype(">f4")
    assert wgpu_loss.cross_entropy(swapped, t).loss == wanted.loss
    # Beyond f32, as in any other conversion.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isnan(wgpu_loss.cross_entropy(np.full((1, 2), 1e300), [0]).loss)


def test_counts_and_truth_values_are_targets(rng):
    x = rng.random((5, 4)).astype(np.float32)
    t = rng.random((5, 4)) > 0.5
    wanted = wgpu_loss.binary_cross_entropy(x, t.astype(np.float32)).loss
    assert wgpu_loss.binary_cross_entropy(x, t).loss == wanted
    assert wgpu_loss.binary_cross_entropy(x, t.astype(np.int64)).loss == wanted


LAYOUTS = {
    "transposed": lambda x: np.ascontiguousarray(np.moveaxis(x, 0, -1)).transpose(-1, *range(x.ndim - 1)),
    "reversed": lambda x: np.ascontiguousarray(x[::-1])[::-1],
    "f64": lambda x: x.astype(np.float64),
    "every other": lambda x: np.repeat(x, 2, axis=0)[::2],
    "unaligned": lambda x: (
        np.frombuffer(b"\0" + x.tobytes(), np.uint8)[1:].view(x.dtype).reshape(x.shape) if x.dtype != object else x
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("reduction", ["mean", "sum", "none", "batchmean"])
def test_batches_are_the_whole(rng, small_copies, layout, reduction):
    x, t = logits(rng, (500, 6, 3)), rng.integers(0, 6, (500, 3))
    t[rng.random((500, 3)) < 0.1] = -100
    weight, rows = rng.random(6).astype(np.float32), rng.random((500, 3)).astype(np.float32)
    upstream = rng.standard_normal((500, 3)).astype(np.float32) if reduction == "none" else 2.0
    options = {
        "weight": weight,
        "row_weights": rows,
        "upstream": upstream,
        "reduction": reduction,
        "outputs": ("grad", "lse", "argmax", "accuracy", "class_losses"),
    }
    wanted = wgpu_loss.cross_entropy(x, t, **options)
    seen = []
    got = wgpu_loss.cross_entropy(LAYOUTS[layout](x), t, progress=lambda *done: seen.append(done), **options)
    assert seen[-1] == (1500, 1500) and seen == sorted(seen)
    # A stream adds in another order.
    np.testing.assert_allclose(got.loss, wanted.loss, rtol=1e-6)
    np.testing.assert_allclose(got.grad, wanted.grad, rtol=1e-6, atol=1e-12)
    np.testing.assert_array_equal(got.lse, wanted.lse)
    np.testing.assert_array_equal(got.argmax, wanted.argmax)
    assert got.summary.correct == wanted.summary.correct
    np.testing.assert_array_equal(got.class_losses.rows, wanted.class_losses.rows)
    np.testing.assert_allclose(got.class_losses.loss, wanted.class_losses.loss, rtol=1e-6)


def test_batches_of_elements_are_the_whole(rng, small_copies):
    x, t = (rng.standard_normal((300, 9)) for _ in range(2))
    var = rng.random((300, 9)) + 0.1
    names = ("grad", "target_grad", "var_grad")
    cases = [
        (wgpu_loss.gaussian_nll_loss, (x, t, var), names),
        (wgpu_loss.gaussian_nll_loss, (x, t, var[:, :1]), names),
        (wgpu_loss.gaussian_nll_loss, (x, t, var[:1, :1]), names),
        (wgpu_loss.kl_div, (x, np.abs(t)), ("grad", "target_grad")),
        (wgpu_loss.kl_div, (x, np.abs(t[0])), ("grad",)),
        # Operands that all batches share.
        (wgpu_loss.gaussian_nll_loss, (x, t, np.array(0.5)), names),
        (wgpu_loss.gaussian_nll_loss, (x, t, var[:, 0]), names),
        (wgpu_loss.gaussian_nll_loss, (x, t[:1], var[:1, :1]), ("grad",)),
        (wgpu_loss.gaussian_nll_loss, (x, t[:1], var[:1, :1]), ("grad", "var_grad")),
    ]
    for function, arrays, outputs in cases:
        for reduction in ("mean", "sum", "none", "batchmean"):
            got = function(*arrays, outputs=outputs, reduction=reduction)
            narrow = (array.astype(np.float32) for array in arrays)
            wanted = function(*narrow, outputs=outputs, reduction=reduction)
            np.testing.assert_allclose(got.loss, wanted.loss, rtol=1e-6)
            for name in outputs:
                np.testing.assert_allclose(getattr(got, name), getattr(wanted, name), rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("shape", [(9, 9), (300, 300)])
def test_operands_of_columns_are_not_taken_for_rows(rng, small_copies, shape):
    x, t, w = rng.standard_normal(shape), rng.random(shape), rng.random(shape[1]) + 0.5
    for weight in (w, w[None], w[:, None], np.float32(0.5)):
        got = wgpu_loss.binary_cross_entropy_with_logits(x, t, weight, weight, return_grad=True, reduction="none")
        narrow = (np.float32(array) for array in (x, t, weight, weight))
        wanted = wgpu_loss.binary_cross_entropy_with_logits(*narrow, return_grad=True, reduction="none")
        np.testing.assert_allclose(got.loss, wanted.loss, rtol=1e-6)
        np.testing.assert_allclose(got.grad, wanted.grad, rtol=1e-5, atol=1e-9)


def test_operands_that_fit_a_batch_but_not_the_whole(rng, small_copies):
    x = rng.standard_normal((1024, 8))
    for longer in (2048, 1025):
        for compute in (wgpu_loss.cross_entropy, partial(wgpu_loss.Partial.of, wgpu_loss.cross_entropy)):
            with pytest.raises(ValueError, match=rf"target has shape \[{longer}\], expected \[1024\]"):
                compute(x, np.zeros(longer, int))
            with pytest.raises(ValueError, match="row_weights has shape"):
                compute(x, np.zeros(1024, int), row_weights=np.ones(longer))


def test_classes_on_the_first_axis_are_copied_whole(rng, small_copies):
    x = logits(rng, (400, 5), np.float64)
    wanted = wgpu_loss.log_softmax(x.astype(np.float32), 0)
    np.testing.assert_array_equal(wgpu_loss.log_softmax(x, 0), wanted)
    # Along the last axis, sums are formed in another order.
    np.testing.assert_allclose(wgpu_loss.log_softmax(x.T, 1), wanted.T, rtol=1e-6)


def test_a_bad_label_of_a_batch_is_counted_in_the_whole(rng, small_copies):
    x, t = logits(rng, (500, 6), np.float64), rng.integers(0, 6, 500)
    t[[345, 400]] = [77, 78]
    with pytest.raises(wgpu_loss.BadLabelError) as caught:
        wgpu_loss.cross_entropy(x, t)
    assert (caught.value.position, caught.value.value, caught.value.count) == (345, 77, 2)


def test_files_that_are_mapped(rng, tmp_path):
    x, t = logits(rng, (4000, 33)), rng.integers(0, 33, 4000)
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert isinstance(mapped, np.memmap)
    assert wgpu_loss.cross_entropy(mapped, t).loss == wgpu_loss.cross_entropy(x, t).loss


HOSTILE = [
    ("objects", np.array([[object()] * 3] * 2), TypeError),
    ("text", np.array([["a", "b", "c"]] * 2), TypeError),
    ("complex numbers", np.zeros((2, 3), complex), TypeError),
    ("dates", np.zeros((2, 3), "datetime64[s]"), TypeError),
    ("records", np.zeros((2, 3), [("a", "f4")]), TypeError),
    ("ragged lists", [[1.0, 2.0, 3.0], [1.0]], TypeError),
    ("nothing", None, TypeError),
    ("an object", object(), TypeError),
    ("a number", 3.0, ValueError),
    ("a set", {1.0, 2.0}, TypeError),
    ("a masked array", np.ma.masked_array(np.zeros((2, 3)), np.ones((2, 3))), TypeError),
]


@pytest.mark.parametrize(("what", "given", "error"), HOSTILE, ids=[what for what, *_ in HOSTILE])
def test_what_is_no_array_is_refused(what, given, error):
    with pytest.raises(error):
        wgpu_loss.cross_entropy(given, np.zeros(2, int))
    with pytest.raises((TypeError, ValueError)):
        wgpu_loss.cross_entropy(np.zeros((2, 3), np.float32), given)
    with pytest.raises((TypeError, ValueError)):
        wgpu_loss.cross_entropy(np.zeros((2, 3), np.float32), np.zeros(2, int), given if given is not None else "w")


def test_arrays_without_elements():
    for shape in ((0, 3), (3, 0), (0, 0), (2, 3, 0), (0,)):
        rows = np.delete(shape, min(1, len(shape) - 1))
        output = wgpu_loss.cross_entropy(
            np.zeros(shape, np.float32), np.full(rows, -100), return_grad=True, reduction="sum"
        )
        assert output.loss == 0 and output.grad.shape == shape
        assert wgpu_loss.softmax(np.zeros(shape, np.float32)).shape == shape


def test_strides_of_zero_and_of_more_than_the_array(rng):
    x = np.broadcast_to(logits(rng, (1, 4)), (50, 4))
    t = np.broadcast_to(np.int64(2), 50)
    one = wgpu_loss.cross_entropy(x[:1], t[:1]).loss
    np.testing.assert_allclose(wgpu_loss.cross_entropy(x, t).loss, one, rtol=1e-6)
    window = np.lib.stride_tricks.sliding_window_view(logits(rng, 20), 5)
    np.testing.assert_array_equal(wgpu_loss.softmax(window), wgpu_loss.softmax(window.copy()))
    assert wgpu_loss.cross_entropy(np.zeros((2, 3), np.float32)[:, None, :], np.zeros((2, 3), int)).loss == 0


def test_subclasses_of_arrays_are_arrays(rng):
    x = logits(rng, (4, 3))
    assert isinstance(wgpu_loss.cross_entropy(x.view(np.matrix), [0] * 4, return_grad=True).grad, np.ndarray)
