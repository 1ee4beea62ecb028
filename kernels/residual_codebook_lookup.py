"""Residual quantisation: each level finds the nearest code of what the levels before it left (MoMask, Section 3.1)."""

import torch
from torch import Tensor

from .codebook_lookup import codebook_lookup_ref


def residual_codebook_lookup_ref(x: Tensor, codebooks: Tensor) -> tuple[Tensor, Tensor]:
    """x (M,D), codebooks (L,K,D), any float dtype -> codes (M,L) int64, quantized (M,D) float32: the sum of the codes.

    Computed in float32; ties and rows with a NaN as in `codebook_lookup_ref`. Rounding may choose another code than
    float64 would where two are nearly as near; every later level then differs, but not how near the sum comes.
    """
    residual, codes = x.detach().float(), []
    quantized = torch.zeros_like(residual)
    for codebook in codebooks.detach().float():
        codes.append(codebook_lookup_ref(residual, codebook))
        found = codebook[codes[-1]]
        residual, quantized = residual - found, quantized + found
    return torch.stack(codes, dim=1), quantized
