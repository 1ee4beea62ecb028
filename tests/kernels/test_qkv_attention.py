"""qkv_attention against LayerNorm, projection and an explicit softmax in float64."""

import pytest
import torch
import torch.nn.functional as F

from lamp_fast.kernels.qkv_attention import qkv_attention_ref

EPS = 1e-5
# float32 keeps 1e-6 of values of size 4; half precision rounds the normalised rows, q, k, v and the result.
TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-5, torch.float16: 1e-2, torch.bfloat16: 6e-2}


def layer(batch, length, width, dtype):
    """x and a LayerNorm followed by a projection: x, scale, shift, weight, bias; and weight, fold, bias in one."""
    torch.manual_seed(length * 100 + width)
    x = torch.randn(batch, length, width) * 2 + 3
    scale, shift = torch.rand(width, dtype=torch.float64) + 0.5, torch.randn(width, dtype=torch.float64)
    weight = torch.randn(3 * width, width, dtype=torch.float64) / width**0.5
    bias = torch.randn(3 * width, dtype=torch.float64)
    folded = (weight * scale).to(dtype)
    folded = folded, folded.double().sum(1), (bias + weight @ shift).to(dtype)
    return (x.to(dtype), scale, shift, weight, bias), folded


def explicit(x, weight, bias, lengths, mode, num_heads):
    """x (B,L,D) normalised already; everything float64."""
    out = torch.zeros_like(x)
    dim = x.shape[2] // num_heads
    for b in range(x.shape[0]):
        n = x.shape[1] if lengths is None else int(lengths[b])
        q, k, v = (x[b, :n] @ weight.T + bias).unflatten(1, (3, num_heads, dim)).permute(1, 2, 0, 3)
        scores = q @ k.transpose(1, 2) / dim**0.5
        past = torch.ones(n, n).tril().bool()
        if mode == "soft_causal":
            scores = scores + past
        if mode == "causal":
            scores = scores.masked_fill(~past, -torch.inf)
        out[b, :n] = (scores.softmax(-1) @ v).transpose(0, 1).flatten(1)
    return out


@pytest.mark.parametrize("mode", ["full", "soft_causal", "causal"])
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("length, lengths", [(1, None), (7, [7, 2, 1]), (70, [70, 3])])
def test_the_norm_is_folded_in(mode, dtype, length, lengths):
    batch = 2 if lengths is None else len(lengths)
    (x, scale, shift, weight, bias), folded = layer(batch, length, 24, dtype)
    lengths = None if lengths is None else torch.tensor(lengths)
    wide = x.double()
    normalised = F.layer_norm(wide, (24,), scale, shift, EPS)
    expected = explicit(normalised, weight, bias, lengths, mode, 3)
    got, stats = qkv_attention_ref(x, *folded, lengths, mode, 3, EPS)
    assert got.dtype == dtype and stats.dtype == torch.float32
    torch.testing.assert_close(got.double(), expected, atol=TOLERANCE[dtype], rtol=0)

    var, mean = torch.var_mean(wide, dim=2, correction=0)
    true = torch.stack([mean, (var + EPS).rsqrt()], dim=2)
    real = slice(None) if lengths is None else torch.arange(length) < lengths[:, None]
    torch.testing.assert_close(stats.view(true.shape).double()[real], true[real], atol=1e-5, rtol=0)


def test_without_a_norm():
    (x, *_), (weight, _, bias) = layer(2, 5, 24, torch.float64)
    lengths = torch.tensor([5, 2])
    got, stats = qkv_attention_ref(x, weight, None, bias, lengths, "full", 3, EPS)
    torch.testing.assert_close(got, explicit(x, weight, bias, lengths, "full", 3), atol=1e-9, rtol=0)
    assert stats.shape == (0, 2)


def test_poison_beyond_the_length_is_not_read():
    (x, *_), folded = layer(2, 7, 24, torch.float32)
    lengths = torch.tensor([3, 7])
    expected = qkv_attention_ref(x, *folded, lengths, "full", 3, EPS)
    x[0, 3:] = torch.nan
    got = qkv_attention_ref(x, *folded, lengths, "full", 3, EPS)
    assert torch.equal(got[0], expected[0]) and not got[0][0, 3:].any()
    assert torch.equal(got[1][:3], expected[1][:3]) and torch.equal(got[1][7:], expected[1][7:])
