"""Stage A as released: HumanVQVAE (`models/vq/{vqvae,encdec,resnet,quantize_cnn,vq_trainer}.py`).

`p` is the released state dict; `prefix` leads to the part that a function reads; `growth` is the factor between the
dilations of two residual blocks, which leaves no trace in the weights.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

DILATION_GROWTH = 3


def _conv(p: dict[str, Tensor], name: str, x: Tensor, **kwargs) -> Tensor:
    return F.conv1d(x, p[f"{name}.weight"], p[f"{name}.bias"], **kwargs)


def _count(p: dict[str, Tensor], pattern: str) -> int:
    """How many numbers follow each other in `pattern`, which has one `{}`."""
    n = 0
    while pattern.format(n) in p:
        n += 1
    return n


def _residual_blocks(p: dict[str, Tensor], name: str, x: Tensor, growth: int) -> Tensor:
    depth = _count(p, name + ".model.{}.conv1.weight")
    for i in range(depth):
        dilation = growth ** (depth - 1 - i)
        h = _conv(p, f"{name}.model.{i}.conv1", F.relu(x), padding=dilation, dilation=dilation)
        x = x + _conv(p, f"{name}.model.{i}.conv2", F.relu(h))
    return x


def encode(
    p: dict[str, Tensor], motion: Tensor, prefix: str = "vqvae.encoder.", growth: int = DILATION_GROWTH
) -> Tensor:
    """motion (B, T, C) normalised -> (B, code_dim, T/4)."""
    x = F.relu(_conv(p, f"{prefix}model.0", motion.transpose(1, 2), padding=1))
    stage = 2
    while f"{prefix}model.{stage}.0.weight" in p:
        x = _conv(p, f"{prefix}model.{stage}.0", x, stride=2, padding=1)
        x = _residual_blocks(p, f"{prefix}model.{stage}.1", x, growth)
        stage += 1
    return _conv(p, f"{prefix}model.{stage}", x, padding=1)


def quantize(codebook: Tensor, x: Tensor) -> Tensor:
    """x (M, code_dim), codebook (K, code_dim) -> nearest code (M,)."""
    distance = (x**2).sum(-1, keepdim=True) - 2 * x @ codebook.t() + (codebook.t() ** 2).sum(0, keepdim=True)
    return distance.argmin(-1)


def decode(p: dict[str, Tensor], x: Tensor, prefix: str = "vqvae.decoder.", growth: int = DILATION_GROWTH) -> Tensor:
    """x (B, code_dim, n) -> motion (B, 4n, C)."""
    x = F.relu(_conv(p, f"{prefix}model.0", x, padding=1))
    stage = 2
    while f"{prefix}model.{stage}.2.weight" in p:
        x = _residual_blocks(p, f"{prefix}model.{stage}.0", x, growth)
        x = _conv(p, f"{prefix}model.{stage}.2", F.interpolate(x, scale_factor=2, mode="nearest"), padding=1)
        stage += 1
    x = F.relu(_conv(p, f"{prefix}model.{stage}", x, padding=1))
    return _conv(p, f"{prefix}model.{stage + 2}", x, padding=1).transpose(1, 2)


def codes(p: dict[str, Tensor], motion: Tensor, growth: int = DILATION_GROWTH) -> Tensor:
    """motion (B, T, C) -> codes (B, T/4)."""
    latents = encode(p, motion, growth=growth).transpose(1, 2)
    return quantize(p["vqvae.quantizer.codebook"], latents.reshape(-1, latents.shape[-1])).view(latents.shape[:2])


def decode_codes(p: dict[str, Tensor], ids: Tensor, growth: int = DILATION_GROWTH) -> Tensor:
    """`forward_decoder`: ids (1, n) -> motion (1, 4n, C). As released it takes one sample at a time."""
    x = F.embedding(ids, p["vqvae.quantizer.codebook"]).reshape(1, -1, p["vqvae.quantizer.codebook"].shape[1])
    return decode(p, x.transpose(1, 2), growth=growth)


def losses(p: dict[str, Tensor], motion: Tensor, growth: int = DILATION_GROWTH) -> dict[str, Tensor]:
    """Forward pass and the trainer's losses for motion (B, T, C)."""
    codebook = p["vqvae.quantizer.codebook"]
    latents = encode(p, motion, growth=growth)
    ids = codes(p, motion, growth)
    quantized = F.embedding(ids, codebook).transpose(1, 2)
    recon = decode(p, latents + (quantized - latents).detach(), growth=growth)
    joints = (motion.shape[-1] + 1) // 12
    local = slice(4, 4 + (joints - 1) * 3)
    commit = F.mse_loss(latents, quantized)
    rec = F.smooth_l1_loss(recon, motion)
    explicit = F.smooth_l1_loss(recon[..., local], motion[..., local])
    return {
        "recon": recon,
        "commit_loss": commit,
        "perplexity": perplexity(ids, len(codebook)),
        "loss_rec": rec,
        "loss_explicit": explicit,
        "loss_total": rec + 0.5 * explicit + 0.02 * commit,
    }


def perplexity(ids: Tensor, num_codes: int) -> Tensor:
    use = F.one_hot(ids.flatten(), num_codes).float().mean(0)
    return torch.exp(-(use * torch.log(use + 1e-7)).sum())


def ema_update(
    codebook: Tensor, code_sum: Tensor, code_count: Tensor, x: Tensor, mu: float
) -> tuple[Tensor, Tensor, Tensor]:
    """`update_codebook` for x (M, code_dim), M >= K: new codebook, sums and counts.

    A code whose running count is below 1 is replaced by row k of x: the released permutation is never drawn.
    """
    onehot = F.one_hot(quantize(codebook, x), len(codebook)).to(x.dtype).t()
    code_sum = mu * code_sum + (1 - mu) * onehot @ x
    code_count = mu * code_count + (1 - mu) * onehot.sum(-1)
    alive = (code_count >= 1).to(x.dtype)[:, None]
    return alive * (code_sum / code_count[:, None]) + (1 - alive) * x[: len(codebook)], code_sum, code_count


def init_codebook(x: Tensor, num_codes: int) -> tuple[Tensor, Tensor, Tensor]:
    """`init_codebook` for x (M, code_dim), M >= K: codebook, sums and counts before the first update."""
    return x[:num_codes], x[:num_codes].clone(), torch.ones(num_codes)
