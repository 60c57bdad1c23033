"""The program in the package."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import wgpu_loss

SCRIPT = Path(sys.executable).parent / "wgpu-loss"
COMMANDS = [[sys.executable, "-m", "wgpu_loss"], [str(SCRIPT)]]


@pytest.mark.parametrize("command", COMMANDS, ids=["module", "script"])
def test_it_is_the_program(command, rng, tmp_path):
    if not shutil.which(command[0]):
        pytest.skip("the package is not installed, but read from its folder")
    x, t = rng.standard_normal((50, 10)).astype(np.float32), rng.integers(0, 10, 50)
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "t.npy", t)

    def run(*words):
        words = [*command, *words]
        return subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, timeout=120, check=False)

    done = run("cross-entropy", "x.npy", "t.npy", "--json", "--save-partial", "p.json", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    loss = json.loads(done.stdout)["loss"]
    assert loss == pytest.approx(wgpu_loss.cross_entropy(x, t, device="cpu").loss, rel=1e-6)
    (shard,) = json.loads((tmp_path / "p.json").read_text())["shards"]
    partial = wgpu_loss.Partial.from_json(json.dumps(shard["partial"]))
    assert partial.finish().loss == pytest.approx(loss, rel=1e-6) and partial.summary.rows == 50
    assert run("--version").stdout == f"wgpu-loss {wgpu_loss.__version__}\n"
    done = run("cross-entropy", "nothing.npy", "t.npy")
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and "nothing.npy" in done.stderr
    assert run("no-such-command").returncode == 2
    assert "Usage: wgpu-loss" in run("--help").stdout


def test_it_is_quiet_without_a_desktop():
    # Mesa's device selection complains twice.
    environment = {
        name: value for name, value in os.environ.items() if name not in ("XDG_RUNTIME_DIR", "NODEVICE_SELECT")
    }
    for code in (["-m", "wgpu_loss", "adapters"], ["-c", "import wgpu_loss; wgpu_loss.adapters()"]):
        done = subprocess.run([sys.executable, *code], capture_output=True, text=True, env=environment, timeout=60)
        assert "XDG_RUNTIME_DIR" not in done.stderr, done.stderr


def test_other_libraries_are_not_loaded():
    code = "import sys, wgpu_loss; assert 'torch' not in sys.modules and 'jax' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ)
