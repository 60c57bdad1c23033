"""Measures cross-entropy in wgpu-loss and beside it in other libraries: scripts/bench-peers runs it.

A contender is a process that gets jobs, one for each shape and type of logits, and answers with a line of
JSON for each pass; what it does not answer is an empty cell with a reason. README.md here says how each is
measured.
"""

import argparse
import datetime
import os
import pathlib
import platform
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from contenders import CONTENDERS, DTYPES, HERE, PASSES, ROOT, ready, say, setup
from report import check, write

SHAPES = ["4096x1000", "2048x32000", "512x151936", "1048576x10", "4x21x512x512"]
# No further sample of a pass starts after so many seconds, if there are three.
SECONDS = 20


def arguments():
    parser = argparse.ArgumentParser(prog="scripts/bench-peers", description=__doc__.split("\n")[0])
    parser.add_argument("--shape", action="append", type=shape, metavar="NxC...",
                        help=f"may be repeated; without it {' '.join(SHAPES)}")
    parser.add_argument("--dtype", action="append", type=listed(DTYPES), metavar="TYPE,...",
                        help=f"of the logits, may be repeated: {','.join(DTYPES)} (f32)")
    parser.add_argument("--only", type=listed(CONTENDERS), default=list(CONTENDERS), metavar="NAME,...",
                        help=f"of {','.join(CONTENDERS)}")
    parser.add_argument("--samples", type=int, default=7, help="timed runs of each pass (%(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="of everything on the CPU (%(default)s)")
    parser.add_argument("--minutes", type=float, default=float("inf"), metavar="N",
                        help="nothing is started after so many minutes, and what still runs is ended")
    parser.add_argument("--limit", type=float, default=600, metavar="SECONDS",
                        help="a contender that takes longer for a shape is ended (%(default)s)")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "target/bench-peers", metavar="FILE",
                        help="writes FILE.md and FILE.json (target/bench-peers)")
    parser.add_argument("--adapter", metavar="TEXT", help="part of the GPU's name, driver or backend")
    parser.add_argument("--programs", type=pathlib.Path, metavar="DIR",
                        help="takes data, ours, ... from there and builds nothing")
    parser.add_argument("--commit", metavar="TEXT", help="which wgpu-loss this is, where git cannot say it")
    parser.add_argument("--python", default="python3", metavar="PATH", help="a Python with PyTorch")
    parser.add_argument("--setup", type=pathlib.Path, metavar="DIR",
                        help="makes a virtual environment with PyTorch there first, and uses it")
    args = parser.parse_args()
    args.shapes = args.shape or [shape(text) for text in SHAPES]
    args.dtypes = [dtype for dtype in DTYPES if dtype in sum(args.dtype or [["f32"]], [])]
    return args


def shape(text):
    lengths = [int(length) for length in text.split("x")]
    if len(lengths) < 2 or min(lengths) < 1:
        raise argparse.ArgumentTypeError("a shape has two lengths or more, such as 4096x1000")
    return lengths


def listed(known):
    """What reads a list of some of these."""
    def read(text):
        wanted = text.split(",")
        if unknown := [name for name in wanted if name not in known]:
            raise argparse.ArgumentTypeError(f"{unknown[0]} is none of {','.join(known)}")
        return [name for name in known if name in wanted]
    return read


