"""The operators that bench_ops.py measures, each at its sizes: one row, or a few, for an operator."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from agree import close, drawn, nearest, reconstructed
from torch import Tensor

from lamp_fast.profiling.peaks import DTYPES

TOKENS = 49
ROWS_OF_A_SAMPLE = 1 + TOKENS  # the condition goes first
# A guided motion is two samples: with its words and without.
BATCHES = {"b1": 2, "b32": 64, "b256": 512}


class Draw:
    """Random arguments on one device; floats are of the row's dtype unless another is named."""

    def __init__(self, device: torch.device, dtype: torch.dtype):
        self.device, self.dtype = device, dtype
        self.random = torch.Generator(device).manual_seed(0)

    def __call__(self, *shape: int, scale: float = 1.0, dtype: torch.dtype | None = None) -> Tensor:
        values = torch.randn(shape, generator=self.random, device=self.device) * scale
        return values.to(dtype or self.dtype)

    def integers(self, high: int, *shape: int, low: int = 0, dtype: torch.dtype = torch.int64) -> Tensor:
        return torch.randint(low, high, shape, generator=self.random, device=self.device, dtype=dtype)

    def full(self, value: int, *shape: int, dtype: torch.dtype = torch.int64) -> Tensor:
        return torch.full(shape, value, device=self.device, dtype=dtype)


@dataclass(frozen=True)
class Row:
    """An operator at a size: what it is called with, and the operations it takes (a product and a sum are two).

    Bytes are counted from arguments and results, each moved once. file: where the operator's functions are, if not in
    a file of its name. numbers: of the peak rate, if another unit than that of the dtype does the work.
    """

    op: str
    size: str
    arguments: Callable[[Draw], tuple]
    flops: float = 0.0
    dtype: torch.dtype = torch.bfloat16
    compare: Callable[[Any, Any, Sequence[Any], torch.dtype], dict[str, float]] = close
    file: str | None = None
    numbers: str | None = None


def rows() -> Iterator[Row]:
    """An operator adds its rows here: widths of lamp-base, one motion first."""
    fp32, bf16 = torch.float32, torch.bfloat16
    for size, m in {"motion": TOKENS, "corpus": 1_000_000}.items():
        # What does the work, and how many products it takes for one.
        for precision, (numbers, products) in {"ieee": ("fp32", 1), "tf32x3": ("tf32", 3), "fast": ("bf16", 1)}.items():
            yield Row(
                "codebook_lookup",
                f"{size} 512x512 {precision}",
                lambda new, m=m, precision=precision: (new(m, 512), new(512, 512), precision),
                flops=2 * m * 512 * 512 * products,
                dtype=fp32,
                compare=nearest,
                numbers=numbers,
            )
        yield Row(
            "residual_codebook_lookup",
            f"{size} 6x512x512",
            lambda new, m=m: (new(m, 512), new(6, 512, 512) * 0.5 ** torch.arange(6, device=new.device)[:, None, None]),
            flops=6 * 2 * m * 512 * 512,
            dtype=fp32,
            compare=reconstructed,
        )
    yield Row(
        "codebook_sums",
        "256 motions 512x512",
        lambda new: (new(256 * TOKENS, 512), new.integers(512, 256 * TOKENS), 512),
        dtype=fp32,
    )
    for size, samples in BATCHES.items():
        b = samples // 2
        yield Row(
            "philox_uniform",
            f"{size} 49x512",
            lambda new, b=b: (new.integers(2**40, b), new.integers(2**20, b), 3, TOKENS, 512),
            dtype=fp32,
            file="philox",
        )
        yield Row("masked_rows", f"{size} 49", lambda new, b=b: (new.integers(2, b, TOKENS), 1, 31, 2))
        yield Row(
            "recover_joints",
            f"{size} 196x263",
            lambda new, b=b: (
                new(b, 196, 263),
                new(263, dtype=torch.float32),
                new(263, scale=0.01, dtype=torch.float32),
                new.full(196, b),
            ),
        )
        yield Row("decode_step", f"{size} 49x512", lambda new, b=b: decode_step_arguments(new, b), compare=drawn)
        yield Row(
            "sequence_attention",
            f"{size} 8 heads of 64",
            lambda new, b=samples: (
                *new(b, ROWS_OF_A_SAMPLE, 3, 8, 64).permute(2, 0, 3, 1, 4),
                new.full(ROWS_OF_A_SAMPLE, b),
                "soft_causal",
            ),
            flops=4 * samples * 8 * ROWS_OF_A_SAMPLE**2 * 64,
            dtype=bf16,
        )
        yield Row(
            "sequence_attention",
            f"{size} 12 heads of 64, 49 queries to 14 words",
            lambda new, b=b: (
                new(b, TOKENS, 12, 64).transpose(1, 2),
                *new(2, b, 14, 12, 64).transpose(2, 3),
                new.full(14, b),
                "full",
                0.0,
                False,
            ),
            flops=4 * b * 12 * TOKENS * 14 * 64,
            dtype=bf16,
        )
        for width, heads in ((384, 6), (512, 8)):
            yield Row(
                "qkv_attention",
                f"{size} {width} {heads} heads",
                lambda new, b=samples, width=width, heads=heads: qkv_attention_arguments(new, b, width, heads),
                flops=samples * ROWS_OF_A_SAMPLE * (6 * width**2 + 4 * ROWS_OF_A_SAMPLE * width),
                dtype=bf16,
            )
        m = samples * ROWS_OF_A_SAMPLE
        yield Row("quantize_rows", f"{size} 512", lambda new, m=m: (new(m, 512),))
        yield Row(
            "int8_linear",
            f"{size} 512x1536",
            lambda new, m=m: (*_int8(new, m, 512), *_int8(new, 1536, 512), new(1536), bf16),
            flops=2 * m * 512 * 1536,
            numbers="int8",
        )
        yield Row(
            "embed_tokens",
            f"{size} 512",
            lambda new, b=samples: (new.integers(514, b, TOKENS), new(b, 512), new(514, 512), new(TOKENS, 512)),
        )
        for weight in None, torch.int8, torch.float8_e4m3fn:
            kind = "" if weight is None else f" {DTYPES[weight]} weight"
            yield Row(
                "norm_linear",
                f"{size} 512x1024{kind}",
                lambda new, m=m, weight=weight: norm_linear_arguments(new, m, 512, 1024, weight),
                flops=2 * m * 512 * 1024,
            )
            yield Row(
                "linear_residual",
                f"{size} 1024x512{kind}",
                lambda new, m=m, weight=weight: linear_residual_arguments(new, m, 1024, 512, weight),
                flops=2 * m * 1024 * 512,
            )
        yield from decoder_rows(size, b)


