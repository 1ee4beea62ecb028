"""On a machine with a GPU: builds the native core for it, proves every kernel, then measures, the important first.

    python benchmarks/gpu.py [STAGE ...] [--minutes 9] [--new]

All stages, as `make gpu`, or some, in this order:

    build       csrc for this GPU: the Python module, its test and its benchmark; before each stage that needs it
    kernels     each Triton kernel against its reference
    native      each kernel of csrc/cuda against sums in double precision, and from Python against the references
    engine      tokens of the engine: eager, Triton and native
    sanitize    compute-sanitizer over the C++ test: memory, races, barriers
    cases       the result of each way of each benchmark, and whatever these compile, in parallel
    bench       benchmarks/run.py; --new leaves out what is recorded already
    sweep       the thresholds that choose kernels and tiles: which values are best
    evaluation  how long an evaluation takes

Nothing is installed and nothing is written outside this folder: the package is put together of links in build/gpu, and
compilers keep their files there. Records go, as they are made, to benchmarks/results/<gpu>.jsonl; a copy of them, and
all that is printed, to the folder that LAMP_FAST_RESULTS or OUT names.

`--rehearse` goes the same way without a GPU: one file of tests, in the interpreter, and the smallest model; its records
stay in build/gpu.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from threading import Timer

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build/gpu"
NATIVE = BUILD / "native"
NEEDED = ("torch", "triton", "numpy", "pytest", "safetensors", "tokenizers", "PIL", "tqdm")
TROUBLE = re.compile(r"FAILED|ERROR |=+ (ERROR|RACECHECK) SUMMARY|ptxas warn|.* its result is wrong|.*: failed, ")
CAPABILITY = "import torch; print(*torch.cuda.get_device_capability(), sep='') if torch.cuda.is_available() else None"
LEAST_SECONDS = 10.0  # with less a stage is not begun


@dataclass
class Session:
    """What the stages share."""

    environment: dict[str, str]
    deadline: float
    rehearsal: bool
    new: bool
    capability: str
    log: Path | None
    trouble: list[str] = field(default_factory=list)

    def run(self, *command: str | Path, seconds: float, **environment: str) -> bool:
        """Whether a program ends in time and well. What it prints is passed on and kept; its children end with it."""
        self.tell(f"$ {' '.join(map(str, command))}\n")
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=self.environment | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            process_group=0,
        )
        timer = Timer(max(seconds, 1), os.killpg, (process.pid, signal.SIGKILL))
        timer.start()
        for line in process.stdout:
            self.tell(line)
            if TROUBLE.match(line):
                self.trouble.append(line.strip()[:300])
        timer.cancel()
        if process.wait() == -signal.SIGKILL:
            self.tell(f"stopped after {seconds:.0f} s\n")
        return process.returncode == 0

    def python(self, *arguments: str | Path, seconds: float, **environment: str) -> bool:
        return self.run(sys.executable, *arguments, seconds=seconds, **environment)

    def pytest(self, *arguments: str, seconds: float, at_once: bool = True, **environment: str) -> bool:
        """Tests, several at once; one that hangs, or after which the GPU answers no more, ends its own process only."""
        options = ["-q", "--tb=short", "-p", "no:cacheprovider", "--durations=5"]
        if at_once and find_spec("xdist"):
            options += ["-n", str(max(1, min(12, (os.cpu_count() or 1) - 2)))]
        if find_spec("pytest_timeout"):
            options += ["--timeout", "150", "--timeout-method", "thread"]
        environment |= {"OMP_NUM_THREADS": "1", "TORCHINDUCTOR_COMPILE_THREADS": "4"}
        # Else the folder with the unfinished package comes first.
        environment |= {"PYTHONSAFEPATH": "1"}
        return self.python("-m", "pytest", *options, *arguments, seconds=seconds, **environment)

    def tell(self, text: str) -> None:
        print(text, end="", flush=True)
        if self.log is not None:
            with self.log.open("a") as file:
                file.write(text)


def build(session: Session, seconds: float) -> bool:
    """The native core for this GPU, its module beside the linked package."""
    missing = [name for name in ("cmake", "ninja", "nvcc") if shutil.which(name) is None]
    missing += ["pybind11"] * (find_spec("pybind11") is None)
    if missing:
        session.tell(f"left out: {', '.join(missing)} not found\n")
        return False
    architecture = session.capability + "a" * (int(session.capability) >= 90)
    options = [
        "-DLAMP_FAST_CUDA=ON",
        f"-DLAMP_FAST_CUDA_ARCHITECTURES={architecture}-real",
        "-DLAMP_FAST_PYTHON=ON",
        f"-DLAMP_FAST_PYTHON_OUTPUT={BUILD / 'site/lamp_fast'}",
        "-DLAMP_FAST_CAPI=OFF",
        "-DLAMP_FAST_BENCH=ON",
        f"-DPython_EXECUTABLE={sys.executable}",
    ]
    targets = "_native", "cuda_gpu_test", "cuda_bench"
    return session.run("cmake", "-S", ROOT, "-B", NATIVE, "-G", "Ninja", *options, seconds=seconds) and session.run(
        "cmake", "--build", NATIVE, "--target", *targets, "--", "-k", "0", seconds=seconds
    )


def kernels(session: Session, seconds: float) -> bool:
    if session.rehearsal:
        file = "tests/kernels/test_philox_triton.py"
        return session.pytest(file, seconds=seconds, at_once=False, TRITON_INTERPRET="1")
    return session.pytest("tests/kernels", "tests/test_ops.py", "tests/profiling", seconds=seconds)


def native(session: Session, seconds: float) -> bool:
    tests = "tests/gpu/test_native_cuda.py", "tests/native/test_cuda_module.py"
    well = session.run(NATIVE / "csrc/cuda/cuda_gpu_test", seconds=seconds / 2)
    return session.pytest(*tests, seconds=seconds / 2) and well


def engine(session: Session, seconds: float) -> bool:
    return session.pytest("tests/gpu/test_engines.py", seconds=seconds)


def sanitize(session: Session, seconds: float) -> bool:
    beside_nvcc = Path(shutil.which("nvcc") or "").parent
    sanitizer = shutil.which("compute-sanitizer", path=f"{os.environ['PATH']}:{beside_nvcc}")
    if sanitizer is None:
        session.tell("left out: compute-sanitizer is not found\n")
        return False
    command, each = [NATIVE / "csrc/cuda/cuda_gpu_test"], seconds / 3
    tools = "memcheck", "racecheck", "synccheck"
    return all([session.run(sanitizer, "--tool", t, "--error-exitcode", "9", *command, seconds=each) for t in tools])


def cases(session: Session, seconds: float) -> bool:
    file, until = "tests/gpu/test_benchmark_cases.py", time.time() + seconds
    # A generation compiles for a minute or two.
    apart = ["--maxschedchunk", "1"] if find_spec("xdist") else []
    apart += ["--timeout", "200"] if find_spec("pytest_timeout") else []
    well = session.pytest(file, "-k", "not corpus", *apart, seconds=0.85 * seconds)
    # One at a time: each needs some 15 GB.
    return session.pytest(file, "-k", "corpus", seconds=until - time.time(), at_once=False) and well


def bench(session: Session, seconds: float) -> bool:
    arguments = ["--deadline", str(time.time() + seconds - 5), *["--new"] * session.new]
    if session.rehearsal:
        arguments += ["tiny batch 3 10 steps cached", "--seconds", "0.05", *results(session)]
    return session.python("benchmarks/run.py", *arguments, seconds=seconds)


def sweep(session: Session, seconds: float) -> bool:
    native = session.run(NATIVE / "csrc/cuda/cuda_bench", seconds=seconds / 3)
    return session.python("benchmarks/sweep.py", seconds=2 * seconds / 3) and native


def evaluation(session: Session, seconds: float) -> bool:
    small = ["--model", "tiny", "--clips", "40", "--multimodality-texts", "1", *results(session)] * session.rehearsal
    return session.python("benchmarks/evaluation.py", *small, seconds=seconds)


def results(session: Session) -> list[str]:
    return ["--results", str(BUILD / "results")] * session.rehearsal


# And the seconds that each may take; `bench` what the later ones leave.
STAGES: dict[str, tuple[Callable[[Session, float], bool], float]] = {
    "build": (build, 150),
    "kernels": (kernels, 180),
    "native": (native, 90),
    "engine": (engine, 90),
    "sanitize": (sanitize, 75),
    "cases": (cases, 210),
    "bench": (bench, 0),
    "sweep": (sweep, 110),
    "evaluation": (evaluation, 60),
}
WITHOUT_A_GPU = {"build"}
REHEARSED = {"kernels", "bench", "evaluation"}
WITH_NATIVE = {"native", "engine", "sanitize", "cases", "bench", "sweep"}


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stages", nargs="*", metavar="STAGE", help=", ".join(STAGES))
    parser.add_argument("--minutes", type=float, default=9.0, help="of all stages")
    parser.add_argument("--new", action="store_true", help="leave out benchmarks that have a good record")
    parser.add_argument("--rehearse", action="store_true")
    args = parser.parse_args(argv)
    if set(args.stages) - set(STAGES):
        parser.error(f"stages are {', '.join(STAGES)}")
    deadline = time.time() + 60 * args.minutes - 5
    chosen = set(args.stages or STAGES)
    chosen |= {"build"} if chosen & WITH_NATIVE else set()
    chosen &= REHEARSED if args.rehearse else set(STAGES)

    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        print(f"make gpu: {sys.executable} lacks {', '.join(missing)}; name another Python: make gpu PYTHON=...")
        return 1
    folder = os.environ.get("LAMP_FAST_RESULTS") or os.environ.get("OUT")
    environment = os.environ | paths(BUILD) | ({"LAMP_FAST_RESULTS": folder} if folder else {})
    asked = subprocess.run([sys.executable, "-c", CAPABILITY], env=environment, capture_output=True, text=True)
    capability = asked.stdout.strip()
    if not capability and not args.rehearse and chosen - WITHOUT_A_GPU:
        print(f"make gpu: torch of {sys.executable} sees no GPU; name a Python that does: make gpu PYTHON=...")
        return 1

    log = Path(folder) / "gpu.log" if folder else None
    if log is not None:
        log.parent.mkdir(parents=True, exist_ok=True)
    session = Session(environment, deadline, args.rehearse, args.new, capability or "90", log)
    told = []
    for name, (stage, limit) in STAGES.items():
        if name not in chosen:
            continue
        began = time.time()
        later = list(STAGES)[list(STAGES).index(name) + 1 :]
        reserved = sum(STAGES[other][1] for other in later if other in chosen)
        left = deadline - began
        # What is not limited leaves the later stages their time, at most a third of what there is.
        seconds = left if args.rehearse else min(limit, left) if limit else left - min(reserved, left / 3)
        if seconds < LEAST_SECONDS:
            told.append(f"{name} left out")
            continue
        session.tell(f"== {name}, {seconds:.0f} s at most\n")
        well = stage(session, seconds)
        told.append(f"{name} {'passed' if well else 'FAILED'} in {time.time() - began:.0f} s")
        session.tell(f"== {told[-1]}\n")
    session.tell("".join(f"{line}\n" for line in [*session.trouble[:30], f"== {', '.join(told)}"]))
    return 0 if all(" passed" in line for line in told) else 1


def paths(build: Path) -> dict[str, str]:
    """Put the package together in `build`: what points Python and the compilers there."""
    package = build / "site/lamp_fast"
    package.mkdir(parents=True, exist_ok=True)
    for link in package.iterdir():
        if link.is_symlink():
            link.unlink()
    for source in [*(ROOT / "lamp_fast").iterdir(), ROOT / "kernels"]:
        if source.name != "__pycache__" and source.suffix != ".so" and not (package / source.name).exists():
            (package / source.name).symlink_to(source)
    return {
        "PYTHONPATH": str(package.parent),
        "PYTHONUNBUFFERED": "1",
        "TRITON_CACHE_DIR": str(build / "triton"),
        "TORCHINDUCTOR_CACHE_DIR": str(build / "inductor"),
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
