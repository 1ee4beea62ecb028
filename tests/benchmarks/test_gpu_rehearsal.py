"""`make gpu` without a GPU: the same steps up to the calls of the device."""

import json
import os
import re
import runpy
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "benchmarks/gpu.py"


@pytest.fixture
def bare():
    """An environment that knows nothing of this checkout."""
    hidden = ("PYTHONPATH", "TRITON_INTERPRET", "LAMP_FAST_RESULTS")
    return {name: value for name, value in os.environ.items() if name not in hidden}


def run(environment, *arguments):
    return subprocess.run(
        [sys.executable, "-P", SCRIPT, *arguments], env=environment, capture_output=True, text=True, timeout=300
    )


def test_rehearsal(bare, tmp_path):
    pytest.importorskip("triton")
    result = run(bare | {"LAMP_FAST_RESULTS": str(tmp_path)}, "--rehearse")
    assert result.returncode == 0, result.stdout + result.stderr
    for words in (
        "kernels passed in ",
        "bench passed in ",
        "evaluation passed in ",
        "20 times HumanML3D's test split",
        "generate tiny",
        "released",
        "eager bf16",
    ):
        assert words in result.stdout
    assert (tmp_path / "gpu.log").read_text() == result.stdout
    [file] = tmp_path.glob("*.jsonl")
    record, evaluation = map(json.loads, file.read_text().splitlines())
    assert record["status"] == "ok" and record["machine"]["torch"] and record["floor_ms"]
    assert evaluation["motions"] == 40 + 30 and evaluation["minutes_for_humanml3d_20_times"] > 0


def test_stages_end_in_time_and_say_what_went_wrong(bare, monkeypatch, tmp_path):
    """A stage that hangs is stopped with its children, the later ones have their time, trouble is said again."""
    gpu = runpy.run_path(str(SCRIPT))
    hangs = "import subprocess, sys; print('FAILED: a kernel'); subprocess.run(['sleep', '300'])"
    stages = {
        "kernels": (lambda session, seconds: session.python("-c", hangs, seconds=1), 60),
        "bench": (lambda session, seconds: session.python("-c", f"print({seconds})", seconds=seconds), 0),
        "evaluation": (lambda session, seconds: session.python("-c", "raise SystemExit(3)", seconds=seconds), 20),
    }
    gpu["STAGES"].clear()
    gpu["STAGES"].update(stages)
    monkeypatch.setenv("LAMP_FAST_RESULTS", str(tmp_path))
    began = time.time()
    assert gpu["main"](["--rehearse", "--minutes", "5"]) == 1 and time.time() - began < 250
    *_, trouble, last = (tmp_path / "gpu.log").read_text().splitlines()
    assert trouble == "FAILED: a kernel" and re.match(
        r"== kernels FAILED in \d+ s, bench passed in \d+ s, evaluation FAILED in", last
    )


def test_without_a_gpu_it_says_so(bare):
    pytest.importorskip("triton")
    result = run(bare | {"CUDA_VISIBLE_DEVICES": ""})
    assert result.returncode == 1 and "sees no GPU; name a Python that does" in result.stdout
