"""The rows that enter the masked transformer: the condition, then the tokens."""

import torch
from torch import Tensor


def embed_tokens_ref(ids: Tensor, condition: Tensor, table: Tensor, positions: Tensor) -> Tensor:
    """ids (B,N) int64, condition (B,W), table (K,W), positions (at least N,W), all of one dtype -> (B,1+N,W).

    Row 0 of a sample is its condition, row 1+n is table[ids[n]] + positions[n]. The table is the token embedding with
    the input projection folded in, or anything else that is linear in it, such as the first layer's queries and keys.
    """
    return torch.cat((condition[:, None], table[ids] + positions[: ids.shape[1]]), dim=1)
