"""Programmatic dependent launch, sm_90 and later: a kernel begins before the one in front of it has ended.

It may read weights then, which that one must not write, and waits for its end where it reads anything else.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

_wanted: ContextVar[bool] = ContextVar("lamp_fast_dependent_launches", default=False)


@contextmanager
def dependent_launches() -> Iterator[None]:
    """Inside the block kernels launch this way where they and the device of their tensors can."""
    token = _wanted.set(True)
    try:
        yield
    finally:
        _wanted.reset(token)


def is_dependent(x: Tensor) -> bool:
    """Whether a kernel over x launches this way."""
    if not _wanted.get():
        return False
    return torch.cuda.get_device_capability(x.device) >= (9, 0) if x.is_cuda else x.device.type != "cpu"
