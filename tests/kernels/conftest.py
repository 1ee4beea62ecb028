"""Triton kernels run on the GPU where there is one, elsewhere in Triton's interpreter on the CPU."""

from importlib import import_module
from importlib.util import find_spec

import pytest
import torch

from lamp_fast.backend import available, use_backend

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
OPERATORS = ("codebook_lookup", "philox", "decode_step", "sequence_attention")

if DEVICE == "cpu" and find_spec("triton"):
    # Triton decides when it is imported. The variable does not stay: it would slow down all other tests.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRITON_INTERPRET", "1")
        for operator in OPERATORS:
            import_module(f"lamp_fast.kernels.{operator}_triton")


@pytest.fixture(scope="session")
def device() -> str:
    """Where Triton kernels run."""
    return DEVICE


@pytest.fixture
def triton_backend(monkeypatch):
    """Backend triton is in force."""
    if DEVICE == "cpu":
        monkeypatch.setenv("TRITON_INTERPRET", "1")
    available.cache_clear()
    try:
        with use_backend("triton"):
            yield
    finally:
        available.cache_clear()
