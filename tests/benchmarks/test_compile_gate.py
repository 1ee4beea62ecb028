"""Every kernel compiles for three generations of GPUs, and no worse than benchmarks/compile_gate.json says."""

import os
import subprocess
import sys

import pytest

ROW = {"registers": 64, "shared": 1024, "races": 0, "tensor": 0, "fma": 9, "load128": 4, "load16": 0, "spills": 0}

pytest.importorskip("triton")


@pytest.fixture(scope="module")
def gate(benchmark_script):
    return benchmark_script("compile_gate")


def test_nothing_got_worse(gate, tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment["TRITON_CACHE_DIR"] = str(tmp_path)
    result = subprocess.run([sys.executable, "-P", gate.__file__], env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    "change, words",
    [
        ({"registers": 73}, "73 registers"),
        ({"shared": 2048}, "2048 bytes"),
        ({"spills": 1}, "spill"),
        ({"races": 1}, "overwritten"),
        ({"load128": 0}, "no 128 bit loads"),
        ({"load16": 2}, "2 16 bit loads"),
        ({"tensor": 1}, "tensor core"),
    ],
)
def test_what_is_worse_is_said(gate, change, words):
    [complaint] = gate.complaints(ROW | change, [ROW])
    assert words in complaint


def test_what_is_not_worse_passes(gate):
    assert not list(gate.complaints(ROW | {"registers": 72, "shared": 1000, "fma": 0, "load128": 1}, [ROW]))


def test_a_copy_that_tensor_cores_share_with_others_is_a_race(gate):
    lines = [
        "%x = ttg.local_alloc : () -> !ttg.memdesc<2x64x64xbf16>",
        "%x_1 = ttg.memdesc_index %x[%slot] : !ttg.memdesc<2x64x64xbf16>",
        "%t = ttg.memdesc_trans %x_1 {order = array<i32: 1, 0>}",
        "%w_1 = ttg.memdesc_index %w[%slot] : !ttg.memdesc<3x64x64xbf16>",
        "%p = ttng.warp_group_dot %w_1, %t, %acc {isAsync = true}",
    ]
    assert gate.races("\n".join(lines)) == 0
    assert gate.races("\n".join([*lines, "%v = ttg.local_load %x_1 token %done"])) == 1
    assert (
        gate.races("\n".join([*lines[:-1], "%p = ttng.warp_group_dot %w_1, %t, %acc", "%v = ttg.local_load %x_1"])) == 0
    )


def test_an_unknown_version_of_triton_is_held_to_the_worst_of_the_known(gate):
    other = ROW | {"registers": 90, "load128": 0}
    assert not list(gate.complaints(ROW | {"registers": 98, "load128": 0}, [ROW, other]))
    assert list(gate.complaints(ROW | {"registers": 99}, [ROW, other]))
    assert list(gate.complaints(ROW, []))
