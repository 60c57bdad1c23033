"""Measures cross-entropy in wgpu-loss and beside it in other libraries: scripts/bench-peers runs it.

Every contender is a process of its own for each shape. It gets a job in JSON and prints one line of
JSON for each pass; what it does not print is an empty cell with a reason. README.md here says how each
is measured.
"""

import argparse
import datetime
import json
import math
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

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SHAPES = ["4096x1000", "2048x32000", "512x151936", "1048576x10", "4x21x512x512"]
PASSES = ["forward", "forward+backward"]
# A contender further off than this, relative to the truth, is wrong.
TOLERANCE = 1e-5
# Seconds after which a contender's process is ended.
LIMIT = 600
# No further sample of a pass starts after so many seconds, if there are three.
SECONDS = 20

# By name: what it is, the program here, and the features it is built with.
RUST = {
    "ours": ("wgpu-loss", "ours", []),
    "burn": ("Burn, wgpu (WGSL), fusion", "burn", ["burn"]),
    "burn-nofusion": ("Burn, wgpu (WGSL), no fusion", "burn", ["burn-nofusion"]),
    "burn-vulkan": ("Burn, wgpu (SPIR-V), fusion", "burn", ["burn-vulkan"]),
    "candle": ("Candle, CPU", "candle", ["candle"]),
}
TORCH = {
    "torch-cpu": "PyTorch, CPU",
    "torch-cuda": "PyTorch, CUDA",
    "torch-compile": "PyTorch, CUDA, torch.compile",
    "liger": "Liger-Kernel, CUDA",
}
NAMES = ["ours", "torch-cpu", "torch-cuda", "torch-compile", "liger",
         "burn", "burn-nofusion", "burn-vulkan", "candle"]
TITLES = {name: title for name, (title, *_) in RUST.items()} | TORCH

# torch's wheel on PyPI is built for CUDA and imports these libraries without a GPU too, in these versions.
# It names more, triton and cusolver for two, which are large and which a CPU can do without.
PYTORCH = "torch==2.15.0"
PYTORCH_CPU_NEEDS = """cuda-toolkit[cublas,cudart,cufft,cufile,cupti,cusparse,nvjitlink,nvrtc]==13.2.2
    nvidia-cudnn-cu13==9.26.0.51 nvidia-cusparselt-cu13==0.8.1 nvidia-nccl-cu13==2.30.7
    nvidia-nvshmem-cu13==3.7.2 filelock fsspec jinja2 networkx numpy sympy typing-extensions""".split()


def say(text):
    print(text, file=sys.stderr, flush=True)


# --- Getting ready --------------------------------------------------------------------------------


def arguments():
    parser = argparse.ArgumentParser(prog="scripts/bench-peers", description=__doc__.split("\n")[0])
    parser.add_argument("--shape", action="append", type=shape, metavar="NxC...",
                        help=f"may be repeated; without it {' '.join(SHAPES)}")
    parser.add_argument("--only", type=names, default=NAMES, metavar="NAME,...",
                        help=f"of {','.join(NAMES)}")
    parser.add_argument("--samples", type=int, default=7, help="timed runs of each pass (%(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="of everything on the CPU (%(default)s)")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "target/bench-peers", metavar="FILE",
                        help="writes FILE.md and FILE.json (target/bench-peers)")
    parser.add_argument("--adapter", metavar="TEXT", help="part of the GPU's name, driver or backend")
    parser.add_argument("--python", default="python3", metavar="PATH", help="a Python with PyTorch")
    parser.add_argument("--setup", type=pathlib.Path, metavar="DIR",
                        help="makes a virtual environment with PyTorch there first, and uses it")
    return parser.parse_args()


def shape(text):
    lengths = [int(length) for length in text.split("x")]
    if len(lengths) < 2 or min(lengths) < 1:
        raise argparse.ArgumentTypeError("a shape has two lengths or more, such as 4096x1000")
    return lengths


def names(text):
    wanted = text.split(",")
    if unknown := [name for name in wanted if name not in NAMES]:
        raise argparse.ArgumentTypeError(f"{unknown[0]} is none of {','.join(NAMES)}")
    return [name for name in NAMES if name in wanted]


