"""Sum and count of the rows of each code, for the averages of a codebook (released `models/vq/quantize_cnn.py`)."""

import torch
from torch import Tensor


def codebook_sums_ref(x: Tensor, codes: Tensor, num_codes: int) -> tuple[Tensor, Tensor]:
    """x (M,D) floating point, codes (M,) int64 in [0, K) -> sums (K,D) float32, counts (K,) int64.

    Summed in float32 whatever autocast says. On a GPU the order of the sum, and with it the last bits, changes from run
    to run; the kernel's does not.
    """
    x = x.detach().float()
    sums = x.new_zeros(num_codes, x.shape[1]).index_add_(0, codes, x)
    return sums, codes.new_zeros(num_codes).index_add_(0, codes, torch.ones_like(codes))
