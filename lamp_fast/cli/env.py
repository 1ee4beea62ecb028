"""`lamp-fast env`: what is installed, which backends work and why the others do not. For bug reports."""

from __future__ import annotations

import argparse
import json
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files

from .. import __version__

PACKAGES = ("torch", "triton", "numpy", "safetensors", "tokenizers", "pillow", "transformers", "accelerate")


def add_parser(subparsers) -> None:
    parser = subparsers.add_parser("env", help="what is installed and which backends work", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    report = collect()
    if args.json:
        print(json.dumps(report, indent=2))
        return 0
    for name in ("lamp_fast", "python", "platform", "cpu threads", "gpu", "model lamp-mini"):
        print(f"{name:16} {report[name]}")
    for name, installed in report["packages"].items():
        print(f"{name:16} {installed or 'not installed'}")
    for name, status in report["backends"].items():
        print(f"backend {name:8} {'works' if status['works'] else 'no':5} {status['reason']}")
    print(f"{'chosen':16} {report['chosen backend']}")
    print(f"{'engine on a CPU':16} {report['engine on a CPU']}")
    return 0


def collect() -> dict:
    """The report as plain JSON values."""
    import torch

    from ..backend import Backend, asked_backend, available, current_backend

    native = available()[Backend.NATIVE].works and asked_backend() in (None, Backend.NATIVE)
    bundled = files("lamp_fast") / "assets" / "lamp-mini" / "config.json"
    return {
        "lamp_fast": __version__,
        "python": platform.python_version() + " at " + sys.executable,
        "platform": platform.platform(),
        "cpu threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
        "model lamp-mini": "bundled" if bundled.is_file() else "not bundled",
        "packages": {name: _installed(name) for name in PACKAGES},
        "backends": {
            name.value: {"works": status.works, "reason": status.reason} for name, status in available().items()
        },
        "chosen backend": current_backend().value,
        "engine on a CPU": "native core" if native else "PyTorch",
    }


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
