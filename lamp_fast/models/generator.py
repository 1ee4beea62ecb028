"""The masked transformer that fills in motion tokens under a text condition (LaMP-T2M)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import ops
from ..config import GeneratorConfig
from ..errors import LampError
from .masking import MaskedFraction, MaskingDraws, draw_masking, mask_tokens


@dataclass(frozen=True)
class GeneratorLoss:
    """Means over the masked positions of a batch, scalar tensors on its device."""

    loss: Tensor
    accuracy: Tensor


def sinusoidal_positions(count: int, width: int) -> Tensor:
    """(count, width) float32: sine in even, cosine in odd columns (Vaswani et al. 2017)."""
    frequency = torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
    angle = torch.arange(count)[:, None] * frequency
    return torch.stack((angle.sin(), angle.cos()), dim=-1).flatten(1)[:, :width]


class TransformerLayer(nn.Module):
    """Post-norm self-attention and feed-forward, as torch's `nn.TransformerEncoderLayer` computes them."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        width = config.width
        self.num_heads = config.num_heads
        self.mode = config.attention_mode
        self.qkv = nn.Linear(width, 3 * width)
        self.attention_output = nn.Linear(width, width)
        self.norm1 = nn.LayerNorm(width)
        self.ff1 = nn.Linear(width, config.feedforward_size)
        self.ff2 = nn.Linear(config.feedforward_size, width)
        self.norm2 = nn.LayerNorm(width)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """x (B,N,D), lengths (B,) or None (all of N) -> (B,N,D)."""
        q, k, v = self.qkv(x).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        attention_dropout = self.dropout.p if self.training else 0.0
        attended = ops.sequence_attention(q, k, v, lengths, self.mode, attention_dropout)
        x = self.norm1(x + self.dropout(self.attention_output(attended.transpose(1, 2).flatten(2))))
        return self.norm2(x + self.dropout(self.ff2(self.dropout(F.gelu(self.ff1(x))))))


class GeneratorHead(nn.Module):
    """Hidden states (B,N,D) -> logits (B,N,K) (released OutputProcess_Bert)."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.width, config.width)
        self.norm = nn.LayerNorm(config.width, eps=1e-12)
        self.output = nn.Linear(config.width, config.num_codes)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.norm(F.gelu(self.dense(x))))


class MotionGenerator(nn.Module):
    """Logits of every motion token given the tokens known so far and the text condition.

    Ids are codes 0..K-1, the mask id K and the pad id K+1. With `padding="exact"` positions beyond a sample's length
    are never attended, so its result depends on nothing but itself; `padding="released"` attends to them.
    Source: released `models/mask_transformer/transformer.py`, MaskTransformer.

    Raises LampError where the width does not divide into heads.
    """

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        if config.width % config.num_heads:
            raise LampError(
                f"generator: width {config.width} does not divide into {config.num_heads} heads; change one"
            )
        self.config = config
        self.token_embedding = nn.Embedding(config.num_codes + 2, config.code_dim)
        self.token_projection = nn.Linear(config.code_dim, config.width)
        self.condition_projection = nn.Linear(config.condition_dim, config.width)
        self.register_buffer("positions", sinusoidal_positions(config.max_tokens, config.width), persistent=False)
        self.dropout = nn.Dropout(config.dropout)
        self.layers = nn.ModuleList(TransformerLayer(config) for _ in range(config.num_layers))
        self.head = GeneratorHead(config)
        self.apply(_initialise)
        for layer in self.layers:
            nn.init.xavier_uniform_(layer.qkv.weight)

    def forward(
        self,
        ids: Tensor,
        condition: Tensor | None,
        lengths: Tensor | None,
        unconditional: Tensor | None = None,
    ) -> Tensor:
        """ids (B,N) int64, condition (B,C) float or None (none at all), lengths (B,) int64 or None (all N),
        unconditional (B,) bool (rows whose condition is dropped) -> logits (B,N,K).

        Raises LampError when N exceeds max_tokens or the condition has another shape.
        """
        batch, n = ids.shape
        if n > self.config.max_tokens:
            raise LampError(f"generator: {n} tokens, but this model was made for at most {self.config.max_tokens}")
        if condition is None:
            condition = self.condition_projection.weight.new_zeros(batch, self.config.condition_dim)
        if condition.shape != (batch, self.config.condition_dim):
            raise LampError(
                f"generator: condition has shape {tuple(condition.shape)}, "
                f"expected {(batch, self.config.condition_dim)} for ids {tuple(ids.shape)}"
            )
        if unconditional is not None:
            condition = condition.masked_fill(unconditional[:, None], 0)
        x = self.dropout(self.token_projection(self.token_embedding(ids)) + self.positions[:n])
        condition = self.condition_projection(condition.to(self.condition_projection.weight.dtype))
        x = torch.cat((condition[:, None], x), dim=1)
        attended = None if lengths is None or self.config.padding == "released" else lengths + 1
        for layer in self.layers:
            x = layer(x, attended)
        return self.head(x[:, 1:])

    def loss(
        self,
        ids: Tensor,
        condition: Tensor,
        lengths: Tensor,
        generator: torch.Generator | None = None,
        *,
        masked_fraction_of: MaskedFraction = "length",
        draws: MaskingDraws | None = None,
    ) -> GeneratorLoss:
        """Cross entropy and accuracy at masked positions: ids (B,N) int64 codes, condition (B,C), lengths (B,) int64.

        Random numbers come from `generator`, or `draws` fixes the masking. In training mode the condition of a row is
        dropped with probability `condition_dropout`. masked_fraction_of: see `mask_tokens`.
        """
        if draws is None:
            draws = draw_masking(ids.shape, self.config.num_codes, generator=generator, device=ids.device)
        tokens = mask_tokens(
            ids,
            lengths,
            draws,
            mask_id=self.config.mask_id,
            pad_id=self.config.pad_id,
            masked_fraction_of=masked_fraction_of,
        )
        unconditional = None
        if self.training and self.config.condition_dropout > 0:
            source = ids.device if generator is None else generator.device
            chance = torch.rand(ids.shape[0], generator=generator, device=source).to(ids.device)
            unconditional = chance < self.config.condition_dropout
        logits = self(tokens.inputs, condition, lengths, unconditional).float()

        targets = ids.masked_fill(~tokens.masked, -100)
        count = tokens.masked.sum().clamp(min=1)
        loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-100, reduction="sum") / count
        correct = (logits.argmax(dim=-1) == ids) & tokens.masked
        return GeneratorLoss(loss, correct.sum() / count)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, (nn.Linear, nn.Embedding)):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)
