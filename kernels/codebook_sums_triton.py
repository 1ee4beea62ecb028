"""codebook_sums on a GPU, to the same bits in every run: rows are sorted by code, and each code sums its own."""

import torch
import triton
import triton.language as tl
from torch import Tensor


@triton.jit
def codebook_sums_kernel(x, order, starts, sums, D, BLOCK_M: tl.constexpr, BLOCK_D: tl.constexpr):
    """One program sums BLOCK_D columns of the rows order[starts[code] : starts[code + 1]].

    Row i of them goes to partial sum i % BLOCK_M, whatever the grid is.
    """
    code = tl.program_id(0)
    end = tl.load(starts + code + 1)
    columns = tl.program_id(1) * BLOCK_D + tl.arange(0, BLOCK_D)
    partial = tl.zeros((BLOCK_M, BLOCK_D), tl.float32)
    for first in range(tl.load(starts + code), end, BLOCK_M):
        places = first + tl.arange(0, BLOCK_M)
        rows = tl.load(order + places, mask=places < end, other=0)
        read = (places[:, None] < end) & (columns[None, :] < D)
        partial += tl.load(x + rows[:, None] * D + columns[None, :], mask=read, other=0.0).to(tl.float32)
    tl.store(sums + code.to(tl.int64) * D + columns, tl.sum(partial, axis=0), mask=columns < D)


def codebook_sums_triton(
    x: Tensor, codes: Tensor, num_codes: int, out: tuple[Tensor, Tensor] | None = None
) -> tuple[Tensor, Tensor]:
    """As `codebook_sums_ref`; rows whose code is out of range count nowhere. Any strides.

    out: sums (K,D) float32 and counts (K,) int64, contiguous: written and returned.
    """
    d = x.shape[1]
    if out is None:
        out = x.new_empty(num_codes, d, dtype=torch.float32), codes.new_empty(num_codes)
    sums, counts = out
    in_order, order = codes.sort(stable=True)
    starts = torch.searchsorted(in_order, torch.arange(num_codes + 1, device=codes.device))
    torch.sub(starts[1:], starts[:-1], out=counts)
    # A row of 128 columns is a whole memory transaction for each warp; 16 of them are on their way at once.
    block_d = 128
    if sums.numel():
        with torch.cuda.device_of(x):
            codebook_sums_kernel[(num_codes, triton.cdiv(d, block_d))](
                x.detach().contiguous(), order, starts, sums, d, BLOCK_M=16, BLOCK_D=block_d, num_warps=4
            )
    return out
