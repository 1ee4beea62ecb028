"""The rows of masked tokens, against a list made by hand."""

import pytest
import torch

from lamp_fast.kernels.masked_rows import masked_rows_ref

masked_rows_triton = pytest.importorskip("lamp_fast.kernels.masked_rows_triton").masked_rows_triton


def by_hand(ids, mask_id, limit, branches):
    batch, n = ids.shape
    rows = []
    for sequence in range(branches * batch):
        sample = ids[sequence % batch].tolist()
        order = [i for i in range(n) if sample[i] == mask_id] + [i for i in range(n) if sample[i] != mask_id]
        rows += [sequence * (n + 1) + 1 + i for i in order[:limit]]
    return torch.tensor(rows, dtype=torch.int32)


@pytest.mark.parametrize("branches", [1, 2])
@pytest.mark.parametrize("batch, n, limit, share", [(1, 1, 1, 1.0), (2, 7, 3, 0.5), (3, 49, 20, 0.4), (1, 63, 63, 0.0)])
def test_rows(device, batch, n, limit, share, branches):
    torch.manual_seed(n)
    ids = torch.randint(5, (batch, n)).masked_fill(torch.rand(batch, n) < share, 5)
    expected = by_hand(ids, 5, limit, branches)
    assert torch.equal(masked_rows_ref(ids, 5, limit, branches), expected)
    out = torch.full_like(expected, -7, device=device)
    strided = ids.to(device).T.contiguous().T
    assert torch.equal(masked_rows_triton(strided, 5, limit, branches, out=out).cpu(), expected)


def test_empty(device):
    assert masked_rows_triton(torch.zeros(0, 7, dtype=torch.int64, device=device), 5, 3, 2).shape == (0,)
