"""Motion tokenizer: a convolutional VQ-VAE with one exponentially averaged codebook (released `models/vq/`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import ops
from ..config import FRAMES_PER_TOKEN, TokenizerConfig
from ..errors import LampError

DeadCodes = Literal["random", "released"]


class ResidualBlock(nn.Module):
    """x + conv1(relu(conv3_dilated(relu(x)))) (released `models/vq/resnet.py`)."""

    def __init__(self, width: int, dilation: int, dropout: float):
        super().__init__()
        self.conv1 = nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation)
        self.conv2 = nn.Conv1d(width, width, 1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.dropout(self.conv2(F.relu(self.conv1(F.relu(x)))))


def _residual_stack(config: TokenizerConfig) -> nn.Sequential:
    # The widest dilation comes first, as in the release (`reverse_dilation`).
    dilations = [config.dilation_growth**i for i in reversed(range(config.depth))]
    return nn.Sequential(*(ResidualBlock(config.width, d, config.dropout) for d in dilations))


class Encoder(nn.Module):
    """(B, feature_dim, T) -> (B, code_dim, T/4) (released `models/vq/encdec.py`)."""

    def __init__(self, config: TokenizerConfig):
        super().__init__()
        self.input = nn.Conv1d(config.feature_dim, config.width, 3, padding=1)
        self.down = nn.ModuleList(
            nn.Conv1d(config.width, config.width, 4, stride=2, padding=1) for _ in range(config.down_blocks)
        )
        self.blocks = nn.ModuleList(_residual_stack(config) for _ in range(config.down_blocks))
        self.output = nn.Conv1d(config.width, config.code_dim, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.input(x))
        for down, blocks in zip(self.down, self.blocks, strict=True):
            x = blocks(down(x))
        return self.output(x)


class MotionEncoder(nn.Module):
    """The encoder without codes: LaMP's pretraining has one of its own (`motion_encoder` in the release)."""

    def __init__(self, config: TokenizerConfig):
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)

    def encode(self, features: Tensor) -> Tensor:
        """normalised features (B, T, F) -> latents (B, T // 4, code_dim), before quantisation.

        Raises `LampError` for another feature width or fewer than 4 frames.
        """
        if features.ndim != 3 or features.shape[-1] != self.config.feature_dim:
            raise LampError(
                f"motion features have shape {tuple(features.shape)}; expected (B, T, {self.config.feature_dim})"
            )
        if features.shape[1] < FRAMES_PER_TOKEN:
            raise LampError(f"a motion of {features.shape[1]} frames is too short: one token stands for 4 frames")
        return self.encoder(features.transpose(1, 2)).transpose(1, 2)


class Decoder(nn.Module):
    """(B, code_dim, N) -> (B, feature_dim, 4N) (released `models/vq/encdec.py`)."""

    def __init__(self, config: TokenizerConfig):
        super().__init__()
        self.input = nn.Conv1d(config.code_dim, config.width, 3, padding=1)
        self.blocks = nn.ModuleList(_residual_stack(config) for _ in range(config.down_blocks))
        self.up = nn.ModuleList(nn.Conv1d(config.width, config.width, 3, padding=1) for _ in range(config.down_blocks))
        self.hidden = nn.Conv1d(config.width, config.width, 3, padding=1)
        self.output = nn.Conv1d(config.width, config.feature_dim, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.input(x))
        for blocks, up in zip(self.blocks, self.up, strict=True):
            x = up(F.interpolate(blocks(x), scale_factor=2.0, mode="nearest"))
        return self.output(F.relu(self.hidden(x)))


class Codebook(nn.Module):
    """K vectors, each the exponential average of the latents it was nearest to (released `models/vq/quantize_cnn.py`).

    The running sums are training state: they are not part of the saved model (`training_state` hands them out).
    """

    def __init__(self, num_codes: int, code_dim: int):
        super().__init__()
        self.register_buffer("vectors", torch.zeros(num_codes, code_dim))
        self.register_buffer("ema_sum", torch.zeros(num_codes, code_dim), persistent=False)
        self.register_buffer("ema_count", torch.zeros(num_codes), persistent=False)

    def lookup(self, latents: Tensor) -> Tensor:
        """Nearest code of each latent, (..., code_dim) -> (...) int64; ties go to the lowest index."""
        flat = latents.detach().reshape(-1, latents.shape[-1]).to(self.vectors.dtype)
        return ops.codebook_lookup(flat, self.vectors).reshape(latents.shape[:-1])

    def training_state(self) -> dict[str, Tensor]:
        return {"ema_sum": self.ema_sum, "ema_count": self.ema_count}

    @torch.no_grad()
    def start(self, latents: Tensor, shuffle: bool = True) -> None:
        """Take the first codes from latents (M, code_dim): a random sample, or the first K rows as released."""
        rows = _sample_rows(latents, len(self.vectors), shuffle)
        self.vectors.copy_(rows)
        self.ema_sum.copy_(rows)
        self.ema_count.fill_(1.0)

    @torch.no_grad()
    def update(self, latents: Tensor, codes: Tensor, decay: float, dead_codes: DeadCodes = "random") -> None:
        """One step of the running averages; codes that nothing uses move to latents of this batch.

        Parameters: latents (M, code_dim), codes (M,) int64 as returned by `lookup`. With ``dead_codes="released"`` a
        code is dead below a running count of 1, is replaced by row k of the batch (no permutation) and keeps its
        sums, so that it may be replaced again in the next step. ``"random"`` draws the row, restarts the sums there,
        and calls a code dead below 0.1, which gives a new code some 230 steps to find its place.
        """
        total, count = ops.codebook_sums(latents, codes, len(self.vectors))
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.all_reduce(count)
            torch.distributed.all_reduce(total)
        self.ema_count.mul_(decay).add_(count, alpha=1 - decay)
        self.ema_sum.mul_(decay).add_(total, alpha=1 - decay)

        released = dead_codes == "released"
        dead = self.ema_count < (1.0 if released else 0.1)
        rows = _sample_rows(latents, len(self.vectors), shuffle=not released)
        if not released:
            self.ema_sum.copy_(torch.where(dead[:, None], rows, self.ema_sum))
            self.ema_count.copy_(torch.where(dead, torch.ones_like(self.ema_count), self.ema_count))
        self.vectors.copy_(torch.where(dead[:, None], rows, self.ema_sum / self.ema_count[:, None]))


