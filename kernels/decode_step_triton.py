"""decode_step on a GPU as one kernel: guidance, top-k, sampling, confidence and the choice of what is masked again.

One program works on one position, and the last one to finish a sample ranks that sample. Nothing is sorted, and
nothing is read by the host.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from .decode_step import KEPT
from .operands import contiguous
from .philox_triton import philox_uniform_row

_KEPT = tl.constexpr(KEPT)


@triton.jit
def ordered_bits(x):
    """float32 -> int32 of the same order. Both zeros give the same number."""
    bits = tl.where(x == 0, 0.0, x).to(tl.int32, bitcast=True)
    return bits ^ ((bits >> 31) & 0x7FFFFFFF)


@triton.jit
def top_k_threshold(keys, low, k):
    """int32 keys, and low not above the k-th largest of them -> a number that the k largest, and what ties with the
    k-th, reach and no other does.

    Bisection: at most 32 rounds, and fewer as soon as exactly k keys reach the middle.
    """
    high = tl.max(keys, axis=0)
    while low < high:
        middle = (low | high) - ((low ^ high) >> 1)  # half-way, rounded up; the sum would overflow
        reached = tl.sum((keys >= middle).to(tl.int32), axis=0)
        low = tl.where(reached >= k, middle, low)
        high = tl.where(reached > k, high, tl.where(reached == k, middle, middle - 1))
    return low


@triton.jit
def gumbel(uniform):
    return -tl.log(tl.maximum(-tl.log(tl.maximum(uniform, 1e-20)), 1e-20))


@triton.jit
def draw(guided, uniform, inside, K, temperature, top_k):
    """guided (BLOCK_K,), -inf outside -> the drawn code, int64, and its probability."""
    codes = tl.arange(0, guided.shape[0])
    keys = ordered_bits(guided)
    lowest = tl.min(tl.where(inside, keys, 0x7FFFFFFF), axis=0)
    allowed = inside & (keys >= top_k_threshold(keys, lowest, top_k))
    score = tl.where(allowed, guided / temperature + gumbel(uniform), float("-inf"))
    drawn = tl.argmax(score, axis=0, tie_break_left=True)
    drawn = tl.minimum(drawn, K - 1)  # NaN logits may win at the padding
    weight = tl.exp(guided - tl.max(guided, axis=0))
    probability = tl.sum(tl.where(codes == drawn, weight, 0.0), axis=0) / tl.sum(weight, axis=0)
    return drawn.to(tl.int64), probability


@triton.jit
def mask_least_certain(ids, confidence, count, N, K, BLOCK_N: tl.constexpr):
    """Put the mask id K at the `count` drawn positions of lowest confidence; of equals, at the first."""
    positions = tl.arange(0, BLOCK_N)
    # Other programs wrote these: .cg goes past this processor's own cache.
    own = tl.load(confidence + positions, mask=positions < N, other=_KEPT, cache_modifier=".cg")
    rank = tl.zeros((BLOCK_N,), tl.int32)
    for first in range(0, N, 16):
        rivals = first + tl.arange(0, 16)
        rival = tl.load(confidence + rivals, mask=rivals < N, other=_KEPT, cache_modifier=".cg")
        before = (rival[None, :] < own[:, None]) | (
            (rival[None, :] == own[:, None]) & (rivals[None, :] < positions[:, None])
        )
        rank += tl.sum(before.to(tl.int32), axis=1)
    mask_id = tl.zeros((BLOCK_N,), tl.int64) + K
    tl.store(ids + positions, mask_id, mask=(own < _KEPT) & (rank < count))


@triton.jit(do_not_specialize=["step", "top_k"])
def decode_step_kernel(
    logits,
    unconditional_logits,
    ids,
    next_count,
    seeds,
    samples,
    noise,
    out_ids,
    out_confidence,
    arrivals,
    step,
    guidance_scale,
    temperature,
    top_k,
    N,
    K,
    R,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    """All tensors contiguous; unconditional_logits and noise may be None. arrivals (B,) int32: zeros, and left so."""
    row = tl.program_id(0).to(tl.int64)
    sample = row // N
    drawn = tl.load(ids + row)
    confidence = tl.full((), _KEPT, tl.float32)
    if drawn == K:
        scored = row
        if R < N:
            positions = tl.arange(0, BLOCK_N)
            earlier = tl.load(ids + sample * N + positions, mask=positions < row % N, other=0)
            scored = sample * R + tl.minimum(tl.sum((earlier == K).to(tl.int32), axis=0), R - 1)
        codes = tl.arange(0, BLOCK_K)
        inside = codes < K
        guided = tl.load(logits + scored * K + codes, mask=inside, other=0.0).to(tl.float32)
        if unconditional_logits is not None:
            plain = tl.load(unconditional_logits + scored * K + codes, mask=inside, other=0.0).to(tl.float32)
            guided = plain + guidance_scale * (guided - plain)
        guided = tl.where(inside, guided, float("-inf"))
        if noise is not None:
            uniform = tl.load(noise + row * K + codes, mask=inside, other=0.0)
        else:
            uniform = philox_uniform_row(tl.load(seeds + sample), tl.load(samples + sample), step, row % N, BLOCK_K)
        drawn, confidence = draw(guided, uniform, inside, K, temperature, top_k)
    tl.store(out_ids + row, drawn)
    tl.store(out_confidence + row, confidence)

    # Release what this program wrote; whoever comes last acquires what all wrote.
    tl.debug_barrier()
    if tl.atomic_add(arrivals + sample, 1, sem="acq_rel", scope="gpu") == N - 1:
        tl.store(arrivals + sample, 0)
        first = sample * N
        mask_least_certain(out_ids + first, out_confidence + first, tl.load(next_count + sample), N, K, BLOCK_N)


def decode_step_triton(
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
    out: tuple[Tensor, Tensor] | None = None,
    arrivals: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """As `decode_step_ref`.

    The guided logits are the same bits as the reference's on the same device, so the set of the top k is the same. The
    logarithms of the noise and the sum of the softmax may round differently: where two codes are within a few units in
    the last place of winning the draw, or two positions of being equally certain, either may be taken.

    out: ids (B,N) int64, which may be `ids` itself where there are logits of all positions, and confidence (B,N)
    float32, both contiguous: written and returned. arrivals (B,) int32, zeros, which it holds again at the end: scratch
    memory that saves an allocation; launches that may overlap need one each.
    """
    batch, n = ids.shape
    k = logits.shape[-1]
    if out is None:
        out = torch.empty(batch, n, dtype=torch.int64, device=ids.device), torch.empty(batch, n, device=ids.device)
    if batch * n == 0:
        return out
    if arrivals is None:
        arrivals = torch.zeros(batch, dtype=torch.int32, device=ids.device)
    block_k = max(4, triton.next_power_of_2(k))
    with torch.cuda.device_of(logits):
        decode_step_kernel[(batch * n,)](
            *map(contiguous, (logits, unconditional_logits, ids, next_count, seeds, samples, noise)),
            *out,
            arrivals,
            step,
            float(guidance_scale),
            float(temperature),
            top_k,
            n,
            k,
            logits.shape[1],
            BLOCK_N=max(16, triton.next_power_of_2(n)),
            BLOCK_K=block_k,
            # Sixteen codes a thread; with one warp no sum has to cross warps.
            num_warps=min(8, max(1, block_k // 512)),
            # Multiply and add stay apart, as in the reference.
            enable_fp_fusion=False,
        )
    return out