def setup(folder):
    """A virtual environment with PyTorch. Returns its Python."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / "bin/python"
    pip = [python, "-m", "pip", "install", "--disable-pip-version-check"]
    if shutil.which("nvidia-smi"):
        subprocess.run([*pip, PYTORCH, "numpy", "liger-kernel"], check=True, stdout=sys.stderr)
    else:
        subprocess.run([*pip, "--no-deps", PYTORCH], check=True, stdout=sys.stderr)
        subprocess.run([*pip, *PYTORCH_CPU_NEEDS], check=True, stdout=sys.stderr)
    return str(python)


def build(target, program, features, copy):
    """Builds a program; returns why not, or None."""
    say(f"building {copy.name} (Burn takes minutes the first time)")
    command = ["cargo", "build", "--release", "--quiet", "--bin", program]
    command += ["--manifest-path", HERE / "Cargo.toml", "--target-dir", target]
    command += ["--features", ",".join(features)] if features else []
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        say(done.stderr)
        return "does not build: " + next(iter(re.findall("^error.*", done.stderr, re.M)), "see above")
    # The same program is built with other features next.
    shutil.copy(target / "release" / program, copy)
    return None


def ready(wanted, python):
    """Builds what is to be built. Returns commands by name, reasons by name, and what torch says."""
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target/peers"))
    programs = target / "programs"
    programs.mkdir(parents=True, exist_ok=True)
    if reason := build(target, "data", [], programs / "data"):
        sys.exit(reason)
    commands, reasons = {"data": [programs / "data"]}, {}
    for name in [name for name in wanted if name in RUST]:
        _, program, features = RUST[name]
        commands[name] = [programs / name]
        reasons[name] = build(target, program, features, programs / name)
    torch = {"versions": {}, "cuda": None}
    if any(name in TORCH for name in wanted):
        torch = probe(python)
    for name in [name for name in wanted if name in TORCH]:
        commands[name] = [python, HERE / "torch_peers.py"]
        reasons[name] = torch["reasons"][name]
    return commands, {name: reason for name, reason in reasons.items() if reason}, torch


def probe(python):
    """What PyTorch can do here."""
    command = [python, HERE / "torch_peers.py", "probe"]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError as error:
        done = subprocess.CompletedProcess(command, 1, "", str(error))
    if done.returncode:
        reason = f"{python}: {why(done.returncode, done.stderr)}; see --python and --setup"
        return {"versions": {}, "cuda": None, "reasons": dict.fromkeys(TORCH, reason)}
    return json.loads(done.stdout)


# --- Running --------------------------------------------------------------------------------------


def why(status, errors):
    """Why a process failed, in a line."""
    if status == -signal.SIGKILL:
        return "killed, as when memory runs out"
    if status < 0:
        return f"ended by {signal.Signals(-status).name}"
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith("note: ")]
    # Burn gives the first cause last. Rust says where it panicked in one line and why in the next, Python
    # why in the last.
    causes = [i for i, line in enumerate(lines) if line == "Caused by:"]
    panics = [i for i, line in enumerate(lines) if " panicked at " in line]
    if causes:
        lines = lines[causes[-1] + 1 :][:1]
    else:
        lines = lines[panics[0] + 1 :] if panics else lines[-1:]
    return " ".join(lines)[:300] or f"failed with status {status}"


def first_to_go():
    """Has the kernel end this process, not others, where memory runs out."""
    try:
        pathlib.Path("/proc/self/oom_score_adj").write_text("1000")
    except OSError:
        pass


def run(command, job):
    """Runs a contender. Returns its lines, and why some are missing."""
    process = subprocess.Popen([*command, json.dumps(job)], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True, preexec_fn=first_to_go)
    try:
        out, errors = process.communicate(timeout=LIMIT)
        reason = why(process.returncode, errors) if process.returncode else "printed nothing"
    except subprocess.TimeoutExpired:
        process.kill()
        out, _ = process.communicate()
        reason = f"not done after {LIMIT} s"
    # What was ended in the middle of a line has not finished that pass.
    lines = [json.loads(line) for line in out.splitlines() if re.fullmatch("{.*}", line)]
    return lines, reason


def measure(args, lengths, commands, reasons):
    """All contenders on one shape. Returns a cell for each of them and each pass, and the truth."""
    cells = []
    with tempfile.TemporaryDirectory(prefix="bench-peers-") as folder:
        job = {"name": "data", "data": folder, "shape": lengths, "samples": args.samples,
               "seconds": SECONDS, "adapter": args.adapter, "threads": args.threads}
        lines, reason = run(commands["data"], job)
        if not lines:
            say(f"no data: {reason}")
        truth = lines[0] if lines else None
        for name in [name for name in args.only if name not in reasons]:
            say(f"{'x'.join(map(str, lengths))} {name}")
            lines, reason = run(commands[name], job | {"name": name}) if truth else ([], reason)
            seen = {line["pass"]: line for line in lines}
            for which in PASSES:
                missing = {"name": name, "shape": lengths, "pass": which, "reason": reason}
                cells.append(seen.get(which, missing))
    return cells, truth


def check(cells, truth):
    """Marks the cells whose loss or gradient is wrong."""
    ours = {cell["pass"]: cell.get("loss") for cell in cells if cell["name"] == "ours"}
    for cell in [cell for cell in cells if "median_ms" in cell]:
        compared = [("loss", cell["loss"], truth["loss"], "in float64")]
        compared += [("loss", cell["loss"], ours[cell["pass"]], "of wgpu-loss")] if ours else []
        if cell["pass"] == "forward+backward":
            dots = (cell["grad_dot"], truth["grad_dot"])
            compared += [("gradient times logits", *dots, "in float64")]
        cell["wrong"] = [f"{what} {digits(got)}, {digits(wanted)} {whose}"
                         for what, got, wanted, whose in compared
                         if wanted is not None and far(got, wanted)]


def far(got, wanted):
    # Written so that NaN is far from everything.
    return got is None or not abs(got - wanted) <= TOLERANCE * abs(wanted)


def digits(value):
    return "NaN" if value is None else f"{value:.7g}"


# --- Writing --------------------------------------------------------------------------------------


def machine():
    """The processor in a line."""
    model = platform.processor() or platform.machine()
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    if cpuinfo.exists():
        found = re.search(r"^model name\s*: (.*)", cpuinfo.read_text(), re.M)
        model = found[1] if found else model
    return f"{model}, {os.cpu_count()} cores, {platform.system()}"


def versions(torch):
    """The version of every contender's library."""
    lock = (HERE / "Cargo.lock").read_text()
    found = dict(re.findall(r'name = "(burn|candle-nn|wgpu|wgpu-loss)"\nversion = "(.*)"', lock))
    commit = ["git", "-C", ROOT, "describe", "--always", "--dirty"]
    done = subprocess.run(commit, capture_output=True, text=True)
    found["wgpu-loss"] += f" ({done.stdout.strip()})" if done.stdout else ""
    return found | torch["versions"]


