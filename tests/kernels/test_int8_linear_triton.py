"""The Triton kernel of int8_linear gives the reference's bits."""

import pytest
import torch

from lamp_fast.kernels.int8_linear import int8_linear_ref

kernel = pytest.importorskip("lamp_fast.kernels.int8_linear_triton")
LARGE = {"BLOCK_M": 128, "BLOCK_OUT": 128, "num_warps": 8, "num_stages": 3}


def arguments(device, m, width, channels, bias=True):
    torch.manual_seed(m * width + channels)
    x = torch.randint(-127, 128, (m, width), dtype=torch.int8, device=device)
    weight = torch.randint(-127, 128, (channels, width), dtype=torch.int8, device=device)
    x_scale, weight_scale = torch.rand(m, device=device) + 0.01, torch.rand(channels, device=device) / 100
    return x, x_scale, weight, weight_scale, torch.randn(channels, device=device) if bias else None


def check(*arguments, **options):
    got = kernel.int8_linear_triton(*arguments, **options)
    expected = int8_linear_ref(*arguments)
    # The interpreter cuts bfloat16 off instead of rounding: one unit in the last place.
    rtol = 2**-7 if got.dtype == torch.bfloat16 and got.device.type == "cpu" else 0
    torch.testing.assert_close(got, expected.to(got.dtype), atol=0, rtol=rtol, equal_nan=True)
    return got


@pytest.mark.parametrize(
    "m, width, channels", [(1, 48, 48), (7, 51, 33), (49, 64, 130), (100, 200, 65), (257, 128, 70)]
)
def test_bits(device, m, width, channels):
    check(*arguments(device, m, width, channels, bias=m % 2 == 1))


@pytest.mark.parametrize("width", [128, 130])
def test_large_tiles(device, monkeypatch, width):
    monkeypatch.setattr(kernel, "_tiles", lambda m, channels: LARGE)
    check(*arguments(device, 130, width, 129))


def test_tiles_of_every_size():
    chosen = {m: kernel._tiles(m, 1536) for m in (1, 100, 1600, 25600)}
    assert len({tuple(tiles.items()) for tiles in chosen.values()}) == 4 and chosen[25600] == LARGE


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_types_of_bias_and_result(device, dtype):
    *rest, bias = arguments(device, 5, 48, 32)
    got = check(*rest, bias.to(dtype), dtype)
    assert got.dtype == dtype


def test_extreme_sums_and_scales(device):
    """The largest sum of 3,072 products; a scale of NaN is one row's own affair, scales of 1e-30 and 1e30 nobody's."""
    x, x_scale, weight, weight_scale, bias = arguments(device, 4, 3072, 16)
    x[:], weight[:] = 127, -127
    x[1, -1] = 126
    x_scale[:] = torch.tensor([1.0, 1.0, float("nan"), 1e30])
    weight_scale[0] = 1e-30
    got = check(x, x_scale, weight, weight_scale, bias)
    assert got[2].isnan().all() and got[[0, 1, 3]].isfinite().all() and got[0, 1] != got[1, 1]


def test_strides_out_and_poison_around(device):
    x, x_scale, weight, weight_scale, bias = arguments(device, 7, 49, 33)
    wide = torch.full((8, 60), 99, dtype=torch.int8, device=device)
    wide[:7, 5:54] = x
    scales = torch.full((8,), float("nan"), device=device)
    scales[:7] = x_scale
    out = torch.full((8, 33), float("nan"), device=device)
    got = check(wide[:7, 5:54], scales[:7], weight.T.contiguous().T, weight_scale, bias, out=out[:7])
    assert got.data_ptr() == out.data_ptr() and out[7].isnan().all()
    check(x.T.contiguous().T, x_scale, weight, weight_scale, bias)
    assert kernel.int8_linear_triton(x[:0], x_scale[:0], weight, weight_scale, bias).shape == (0, 33)
