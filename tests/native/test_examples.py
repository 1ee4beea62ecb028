"""The examples for engines: C# compiled and run by Mono, the Godot module compiled. Those in C are built by ctest."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("LAMP_FAST_CTEST", ROOT / "build/ctest"))
UNITY, GODOT, HERE = ROOT / "examples/unity", ROOT / "examples/godot", Path(__file__).parent
C_NAMES = {"MotionArrays": "lf_motion"}  # where C# has another name


def run(*command, **environment) -> str:
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, env={**os.environ, **environment}, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def tool(*names: str) -> str:
    found = next((path for path in map(shutil.which, names) if path), None)
    return found or pytest.skip(f"{' or '.join(names)} is not installed")


@pytest.fixture(scope="module")
def library():
    if not (BUILD / "write_tiny_model").exists():
        pytest.skip(f"the C library is not built in {BUILD}")
    return BUILD


@pytest.fixture(scope="module")
def demo(library, tmp_path_factory):
    """A function that runs examples/unity/Demo.cs."""
    compiler, mono = tool("mcs"), tool("mono")
    program = tmp_path_factory.mktemp("unity") / "Demo.exe"
    run(compiler, "-unsafe", "-warn:4", "-warnaserror", f"-out:{program}", UNITY / "LampFast.cs", UNITY / "Demo.cs")
    return lambda *arguments: run(mono, program, *arguments, LD_LIBRARY_PATH=str(library))


def test_csharp_runs(demo, library, tmp_path):
    run(library / "write_tiny_model", tmp_path / "tiny.safetensors")
    output = demo(tmp_path / "tiny.safetensors")
    assert "60 with motion" in output and "FAILED" not in output


def test_csharp_structs_lie_as_those_of_c(demo, library):
    expected: dict[str, set[str]] = {}
    sizes = {}
    for line in run(library / "layout").splitlines():
        struct, field, value = line.split()
        if field == "sizeof":
            sizes[struct] = value
        else:
            expected.setdefault(struct, set()).add(value)
    for line in demo().splitlines():
        name, size, *offsets = line.split()
        struct = C_NAMES.get(name, "lf_" + "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_"))
        assert size == sizes[struct], name
        assert expected[struct] <= set(offsets), name


def test_unity_component_compiles(tmp_path):
    sources = (UNITY / "LampFast.cs", UNITY / "MotionPlayer.cs", HERE / "UnityEngine.cs")
    options = ("-unsafe", "-warn:4", "-target:library", "-define:UNITY_5_3_OR_NEWER", f"-out:{tmp_path / 'Unity.dll'}")
    run(tool("mcs"), *options, *sources)


def test_godot_module_compiles(tmp_path):
    sources = sorted(GODOT.glob("*.cpp"))
    text = "".join(path.read_text() for path in [*sources, *GODOT.glob("*.h")])
    for name in set(re.findall(r"#include <((?:godot_cpp/|gdextension).*)>", text)):
        header = tmp_path / name
        header.parent.mkdir(parents=True, exist_ok=True)
        header.write_text(f'#include "{HERE / "godot_cpp.h"}"\n')
    for path in sources:
        flags = ("-std=c++17", "-fsyntax-only", "-Wall", "-Wextra", "-Werror", "-fno-exceptions")
        run(tool("c++", "g++", "clang++"), *flags, f"-I{tmp_path}", f"-I{ROOT / 'csrc/include'}", path)


def test_c_of_the_guide_compiles(tmp_path):
    blocks = re.findall(r"```c\n(.*?)```", (ROOT / "docs/embedding.md").read_text(), re.DOTALL)
    assert len(blocks) > 4
    game = """
        #include <stddef.h>
        #include "lamp_fast.h"
        void my_log(const char* text);
        void play(const lf_motion* motion);
        void* my_aligned_alloc(uint64_t bytes, uint64_t alignment);
        void game(float* positions, float* rotations, float share, double game_seconds);
        void game(float* positions, float* rotations, float share, double game_seconds) {
    """
    source = tmp_path / "game.c"
    source.write_text(game + "".join(blocks) + "}\n")
    flags = ("-std=c99", "-pedantic", "-fsyntax-only", "-Wall", "-Wextra", "-Werror", "-Wno-missing-field-initializers")
    run(tool("cc", "gcc", "clang"), *flags, f"-I{ROOT / 'csrc/include'}", source)
