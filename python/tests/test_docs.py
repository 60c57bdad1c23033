"""The examples of pages and of docstrings."""

import contextlib
import doctest
import importlib
import importlib.util
import io
import pkgutil
import re
import warnings
from pathlib import Path

import pytest

import wgpu_loss
from wgpu_loss import _device

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```python(?:,(\w+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# What a line prints stands after it.
PRINTED = re.compile(r"^ *print\(.*\) +# (.*)$", re.MULTILINE)


def is_there(name):
    """Tell whether a module can be imported, as far as that shows without importing it."""
    return importlib.util.find_spec(name) is not None


def has(need):
    if need == "gpu":
        return bool(wgpu_loss.adapters())
    return need is None or (is_there(need) and is_there(f"wgpu_loss.{need}"))


@pytest.mark.parametrize(("page", "least"), [("README.md", 1), ("python/README.md", 6)])
def test_examples_of_pages_run_and_print_what_they_say(page, least, monkeypatch):
    # Where the examples find the sample data.
    monkeypatch.chdir(ROOT)
    blocks = BLOCK.findall((ROOT / page).read_text(encoding="utf-8"))
    assert len(blocks) >= least
    names, default = {}, _device._default
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", wgpu_loss.NoGpuWarning)
        try:
            for need, source in blocks:
                if has(need or None):
                    printed = io.StringIO()
                    with contextlib.redirect_stdout(printed):
                        exec(compile(source, page, "exec"), names)
                    expected = PRINTED.findall(source)
                    assert not expected or printed.getvalue().splitlines() == expected
        finally:
            _device._default = default


def modules():
    names = [module.name for module in pkgutil.iter_modules(wgpu_loss.__path__)]
    return ["wgpu_loss", *(f"wgpu_loss.{name}" for name in names if name not in ("__main__", "_native"))]


@pytest.mark.parametrize("name", modules())
@pytest.mark.filterwarnings("ignore::wgpu_loss.NoGpuWarning")
def test_examples_of_docstrings(name):
    needed = name.rpartition(".")[2]
    if needed in ("torch", "jax", "_torch", "_jax") and not is_there(needed.strip("_")):
        pytest.skip(f"without {needed}")
    module = importlib.import_module(name)
    # A loss is a function that wraps another one: doctest looks for those of the module alone.
    examples = doctest.DocTestFinder().find(module, name)
    functions = [value for value in vars(module).values() if callable(value) and hasattr(value, "question")]
    seen = {example.name for example in examples}
    for function in functions:
        if function.__module__ == name and f"{name}.{function.__name__}" not in seen:
            examples += doctest.DocTestFinder().find(function, f"{name}.{function.__name__}", globs=vars(module))
    runner = doctest.DocTestRunner()
    for example in examples:
        runner.run(example)
    assert runner.summarize().failed == 0


def test_docstrings_have_examples():
    finder = doctest.DocTestFinder(exclude_empty=True)
    assert any(test.examples for test in finder.find(wgpu_loss, "wgpu_loss"))
    for documented in (wgpu_loss.cross_entropy, wgpu_loss.softmax, wgpu_loss.Partial):
        assert any(test.examples for test in finder.find(documented, documented.__name__, globs={}))