def describe(args, torch, cells):
    """What was measured, where, and with what."""
    adapters = {cell["device"] for cell in cells if cell["name"] == "ours" and "device" in cell}
    command = ["scripts/bench-peers", *sys.argv[1:]]
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "command": shlex.join(command), "machine": machine(), "threads": args.threads,
        "adapter": ", ".join(sorted(adapters)) or None, "cuda": torch["cuda"],
        "versions": versions(torch),
    }


class Notes:
    """Numbered notes under the tables; the same text has one number."""

    def __init__(self):
        self.texts = []

    def mark(self, text):
        if text not in self.texts:
            self.texts.append(text)
        return f" [{self.texts.index(text) + 1}]"


def number(ms):
    """Three digits that count."""
    places = max(0, 2 - math.floor(math.log10(ms))) if ms > 0 else 0
    return f"{ms:.{places}f}"


def entry(cell, key, notes):
    """A cell as text."""
    title = TITLES[cell["name"]]
    if "median_ms" not in cell:
        return "-" + notes.mark(f"{title}: {cell['reason']}")
    text = number(cell[key])
    if cell["wrong"]:
        size = "x".join(map(str, cell["shape"]))
        text += " **wrong**" + notes.mark(f"{title}, {size}: {'; '.join(cell['wrong'])}")
    elif cell["note"]:
        text += notes.mark(f"{title}: {cell['note']}")
    return text


def table(cells, shapes, which, notes):
    """The table of one pass: contenders down, shapes across."""
    rows = ["| | " + " | ".join(str(tuple(lengths)) for lengths in shapes) + " |",
            "|---" * (len(shapes) + 1) + "|"]
    for name in NAMES:
        own = [cell for cell in cells if (cell["name"], cell["pass"]) == (name, which)]
        if own:
            line = [entry(cell, "median_ms", notes) for cell in own]
            rows.append(f"| {TITLES[name]} | " + " | ".join(line) + " |")
        if any(cell.get("device_median_ms") for cell in own):
            events = [cell.get("device_median_ms") for cell in own]
            line = [number(ms) if ms else "-" for ms in events]
            rows.append(f"| {TITLES[name]}, by its events | " + " | ".join(line) + " |")
    return rows


def markdown(about, reasons, cells, shapes):
    """The report for people."""
    notes = Notes()
    lines = ["# Cross-entropy beside other libraries", "",
             "Medians in milliseconds, from the call to the end of the work; logits f32, labels i64, "
             "the mean.", ""]
    lines += [f"- {what}: {text}" for what, text in about.items() if isinstance(text, str)]
    lines += [f"- CPU threads: {about['threads']}"]
    lines += ["- versions: " + ", ".join(f"{name} {text}" for name, text in about["versions"].items())]
    for which in PASSES:
        lines += ["", f"## {which.capitalize()}", "", *table(cells, shapes, which, notes)]
    lines += [""] + [f"{i + 1}. {text}" for i, text in enumerate(notes.texts)]
    if reasons:
        lines += ["", "Left out:", ""] + [f"- {TITLES[name]}: {why}" for name, why in reasons.items()]
    return "\n".join(lines) + "\n"


def main():
    args = arguments()
    shapes = args.shape or [shape(text) for text in SHAPES]
    python = setup(args.setup) if args.setup else args.python
    os.environ.update(dict.fromkeys(["RAYON_NUM_THREADS", "LP_NUM_THREADS"], str(args.threads)))
    commands, reasons, torch = ready(args.only, python)
    cells, truths = [], []
    for lengths in shapes:
        found, truth = measure(args, lengths, commands, reasons)
        check(found, truth)
        cells += found
        truths.append({"shape": lengths, "truth": truth})
    about = describe(args, torch, cells)
    report = markdown(about, reasons, cells, shapes)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    everything = about | {"left_out": reasons, "truth": truths, "results": cells}
    pathlib.Path(f"{args.out}.json").write_text(json.dumps(everything, indent=1) + "\n")
    pathlib.Path(f"{args.out}.md").write_text(report)
    print(report)


if __name__ == "__main__":
    main()
