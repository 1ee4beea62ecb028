"""One step of masked decoding, from logits to the ids that enter the next step.

Released `models/mask_transformer/transformer.py`, MaskTransformer.generate, and `tools.py`, top_k and gumbel_sample.
"""

import torch
from torch import Tensor

from .philox import philox_uniform_ref

KEPT = 1e5
_TINY = 1e-20


def gumbel(uniform: Tensor) -> Tensor:
    """Gumbel noise from uniform noise in [0, 1), float32, any shape."""
    return -(-uniform.clamp(min=_TINY).log()).clamp(min=_TINY).log()


def decode_step_ref(
    logits: Tensor,
    unconditional_logits: Tensor | None,
    ids: Tensor,
    next_count: Tensor,
    seeds: Tensor,
    samples: Tensor,
    noise: Tensor | None,
    step: int,
    guidance_scale: float,
    temperature: float,
    top_k: int,
) -> tuple[Tensor, Tensor]:
    """Sample a code at every masked position, then mask again the `next_count` least certain of them.

    logits, unconditional_logits (B,N,K), or (B,R,K) with R < N and row r of the r-th masked position of its sample;
    guided logits are u + guidance_scale * (l - u), or l where unconditional_logits is None. ids (B,N) int64 with the
    mask id K where a code is wanted. next_count (B,) int64.
    noise (B,N,K) uniform in [0, 1), or None: Philox noise of (seeds (B,), samples (B,), step).
    A code is drawn by Gumbel argmax among those whose guided logit reaches the top_k-th largest.

    Returns ids (B,N), and float32 confidence (B,N): the softmax of the guided, unfiltered logits at the drawn code,
    1e5 where nothing was drawn. Of equally certain positions the first is masked first.
    """
    mask_id = logits.shape[-1]
    masked = ids == mask_id
    guided = logits.float()
    if unconditional_logits is not None:
        unconditional = unconditional_logits.float()
        guided = unconditional + guidance_scale * (guided - unconditional)
    if logits.shape[1] < ids.shape[1]:
        row = (masked.cumsum(dim=1) - 1).clamp(0, logits.shape[1] - 1)
        guided = guided.gather(1, row[..., None].expand(*ids.shape, mask_id))
    if noise is None:
        noise = philox_uniform_ref(seeds, samples, step, ids.shape[1], mask_id)

    threshold = guided.topk(top_k, dim=-1).values[..., -1:]
    filtered = guided.masked_fill(guided < threshold, float("-inf"))
    drawn = (filtered / temperature + gumbel(noise)).argmax(dim=-1)
    probability = guided.softmax(dim=-1).gather(-1, drawn[..., None]).squeeze(-1)

    confidence = probability.masked_fill(~masked, KEPT)
    rank = confidence.argsort(dim=-1, stable=True).argsort(dim=-1)
    again = masked & (rank < next_count[:, None])
    ids = torch.where(masked, drawn, ids).masked_fill(again, mask_id)
    return ids.contiguous(), confidence.contiguous()
