"""Nearest code of a codebook (released `models/vq/quantize_cnn.py`, quantize)."""

import torch
from torch import Tensor

PRECISIONS = ("ieee", "tf32x3", "fast")


def codebook_lookup_ref(x: Tensor, codebook: Tensor, precision: str = "ieee") -> Tensor:
    """x (M,D), codebook (K,D), any float dtype -> (M,) int64: argmin over codes of ||e||^2 - 2 x.e.

    Computed in float32 whatever autocast says; equal distances give the lowest index, also where a code is repeated.
    A row with a NaN gives some index in range.

    precision says what a kernel may do; the reference always does "ieee". Let ulp be 2^-23 max_e(||e||^2 + 2 |x|.|e|).
    - "ieee": float32 multiply-add. The code found is at most (D + 2) ulp farther than the nearest one.
    - "tf32x3": three products of TF32 on tensor cores for one of float32: at most (2 D + 16) ulp.
    - "fast": scores in bfloat16, then float32 distances decide between the best two of each group of codes that one
      program walks through. It is wrong where two other codes score better than the nearest one, which takes three
      codes within 2^18 ulp of each other: nearly equal codes, or a row far from all codes. At most 2^18 ulp.
    """
    check_precision(precision)
    with torch.autocast(x.device.type, enabled=False):
        x, codebook = x.detach().float(), codebook.detach().float()
        distance = torch.addmm(codebook.square().sum(dim=1), x, codebook.T, alpha=-2)
        return distance.argmin(dim=1)


def check_precision(precision: str) -> None:
    """Raises ValueError for a precision that does not exist."""
    if precision not in PRECISIONS:
        raise ValueError(f"there is no precision {precision!r}; choose one of {', '.join(PRECISIONS)}")
