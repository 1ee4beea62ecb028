"""The Triton kernel of quantize_rows gives the reference's bits."""

import pytest
import torch

from lamp_fast.kernels.quantize_rows import quantize_rows_ref

quantize_rows_triton = pytest.importorskip("lamp_fast.kernels.quantize_rows_triton").quantize_rows_triton


def check(x, **options):
    got = quantize_rows_triton(x, **options)
    for name, tensor, expected in zip(("values", "scale"), got, quantize_rows_ref(x)):
        torch.testing.assert_close(tensor, expected, atol=0, rtol=0, equal_nan=True, msg=lambda m, n=name: f"{n}: {m}")
    return got


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("m, width", [(1, 1), (7, 48), (3, 49), (2, 512), (1, 3072), (1027, 5)])
def test_bits(device, dtype, m, width):
    torch.manual_seed(m * width)
    check((torch.randn(m, width, device=device) * 10 ** torch.linspace(-4, 4, m, device=device)[:, None]).to(dtype))


def test_ties_and_extreme_rows(device):
    largest, inf, nan = torch.finfo(torch.float32).max, float("inf"), float("nan")
    rows = [
        [127.0, 0.5, 1.5, 2.5, -0.5, -126.5],
        [0.0, -0.0, 0.0, 0.0, 0.0, 0.0],
        [1e-40, -3e-45, 1.4e-36, 0.0, 0.0, 0.0],
        [1.6e-36, 1e-37, 0.0, 0.0, 0.0, 0.0],
        [-largest, largest / 2, 1.0, 0.0, 0.0, 0.0],
        [nan, 1.0, inf, -1.0, 0.0, 0.0],
        [-inf, 1.0, 2.0, 3.0, 0.0, 0.0],
        [3e4, 1.0, -1.0, 118.0, 119.0, 0.0],  # one giant among dwarfs
    ]
    check(torch.tensor(rows, device=device))


def test_strides_out_and_poison_around(device):
    wide = torch.full((9, 60), float("nan"), device=device)
    wide[1:8, 3:52] = torch.randn(7, 49, device=device)
    values, scale = torch.full((8, 49), 99, dtype=torch.int8, device=device), torch.full((8,), 9.0, device=device)
    got = check(wide[1:8, 3:52], out=(values[:7], scale[:7]))
    assert got[0].data_ptr() == values.data_ptr() and got[1].data_ptr() == scale.data_ptr()
    assert (values[7] == 99).all() and scale[7] == 9
    check(wide[1:8, 3:52].T)
    check(torch.empty(0, 5, device=device))
