"""LaMP-T2M as released: `models/mask_transformer/transformer.py` (MaskTransformer) and `tools.py`, commit 48deb9e.

`p` is the released state dict (`t2m_transformer`); sizes come from its shapes, only the number of heads is passed in.
Condition vectors (B,C) are those that enter `cond_emb`. Random numbers are always arguments.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

Weights = Mapping[str, Tensor]

KEPT_SCORE = 1e5
MASK_FREE_SHARE = 0.16


def num_codes(p: Weights) -> int:
    return p["output_process.poseFinal.weight"].shape[0]


def encode_sequence(
    p: Weights, ids: Tensor, condition: Tensor, num_heads: int, *, mode: str = "soft_causal", force_mask: bool = False
) -> Tensor:
    """ids (B,N) int64, condition (B,C) -> hidden states (N+1,B,D), the condition slot first.

    mode: `soft_causal` is the release, whose float mask adds 1 to past and own scores; `causal` is what the paper says;
    `full` has no mask. force_mask drops the condition.
    """
    if force_mask:
        condition = torch.zeros_like(condition)
    x = _linear(p, "input_process.poseEmbedding", F.embedding(ids, p["token_emb.weight"]))
    x = x + p["position_enc.pe"][: ids.shape[1], 0]
    x = torch.cat((_linear(p, "cond_emb", condition)[:, None], x), dim=1)

    past_and_self = x.new_ones(x.shape[1], x.shape[1]).tril()
    bias = {
        "soft_causal": past_and_self,
        "causal": torch.zeros_like(past_and_self).masked_fill(past_and_self == 0, float("-inf")),
        "full": torch.zeros_like(past_and_self),
    }[mode]
    layer = 0
    while f"seqTransEncoder.layers.{layer}.linear1.weight" in p:
        x = _layer(p, f"seqTransEncoder.layers.{layer}", x, bias, num_heads)
        layer += 1
    return x.transpose(0, 1)


def trans_forward(
    p: Weights, ids: Tensor, condition: Tensor, num_heads: int, *, mode: str = "soft_causal", force_mask: bool = False
) -> Tensor:
    """ids (B,N), condition (B,C) -> logits (B,K,N). Every position is attended, padding included."""
    x = encode_sequence(p, ids, condition, num_heads, mode=mode, force_mask=force_mask)[1:].transpose(0, 1)
    x = F.gelu(_linear(p, "output_process.dense", x))
    x = _layer_norm(p, "output_process.LayerNorm", x, 1e-12)
    return _linear(p, "output_process.poseFinal", x).transpose(1, 2)


def forward_with_cond_scale(p: Weights, ids: Tensor, condition: Tensor, num_heads: int, cond_scale: float) -> Tensor:
    """Guided logits (B,K,N): two forward passes, one when cond_scale is 1."""
    logits = trans_forward(p, ids, condition, num_heads)
    if cond_scale == 1:
        return logits
    unconditional = trans_forward(p, ids, condition, num_heads, force_mask=True)
    return unconditional + (logits - unconditional) * cond_scale


@dataclass(frozen=True)
class TrainingDraws:
    """The random numbers of one training step."""

    time: Tensor  # (B,) uniform
    permutation: Tensor  # (B,N) int64, argsort of uniform noise
    replace_random: Tensor  # (B,N) bool, true with probability 0.1
    random_ids: Tensor  # (B,N) int64 codes
    replace_mask: Tensor  # (B,N) bool, true with probability 0.88


@dataclass(frozen=True)
class TrainingResult:
    num_token_masked: Tensor  # (B,) float32
    mask: Tensor  # (B,N) bool
    x_ids: Tensor  # (B,N) int64, what the transformer sees
    labels: Tensor  # (B,N) int64, the mask id where there is nothing to predict
    logits: Tensor  # (B,K,N)
    ce_loss: Tensor  # ()
    pred_id: Tensor  # (B,N) int64
    acc: Tensor  # () float64


def training_forward(
    p: Weights, ids: Tensor, condition: Tensor, lengths: Tensor, draws: TrainingDraws, num_heads: int
) -> TrainingResult:
    """Masked-token training loss without dropout: ids (B,N) codes, lengths (B,) in tokens."""
    mask_id, pad_id = num_codes(p), num_codes(p) + 1
    n = ids.shape[1]
    non_pad = torch.arange(n, device=ids.device) < lengths[:, None]
    ids = torch.where(non_pad, ids, pad_id)
    count = torch.round(n * torch.cos(draws.time * math.pi * 0.5)).clamp(min=1)
    mask = (draws.permutation < count[:, None]) & non_pad
    labels = torch.where(mask, ids, mask_id)

    random = mask & draws.replace_random
    x_ids = torch.where(random, draws.random_ids, ids)
    x_ids = torch.where(mask & ~random & draws.replace_mask, mask_id, x_ids)
    logits = trans_forward(p, x_ids, condition, num_heads)
    ce_loss = F.cross_entropy(logits, labels, ignore_index=mask_id)
    pred_id = logits.argmax(dim=1)
    acc = (pred_id == labels)[mask].double().mean()
    return TrainingResult(count, mask, x_ids, labels, logits, ce_loss, pred_id, acc)


@dataclass(frozen=True)
class DecodingStep:
    """What one step of decoding did."""

    num_token_masked: Tensor  # (B,) int64
    is_mask: Tensor  # (B,N) bool
    logits: Tensor  # (B,N,K) guided, before top-k
    pred_ids: Tensor  # (B,N) int64
    ids: Tensor  # (B,N) int64 after the step
    scores: Tensor  # (B,N)


def generate(
    p: Weights,
    condition: Tensor,
    lengths: Tensor,
    noise: Tensor,
    num_heads: int,
    *,
    cond_scale: float,
    temperature: float = 1.0,
    topk_filter_thres: float = 0.9,
) -> list[DecodingStep]:
    """condition (B,C), lengths (B,) in tokens, noise (S,B,N,K) uniform in [0, 1) -> the S steps.

    The ids of the last step are the result, with the pad id beyond a length. In the release N is the longest length.
    """
    padding = _beyond(lengths, noise.shape[2])
    ids = torch.where(padding, num_codes(p) + 1, num_codes(p))
    shares = _cosine_shares(len(noise))
    return _decode(p, ids, ~padding, shares, condition, noise, num_heads, cond_scale, temperature, topk_filter_thres)


def edit(
    p: Weights,
    tokens: Tensor,
    condition: Tensor,
    lengths: Tensor,
    noise: Tensor,
    num_heads: int,
    *,
    edit_mask: Tensor | None,
    cond_scale: float,
    temperature: float = 1.0,
    topk_filter_thres: float = 0.9,
) -> tuple[Tensor, list[DecodingStep]]:
    """Draw the tokens (B,N) under edit_mask (B,N) bool again and keep the others.

    Without a mask every step draws 16 % of all tokens again. Returns ids (B,N), -1 beyond a length, and the S steps.
    """
    padding = _beyond(lengths, tokens.shape[1])
    if edit_mask is None:
        candidates, ids = ~padding, torch.where(padding, num_codes(p) + 1, tokens)
        shares = torch.full((len(noise),), MASK_FREE_SHARE)
    else:
        candidates = edit_mask & ~padding
        ids = torch.where(candidates, num_codes(p), tokens)
        shares = _cosine_shares(len(noise))
    steps = _decode(
        p,
        ids,
        candidates,
        shares,
        condition,
        noise,
        num_heads,
        cond_scale,
        temperature,
        topk_filter_thres,
        rescore_all=edit_mask is None,
    )
    return torch.where(padding, -1, steps[-1].ids), steps


def _decode(
    p: Weights,
    ids: Tensor,
    candidates: Tensor,
    shares: Tensor,
    condition: Tensor,
    noise: Tensor,
    num_heads: int,
    cond_scale: float,
    temperature: float,
    topk_filter_thres: float,
    rescore_all: bool = False,
) -> list[DecodingStep]:
    """The loop of generate and edit over the candidate positions (B,N); shares (S,) of them are masked.

    rescore_all gives every candidate a new score in every step, not only those just drawn.
    """
    scores = torch.zeros(ids.shape, device=ids.device).masked_fill(~candidates, KEPT_SCORE)
    steps = []
    for share, uniform in zip(shares, noise, strict=True):
        count = torch.round(share * candidates.sum(dim=1)).clamp(min=1).long()
        rank = scores.argsort(dim=1).argsort(dim=1)
        is_mask = rank < count[:, None]
        ids = torch.where(is_mask, num_codes(p), ids)

        logits = forward_with_cond_scale(p, ids, condition, num_heads, cond_scale).transpose(1, 2)
        kept_logits = _top_k(logits, topk_filter_thres)
        gumbel = -torch.log((-torch.log(uniform.clamp(min=1e-20))).clamp(min=1e-20))
        pred_ids = (kept_logits / max(temperature, 1e-10) + gumbel).argmax(dim=-1)
        ids = torch.where(is_mask, pred_ids, ids)

        scores = logits.softmax(dim=-1).gather(2, pred_ids[..., None])[..., 0]
        scores = scores.masked_fill(~(candidates if rescore_all else is_mask), KEPT_SCORE)
        steps.append(DecodingStep(count, is_mask, logits, pred_ids, ids, scores))
    return steps


def _beyond(lengths: Tensor, n: int) -> Tensor:
    return torch.arange(n, device=lengths.device) >= lengths[:, None]


def _cosine_shares(steps: int) -> Tensor:
    return torch.cos(torch.linspace(0, 1, steps) * math.pi * 0.5)


def _top_k(logits: Tensor, threshold: float) -> Tensor:
    k = math.ceil((1 - threshold) * logits.shape[-1])
    values, indices = logits.topk(k, dim=-1)
    return torch.full_like(logits, float("-inf")).scatter(-1, indices, values)


def _linear(p: Weights, name: str, x: Tensor) -> Tensor:
    return F.linear(x, p[f"{name}.weight"], p[f"{name}.bias"])


def _layer_norm(p: Weights, name: str, x: Tensor, eps: float) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], p[f"{name}.weight"], p[f"{name}.bias"], eps)


def _layer(p: Weights, name: str, x: Tensor, bias: Tensor, num_heads: int) -> Tensor:
    """Post-norm `nn.TransformerEncoderLayer` with GELU: x (B,N,D), bias (N,N) added to the attention scores."""
    qkv = F.linear(x, p[f"{name}.self_attn.in_proj_weight"], p[f"{name}.self_attn.in_proj_bias"])
    q, k, v = (part.unflatten(-1, (num_heads, -1)).transpose(1, 2) for part in qkv.chunk(3, dim=-1))
    weights = (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1]) + bias).softmax(dim=-1)
    attended = (weights @ v).transpose(1, 2).flatten(2)
    x = _layer_norm(p, f"{name}.norm1", x + _linear(p, f"{name}.self_attn.out_proj", attended), 1e-5)
    hidden = F.gelu(_linear(p, f"{name}.linear1", x))
    return _layer_norm(p, f"{name}.norm2", x + _linear(p, f"{name}.linear2", hidden), 1e-5)
