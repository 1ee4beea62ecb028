"""What launchers do with a tensor before a kernel reads it."""

import torch
from torch import Tensor


def unit_stride(x: Tensor) -> Tensor:
    """x without gradient, its last dimension contiguous; copied only where it is not."""
    x = x.detach()
    return x if x.stride(-1) == 1 else x.contiguous()


def contiguous(x: Tensor | None) -> Tensor | None:
    """x without gradient, contiguous; None stays None."""
    return None if x is None else x.detach().contiguous()


def interprets_bfloat16(x: Tensor) -> bool:
    """The interpreter, the only one to see tensors of the CPU, reads bfloat16 as integers: kernels widen such x."""
    return x.device.type == "cpu" and x.dtype == torch.bfloat16
