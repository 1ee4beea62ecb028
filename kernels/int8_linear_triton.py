"""int8_linear on a GPU: integer tensor cores, 32-bit integer sums, the scales and the bias at the end."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from .operands import contiguous, unit_stride


@triton.jit
def int8_linear_kernel(
    x,
    x_scale,
    weight,
    weight_scale,
    bias,
    out,
    M,
    out_features,
    in_features,
    stride_xm,
    BLOCK_M: tl.constexpr,
    BLOCK_OUT: tl.constexpr,
    BLOCK_IN: tl.constexpr,
    EVEN: tl.constexpr,
):
    """One program computes BLOCK_M x BLOCK_OUT of out (M,O). The columns of x are contiguous, all else wholly."""
    tiles = tl.cdiv(out_features, BLOCK_OUT)
    # Neighbouring programs share rows of x; the weight stays in the cache anyhow.
    rows = (tl.program_id(0) // tiles).to(tl.int64) * BLOCK_M + tl.arange(0, BLOCK_M)
    channels = (tl.program_id(0) % tiles) * BLOCK_OUT + tl.arange(0, BLOCK_OUT)
    # Beyond the end the last row is read again, so that no load needs a mask for it; only stores have one.
    read_rows, read_channels = tl.minimum(rows, M - 1), tl.minimum(channels, out_features - 1)
    columns = tl.arange(0, BLOCK_IN)
    x_tiles = x + read_rows[:, None] * stride_xm + columns[None, :]
    weight_tiles = weight + read_channels[:, None] * in_features + columns[None, :]
    # The weight comes first: tensor cores of sm_90 take 64 rows of the first and as few as 8 of the second.
    total = tl.zeros((BLOCK_OUT, BLOCK_M), tl.int32)
    for first in range(0, in_features, BLOCK_IN):
        if EVEN:
            x_tile, weight_tile = tl.load(x_tiles + first), tl.load(weight_tiles + first)
        else:
            x_tile = tl.load(x_tiles + first, mask=first + columns[None, :] < in_features, other=0)
            weight_tile = tl.load(weight_tiles + first, mask=first + columns[None, :] < in_features, other=0)
        total = tl.dot(weight_tile, tl.trans(x_tile), total, out_dtype=tl.int32)

    row_scale = tl.load(x_scale + read_rows)
    # Masked, not read again: neighbouring channels come in one load.
    channel_scale = tl.load(weight_scale + channels, mask=channels < out_features, other=0.0)
    y = tl.trans(total).to(tl.float32) * row_scale[:, None] * channel_scale[None, :]
    if bias is not None:
        y += tl.load(bias + channels, mask=channels < out_features, other=0.0).to(tl.float32)[None, :]
    tl.store(
        out + rows[:, None] * out_features + channels[None, :],
        y.to(out.dtype.element_ty),
        mask=(rows[:, None] < M) & (channels[None, :] < out_features),
    )


def _tiles(m: int, out_features: int) -> dict[str, int]:
    """Small tiles where the whole has few of them, so that every processor gets work; else those that reuse most."""
    if m <= 16:
        return {"BLOCK_M": 16, "BLOCK_OUT": 64, "num_warps": 4, "num_stages": 4}
    if m <= 256:
        return {"BLOCK_M": 32, "BLOCK_OUT": 64, "num_warps": 4, "num_stages": 4}
    if triton.cdiv(m, 128) * triton.cdiv(out_features, 128) < 264:  # two programs for each processor of an H100
        return {"BLOCK_M": 64, "BLOCK_OUT": 64, "num_warps": 4, "num_stages": 4}
    return {"BLOCK_M": 128, "BLOCK_OUT": 128, "num_warps": 8, "num_stages": 3}


def int8_linear_triton(
    x: Tensor,
    x_scale: Tensor,
    weight: Tensor,
    weight_scale: Tensor,
    bias: Tensor | None,
    dtype: torch.dtype = torch.float32,
    out: Tensor | None = None,
) -> Tensor:
    """As `int8_linear_ref`, to the last bit while I is at most 133,000 (2^31 / 127^2).

    out (M,O) contiguous, any float dtype, which then stands for `dtype`: written and returned.
    """
    m, in_features = x.shape
    out_features = weight.shape[0]
    if out is None:
        out = torch.empty(m, out_features, dtype=dtype, device=x.device)
    if out.numel() == 0:
        return out
    x = unit_stride(x)
    block_in = 128 if in_features > 64 else 64
    tiles = _tiles(m, out_features)
    with torch.cuda.device_of(x):
        int8_linear_kernel[(triton.cdiv(m, tiles["BLOCK_M"]) * triton.cdiv(out_features, tiles["BLOCK_OUT"]),)](
            x,
            *map(contiguous, (x_scale, weight, weight_scale, bias)),
            out,
            m,
            out_features,
            in_features,
            x.stride(0),
            BLOCK_IN=block_in,
            EVEN=in_features % block_in == 0,
            # No multiply-add: product, product and sum round one by one, as in the reference.
            enable_fp_fusion=False,
            **tiles,
        )
    return out
