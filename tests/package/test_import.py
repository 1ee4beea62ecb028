"""What `import lamp_fast` costs, offers and survives."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import lamp_fast

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "numpy", "transformers", "triton", "PIL", "safetensors", "tokenizers")


def run(code: str) -> str:
    result = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


@pytest.mark.parametrize(
    "statement", ["import lamp_fast", "from lamp_fast.cli.main import build_parser; build_parser()"]
)
def test_import_is_light(statement):
    assert run(f"import sys; {statement}; print([name for name in {HEAVY} if name in sys.modules])") == "[]"


@pytest.mark.parametrize("name", lamp_fast.__all__)
def test_public_names_resolve(name):
    assert getattr(lamp_fast, name) is not None
    assert name in dir(lamp_fast)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="nonsense"):
        _ = lamp_fast.nonsense


def test_import_survives_without_the_native_module():
    code = """
import sys
sys.modules["lamp_fast._native"] = None
import lamp_fast, lamp_fast.backend, lamp_fast.kernels
status = lamp_fast.backend.available()[lamp_fast.backend.Backend.NATIVE]
print(status.works, status.reason)
"""
    assert run(code).startswith("False the C++ module is not built")


def test_our_kernels_folder_is_not_the_package_named_kernels():
    """transformers imports a top-level package of that name where it finds one."""
    if str(ROOT) in os.environ.get("PYTHONPATH", "").split(os.pathsep):
        pytest.skip("PYTHONPATH puts the root of the repository on sys.path")
    spec = find_spec("kernels")
    assert spec is None or not spec.origin.startswith(str(ROOT))
