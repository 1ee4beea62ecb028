"""Every kernel of csrc/cuda compiles for three generations of GPUs, no worse than benchmarks/cuda_gate.json says."""

import shutil
import subprocess
import sys

import pytest

ROW = {"registers": 64, "stack": 0, "spills": 0}
REPORT = """
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function '_Z3onePf' for 'sm_80'
ptxas info    : Function properties for _Z3onePf
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 40 registers, used 1 barriers, 560 bytes cmem[0]
ptxas info    : Compiling entry function '_Z3twoPf' for 'sm_80'
ptxas info    : Function properties for _Z3twoPf
    8 bytes stack frame, 4 bytes spill stores, 12 bytes spill loads
ptxas info    : Used 255 registers
"""


@pytest.fixture(scope="module")
def gate(benchmark_script):
    return benchmark_script("cuda_gate")


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="nvcc is not installed")
def test_nothing_got_worse(gate):
    result = subprocess.run([sys.executable, "-P", gate.__file__], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.skipif(shutil.which("c++filt") is None, reason="c++filt is not installed")
def test_a_report_of_ptxas_is_read(gate):
    assert dict(gate.rows_of(REPORT)) == {
        "one": {"registers": 40, "stack": 0, "spills": 0},
        "two": {"registers": 255, "stack": 8, "spills": 16},
    }


@pytest.mark.parametrize(
    "change, words",
    [({"registers": 73}, "73 registers"), ({"stack": 8}, "8 bytes of stack"), ({"spills": 4}, "spilled")],
)
def test_what_is_worse_is_said(gate, change, words):
    [complaint] = gate.complaints(ROW | change, [ROW])
    assert words in complaint


def test_what_is_not_worse_passes(gate):
    assert not list(gate.complaints(ROW | {"registers": 72}, [ROW]))


def test_an_unknown_kernel_is_not_passed_over(gate):
    assert list(gate.complaints(ROW, []))
