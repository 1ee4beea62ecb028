"""The Triton kernel of sequence_attention against the reference in float64."""

import pytest
import torch

from lamp_fast.kernels.sequence_attention import sequence_attention_ref

sequence_attention_triton = pytest.importorskip("lamp_fast.kernels.sequence_attention_triton").sequence_attention_triton

MODES = ("full", "soft_causal", "causal")
# Values of size 4: float32 keeps 1e-6 of them; half precision rounds the weights and the result, and the interpreter
# cuts bfloat16 off instead of rounding.
TOLERANCE = {torch.float32: 5e-6, torch.float16: 6e-3, torch.bfloat16: 6e-2}


def qkv(batch, heads, n, dim, dtype, device):
    """As the model makes them: one tensor (B,N,3,H,Dh), permuted."""
    torch.manual_seed(n * 100 + dim)
    return torch.randn(batch, n, 3, heads, dim).to(device, dtype).permute(2, 0, 3, 1, 4)


def check(q, k, v, lengths, mode, **options):
    got = sequence_attention_triton(q, k, v, lengths, mode, **options)
    expected = sequence_attention_ref(q.double(), k.double(), v.double(), lengths, mode, **options)
    assert got.shape == q.shape and got.dtype == q.dtype
    torch.testing.assert_close(got.double(), expected, atol=TOLERANCE[q.dtype], rtol=0)
    return got


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("n, dim, lengths", [(1, 32, None), (7, 48, [7, 2]), (49, 64, [30]), (64, 32, [64])])
def test_explicit(device, mode, dtype, n, dim, lengths):
    q, k, v = qkv(1 if lengths is None else len(lengths), 2, n, dim, dtype, device)
    check(q, k, v, None if lengths is None else torch.tensor(lengths, device=device), mode)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("n, dim, lengths", [(65, 48, None), (256, 16, [200])])
def test_long_sequences(device, mode, dtype, n, dim, lengths):
    q, k, v = qkv(1, 1, n, dim, dtype, device)
    check(q, k, v, None if lengths is None else torch.tensor(lengths, device=device), mode)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
@pytest.mark.parametrize(
    "mode, m, n, lengths",
    [("full", 49, 5, [5, 1]), ("full", 49, 49, [49, 3]), ("full", 7, 70, [33, 70]), ("full", 70, 7, None)]
    + [(mode, 3, 9, [9, 8]) for mode in MODES]
    + [(mode, 20, 75, [75, 60]) for mode in MODES],
)
def test_queries_of_another_length(device, dtype, mode, m, n, lengths):
    q, _, _ = qkv(2, 1, m, 20, dtype, device)
    _, k, v = qkv(2, 1, n, 20, dtype, device)
    lengths = None if lengths is None else torch.tensor(lengths, device=device)
    check(q, k, v, lengths, mode, padded_queries=False)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("n", [7, 70])
def test_poison_beyond_the_length_is_not_read(device, mode, n):
    q, k, v = qkv(2, 2, n, 32, torch.float32, device)
    lengths = torch.tensor([3, n], device=device)
    expected = sequence_attention_triton(q, k, v, lengths, mode)
    for x in (q, k, v):
        x[0, :, 3:] = float("nan")
    got = sequence_attention_triton(q, k, v, lengths, mode)
    assert torch.equal(got, expected) and not got[0, :, 3:].any()


def test_strides_out_and_empty(device):
    q, k, v = (x.transpose(2, 3).contiguous().transpose(2, 3) for x in qkv(1, 2, 5, 20, torch.float32, device))
    out = torch.full((1, 5, 2, 20), float("nan"), device=device)
    got = sequence_attention_triton(q, k, v, None, "full", out=out)
    assert got.data_ptr() == out.data_ptr()
    torch.testing.assert_close(got, sequence_attention_ref(q, k, v, None, "full"), atol=5e-6, rtol=0)
    assert sequence_attention_triton(q[:0], k[:0], v[:0], None, "full").shape == (0, 2, 5, 20)
