"""When the result of a kernel agrees with what is right: (expected, got, arguments, dtype) -> figures for the record.

Each raises AssertionError where it does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

TOLERANCE = {torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 1e-2}


def close(expected: Any, got: Any, arguments: Sequence[Any], dtype: torch.dtype) -> dict[str, float]:
    """Integers are equal; floats differ by a share of their norm that rounding in `dtype` explains."""
    worst = 0.0
    for right, value in zip(tensors_of(expected), tensors_of(got), strict=True):
        assert right.shape == value.shape, f"shape {tuple(value.shape)}, expected {tuple(right.shape)}"
        if right.dtype.is_floating_point:
            right = right.double()
            error = ((value.double() - right).norm() / right.norm().clamp(min=1e-30)).item()
            assert error <= TOLERANCE[dtype], f"relative error {error:.2g}, at most {TOLERANCE[dtype]} expected"
            worst = max(worst, error)
        else:
            assert torch.equal(right, value.to(right.dtype)), f"{(right != value).sum()} integers differ"
    return {"error": worst}


def nearest(expected: Any, got: Any, arguments: Sequence[Any], dtype: torch.dtype) -> dict[str, float]:
    """Another code than float64 finds is right where it is as near, up to what the precision may cost."""
    [expected], [got] = tensors_of(expected), tensors_of(got)
    x, codebook, precision = arguments[0], arguments[1].double(), arguments[2]
    other = (expected != got).nonzero()[:, 0]
    rows, square = x[other].double(), codebook.square().sum(dim=1)
    distance = [square[codes[other]] - 2 * (rows * codebook[codes[other]]).sum(dim=1) for codes in (expected, got)]
    size = square.max() + 2 * rows.norm(dim=1) * square.max().sqrt()
    gap = distance[1] - distance[0]
    ulps = {"ieee": x.shape[1] + 2, "tf32x3": 2 * x.shape[1] + 16, "fast": 2**18}[precision]
    assert (gap <= ulps * 2.0**-23 * size).all(), f"a code is farther than the nearest by {gap.max():.2g}"
    return {"other_codes": len(other) / max(len(got), 1)}


def reconstructed(expected: Any, got: Any, arguments: Sequence[Any], dtype: torch.dtype) -> dict[str, float]:
    """A near tie changes every later level of a row, but hardly how near the sum of the codes comes."""
    (codes, right), (got_codes, quantized) = expected, got
    errors = [(arguments[0].double() - sums).square().sum(dim=1).mean().item() for sums in (right, quantized)]
    assert abs(errors[1] - errors[0]) <= 1e-4 * errors[0], f"mean squared error {errors[1]:.6g}, not {errors[0]:.6g}"
    share = (codes != got_codes).any(dim=1).double().mean().item()
    assert share <= 1e-3, f"{share:.2%} of the rows have other codes"
    return {"other_codes": share}


def drawn(expected: Any, got: Any, arguments: Sequence[Any], dtype: torch.dtype) -> dict[str, float]:
    """Tokens drawn in float32: a near tie of two may fall the other way, seldom."""
    (ids, confidence), (got_ids, got_confidence) = expected, got
    same = ids == got_ids
    share = 1 - same.double().mean().item()
    assert share <= 0.02, f"{share:.1%} of the tokens differ"
    torch.testing.assert_close(got_confidence[same], confidence[same].float(), atol=1e-4, rtol=0)
    return {"other_tokens": share}


def tensors_of(values: Any) -> list[Tensor]:
    """A tensor, or the tensors among several values."""
    if isinstance(values, Tensor):
        return [values]
    return [value for value in values if isinstance(value, Tensor)] if isinstance(values, (tuple, list)) else []
