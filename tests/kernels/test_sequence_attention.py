"""sequence_attention against an explicit float64 softmax."""

import pytest
import torch

from lamp_fast.kernels.sequence_attention import sequence_attention_ref

MODES = ("full", "soft_causal", "causal")
# Softmax averages values of size 4 over 50 keys: float32 keeps 1e-6, half precision rounds the result itself.
TOLERANCE = {torch.float32: 5e-6, torch.float16: 5e-3, torch.bfloat16: 4e-2}


def explicit(q, k, v, lengths, mode):
    q, k, v = q.double(), k.double(), v.double()
    out = torch.zeros_like(q)
    for b in range(q.shape[0]):
        n = q.shape[2] if lengths is None else int(lengths[b])
        for i in range(n):
            last = i + 1 if mode == "causal" else n
            scores = torch.einsum("hd,hkd->hk", q[b, :, i], k[b, :, :last]) / q.shape[-1] ** 0.5
            if mode == "soft_causal":
                scores[:, : i + 1] += 1
            out[b, :, i] = torch.einsum("hk,hkd->hd", scores.softmax(dim=-1), v[b, :, :last])
    return out


def qkv(batch, heads, n, dim, dtype=torch.float32):
    torch.manual_seed(n * 100 + dim)
    return [torch.randn(batch, heads, n, dim).to(dtype) for _ in range(3)]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dim", [32, 48, 64])
@pytest.mark.parametrize("batch, n", [(1, 1), (1, 50), (3, 7), (3, 49)])
def test_without_lengths(mode, dim, batch, n):
    q, k, v = qkv(batch, 2, n, dim)
    got = sequence_attention_ref(q, k, v, None, mode).double()
    torch.testing.assert_close(got, explicit(q, k, v, None, mode), atol=TOLERANCE[torch.float32], rtol=0)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("n, lengths", [(1, [1]), (7, [7, 1, 3]), (49, [49, 7, 30])])
def test_with_lengths(mode, dtype, n, lengths):
    q, k, v = qkv(len(lengths), 3, n, 48, dtype)
    lengths = torch.tensor(lengths)
    got = sequence_attention_ref(q, k, v, lengths, mode)
    assert got.dtype == dtype
    torch.testing.assert_close(got.double(), explicit(q, k, v, lengths, mode), atol=TOLERANCE[dtype], rtol=0)
    beyond = torch.arange(n) >= lengths[:, None]
    assert (got.transpose(1, 2)[beyond] == 0).all()


@pytest.mark.parametrize("mode", MODES)
def test_poison_beyond_the_length_is_not_read(mode):
    lengths = torch.tensor([3, 7])
    clean = qkv(2, 2, 7, 32)
    poisoned = [x.clone() for x in clean]
    for x in poisoned:
        x[0, :, 3:] = float("nan")
    got = sequence_attention_ref(*poisoned, lengths, mode)
    assert torch.equal(got, sequence_attention_ref(*clean, lengths, mode))


@pytest.mark.parametrize("mode", MODES)
def test_non_contiguous(mode):
    packed = torch.randn(2, 7, 3, 4, 32)
    q, k, v = packed.permute(2, 0, 3, 1, 4)
    lengths = torch.tensor([7, 2])
    expected = sequence_attention_ref(q.contiguous(), k.contiguous(), v.contiguous(), lengths, mode)
    torch.testing.assert_close(sequence_attention_ref(q, k, v, lengths, mode), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("mode", MODES)
def test_gradients(mode):
    q, k, v = (x.double().requires_grad_() for x in qkv(2, 1, 4, 3))
    lengths = torch.tensor([4, 2])
    assert torch.autograd.gradcheck(lambda *inputs: sequence_attention_ref(*inputs, lengths, mode), (q, k, v))


@pytest.mark.parametrize("mode, m, n", [("full", 9, 4), ("full", 3, 5), ("soft_causal", 3, 5), ("causal", 3, 5)])
def test_queries_of_another_length(mode, m, n):
    """Fewer queries than keys are the last of as many; every query counts, also where lengths is shorter."""
    q, k, v = (x.double() for x in qkv(2, 2, 9, 16))
    lengths = torch.tensor([n, 2 if mode == "full" else n - 1])
    got = sequence_attention_ref(q[:, :, :m], k[:, :, :n], v[:, :, :n], lengths, mode, padded_queries=False)
    for b, length in enumerate(lengths.tolist()):
        for i in range(m):
            scores = torch.einsum("hd,hkd->hk", q[b, :, i], k[b, :, :length]) / 4
            past = torch.arange(length) <= n - m + i
            if mode == "soft_causal":
                scores = scores + past
            if mode == "causal":
                scores = scores.masked_fill(~past, -torch.inf)
            expected = torch.einsum("hk,hkd->hd", scores.softmax(-1), v[b, :, :length])
            torch.testing.assert_close(got[b, :, i], expected, atol=1e-9, rtol=0)


def test_soft_causal_lets_the_past_see_the_future():
    q, k, v = qkv(1, 1, 7, 32)
    changed = v.clone()
    changed[:, :, -1] += 1
    moved = sequence_attention_ref(q, k, changed, None, "soft_causal") - sequence_attention_ref(
        q, k, v, None, "soft_causal"
    )
    assert moved[0, 0, 0].abs().max() > 1e-3


def test_dropout_drops_attention_weights():
    q, k, v = qkv(1, 1, 49, 32)
    torch.manual_seed(0)
    ones = sequence_attention_ref(q, k, torch.ones_like(v), None, "full", dropout=0.5)
    assert ones.std() > 0.05
