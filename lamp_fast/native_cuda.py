"""Operators of the native core for tensors on NVIDIA GPUs (`csrc/cuda`), and why they may not be there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch
from torch import Tensor


@cache
def why_not() -> str | None:
    """Why tensors on a GPU are out of the native core's reach, or None where they are not."""
    try:
        from . import _native
    except ImportError as error:
        return f"the C++ module does not load: {error}"
    if not hasattr(_native, "cuda"):
        return "the C++ module is built without CUDA: no nvcc was found"
    try:
        _native.cuda.find_device()
    except RuntimeError as error:
        return str(error)
    return None


@contextmanager
def stream_of(x: Tensor) -> Iterator[int]:
    """Makes the device of x the current one, here and for the native core; the address of the stream in force there."""
    from . import _native

    with torch.cuda.device(x.device):
        _native.cuda.use_device(x.device.index)
        yield torch.cuda.current_stream().cuda_stream


def address(tensor: Tensor | None) -> int:
    return 0 if tensor is None else tensor.data_ptr()


def codebook_lookup(x: Tensor, codebook: Tensor, precision: str = "ieee") -> Tensor:
    """As `codebook_lookup_ref`, for every precision the nearest code in float64. A row with a NaN gives some index."""
    from . import _native

    x, codebook = x.detach().float().contiguous(), codebook.detach().float().contiguous()
    sizes = len(x), len(codebook), x.shape[1]
    indices = torch.empty(len(x), dtype=torch.int64, device=x.device)
    workspace = torch.empty(_native.cuda.codebook_lookup_workspace(*sizes), dtype=torch.uint8, device=x.device)
    with stream_of(x) as stream:
        _native.cuda.codebook_lookup(
            address(x), sizes[0], address(codebook), *sizes[1:], address(indices), address(workspace), stream
        )
    return indices


def decode_step(*arguments) -> tuple[Tensor, Tensor]:
    """As `decode_step_ref`, all arguments by position, but for the rounding of logarithms and of the softmax's sum."""
    from . import _native

    *tensors, step, guidance_scale, temperature, top_k = arguments
    numbers = tensors[0].dtype if tensors[0].dtype in (torch.float32, torch.bfloat16) else torch.float32
    dtypes = numbers, numbers, *[torch.int64] * 4, torch.float32
    given = [
        None if tensor is None else tensor.detach().to(dtype).contiguous()
        for tensor, dtype in zip(tensors, dtypes, strict=True)
    ]
    logits, plain, ids, *rest = given
    out_ids, confidence = torch.empty_like(ids), torch.empty(ids.shape, device=ids.device)
    arrivals = torch.zeros(len(ids), dtype=torch.int32, device=ids.device)
    with stream_of(logits) as stream:
        _native.cuda.decode_step(
            *map(address, (logits, plain)),
            str(numbers).removeprefix("torch."),
            *ids.shape,
            logits.shape[-1],
            logits.shape[1],
            step,
            *map(address, (ids, *rest)),
            guidance_scale,
            temperature,
            top_k,
            *map(address, (out_ids, confidence, arrivals)),
            stream,
        )
    return out_ids, confidence
