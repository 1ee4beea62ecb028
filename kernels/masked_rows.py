"""Which rows of the transformer's hidden states the last layer has to finish: those of masked tokens."""

import torch
from torch import Tensor


def masked_rows_ref(ids: Tensor, mask_id: int, limit: int, branches: int) -> Tensor:
    """ids (B,N) int64 -> (branches * B * limit,) int32: rows of hidden states (branches * B * (1 + N), D).

    Each sample of each branch has a condition row, then N token rows, and gets `limit` of them: those whose id is the
    mask id in rising order, then, where fewer are masked, others.
    """
    batch, n = ids.shape
    positions = (ids != mask_id).to(torch.int8).argsort(dim=1, stable=True)[:, :limit]
    first = torch.arange(branches * batch, device=ids.device).view(branches, batch, 1) * (n + 1) + 1
    return (first + positions).flatten().to(torch.int32)