def decoder_rows(size: str, batch: int) -> Iterator[Row]:
    """The decoder's layers for b motions of 49 tokens, 98 and 196 rows; width 192 is that of lamp-mini."""
    for t, outputs in (TOKENS, 512), (4 * TOKENS, 512), (4 * TOKENS, 263):
        yield Row(
            "conv1d",
            f"{size} {t} rows 512x{outputs}",
            lambda new, t=t, outputs=outputs: (new(batch, t, 512), *taps(new, outputs, 512), 1, True),
            flops=2 * batch * t * 3 * 512 * outputs,
        )
    for width in 192, 512:
        t = 2 * TOKENS
        yield Row(
            "conv_residual",
            f"{size} {t} rows {width}",
            lambda new, t=t, width=width: (
                new(batch, t, width),
                *taps(new, width, width),
                new(width, width, scale=width**-0.5),
                new(width),
                3,
            ),
            flops=2 * batch * t * 4 * width * width,
        )
    yield Row(
        "upsample_conv",
        f"{size} {TOKENS} rows 512",
        lambda new: (new(batch, TOKENS, 512), new(2, 512, 2, 512, scale=1 / 32).transpose(1, 2), new(512)),
        flops=2 * batch * 2 * TOKENS * 2 * 512 * 512,
    )


def taps(new: Draw, outputs: int, inputs: int) -> tuple[Tensor, Tensor]:
    """weight (3,O,I), in memory as the engine has it, and bias."""
    return new(outputs, 3, inputs, scale=(3 * inputs) ** -0.5).transpose(0, 1), new(outputs)


def decode_step_arguments(new: Draw, batch: int) -> tuple:
    logits, unconditional = new(batch, TOKENS, 512, scale=3), new(batch, TOKENS, 512, scale=3)
    ids, count = new.full(512, batch, TOKENS), new.full(TOKENS // 2, batch)
    seeds, samples = new.integers(2**40, batch), new.integers(2**20, batch)
    return logits, unconditional, ids, count, seeds, samples, None, 0, 4.0, 1.0, 52


def _weight(new: Draw, channels: int, width: int, dtype: torch.dtype | None) -> tuple[Tensor, Tensor | None]:
    """A weight of that dtype and its scales, or one of the row's dtype, which has none."""
    if dtype is None:
        return new(channels, width, scale=width**-0.5), None
    scale = new(channels, dtype=torch.float32).abs() / 100 + 0.01
    return (new(channels, width, scale=width**-0.5, dtype=torch.float32) / scale[:, None]).to(dtype), scale


def norm_linear_arguments(new: Draw, m: int, width: int, channels: int, dtype: torch.dtype | None) -> tuple:
    weight, scale = _weight(new, channels, width, dtype)
    fold = weight.float().sum(dim=1) * (1 if scale is None else scale)
    return new(m, width), weight, fold, new(channels), "gelu", 1e-5, scale


def linear_residual_arguments(new: Draw, m: int, width: int, channels: int, dtype: torch.dtype | None) -> tuple:
    weight, scale = _weight(new, channels, width, dtype)
    stats = new(m, 2, dtype=torch.float32).abs()
    vectors = new(channels), new(channels)
    return new(m, width), weight, new(channels), new(m, channels), stats, *vectors, None, scale


def qkv_attention_arguments(new: Draw, batch: int, width: int, num_heads: int) -> tuple:
    weight, bias = new(3 * width, width, scale=width**-0.5), new(3 * width)
    x, lengths = new(batch, ROWS_OF_A_SAMPLE, width), new.full(ROWS_OF_A_SAMPLE, batch)
    return x, weight, weight.float().sum(1), bias, lengths, "soft_causal", num_heads, 1e-5


def _int8(new: Draw, rows: int, width: int) -> tuple[Tensor, Tensor]:
    return new.integers(128, rows, width, low=-127, dtype=torch.int8), new(rows, dtype=torch.float32).abs() / 127
