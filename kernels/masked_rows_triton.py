"""masked_rows on a GPU: one program counts through one sample."""

import torch
import triton
import triton.language as tl
from torch import Tensor


@triton.jit
def masked_rows_kernel(ids, rows, mask_id, limit, B, N, BRANCHES: tl.constexpr, BLOCK_N: tl.constexpr):
    sample = tl.program_id(0)
    positions = tl.arange(0, BLOCK_N)
    inside = positions < N
    masked = inside & (tl.load(ids + sample.to(tl.int64) * N + positions, mask=inside, other=0) == mask_id)
    rank = tl.cumsum(masked.to(tl.int32), axis=0)
    # Masked tokens take the first places, the others those after them.
    place = tl.where(masked, rank - 1, tl.sum(masked.to(tl.int32), axis=0) + positions - rank)
    for branch in tl.static_range(BRANCHES):
        sequence = branch * B + sample
        row = sequence * (N + 1) + 1 + positions
        tl.store(rows + sequence * limit + place, row, mask=inside & (place < limit))


def masked_rows_triton(ids: Tensor, mask_id: int, limit: int, branches: int, out: Tensor | None = None) -> Tensor:
    """As `masked_rows_ref`; of the rows that are not masked it takes the first. out: written and returned."""
    batch, n = ids.shape
    if out is None:
        out = torch.empty(branches * batch * limit, dtype=torch.int32, device=ids.device)
    if out.numel() == 0:
        return out
    with torch.cuda.device_of(ids):
        masked_rows_kernel[(batch,)](
            ids.contiguous(),
            out,
            mask_id,
            limit,
            batch,
            n,
            BRANCHES=branches,
            BLOCK_N=max(16, triton.next_power_of_2(n)),
            num_warps=1,
        )
    return out
