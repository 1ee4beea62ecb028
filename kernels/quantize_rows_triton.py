"""quantize_rows on a GPU: a row is read once, and stays in registers from its maximum to its rounding."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from .operands import unit_stride
from .quantize_rows import SMALLEST_SCALE

_SMALLEST_SCALE = tl.constexpr(SMALLEST_SCALE)
_INFINITY = tl.constexpr(0x7F800000)  # the bits of float32 infinity; those of every NaN are larger
_ROUND = tl.constexpr(1.5 * 2**23)  # a float32 of this size has no room for a fraction: adding it rounds half to even


@triton.jit
def quantize_rows_kernel(
    x, out, scale, M, width, stride_xm, BLOCK_M: tl.constexpr, BLOCK_WIDTH: tl.constexpr, EVEN: tl.constexpr
):
    """One program quantises BLOCK_M rows; out is contiguous, the columns of x are."""
    rows = tl.program_id(0).to(tl.int64) * BLOCK_M + tl.arange(0, BLOCK_M)
    columns = tl.arange(0, BLOCK_WIDTH)[None, :]
    inside = rows[:, None] < M
    if not EVEN:
        inside = inside & (columns < width)
    value = tl.load(x + rows[:, None] * stride_xm + columns, mask=inside, other=0.0).to(tl.float32)

    # As bits, magnitudes are ordered like integers, NaN above all.
    magnitude = tl.max(value.to(tl.int32, bitcast=True) & 0x7FFFFFFF, axis=1)
    finite = magnitude < _INFINITY
    step = tl.div_rn(magnitude.to(tl.float32, bitcast=True), tl.full((BLOCK_M,), 127.0, tl.float32))
    step = tl.where(finite & (step >= _SMALLEST_SCALE), step, 1.0)
    level = tl.div_rn(value, tl.broadcast_to(step[:, None], (BLOCK_M, BLOCK_WIDTH)))
    level = tl.where(finite[:, None], (level + _ROUND) - _ROUND, 0.0)
    tl.store(out + rows[:, None] * width + columns, level.to(tl.int8), mask=inside)
    tl.store(scale + rows, tl.where(finite, step, float("nan")), mask=rows < M)


def quantize_rows_triton(x: Tensor, out: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
    """As `quantize_rows_ref`, to the last bit. x: any strides; rows of neighbouring columns are read as they lie.

    out: int8 (M,I) and scale (M,) float32, both contiguous: written and returned.
    """
    m, width = x.shape
    if out is None:
        out = torch.empty(m, width, dtype=torch.int8, device=x.device), torch.empty(m, device=x.device)
    if m == 0:
        return out
    x = unit_stride(x)
    block_width = triton.next_power_of_2(width)
    # Few rows go to a program each; many rows by as many as make sixteen numbers a thread.
    block_m = 1 if m <= 1024 else max(1, 2048 // block_width)
    with torch.cuda.device_of(x):
        quantize_rows_kernel[(triton.cdiv(m, block_m),)](
            x,
            *out,
            m,
            width,
            x.stride(0),
            BLOCK_M=block_m,
            BLOCK_WIDTH=block_width,
            EVEN=block_width == width,
            num_warps=min(8, max(1, block_m * block_width // 512)),
            # The rounding must not be joined with the division before it.
            enable_fp_fusion=False,
        )
    return out
