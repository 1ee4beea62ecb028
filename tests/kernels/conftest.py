"""Triton kernels run on the GPU where there is one, elsewhere in Triton's interpreter on the CPU (`make test`)."""

import pytest
import torch

from lamp_fast.backend import available, triton_is_interpreted, use_backend


@pytest.fixture(scope="session")
def device() -> str:
    """Where Triton kernels run."""
    pytest.importorskip("triton")
    if torch.cuda.is_available():
        return "cuda"
    if not triton_is_interpreted():
        pytest.skip("no GPU; start pytest with TRITON_INTERPRET=1 to run Triton kernels in the interpreter")
    return "cpu"


@pytest.fixture
def triton_backend(device):
    """Backend triton is in force."""
    available.cache_clear()
    with use_backend("triton"):
        yield
    available.cache_clear()


@pytest.fixture
def few_programs(device, monkeypatch):
    """Convolutions in large tiles: the interpreter runs one program after the other. A GPU runs what it always does."""
    if device == "cpu":
        monkeypatch.setattr("lamp_fast.kernels.conv1d_triton.BUSY", 2)
