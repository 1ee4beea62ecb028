"""`make gpu` without a GPU: the same steps up to the calls of the device."""

import json
import os
import subprocess
import sys
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
        "kernel tests passed, benchmarks passed, evaluation passed",
        "20 times HumanML3D's test split",
        "compute-sanitizer",
        "generate tiny",
        "released",
        "eager bf16",
    ):
        assert words in result.stdout
    [file] = tmp_path.glob("*.jsonl")
    record, evaluation = map(json.loads, file.read_text().splitlines())
    assert record["status"] == "ok" and record["machine"]["torch"] and record["floor_ms"]
    assert evaluation["motions"] == 40 + 30 and evaluation["minutes_for_humanml3d_20_times"] > 0


def test_without_a_gpu_it_says_so(bare):
    pytest.importorskip("triton")
    result = run(bare | {"CUDA_VISIBLE_DEVICES": ""})
    assert result.returncode == 1 and "sees no GPU; name a Python that does" in result.stdout
