"""embed_tokens on a GPU: one gather and one addition a row."""

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait

from .dependent_launch import is_dependent
from .operands import unit_stride


@triton.jit
def embed_tokens_kernel(
    ids,
    condition,
    table,
    positions,
    out,
    B,
    M,
    L,
    stride_cb,
    stride_tk,
    stride_pn,
    W: tl.constexpr,
    PDL: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_W: tl.constexpr,
):
    """One program writes BLOCK_M of the M rows, L a sample."""
    rows = tl.program_id(0).to(tl.int64) * BLOCK_M + tl.arange(0, BLOCK_M)
    sample, n = rows // L, rows % L - 1
    columns = tl.arange(0, BLOCK_W)[None, :]
    token, first = (rows < M) & (n >= 0), (rows < M) & (n < 0)
    if PDL:
        gdc_launch_dependents()
    position = tl.load(positions + n[:, None] * stride_pn + columns, mask=token[:, None] & (columns < W), other=0.0).to(
        tl.float32
    )
    if PDL:
        gdc_wait()
    code = tl.load(ids + sample % B * (L - 1) + n, mask=token, other=0)
    embedded = tl.load(table + code[:, None] * stride_tk + columns, mask=token[:, None] & (columns < W), other=0.0)
    conditions = tl.load(
        condition + sample[:, None] * stride_cb + columns, mask=first[:, None] & (columns < W), other=0.0
    )
    y = embedded.to(tl.float32) + position + conditions.to(tl.float32)
    tl.store(out + rows[:, None] * W + columns, y.to(out.dtype.element_ty), mask=(rows < M)[:, None] & (columns < W))


def embed_tokens_triton(
    ids: Tensor,
    condition: Tensor,
    table: Tensor,
    positions: Tensor,
    out: Tensor | None = None,
) -> Tensor:
    """As `embed_tokens_ref`; ids must lie in the table. out (G*B,1+N,W), contiguous: written and returned."""
    pdl, (batch, n) = is_dependent(table), ids.shape
    w = table.shape[1]
    if out is None:
        out = torch.empty(len(condition), 1 + n, w, dtype=table.dtype, device=table.device)
    if out.numel() == 0:
        return out
    condition, table, positions = (unit_stride(x) for x in (condition, table, positions))
    m, block_w = len(condition) * (1 + n), triton.next_power_of_2(w)
    block_m = max(1, 2048 // block_w)
    with torch.cuda.device_of(table):
        embed_tokens_kernel[(triton.cdiv(m, block_m),)](
            ids.contiguous(),
            condition,
            table,
            positions,
            out,
            batch,
            m,
            1 + n,
            condition.stride(0),
            table.stride(0),
            positions.stride(0),
            W=w,
            BLOCK_M=block_m,
            BLOCK_W=block_w,
            num_warps=4,
            PDL=pdl,
            launch_pdl=pdl,
            enable_fp_fusion=True,
        )
    return out
