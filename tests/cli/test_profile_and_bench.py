"""`lamp-fast profile` and `lamp-fast bench`."""

import json
import sys
from importlib.util import find_spec

import pytest

from lamp_fast.backend import Backend, available, use_backend
from lamp_fast.cli.main import main


@pytest.fixture
def model(tiny_folder):
    return ["--model", str(tiny_folder), "--device", "cpu", "--num-inference-steps", "2"]


def profiled(model, tmp_path, capsys) -> str:
    """What `lamp-fast profile` printed, once the trace and the stages in it have been looked at."""
    path = tmp_path / "new" / "trace.json"
    assert main(["profile", *model, "--batch", "2", "--prompt", "a person walks", "--output", str(path)]) == 0
    names = {event.get("name") for event in json.loads(path.read_text())["traceEvents"]}
    assert {"text", "tokens", "features", "joints"} <= names
    printed = capsys.readouterr().out
    for name in ("text", "tokens", "features"):
        check_row(printed, name)
    return printed


def check_row(printed: str, name: str) -> None:
    row = next(line.split() for line in printed.splitlines() if line.split()[0] == name)
    _, calls, gflop, megabytes, ms, share = row
    assert int(calls) >= 1 and float(gflop) >= 0 and float(megabytes) > 0 and float(ms) > 0 and share.endswith("%")


def test_profile_of_pytorch(model, tmp_path, capsys):
    with use_backend("eager"):
        printed = profiled(model, tmp_path, capsys)
    check_row(printed, "aten::addmm")
    assert "native core" not in printed


@pytest.mark.skipif(not available()[Backend.NATIVE].works, reason="the native module is not built")
def test_profile_of_the_native_core(model, tmp_path, capsys):
    assert "LAMP_FAST_BACKEND=eager" in profiled(model, tmp_path, capsys)


def test_bench(model, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("lamp_fast.cli.bench.PROMPT", "a person walks")
    picture = tmp_path / "curve.png"
    plot = ["--plot", str(picture)] if find_spec("matplotlib") else []
    assert main(["bench", *model, "--batch", "3", "1", "--seconds", "1", *plot]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[2:4]] == ["1", "3"]
    assert not plot or picture.read_bytes().startswith(b"\x89PNG")


def test_without_matplotlib_one_line_says_what_to_install(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["bench", "--plot", str(tmp_path / "curve.png")]) == 2
    assert capsys.readouterr().err == "lamp-fast: matplotlib is missing; run: pip install 'lamp-fast[bench]'\n"


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["bench", "--batch", "0"], "--batch is 0"),
        (["bench", "--plot", "."], "it is a folder"),
        (["profile", "--output", "."], "it is a folder"),
        (["profile", "--batch", "0"], "--batch is 0"),
    ],
)
def test_what_cannot_be_is_said_before_long_work(arguments, words, capsys):
    assert main(arguments) == 2
    assert words in capsys.readouterr().err
