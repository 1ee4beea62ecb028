"""embed_tokens: the reference against a loop, the Triton kernel against the reference."""

import pytest
import torch

from lamp_fast.kernels.dependent_launch import dependent_launches
from lamp_fast.kernels.embed_tokens import embed_tokens_ref


def arguments(device, batch, n, w, dtype=torch.float32, branches=1):
    torch.manual_seed(n * w)
    ids = torch.randint(9, (batch, n))
    tensors = torch.randn(branches * batch, w), torch.randn(9, w), torch.randn(n + 3, w)
    return ids.to(device), *(tensor.to(device, dtype) for tensor in tensors)


@pytest.fixture
def embed_tokens_triton():
    return pytest.importorskip("lamp_fast.kernels.embed_tokens_triton").embed_tokens_triton


def test_reference():
    ids, condition, table, positions = arguments("cpu", 2, 7, 5)
    got = embed_tokens_ref(ids, condition, table, positions)
    for b in range(2):
        assert torch.equal(got[b, 0], condition[b])
        for n in range(7):
            assert torch.equal(got[b, 1 + n], table[ids[b, n]] + positions[n])
    both = embed_tokens_ref(ids, condition.repeat(2, 1), table, positions)
    assert torch.equal(both, got.repeat(2, 1, 1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("batch, n, w, branches", [(1, 1, 1, 1), (2, 7, 33, 2), (3, 49, 48, 1), (2, 0, 5, 1)])
def test_explicit(device, embed_tokens_triton, dtype, batch, n, w, branches):
    values = arguments(device, batch, n, w, dtype, branches)
    got, expected = embed_tokens_triton(*values), embed_tokens_ref(*values)
    # The interpreter cuts bfloat16 off instead of rounding: one unit in the last place.
    rtol = 2**-7 if dtype == torch.bfloat16 and got.device.type == "cpu" else 0
    torch.testing.assert_close(got, expected, atol=0, rtol=rtol)
    assert torch.equal(got[:, 0], values[1])


def test_strides_out_poison_and_empty(device, embed_tokens_triton):
    ids, condition, table, positions = arguments(device, 2, 7, 33)
    expected = embed_tokens_ref(ids, condition, table, positions)
    nan = float("nan")
    wide = torch.full((12, 40), nan, device=device)
    wide[:9, 4:37] = table
    positions[7:] = nan
    out = torch.full((3, 8, 33), nan, device=device)
    got = embed_tokens_triton(ids.T.contiguous().T, condition, wide[:9, 4:37], positions, out=out[:2])
    assert got.data_ptr() == out.data_ptr() and torch.equal(got, expected) and out[2].isnan().all()
    turned = (x.T.contiguous().T for x in (condition, table, positions))
    with dependent_launches():
        assert torch.equal(embed_tokens_triton(ids, *turned), expected)
    assert embed_tokens_triton(ids[:0], condition[:0], table, positions).shape == (0, 8, 33)