def surroundings(args, scratch):
    """The environment of all contenders."""
    os.environ.update(dict.fromkeys(["RAYON_NUM_THREADS", "LP_NUM_THREADS"], str(args.threads)))
    # glibc gives large blocks back to the system at once, and every allocation of a tensor's size would be
    # timed with its page faults. A training run pays for them once; so does every contender here.
    os.environ.update({"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 34)})
    # Compiling in the background would go on beside what is timed.
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")
    # Mesa complains where the first is unset. Compilers' caches are here, for there may be no home.
    folders = {"XDG_RUNTIME_DIR": "run", "TORCHINDUCTOR_CACHE_DIR": "inductor", "TRITON_CACHE_DIR": "triton"}
    for variable, folder in folders.items():
        if not os.environ.get(variable):
            path = pathlib.Path(scratch, folder)
            path.mkdir(mode=0o700)
            os.environ[variable] = str(path)


def machine():
    """The processor in a line."""
    model = platform.processor() or platform.machine()
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    if cpuinfo.exists():
        found = re.search(r"^model name\s*: (.*)", cpuinfo.read_text(), re.M)
        model = found[1] if found else model
    return f"{model}, {os.cpu_count()} cores, {platform.system()}"


def versions(commit, torch):
    """The version of every contender's library, as far as it is known."""
    lock, found = HERE / "Cargo.lock", {}
    if lock.exists():
        found = dict(re.findall(r'name = "(burn|candle-nn|wgpu|wgpu-loss)"\nversion = "(.*)"', lock.read_text()))
    if not commit and shutil.which("git"):
        done = subprocess.run(["git", "-C", ROOT, "describe", "--always", "--dirty"],
                              capture_output=True, text=True)
        commit = done.stdout.strip()
    known = [found.get("wgpu-loss"), f"({commit})" if commit else None]
    return found | {"wgpu-loss": " ".join(filter(None, known)) or "unknown"} | torch["versions"]


class Bench:
    """One run: what there is to run, and what has come out of it so far."""

    def __init__(self, args, scratch):
        self.args, self.scratch = args, scratch
        self.end = time.monotonic() + 60 * args.minutes
        self.date = datetime.datetime.now(datetime.timezone.utc)
        python = setup(args.setup) if args.setup else args.python
        self.processes, self.reasons, self.torch = ready(args.only, args.programs, python)
        self.cells, self.truths = [], []
        self.versions = versions(args.commit, self.torch)

    def run(self):
        """Everything, in an order that leaves whole columns where it is cut off. Returns the report."""
        try:
            for lengths in self.args.shapes:
                for dtype in self.args.dtypes:
                    self.measure(lengths, dtype)
                    self.write()
        finally:
            for process in self.processes.values():
                process.end(patience=1)
            report = self.write()
        return report

    def ask(self, name, job):
        """A contender's answer to a job, and why some of it may be missing."""
        seconds = min(self.args.limit, self.end - time.monotonic())
        if seconds <= 0:
            return [], f"not started: {self.args.minutes:g} minutes were over"
        lines, reason = self.processes[name].ask(job | {"name": name}, seconds)
        if reason and time.monotonic() >= self.end:
            reason += f": {self.args.minutes:g} minutes were over"
        return lines, reason

    def measure(self, lengths, dtype):
        """All contenders on one shape and type."""
        args, title = self.args, f"{'x'.join(map(str, lengths))} {dtype}"
        with tempfile.TemporaryDirectory(prefix="data-", dir=self.scratch) as folder:
            job = {"data": folder, "shape": lengths, "dtype": dtype, "samples": args.samples,
                   "seconds": SECONDS, "adapter": args.adapter, "threads": args.threads}
            lines, no_data = self.ask("data", job)
            truth = lines[0] if lines else None
            if not truth:
                say(f"{title}: no data: {no_data}")
            self.truths.append({"shape": lengths, "dtype": dtype, "truth": truth})
            for name in [name for name in args.only if name not in self.reasons]:
                contender = CONTENDERS[name]
                lines, reason = [], no_data
                left_out = dtype not in contender.dtypes
                if left_out:
                    reason = contender.otherwise
                elif truth:
                    say(f"{title} {name}")
                    lines, reason = self.ask(name, job | contender.options)
                    check(lines, truth)
                seen = {line["pass"]: line for line in lines}
                for which in PASSES:
                    missing = {"name": name, "shape": lengths, "dtype": dtype, "pass": which,
                               "reason": reason, "left_out": left_out}
                    self.cells.append(seen.get(which, missing))

    def write(self):
        """Writes what there is so far."""
        adapters = {cell["device"] for cell in self.cells if cell["name"] == "ours" and "device" in cell}
        about = {
            "date": self.date.strftime("%Y-%m-%d %H:%M UTC"),
            "command": shlex.join(["scripts/bench-peers", *sys.argv[1:]]),
            "machine": machine(), "threads": self.args.threads,
            "adapter": ", ".join(sorted(adapters)) or None, "cuda": self.torch["cuda"],
            "versions": self.versions,
        }
        return write(self.args.out, about, self.reasons, self.truths, self.cells)


def main():
    args = arguments()
    # A polite end: contenders are ended too, and their files removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))
    with tempfile.TemporaryDirectory(prefix="bench-peers-") as scratch:
        surroundings(args, scratch)
        print(Bench(args, scratch).run())


if __name__ == "__main__":
    main()
