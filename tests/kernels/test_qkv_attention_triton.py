"""The Triton kernel of qkv_attention against the reference in float64."""

import pytest
import torch

from lamp_fast.kernels.qkv_attention import qkv_attention_ref

module = pytest.importorskip("lamp_fast.kernels.qkv_attention_triton")
qkv_attention_triton = module.qkv_attention_triton

EPS = 1e-5
# Values of size 4: float32 keeps 1e-6 of them; half precision rounds q, k, v, the attention weights and the result, and
# the interpreter cuts bfloat16 off instead of rounding.
TOLERANCE = {torch.float32: 1e-5, torch.float16: 1e-2, torch.bfloat16: 1e-1}


def arguments(batch, length, heads, dim, dtype, device, mean=1.0):
    torch.manual_seed(length * 100 + dim)
    width = heads * dim
    x = torch.randn(batch, length, width) + mean
    weight, bias = torch.randn(3 * width, width) / width**0.5, torch.randn(3 * width)
    x, weight, bias = (tensor.to(device, dtype) for tensor in (x, weight, bias))
    return x, weight, weight.float().sum(1), bias


def check(x, weight, fold, bias, lengths, mode, heads, tolerance=None, **options):
    out = got, stats = qkv_attention_triton(x, weight, fold, bias, lengths, mode, heads, EPS, **options)
    wide = (None if tensor is None else tensor.double() for tensor in (x, weight, fold, bias))
    expected, true = qkv_attention_ref(*wide, lengths, mode, heads, EPS)
    assert got.dtype == x.dtype and stats.dtype == torch.float32 and got.is_contiguous()
    torch.testing.assert_close(got.double(), expected, atol=tolerance or TOLERANCE[x.dtype], rtol=0)
    if fold is not None:
        real = slice(None) if lengths is None else torch.arange(x.shape[1], device=x.device) < lengths[:, None]
        stats, true = (rows.view(*x.shape[:2], 2)[real] for rows in (stats, true))
    torch.testing.assert_close(stats, true, atol=1e-5, rtol=1e-5)
    return out


@pytest.mark.parametrize("mode", ["full", "soft_causal", "causal"])
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize(
    "length, heads, dim, lengths",
    [(1, 1, 32, None), (7, 2, 48, [7, 2]), (50, 3, 64, [31]), (64, 2, 20, [64]), (3, 1, 70, [2])],
)
def test_explicit(device, mode, dtype, length, heads, dim, lengths):
    batch = 2 if lengths is None else len(lengths)
    lengths = None if lengths is None else torch.tensor(lengths, device=device)
    check(*arguments(batch, length, heads, dim, dtype, device), lengths, mode, heads)


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("length, lengths", [(65, [65, 3]), (130, None)])
def test_long_sequences(device, dtype, length, lengths):
    lengths = None if lengths is None else torch.tensor(lengths, device=device)
    check(*arguments(2, length, 2, 16, dtype, device), lengths, "soft_causal", 2)


def test_many_samples(device, monkeypatch):
    """Beyond a number of programs the projection has a kernel of its own."""
    monkeypatch.setattr(module, "FUSED_PROGRAMS", 3)
    monkeypatch.setattr(module, "qkv_attention_kernel", None)
    check(*arguments(2, 7, 2, 16, torch.float16, device), torch.tensor([3, 7], device=device), "causal", 2)


@pytest.mark.parametrize("length", [9, 65])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
def test_without_a_norm(device, dtype, length):
    x, weight, _, bias = arguments(2, length, 2, 32, dtype, device, mean=0.0)
    _, stats = check(x, weight, None, bias, torch.tensor([length, 4], device=device), "causal", 2)
    assert stats.shape == (0, 2)


def test_a_mean_far_from_zero(device):
    """A mean of 100 standard deviations costs stats nothing; the product, rounded at its own size, costs its share."""
    check(*arguments(1, 7, 2, 70, torch.float16, device, mean=100.0), None, "full", 2, tolerance=3e-1)


@pytest.mark.parametrize("length", [7, 65])
def test_poison_beyond_the_length_is_not_read(device, length):
    x, *rest = arguments(2, length, 2, 32, torch.float16, device)
    lengths = torch.tensor([3, length], device=device)
    expected = qkv_attention_triton(x, *rest, lengths, "full", 2, EPS)
    x[0, 3:] = torch.nan
    got = qkv_attention_triton(x, *rest, lengths, "full", 2, EPS)
    assert torch.equal(got[0], expected[0]) and not got[0][0, 3:].any()
    assert torch.equal(got[1][:3], expected[1][:3]) and torch.equal(got[1][length:], expected[1][length:])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
def test_strides_and_out(device, dtype):
    x, weight, fold, bias = arguments(2, 5, 2, 32, dtype, device)
    x, weight = (tensor.transpose(-1, -2).contiguous().transpose(-1, -2) for tensor in (x, weight))
    out = torch.full((2, 5, 64), torch.nan, device=device, dtype=dtype), torch.full((10, 2), torch.nan, device=device)
    got = check(x, weight, fold, bias, None, "full", 2, out=out)
    assert got[0] is out[0] and got[1] is out[1]


def test_empty(device):
    x, *rest = arguments(2, 5, 2, 16, torch.float16, device)
    attended, stats = qkv_attention_triton(x[:0], *rest, None, "full", 2, EPS)
    assert attended.shape == (0, 5, 32) and stats.shape == (0, 2)
