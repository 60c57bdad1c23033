"""What is measured: the contenders, and how each is made ready to run."""

import dataclasses
import os
import pathlib
import re
import shutil
import subprocess
import sys

from process import Process

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PASSES = ["forward", "forward+backward"]
# By the logits' type, the largest relative error of one rounding to it.
ROUNDING = {"f32": 2**-24, "f16": 2**-11, "bf16": 2**-8}
DTYPES = tuple(ROUNDING)
# Seconds that PyTorch may take to try what it can do.
PROBE_LIMIT = 180


@dataclasses.dataclass(frozen=True)
class Contender:
    title: str
    # A program here and the features it is built with; without one it is torch_peers.py.
    program: str = ""
    features: tuple = ()
    # What torch_peers.py is told to do, and what of the machine it needs (see `NEEDS` there).
    options: dict = dataclasses.field(default_factory=dict)
    needs: tuple = ()
    # The types of logits that it is measured with, and why not with the others.
    dtypes: tuple = DTYPES
    otherwise: str = ""


def torch(title, device, *needs, dtypes=DTYPES, otherwise="", **options):
    needs = ("cuda", *needs) if device == "cuda" else needs
    options = options | {"device": device}
    return Contender(title, options=options, needs=needs, dtypes=dtypes, otherwise=otherwise)


def rust(title, program, *features, dtypes=("f32",)):
    return Contender(title, program, features, dtypes=dtypes, otherwise="measured with f32 logits only")


UPCAST = {"upcast": True, "dtypes": ("f16", "bf16"),
          "otherwise": "f32 logits are not upcast: as without .float()"}
CONTENDERS = {
    "ours": rust("wgpu-loss", "ours", dtypes=DTYPES),
    "torch-cpu": torch("PyTorch, CPU", "cpu"),
    "torch-compile-cpu": torch("PyTorch, CPU, torch.compile", "cpu", "c++", compile=True),
    "torch-cuda": torch("PyTorch, CUDA", "cuda"),
    "torch-compile": torch("PyTorch, CUDA, torch.compile", "cuda", "triton", compile=True),
    "torch-upcast": torch("PyTorch, CUDA, logits.float()", "cuda", **UPCAST),
    "torch-upcast-compile": torch("PyTorch, CUDA, logits.float(), torch.compile", "cuda", "triton",
                                  compile=True, **UPCAST),
    "liger": torch("Liger-Kernel, CUDA", "cuda", "liger", liger=True),
    "burn": rust("Burn, wgpu (WGSL), fusion", "burn", "burn"),
    "burn-nofusion": rust("Burn, wgpu (WGSL), no fusion", "burn", "burn-nofusion"),
    "burn-vulkan": rust("Burn, wgpu (SPIR-V), fusion", "burn", "burn-vulkan"),
    "candle": rust("Candle, CPU", "candle", "candle"),
}

# torch's wheel on PyPI is built for CUDA and imports these libraries without a GPU too, in these versions.
# It names more, triton and cusolver for two, which are large and which a CPU can do without.
PYTORCH = "torch==2.15.0"
PYTORCH_CPU_NEEDS = """cuda-toolkit[cublas,cudart,cufft,cufile,cupti,cusparse,nvjitlink,nvrtc]==13.2.2
    nvidia-cudnn-cu13==9.26.0.51 nvidia-cusparselt-cu13==0.8.1 nvidia-nccl-cu13==2.30.7
    nvidia-nvshmem-cu13==3.7.2 filelock fsspec jinja2 networkx numpy sympy typing-extensions""".split()


def say(text):
    print(text, file=sys.stderr, flush=True)


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


def ready(wanted, programs, python):
    """Makes contenders ready. Returns processes by name, reasons by name, and what PyTorch says."""
    find = prebuilt(programs) if programs else build
    data = find("data", "data", ())
    if isinstance(data, str):
        sys.exit(data)
    # The truth is not timed, so it may have all cores.
    processes, reasons = {"data": Process(data, RAYON_NUM_THREADS="0")}, {}
    for name in [name for name in wanted if CONTENDERS[name].program]:
        found = find(name, CONTENDERS[name].program, CONTENDERS[name].features)
        if isinstance(found, str):
            reasons[name] = found
        else:
            processes[name] = Process(found)
    torch = {"versions": {}, "cuda": None}
    wanted = [name for name in wanted if not CONTENDERS[name].program]
    if wanted:
        # One for all of them: PyTorch takes its time to start.
        process = Process([python, HERE / "torch_peers.py"])
        needs = dict.fromkeys(need for name in wanted for need in ("torch", *CONTENDERS[name].needs))
        torch, missing = probe(process, list(needs))
    for name in wanted:
        if reason := next(filter(None, map(missing.get, ("torch", *CONTENDERS[name].needs))), None):
            reasons[name] = reason
        else:
            processes[name] = process
    return processes, reasons, torch


def prebuilt(programs):
    """What finds a program in a folder: its command, or why there is none."""
    def find(name, _program, _features):
        path = programs.resolve() / name
        return [path] if path.is_file() else f"there is no program {name} in {programs}"
    return find


def build(name, program, features):
    """Builds a program: its command, or why there is none."""
    if not shutil.which("cargo"):
        return "there is no cargo: install Rust, https://rustup.rs, or give --programs"
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target/peers"))
    say(f"building {name} (Burn takes minutes the first time)")
    command = ["cargo", "build", "--release", "--quiet", "--bin", program]
    command += ["--manifest-path", HERE / "Cargo.toml", "--target-dir", target]
    command += ["--features", ",".join(features)] if features else []
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        say(done.stderr)
        return "does not build: " + next(iter(re.findall("^error.*", done.stderr, re.M)), "see above")
    # The same program is built with other features next.
    copy = target / "programs" / name
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(target / "release" / program, copy)
    return [copy]


def probe(process, needs):
    """What PyTorch says about itself, and by need why it is not met: a small trial of each, as a compiler
    that is missing would otherwise be missed anew with every shape."""
    say(f"trying PyTorch: {', '.join(needs)}")
    lines, reason = process.ask({"probe": needs}, PROBE_LIMIT)
    answers = {line["need"]: line for line in lines}
    missing = {need: answers[need]["missing"] if need in answers else reason for need in needs}
    if missing["torch"]:
        missing["torch"] = f"{process.command[0]}: {reason}; see --python and --setup"
    said = {key: value for answer in lines for key, value in answer.items()}
    return {"versions": said.get("versions", {}), "cuda": said.get("about")}, missing
