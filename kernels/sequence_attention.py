"""Attention over one padded sequence per sample, with the three masks of the masked transformer."""

import torch
import torch.nn.functional as F
from torch import Tensor


def sequence_attention_ref(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    lengths: Tensor | None,
    mode: str,
    dropout: float = 0.0,
    padded_queries: bool = True,
) -> Tensor:
    """q (B,H,M,Dh), k, v (B,H,N,Dh), lengths (B,) int64 in 1..N or None -> (B,H,M,Dh); scores are scaled by 1/sqrt(Dh).

    mode: `full`; `soft_causal` adds 1 to the scores of past and own positions and hides nothing (released
    `models/mask_transformer/transformer.py`, trans_forward, whose float mask is added by torch); `causal` hides the
    future. Query m stands at position N - M + m of the keys: with M < N the keys begin with a prefix.
    Keys at or beyond a sample's length are never read, not even a NaN. padded_queries: so are queries, whose rows there
    are zero (self-attention, M = N); without it every query counts (cross-attention, or pads that are read later).
    dropout: probability of dropping an attention weight.
    """
    m, n = q.shape[-2], k.shape[-2]
    bias = None
    if mode == "soft_causal":
        bias = torch.ones(m, n, dtype=q.dtype, device=q.device).tril(n - m)
    elif mode == "causal":
        bias = torch.full((m, n), float("-inf"), dtype=q.dtype, device=q.device).triu(n - m + 1)
    if lengths is None:
        return F.scaled_dot_product_attention(q, k, v, bias, dropout)

    beyond = torch.arange(n, device=q.device) >= lengths[:, None]
    hidden = torch.zeros(beyond.shape, dtype=q.dtype, device=q.device).masked_fill(beyond, float("-inf"))[:, None, None]
    bias = hidden if bias is None else bias + hidden
    rows = beyond[:, None, :, None]
    attended = F.scaled_dot_product_attention(q, k.masked_fill(rows, 0), v.masked_fill(rows, 0), bias, dropout)
    return attended.masked_fill(rows, 0) if padded_queries else attended
