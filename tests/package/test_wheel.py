"""The wheel, built and installed away from the repository."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("setuptools", minversion="77")

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("pyproject.toml", "setup.py", "MANIFEST.in", "CMakeLists.txt", "LICENSE", "NOTICE", "README.md")
FOLDERS = ("lamp_fast", "kernels", "csrc")


def build(folder: Path, **environment: str) -> subprocess.CompletedProcess:
    """`pip wheel` on a copy of the sources, so that no earlier build takes part."""
    source = folder / "source"
    source.mkdir()
    for name in SOURCES:
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, source)
    leave_out = shutil.ignore_patterns("__pycache__", "*.so", "*.pyd")
    for name in FOLDERS:
        shutil.copytree(ROOT / name, source / name, ignore=leave_out)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", folder, source]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | environment)


def wheel_names(folder: Path) -> list[str]:
    (wheel,) = folder.glob("*.whl")
    return zipfile.ZipFile(wheel).namelist()


def test_wheel_works_from_a_strange_folder(tmp_path):
    result = build(tmp_path, LAMP_FAST_BUILD_NATIVE="0")
    assert result.returncode == 0, result.stderr
    names = wheel_names(tmp_path)
    tops = {name.split("/")[0] for name in names}
    assert tops == {"lamp_fast", *(top for top in tops if top.endswith(".dist-info"))}, "nothing else is installed"
    assets = [path.relative_to(ROOT).as_posix() for path in (ROOT / "lamp_fast/assets").rglob("*") if path.is_file()]
    page = {"lamp_fast/export/page.html", "lamp_fast/export/player.js"}
    assert {"lamp_fast/py.typed", *page, *assets} <= set(names)

    site = tmp_path / "site"
    (wheel,) = tmp_path.glob("*.whl")
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", site, wheel], check=True)
    code = (
        "import lamp_fast, lamp_fast.kernels, lamp_fast.backend; print(lamp_fast.__file__, lamp_fast.kernels.__file__)"
    )
    environment = os.environ | {"PYTHONPATH": str(site)}
    output = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=tmp_path, env=environment, check=True, capture_output=True, text=True
    ).stdout
    assert all(path.startswith(str(site)) for path in output.split())


def test_without_a_compiler_the_wheel_is_built_all_the_same(tmp_path):
    result = build(tmp_path, LAMP_FAST_BUILD_NATIVE="auto", CXX="no-such-compiler")
    assert result.returncode == 0, result.stderr
    assert not [name for name in wheel_names(tmp_path) if "_native" in name]


@pytest.mark.parametrize(
    "environment",
    [
        pytest.param({"LAMP_FAST_BUILD_NATIVE": "1", "CXX": "no-such-compiler"}, id="demanded-but-no-compiler"),
        pytest.param({"LAMP_FAST_BUILD_NATIVE": "perhaps"}, id="not-a-choice"),
    ],
)
def test_a_demand_that_cannot_be_met_fails(tmp_path, environment):
    assert build(tmp_path, **environment).returncode != 0
    assert not list(tmp_path.glob("*.whl"))
