"""Sums from Ray workers, which add up to those of one process."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("ray")

EXAMPLE = Path(__file__).parents[1] / "examples" / "ray_perplexity.py"


def test_two_workers_find_what_one_process_finds(tmp_path):
    sys.path.insert(0, str(EXAMPLE.parent))
    try:
        from ray_perplexity import make_shards, partial_of
    finally:
        sys.path.remove(str(EXAMPLE.parent))
    from wgpu_loss import Partial, adapters

    device, options = (None, []) if adapters() else ("cpu", ["--cpu"])
    paths = make_shards(tmp_path, shards=4, rows=50, classes=300)
    alone = sum(partial_of(path, device) for path in paths)

    saved = tmp_path / "sums.json"
    command = [sys.executable, str(EXAMPLE), "--workers", "2", "--save", str(saved), *options, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert Partial.from_json(saved.read_text()) == alone
    assert f"perplexity  {alone.finish().perplexity:.6g}\n" in done.stdout
    assert f"standard error {alone.standard_error:.3g}\n" in done.stdout
    assert f"rows        {50 + 51 + 52 + 53} of 4 shards\n" in done.stdout
