"""Nearest code of a codebook (released `models/vq/quantize_cnn.py`, quantize)."""

import torch
from torch import Tensor


def codebook_lookup_ref(x: Tensor, codebook: Tensor) -> Tensor:
    """x (M,D), codebook (K,D), any float dtype -> (M,) int64: argmin over codes of ||e||^2 - 2 x.e.

    Computed in float32 whatever autocast says; equal distances give the lowest index.
    """
    with torch.autocast(x.device.type, enabled=False):
        x, codebook = x.detach().float(), codebook.detach().float()
        distance = torch.addmm(codebook.square().sum(dim=1), x, codebook.T, alpha=-2)
        return distance.argmin(dim=1)
