"""The Triton kernel of linear_residual against the reference in float64."""

from contextlib import nullcontext

import pytest
import torch

from lamp_fast.kernels.dependent_launch import dependent_launches
from lamp_fast.kernels.linear_residual import linear_residual_ref

kernel = pytest.importorskip("lamp_fast.kernels.linear_residual_triton")
tiles = pytest.importorskip("lamp_fast.kernels.linear_triton")
# Of results of size 8. float32 keeps 1e-6 of them; half precision rounds the result, and the interpreter cuts bfloat16
# off instead of rounding.
TOLERANCE = {torch.float32: 1e-5, torch.float16: 8e-3, torch.bfloat16: 8e-2}


def arguments(device, m, i, o, dtype=torch.float32, weight_dtype=None):
    """All tensors by name."""
    torch.manual_seed(m * i + o)
    values = {"x": torch.randn(m, i), "weight": torch.randn(o, i) / i**0.5, "bias": torch.randn(o)}
    values |= {"residual": torch.randn(m, o) + 0.5, "scale": torch.randn(o), "shift": torch.randn(o)}
    values = {name: value.to(dtype) for name, value in values.items()}
    values["stats"] = torch.stack((torch.randn(m), torch.rand(m) + 0.5), dim=1)
    if weight_dtype is not None:
        values["weight_scale"] = torch.rand(o) / 20 + 0.01
        values["weight"] = (values["weight"].float() / values["weight_scale"][:, None]).to(weight_dtype)
    return {name: value.to(device) for name, value in values.items()}


def plain(values):
    return {name: value for name, value in values.items() if name not in ("stats", "scale", "shift")}


def check(values, **options):
    got = kernel.linear_residual_triton(**values, **options)
    doubles = {name: value.double() if value.is_floating_point() else value for name, value in values.items()}
    expected = linear_residual_ref(**doubles)
    assert got.shape == expected.shape and got.dtype == values["x"].dtype
    read = slice(None) if "rows" not in values else values["rows"] >= 0
    torch.testing.assert_close(got[read].double(), expected[read], atol=TOLERANCE[got.dtype], rtol=0)
    return got


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("m, i, o", [(1, 48, 49), (7, 33, 63), (49, 1024, 70), (100, 96, 20)])
def test_sizes(device, dtype, m, i, o):
    """Of a dependent launch rows are read whole, else column by column."""
    values = arguments(device, m, i, o, dtype)
    check(values)
    with dependent_launches():
        check(plain(values))


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("weight_dtype", [torch.int8, torch.float8_e4m3fn], ids=str)
def test_weights_of_8_bit(device, dtype, weight_dtype):
    if weight_dtype.is_floating_point and device == "cuda" and torch.cuda.get_device_capability() < (8, 9):
        pytest.skip("this GPU has no float8 numbers")
    check(arguments(device, 7, 80, 33, dtype, weight_dtype))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
@pytest.mark.parametrize("weight_dtype", [None, torch.int8], ids=str)
def test_large_tiles(device, monkeypatch, dtype, weight_dtype):
    monkeypatch.setattr(tiles, "ENOUGH_PROGRAMS", 1)
    check(arguments(device, 130, 200, 129, dtype, weight_dtype))


@pytest.mark.parametrize("normed", [True, False])
@pytest.mark.parametrize("large", [True, False])
def test_only_the_chosen_rows_are_read(device, monkeypatch, normed, large):
    """In large tiles column by column, in small ones of a dependent launch whole."""
    if large:
        monkeypatch.setattr(tiles, "ENOUGH_PROGRAMS", 1)
    launches = nullcontext if large else dependent_launches
    values = arguments(device, 9, 40, 33, torch.float16)
    values = values if normed else plain(values)
    values["rows"] = torch.tensor([8, -1, 3, 3, 0, -1], dtype=torch.int32, device=device)
    for name in ("x", "residual", "stats"):
        if name in values:
            values[name][[1, 2, 4, 5, 6, 7]] = float("nan")
    with launches():
        assert check(values).isfinite().all()
        values["x"][0] = float("nan")
        got = kernel.linear_residual_triton(**values)
    assert got[4].isnan().all() and got[[0, 1, 2, 3, 5]].isfinite().all()


def test_strides_out_poison_and_empty(device):
    values = arguments(device, 7, 49, 33)
    nan = float("nan")
    expected = check(values)
    strided = dict(values)
    for name in ("x", "weight", "residual"):
        rows, columns = values[name].shape
        wide = torch.full((rows + 2, columns + 11), nan, device=device)
        wide[:rows, 3 : columns + 3] = values[name]
        strided[name] = wide[:rows, 3 : columns + 3]
    out = torch.full((8, 33), nan, device=device)
    got = check(strided, out=out[:7])
    assert got.data_ptr() == out.data_ptr() and out[7].isnan().all() and torch.equal(got, expected)
    turned = {name: value.T.contiguous().T if value.ndim == 2 else value for name, value in values.items()}
    with dependent_launches():
        assert torch.equal(check(turned), expected)
    in_place = dict(values, residual=values["residual"].clone())
    assert torch.equal(kernel.linear_residual_triton(**in_place, out=in_place["residual"]), expected)
    values["rows"] = torch.zeros(0, dtype=torch.int32, device=device)
    assert kernel.linear_residual_triton(**values).shape == (0, 33)
