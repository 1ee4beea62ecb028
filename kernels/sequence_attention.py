"""Self-attention over one padded sequence per sample, with the three masks of the masked transformer."""

import torch
import torch.nn.functional as F
from torch import Tensor


def sequence_attention_ref(
    q: Tensor, k: Tensor, v: Tensor, lengths: Tensor | None, mode: str, dropout: float = 0.0
) -> Tensor:
    """q, k, v (B,H,N,Dh), lengths (B,) int64 in 1..N or None -> (B,H,N,Dh); scores are scaled by 1/sqrt(Dh).

    mode: `full`; `soft_causal` adds 1 to the scores of past and own positions and hides nothing (released
    `models/mask_transformer/transformer.py`, trans_forward, whose float mask is added by torch); `causal` hides the
    future. Keys at or beyond a sample's length are never read, not even a NaN, and rows there are zero.
    dropout: probability of dropping an attention weight.
    """
    n = q.shape[-2]
    bias = None
    if mode == "soft_causal":
        bias = torch.ones(n, n, dtype=q.dtype, device=q.device).tril()
    elif mode == "causal":
        bias = torch.full((n, n), float("-inf"), dtype=q.dtype, device=q.device).triu(1)
    if lengths is None:
        return F.scaled_dot_product_attention(q, k, v, bias, dropout)

    beyond = torch.arange(n, device=q.device) >= lengths[:, None]
    hidden = torch.zeros(beyond.shape, dtype=q.dtype, device=q.device).masked_fill(beyond, float("-inf"))[:, None, None]
    bias = hidden if bias is None else bias + hidden
    rows = beyond[:, None, :, None]
    k, v = k.masked_fill(rows, 0), v.masked_fill(rows, 0)
    return F.scaled_dot_product_attention(q, k, v, bias, dropout).masked_fill(rows, 0)