def _sample_rows(latents: Tensor, n: int, shuffle: bool) -> Tensor:
    """n rows of latents (M, D); too few are repeated with a little noise, so that no two codes are equal."""
    if len(latents) < n:
        latents = latents.repeat(-(-n // len(latents)), 1)
        latents = latents + torch.randn_like(latents) * (0.01 / latents.shape[1] ** 0.5)
    if shuffle:
        latents = latents[torch.randperm(len(latents), device=latents.device)]
    return latents[:n]


@dataclass(frozen=True)
class TokenizerLosses:
    """Losses of released `models/vq/vq_trainer.py`: smooth L1 on all features and on joint positions, commitment.

    path is ours: smooth L1 on the running sums of the root's turning and walking, whose small errors add up over time.
    """

    reconstruction: Tensor
    positions: Tensor
    commitment: Tensor
    path: Tensor
    perplexity: Tensor
    total: Tensor


class MotionTokenizer(MotionEncoder):
    """Motion features <-> tokens; one token stands for 4 frames.

    Features are normalised: (x - mean) / std of the data set.
    """

    def __init__(self, config: TokenizerConfig):
        super().__init__(config)
        self.decoder = Decoder(config)
        self.codebook = Codebook(config.num_codes, config.code_dim)

    def quantize(self, latents: Tensor) -> Tensor:
        """latents (B, N, code_dim) -> codes (B, N) int64."""
        return self.codebook.lookup(latents)

    def dequantize(self, codes: Tensor) -> Tensor:
        """codes (B, N) int64 in [0, K) -> (B, N, code_dim)."""
        return F.embedding(codes, self.codebook.vectors)

    def decode(self, codes: Tensor) -> Tensor:
        """codes (B, N) int64 -> normalised features (B, 4N, F)."""
        return self.decode_latents(self.dequantize(codes))

    def decode_latents(self, latents: Tensor) -> Tensor:
        """latents (B, N, code_dim) -> normalised features (B, 4N, F)."""
        return self.decoder(latents.transpose(1, 2)).transpose(1, 2)

    def forward(self, features: Tensor) -> Tensor:
        """Reconstruct normalised features (B, T, F) through the codebook; T is a multiple of 4."""
        return self.decode(self.quantize(self.encode(features)))

    def loss(
        self,
        features: Tensor,
        *,
        commitment: float = 0.02,
        positions: float = 0.5,
        path: float = 0.0,
        dead_codes: DeadCodes = "random",
    ) -> TokenizerLosses:
        """Training losses of normalised features (B, T, F); in training mode the codebook takes one step.

        The weights are the released ones: `total` is reconstruction and the weighted others.
        """
        latents = self.encode(features)
        # The codebook lives in float32 whatever autocast does: its averages move by less than a bf16 step.
        flat = latents.detach().float().reshape(-1, latents.shape[-1])
        if self.training and not self.codebook.ema_count.any():
            self.codebook.start(flat, shuffle=dead_codes == "random")
        codes = self.codebook.lookup(flat)
        quantized = self.dequantize(codes).reshape(latents.shape)
        if self.training:
            self.codebook.update(flat, codes, self.config.ema_decay, dead_codes)

        restored = self.decode_latents(latents + (quantized - latents).detach()).float()
        joints = (self.config.feature_dim + 1) // 12
        span = slice(4, 4 + (joints - 1) * 3)
        use = torch.bincount(codes, minlength=self.config.num_codes) / codes.numel()
        losses = {
            "reconstruction": F.smooth_l1_loss(restored, features),
            "positions": F.smooth_l1_loss(restored[..., span], features[..., span]),
            "commitment": F.mse_loss(latents.float(), quantized),
            "path": F.smooth_l1_loss(restored[..., :3].cumsum(1), features[..., :3].cumsum(1)),
        }
        weights = {"reconstruction": 1.0, "positions": positions, "commitment": commitment, "path": path}
        total = sum(weight * losses[name] for name, weight in weights.items())
        perplexity = torch.exp(-(use * torch.log(use + 1e-7)).sum())
        return TokenizerLosses(**losses, perplexity=perplexity, total=total)
