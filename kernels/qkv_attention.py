"""Query, key and value projection and self-attention in one; the norm's weights lie in the projection's already."""

import torch
import torch.nn.functional as F
from torch import Tensor

from .sequence_attention import sequence_attention_ref


def qkv_attention_ref(
    x: Tensor,
    weight: Tensor,
    fold: Tensor | None,
    bias: Tensor,
    lengths: Tensor | None,
    mode: str,
    num_heads: int,
    eps: float,
) -> tuple[Tensor, Tensor]:
    """x (B,L,D), weight (3D,D), fold (3D,) float32 or None, bias (3D,), lengths (B,) int64 in 1..L or None
    -> attended (B,L,D), heads side by side, and stats (B*L,2) float32: mean and 1/sqrt(variance + eps) of rows of x.

    With fold the projection reads LayerNorm(x): weight is W·diag(scale), fold the sum of each of its rows, bias
    b + W·shift, for the scale and shift of the LayerNorm, so that qkv = (x weight^T - mean·fold)·rstd + bias. Without
    fold it reads x itself, and stats is empty (0,2). Rows of weight: all queries, all keys, all values, heads inside.
    mode: see `sequence_attention_ref`. Rows at or beyond a sample's length touch no other, not even with a NaN; there
    attended is zero and stats mean nothing.
    """
    batch, length, width = x.shape
    if lengths is not None:
        beyond = torch.arange(length, device=x.device) >= lengths[:, None]
        x = x.masked_fill(beyond[:, :, None], 0)
    stats = x.new_empty(0, 2, dtype=torch.float32)
    if fold is not None:
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        normal, mean, rstd = torch.native_layer_norm(wide, x.shape[-1:], None, None, eps)
        x = normal.to(x.dtype)
        stats = torch.cat([mean, rstd], dim=-1).float().view(batch * length, 2)
    q, k, v = F.linear(x, weight, bias.to(x.dtype)).unflatten(-1, (3, num_heads, -1)).permute(2, 0, 3, 1, 4)
    return sequence_attention_ref(q, k, v, lengths, mode).transpose(1, 2).flatten(2), stats
