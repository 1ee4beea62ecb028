"""`make gpu`: on a machine with a GPU, all kernel tests, then the benchmarks, the important first, within 9 minutes.

Nothing is installed and nothing is written outside this folder: the package is put together of links in build/gpu, and
compilers keep their files there. Records go to benchmarks/results/<gpu>.jsonl and to LAMP_FAST_RESULTS, if that is set.

python benchmarks/gpu.py [--rehearse]   the same steps without a GPU: one file of tests, in the interpreter, and the
                                        smallest model; its records stay in build/gpu
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build/gpu"
NEEDED = ("torch", "triton", "numpy", "pytest", "safetensors", "tokenizers", "PIL", "tqdm")
# Compilation for other GPUs is proven by `make test`; here it would take the time of the tests that need this one.
NOT_HERE = "--ignore=tests/kernels/test_compile_gate.py"
TEST_SHARE = 0.45
EVALUATION_SECONDS = 60


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=9.0)
    parser.add_argument("--rehearse", action="store_true")
    args = parser.parse_args(argv)
    deadline = time.time() + 60 * args.minutes - 15

    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        print(f"make gpu: {sys.executable} lacks {', '.join(missing)}; name another Python: make gpu PYTHON=...")
        return 1
    environment = os.environ | paths(BUILD)
    if not args.rehearse and not run("a GPU is there", ["-c", SEES_A_GPU], environment, 120):
        print(f"make gpu: torch of {sys.executable} sees no GPU; name a Python that does: make gpu PYTHON=...")
        return 1

    native = not args.rehearse and build_native(environment, 120)
    tests = [
        "tests/kernels",
        "tests/gpu",
        "tests/profiling",
        "tests/test_ops.py",
        NOT_HERE,
        *(["-n", "8"] if find_spec("xdist") else []),
    ]
    bench = ["benchmarks/run.py", "--deadline", str(deadline - EVALUATION_SECONDS)]
    evaluation = ["benchmarks/evaluation.py"]
    if args.rehearse:
        tests = ["tests/kernels/test_philox_triton.py"]
        bench += ["tiny batch 3 10 steps cached", "--seconds", "0.05", "--results", str(BUILD / "results")]
        evaluation += ["--model", "tiny", "--clips", "40", "--multimodality-texts", "1"]
        evaluation += ["--results", str(BUILD / "results")]
    interpreted = {"TRITON_INTERPRET": "1"} if args.rehearse else {}
    time_for_tests = TEST_SHARE * (deadline - time.time())
    passed = run(
        "kernel tests",
        ["-m", "pytest", "-q", "-p", "no:cacheprovider", *tests],
        environment | interpreted,
        time_for_tests,
    )
    if native and shutil.which("compute-sanitizer"):
        checked = ["tests/gpu", "-k", "lookup_is or decode_step", "-q", "-p", "no:cacheprovider"]
        sanitizer = ["compute-sanitizer", "--error-exitcode", "9", sys.executable]
        passed &= run("compute-sanitizer", ["-m", "pytest", *checked], environment, 60, sanitizer)
    else:
        print("== compute-sanitizer: it is not here, or the native core is not", flush=True)
    measured = run("benchmarks", bench, environment, deadline + 10 - EVALUATION_SECONDS - time.time())
    evaluated = run("how long an evaluation takes", evaluation, environment, deadline + 10 - time.time())
    results = {"kernel tests": passed, "benchmarks": measured, "evaluation": evaluated}
    print("== " + ", ".join(f"{name} {'passed' if well else 'FAILED'}" for name, well in results.items()))
    return 0 if all(results.values()) else 1


SEES_A_GPU = "import sys, torch; sys.exit(not torch.cuda.is_available())"


def paths(build: Path) -> dict[str, str]:
    """Put the package together in `build`: what points Python and the compilers there."""
    package = build / "site/lamp_fast"
    shutil.rmtree(package, ignore_errors=True)
    package.mkdir(parents=True)
    for source in [*(ROOT / "lamp_fast").iterdir(), ROOT / "kernels"]:
        if source.name != "__pycache__" and not (package / source.name).exists():
            (package / source.name).symlink_to(source)
    return {
        "PYTHONPATH": str(package.parent),
        "PYTHONUNBUFFERED": "1",
        "TRITON_CACHE_DIR": str(build / "triton"),
        "TORCHINDUCTOR_CACHE_DIR": str(build / "inductor"),
    }


def build_native(environment: dict[str, str], seconds: float) -> bool:
    """The native core for this GPU, beside the linked package; says what is missing."""
    missing = [name for name in ("cmake", "ninja", "nvcc") if shutil.which(name) is None]
    missing += ["pybind11"] * (find_spec("pybind11") is None)
    if missing:
        print(f"== native core: left out, {', '.join(missing)} not found", flush=True)
        return False
    package, build = BUILD / "site/lamp_fast", BUILD / "native"
    for module in package.glob("_native*"):
        module.unlink()
    options = ["-DLAMP_FAST_CUDA=ON", "-DLAMP_FAST_CUDA_ARCHITECTURES=native", "-DLAMP_FAST_PYTHON=ON"]
    options += ["-DLAMP_FAST_CAPI=OFF", "-DLAMP_FAST_TESTS=OFF", f"-DLAMP_FAST_PYTHON_OUTPUT={package}"]
    configure = ["-S", ROOT, "-B", build, "-G", "Ninja", f"-DPython_EXECUTABLE={sys.executable}", *options]
    return run("native core: configured", configure, environment, seconds, ["cmake"]) and run(
        "native core: built", ["--build", build], environment, seconds, ["cmake"]
    )


def run(
    name: str, arguments: list, environment: dict[str, str], seconds: float, program: Sequence[str] = (sys.executable,)
) -> bool:
    """Whether a program, by default Python, with these arguments ends in time and well."""
    print(f"== {name}, {seconds:.0f} s at most", flush=True)
    began = time.time()
    try:
        done = subprocess.run([*program, *arguments], cwd=ROOT, env=environment, timeout=max(seconds, 1))
    except subprocess.TimeoutExpired:
        print(f"== {name}: stopped after {seconds:.0f} s", flush=True)
        return False
    print(f"== {name}: {time.time() - began:.0f} s", flush=True)
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
