"""The operators: what they take, what they give, which implementation runs.

Nothing else registers with torch. Eager calls go straight to the implementation; inside `torch.compile` an operator is
one opaque call, except `sequence_attention`, which training differentiates and the compiler may fuse.

Backend triton covers every operator for tensors on a GPU; `sequence_attention` in half precision, without gradients.
Backend native covers `codebook_lookup` and the noise of `philox_uniform` and `decode_step`, for tensors on the CPU.
Everything else runs the PyTorch reference.
"""

import torch
from torch import Tensor

from .backend import Backend, current_backend, triton_is_interpreted
from .errors import LampError
from .kernels.codebook_lookup import codebook_lookup_ref
from .kernels.decode_step import decode_step_ref
from .kernels.philox import philox_uniform_ref
from .kernels.sequence_attention import sequence_attention_ref

ATTENTION_MODES = ("full", "soft_causal", "causal")


def codebook_lookup(x: Tensor, codebook: Tensor) -> Tensor:
    """Nearest code: x (M,D), codebook (K,D) float -> (M,) int64; see `kernels/codebook_lookup.py`.

    Raises LampError when the widths differ or the codebook is empty; on backend native also when x is not finite.
    """
    if x.ndim != 2 or codebook.ndim != 2 or x.shape[1] != codebook.shape[1] or codebook.shape[0] == 0:
        raise LampError(
            f"codebook_lookup: x {tuple(x.shape)} and codebook {tuple(codebook.shape)} do not fit; "
            "give (M,D) and (K,D) with K at least 1"
        )
    return (_codebook_lookup if torch.compiler.is_compiling() else _run_codebook_lookup)(x, codebook)


def philox_uniform(seeds: Tensor, samples: Tensor, step: int, num_positions: int, num_codes: int) -> Tensor:
    """Uniform noise of (seed, sample, step, position, code): (B,) and (B,) int64 -> (B,N,K) float32 in [0, 1)."""
    implementation = _philox_uniform if torch.compiler.is_compiling() else _run_philox_uniform
    return implementation(seeds, samples, step, num_positions, num_codes)


def sequence_attention(
    q: Tensor, k: Tensor, v: Tensor, lengths: Tensor | None, mode: str, dropout: float = 0.0
) -> Tensor:
    """Self-attention: q, k, v (B,H,N,Dh), lengths (B,) or None -> (B,H,N,Dh); see `kernels/sequence_attention.py`.

    Raises LampError for a mode that does not exist.
    """
    if mode not in ATTENTION_MODES:
        raise LampError(f"sequence_attention: there is no mode {mode!r}; choose one of {', '.join(ATTENTION_MODES)}")
    differentiated = torch.is_grad_enabled() and (q.requires_grad or k.requires_grad or v.requires_grad)
    if not torch.compiler.is_compiling() and not differentiated and dropout == 0 and _triton_reaches(q):
        from .kernels.sequence_attention_triton import MAX_TOKENS, sequence_attention_triton

        if q.shape[2] <= MAX_TOKENS and q.dtype in (torch.float16, torch.bfloat16):
            return sequence_attention_triton(q, k, v, lengths, mode)
    return sequence_attention_ref(q, k, v, lengths, mode, dropout)


def decode_step(
    logits: Tensor,
    unconditional_logits: Tensor | None,
    ids: Tensor,
    next_count: Tensor,
    *,
    seeds: Tensor,
    samples: Tensor,
    noise: Tensor | None,
    step: int,
    guidance_scale: float,
    temperature: float,
    top_k: int,
) -> tuple[Tensor, Tensor]:
    """One decoding step: logits (B,N,K), ids (B,N) -> ids (B,N), confidence (B,N); see `kernels/decode_step.py`."""
    implementation = _decode_step if torch.compiler.is_compiling() else _run_decode_step
    return implementation(
        logits,
        unconditional_logits,
        ids,
        next_count,
        seeds,
        samples,
        noise,
        step,
        guidance_scale,
        temperature,
        top_k,
    )


def _native_reaches(tensor: Tensor) -> bool:
    return tensor.device.type == "cpu" and current_backend() is Backend.NATIVE


def _triton_reaches(tensor: Tensor) -> bool:
    return current_backend() is Backend.TRITON and (tensor.is_cuda or triton_is_interpreted())


def _run_codebook_lookup(x: Tensor, codebook: Tensor) -> Tensor:
    if _triton_reaches(x):
        from .kernels.codebook_lookup_triton import codebook_lookup_triton

        return codebook_lookup_triton(x, codebook)
    if not _native_reaches(x):
        return codebook_lookup_ref(x, codebook)
    from . import _native

    try:
        return torch.from_numpy(_native.codebook_lookup(x.detach().float(), codebook.detach().float()))
    except ValueError as error:
        raise LampError(str(error)) from error


def _run_philox_uniform(seeds: Tensor, samples: Tensor, step: int, num_positions: int, num_codes: int) -> Tensor:
    if _triton_reaches(seeds):
        from .kernels.philox_triton import philox_uniform_triton

        return philox_uniform_triton(seeds, samples, step, num_positions, num_codes)
    if not _native_reaches(seeds):
        return philox_uniform_ref(seeds, samples, step, num_positions, num_codes)
    from . import _native

    return torch.from_numpy(_native.philox_uniform(seeds, samples, step, num_positions, num_codes))


def _run_decode_step(logits, unconditional_logits, ids, next_count, seeds, samples, noise, step, *options):
    if _triton_reaches(logits):
        from .kernels.decode_step_triton import decode_step_triton

        return decode_step_triton(logits, unconditional_logits, ids, next_count, seeds, samples, noise, step, *options)
    if noise is None and _native_reaches(logits):
        noise = _run_philox_uniform(seeds, samples, step, *logits.shape[1:])
    return decode_step_ref(logits, unconditional_logits, ids, next_count, seeds, samples, noise, step, *options)


@torch.library.custom_op("lamp_fast::codebook_lookup", mutates_args=())
def _codebook_lookup(x: Tensor, codebook: Tensor) -> Tensor:
    return _run_codebook_lookup(x, codebook)


@_codebook_lookup.register_fake
def _(x, codebook):
    return x.new_empty(x.shape[0], dtype=torch.int64)


@torch.library.custom_op("lamp_fast::philox_uniform", mutates_args=())
def _philox_uniform(seeds: Tensor, samples: Tensor, step: int, num_positions: int, num_codes: int) -> Tensor:
    return _run_philox_uniform(seeds, samples, step, num_positions, num_codes)


@_philox_uniform.register_fake
def _(seeds, samples, step, num_positions, num_codes):
    return seeds.new_empty(seeds.shape[0], num_positions, num_codes, dtype=torch.float32)


@torch.library.custom_op("lamp_fast::decode_step", mutates_args=())
def _decode_step(
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
    return _run_decode_step(
        logits,
        unconditional_logits,
        ids,
        next_count,
        seeds,
        samples,
        noise,
        step,
        guidance_scale,
        temperature,
        top_k,
    )


@_decode_step.register_fake
def _(logits, unconditional_logits, ids, *_):
    return ids.new_empty(ids.shape), logits.new_empty(ids.shape, dtype=torch.float32)
