"""The rows that enter the masked transformer: the condition, then the tokens."""

import torch
from torch import Tensor


def embed_tokens_ref(ids: Tensor, condition: Tensor, table: Tensor, positions: Tensor) -> Tensor:
    """ids (B,N) int64, condition (G*B,W), table (K,W), positions (at least N,W), all of one dtype -> (G*B,1+N,W).

    Row 0 of a sample is its condition, row 1+n is table[ids[n]] + positions[n]; each of the G branches has all samples.
    The table is the token embedding with the input projection folded in, or anything else that is linear in it, such as
    the first layer's queries and keys.
    """
    tokens = table[ids] + positions[: ids.shape[1]]
    return torch.cat((condition[:, None], tokens.repeat(len(condition) // max(1, len(ids)), 1, 1)), dim=1)
