"""Which implementation of the operators runs, and why.

`LAMP_FAST_BACKEND` (auto, eager, triton, native) chooses for the process, `use_backend` for a block of code. `auto` is
triton where a GPU can run it and eager elsewhere. An operator without an implementation for the chosen backend, or
whose tensors lie on a device that backend cannot reach, runs eager.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING

from .errors import LampError

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)


class Backend(StrEnum):
    EAGER = "eager"
    TRITON = "triton"
    NATIVE = "native"


@dataclass(frozen=True)
class Availability:
    """Whether a backend works in this process, and one line that says why."""

    works: bool
    reason: str


_block_choice: ContextVar[Backend | None] = ContextVar("lamp_fast_backend", default=None)


def current_backend() -> Backend:
    """The backend in force here: of the innermost `use_backend` block, else of the process.

    Raises `LampError` if `LAMP_FAST_BACKEND` names a backend that does not exist or does not work.
    """
    return _block_choice.get() or _process_choice()


def asked_backend() -> Backend | None:
    """The backend that a `use_backend` block or `LAMP_FAST_BACKEND` names; None where it is left open ("auto").

    Raises `LampError` as `current_backend`.
    """
    if _block_choice.get() is None and os.environ.get("LAMP_FAST_BACKEND", "auto") == "auto":
        return None
    return current_backend()


@contextmanager
def use_backend(name: str | Backend) -> Iterator[Backend]:
    """Run the block on the named backend; `LampError` if it does not exist or does not work."""
    backend = _usable(name, "use_backend")
    token = _block_choice.set(backend)
    try:
        yield backend
    finally:
        _block_choice.reset(token)


def triton_is_interpreted() -> bool:
    """Whether kernels run in Triton's interpreter, which takes tensors of the CPU; for tests."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def find_device(name: str = "auto") -> torch.device:
    """The `torch.device` of that name; "auto" is the GPU if there is one, else the CPU.

    Raises `LampError` for a name that torch does not know and for a device that is not there.
    """
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=name).device
    except (AssertionError, NotImplementedError, RuntimeError) as error:
        raise LampError(f"device {name!r} cannot be used here; give auto, cpu, or cuda where there is a GPU") from error


@cache
def available() -> dict[Backend, Availability]:
    """Every backend, probed once in a process."""
    return {Backend.EAGER: _eager(), Backend.TRITON: _triton(), Backend.NATIVE: _native()}


@cache
def _process_choice() -> Backend:
    name = os.environ.get("LAMP_FAST_BACKEND", "auto")
    if name == "auto":
        backend = Backend.TRITON if available()[Backend.TRITON].works else Backend.EAGER
        reason = available()[Backend.TRITON].reason
    else:
        backend, reason = _usable(name, "LAMP_FAST_BACKEND"), "LAMP_FAST_BACKEND asks for it"
    logger.info("backend %s: %s", backend, reason)
    return backend


def _usable(name: str, asked_by: str) -> Backend:
    if name not in list(Backend):
        raise LampError(f"{asked_by}: no backend is called {str(name)!r}; there are {', '.join(Backend)}")
    status = available()[Backend(name)]
    if not status.works:
        raise LampError(f"{asked_by}: backend {name} does not work here: {status.reason}")
    return Backend(name)


def _eager() -> Availability:
    import torch

    return Availability(True, f"torch {torch.__version__}")


def _triton() -> Availability:
    import torch

    if find_spec("triton") is None:
        return Availability(False, "triton is not installed: pip install triton")
    if triton_is_interpreted():
        return Availability(True, "kernels run in the interpreter (TRITON_INTERPRET=1), for tests only")
    if not torch.cuda.is_available():
        return Availability(False, "torch sees no GPU")
    return Availability(True, f"torch sees {torch.cuda.get_device_name()}")


def _native() -> Availability:
    try:
        from . import _native
    except ImportError as error:
        if find_spec("lamp_fast._native") is not None:
            return Availability(False, f"the C++ module does not load: {error}")
        return Availability(
            False, "the C++ module is not built: install with a C++ compiler and LAMP_FAST_BUILD_NATIVE=1 to see why"
        )
    return Availability(True, f"C++ module {_native.__version__}, instruction set {_native.best_isa()}")
