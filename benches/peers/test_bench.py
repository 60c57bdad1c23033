"""What must hold on any machine, without PyTorch and without a GPU: python3 -m unittest, in this folder."""

import argparse
import pathlib
import sys
import tempfile
import time
import unittest

import bench
import report
from process import Process

# A contender that does as its job says.
SCRIPT = """
import json, os, sys, time
for line in sys.stdin:
    job = json.loads(line)
    print("a library's own words")
    print(json.dumps({"pid": os.getpid()}), flush=True)
    if job["do"] == "hang": time.sleep(60)
    if job["do"] == "raise": sys.exit("a reason")
    if job["do"] == "crash": os.abort()
    if job["do"] == "half": os.write(1, b'{"pid": '); sys.exit("cut off")
    if job["do"] == "leave": os.spawnlp(os.P_NOWAIT, "sleep", "sleep", "60"); sys.exit("left a child")
    print("{}", flush=True)
"""


class Processes(unittest.TestCase):
    def setUp(self):
        self.process = Process([sys.executable, "-c", SCRIPT])
        self.addCleanup(self.process.end)

    def ask(self, what, seconds=30):
        answers, reason = self.process.ask({"do": what}, seconds)
        return answers[0]["pid"], reason

    def test_one_process_does_many_jobs(self):
        self.assertEqual(self.ask("well"), self.ask("well"))
        self.assertIsNone(self.ask("well")[1])

    def test_what_goes_wrong_loses_one_job(self):
        for what, reason in [("raise", "a reason"), ("crash", "ended by SIGABRT"), ("half", "cut off"),
                             ("hang", "not done after 1 s")]:
            first, _ = self.ask("well")
            pid, why = self.ask(what, 1 if what == "hang" else 30)
            self.assertEqual((pid, why), (first, reason))
            after, why = self.ask("well")
            self.assertNotEqual(after, first)
            self.assertIsNone(why)

    def test_a_child_that_keeps_the_output_open_is_no_reason_to_wait(self):
        start = time.monotonic()
        self.assertEqual(self.ask("leave")[1], "left a child")
        self.assertLess(time.monotonic() - start, 20)

    def test_what_does_not_start_is_a_reason(self):
        answers, reason = Process(["/no/such/program"]).ask({}, 1)
        self.assertEqual(answers, [])
        self.assertIn("No such file", reason)


def cell(**changed):
    return {"name": "ours", "shape": [2, 3], "dtype": "f32", "pass": "forward+backward", "loss": 2.0,
            "loss_type": "f32", "grad_dot": 1.0, "median_ms": 1.0, "min_ms": 1.0, "note": "", **changed}


class Answers(unittest.TestCase):
    def wrong(self, **changed):
        checked = cell(**changed)
        report.check([checked], {"loss": 2.0, "grad_dot": 1.0, "grad_scale": 3.0})
        return len(checked["wrong"])

    def test_an_answer_is_held_to_its_type(self):
        self.assertEqual(self.wrong(), 0)
        self.assertEqual(self.wrong(loss=2.0001), 1)
        self.assertEqual(self.wrong(loss=2.0001, dtype="bf16"), 1)
        self.assertEqual(self.wrong(loss=2.03, dtype="bf16", loss_type="bf16"), 0)
        self.assertEqual(self.wrong(loss=2.04, dtype="bf16", loss_type="bf16"), 1)
        self.assertEqual(self.wrong(loss=2.003, dtype="f16", loss_type="f16"), 0)
        self.assertEqual(self.wrong(loss=2.005, dtype="f16", loss_type="f16"), 1)
        self.assertEqual(self.wrong(grad_dot=1.0001), 1)
        self.assertEqual(self.wrong(grad_dot=1.005, dtype="f16"), 0)
        self.assertEqual(self.wrong(grad_dot=-1.0, dtype="bf16"), 1)
        self.assertEqual(self.wrong(grad_dot=-1.0, **{"pass": "forward"}), 0)
        self.assertEqual(self.wrong(loss=None, grad_dot=None), 2)

    def test_tables_have_a_cell_for_each_shape(self):
        missing = {"name": "liger", "shape": [2, 3], "dtype": "f32", "pass": "forward", "reason": "no GPU"}
        cells = [cell(**{"pass": "forward"}, wrong=[], device_median_ms=0.5), missing]
        rows = report.table(cells, report.Notes())
        self.assertEqual(rows, ["| | (2, 3) |", "|---|---|", "| wgpu-loss | 1.00 |",
                                "| wgpu-loss, by the GPU's clock | 0.500 |", "| Liger-Kernel, CUDA | - [1] |"])


class Time(unittest.TestCase):
    def test_nothing_starts_when_the_time_is_over(self):
        with tempfile.TemporaryDirectory() as folder:
            data = pathlib.Path(folder, "data")
            data.write_text("#!/bin/sh\nexit 1\n")
            data.chmod(0o755)
            args = argparse.Namespace(shapes=[[2, 3]], dtypes=["f32", "f16"], only=["burn", "ours"], samples=1,
                                      threads=1, minutes=0, limit=9, out=pathlib.Path(folder, "out"), adapter=None,
                                      programs=pathlib.Path(folder), commit="x", python="python3", setup=None)
            pathlib.Path(folder, "ours").touch()
            run = bench.Bench(args, folder)
            run.run()
            self.assertEqual({cell["reason"] for cell in run.cells}, {"not started: 0 minutes were over"})
            self.assertEqual(len(run.cells), 4)
            self.assertEqual(list(run.reasons), ["burn"])


if __name__ == "__main__":
    unittest.main()
