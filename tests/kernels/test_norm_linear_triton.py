"""The Triton kernel of norm_linear against LayerNorm and linear layer in float64."""

import pytest
import torch
import torch.nn.functional as F

from lamp_fast.kernels.dependent_launch import dependent_launches
from lamp_fast.kernels.norm_linear import norm_linear_ref

kernel = pytest.importorskip("lamp_fast.kernels.norm_linear_triton")
tiles = pytest.importorskip("lamp_fast.kernels.linear_triton")
# Of results of size 4. float32 keeps 2e-6 of them; half precision rounds the result, and the interpreter cuts bfloat16
# off instead of rounding.
TOLERANCE = {torch.float32: 1e-5, torch.float16: 4e-3, torch.bfloat16: 4e-2}


def arguments(device, m, i, o, dtype=torch.float32, weight_dtype=None):
    torch.manual_seed(m * i + o)
    x, weight = torch.randn(m, i) * 2 + 0.5, torch.randn(o, i) / i**0.5
    scale = None
    if weight_dtype is None:
        weight = weight.to(dtype)
    else:
        scale = torch.rand(o) / 20 + 0.01
        weight = (weight / scale[:, None]).to(weight_dtype)
    fold = (weight.double() * (1 if scale is None else scale.double()[:, None])).sum(1).float()
    x, bias = x.to(dtype), torch.randn(o).to(dtype)
    return [None if y is None else y.to(device) for y in (x, weight, fold, bias, scale)]


def truth(x, weight, bias, scale, activation, eps):
    matrix = weight.double() if scale is None else weight.double() * scale.double()[:, None]
    y = F.layer_norm(x.double(), x.shape[1:], eps=eps) @ matrix.T + bias.double()
    return F.gelu(y) if activation == "gelu" else y


def check(x, weight, fold, bias, scale, activation="gelu", eps=1e-5, **options):
    got, stats = kernel.norm_linear_triton(x, weight, fold, bias, activation, eps, scale, **options)
    assert got.shape == (x.shape[0], weight.shape[0]) and got.dtype == x.dtype
    torch.testing.assert_close(
        got.double(), truth(x, weight, bias, scale, activation, eps), atol=TOLERANCE[x.dtype], rtol=0
    )
    expected = norm_linear_ref(x.double(), weight, fold, bias, activation, eps, scale)[1]
    torch.testing.assert_close(stats.double(), expected, atol=1e-6, rtol=1e-6)
    return got, stats


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("m, i, o", [(1, 48, 49), (7, 33, 63), (49, 384, 70), (100, 96, 20), (9, 700, 33)])
def test_sizes(device, dtype, m, i, o):
    check(*arguments(device, m, i, o, dtype), activation="gelu" if m % 2 else "none")


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("weight_dtype", [torch.int8, torch.float8_e4m3fn], ids=str)
def test_weights_of_8_bit(device, dtype, weight_dtype):
    if weight_dtype.is_floating_point and device == "cuda" and torch.cuda.get_device_capability() < (8, 9):
        pytest.skip("this GPU has no float8 numbers")
    check(*arguments(device, 7, 80, 33, dtype, weight_dtype))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
@pytest.mark.parametrize("weight_dtype", [None, torch.int8], ids=str)
def test_many_rows_take_large_tiles_and_a_kernel_for_their_stats(device, monkeypatch, dtype, weight_dtype):
    monkeypatch.setattr(tiles, "ENOUGH_PROGRAMS", 1)
    check(*arguments(device, 130, 200, 129, dtype, weight_dtype))


@pytest.mark.parametrize("whole", [0, tiles.WHOLE_BYTES])
def test_a_mean_of_30_standard_deviations(device, monkeypatch, whole):
    """The product is 30 times larger than what is left of it; of bfloat16 only the rounding of the result is seen."""
    monkeypatch.setattr(tiles, "WHOLE_BYTES", whole)
    for dtype, tolerance in ((torch.float32, 2e-4), (torch.bfloat16, TOLERANCE[torch.bfloat16])):
        _, weight, fold, bias, _ = arguments(device, 7, 384, 33, dtype)
        x = (torch.randn(7, 384, device=device) + 30).to(dtype)
        got, _ = kernel.norm_linear_triton(x, weight, fold, bias, "none", 1e-5)
        torch.testing.assert_close(got.double(), truth(x, weight, bias, None, "none", 1e-5), atol=tolerance, rtol=0)


@pytest.mark.parametrize("whole", [0, tiles.WHOLE_BYTES])
def test_constant_rows(device, monkeypatch, whole):
    monkeypatch.setattr(tiles, "WHOLE_BYTES", whole)
    _, weight, fold, bias, _ = arguments(device, 1, 40, 5)
    x = torch.tensor([0.0, 3.0, -1e4], device=device)[:, None].expand(3, 40)
    got, stats = kernel.norm_linear_triton(x.contiguous(), weight, fold, bias, "none", 1e-12)
    torch.testing.assert_close(stats[:, 0], x[:, 0], atol=0, rtol=1e-6)
    torch.testing.assert_close(stats[0, 1].item(), 1e6, atol=0, rtol=1e-6)
    torch.testing.assert_close(got[0], bias, atol=1e-6, rtol=0)
    assert got.isfinite().all()


@pytest.mark.parametrize("whole", [0, tiles.WHOLE_BYTES])
def test_strides_out_poison_and_empty(device, monkeypatch, whole):
    monkeypatch.setattr(tiles, "WHOLE_BYTES", whole)
    x, weight, fold, bias, _ = arguments(device, 7, 49, 33)
    nan = float("nan")
    wide_x, wide_weight = torch.full((9, 60), nan, device=device), torch.full((40, 70), nan, device=device)
    wide_x[:7, 3:52], wide_weight[:33, 5:54] = x, weight
    out = torch.full((8, 33), nan, device=device), torch.full((8, 2), nan, device=device)
    x[3] = wide_x[3, 3:52] = nan
    got, stats = kernel.norm_linear_triton(
        wide_x[:7, 3:52], wide_weight[:33, 5:54], fold, bias, "gelu", 1e-5, out=(out[0][:7], out[1][:7])
    )
    assert got.data_ptr() == out[0].data_ptr() and stats.data_ptr() == out[1].data_ptr()
    assert got[3].isnan().all() and out[0][7].isnan().all() and out[1][7].isnan().all()
    others = [0, 1, 2, 4, 5, 6]
    expected = truth(x[others], weight, bias, None, "gelu", 1e-5)
    torch.testing.assert_close(got[others].double(), expected, atol=1e-5, rtol=0)
    with dependent_launches():
        same, _ = kernel.norm_linear_triton(x.T.contiguous().T, weight.T.contiguous().T, fold, bias, "gelu", 1e-5)
    assert torch.equal(same[others], got[others])
    assert kernel.norm_linear_triton(x[:0], weight, fold, bias, "gelu", 1e-5)[0].shape == (0, 33)


def test_tiles_of_every_size():
    def chosen(m, o, dtype=torch.bfloat16):
        x, weight = (torch.empty(rows, 384, dtype=dtype, device="meta") for rows in (m, o))
        return tiles.linear_tile(x, weight, m, whole=True)

    assert len({chosen(m, 1024)["BLOCK_M"] for m in (50, 100, 300, 25_600)}) == 4
    assert chosen(25_600, 1024)["num_warps"] == 8
    assert chosen(25_600, 1024, torch.float32) != chosen(7, 48, torch.float32)
