"""The Triton kernel of conv1d against the reference in float64."""

import pytest
import torch

from lamp_fast.kernels.conv1d import conv1d_ref

kernel = pytest.importorskip("lamp_fast.kernels.conv1d_triton")
pytestmark = pytest.mark.usefixtures("few_programs")

# Sums of 3 I products of size 1 / sqrt(3 I), and a residual: half precision rounds the result of size 4; the
# interpreter cuts bfloat16 off instead of rounding.
TOLERANCE = {torch.float32: 5e-6, torch.float16: 4e-3, torch.bfloat16: 6e-2}


def arguments(device, batch, t, inputs, outputs, taps=3, dtype=torch.float32):
    """x, weight, bias, residual; weights as the engine lays them out."""
    torch.manual_seed(t * 100 + inputs)
    weight = torch.randn(outputs, taps, inputs) / (taps * inputs) ** 0.5
    x, bias, residual = torch.randn(batch, t, inputs), torch.randn(outputs), torch.randn(batch, t, outputs)
    return [tensor.to(device, dtype) for tensor in (x, weight.transpose(0, 1), bias, residual)]


def check(x, weight, bias, dilation=1, relu_input=False, relu_output=False, residual=None, lengths=None):
    options = (dilation, relu_input, relu_output)
    out = x.new_full((*x.shape[:2], len(bias)), float("nan"))
    got = kernel.conv1d_triton(x, weight, bias, *options, residual, lengths, out=out)
    assert got.data_ptr() == out.data_ptr()
    added = residual if residual is None else residual.double()
    expected = conv1d_ref(x.double(), weight.double(), bias.double(), *options, added, lengths)
    torch.testing.assert_close(got.double(), expected, atol=TOLERANCE[x.dtype], rtol=0)
    return got


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize(
    "batch, t, inputs, outputs, dilation",
    [(1, 1, 48, 96, 1), (2, 7, 96, 48, 3), (1, 49, 51, 33, 9), (1, 63, 64, 251, 1), (1, 17, 96, 263, 3)],
)
def test_float64(device, dtype, batch, t, inputs, outputs, dilation):
    x, weight, bias, residual = arguments(device, batch, t, inputs, outputs, dtype=dtype)
    check(x, weight, bias, dilation, True, True, residual)


@pytest.mark.parametrize("dilation", [1, 3, 9])
def test_width_of_lamp_base(device, dilation):
    x, weight, bias, _ = arguments(device, 1, 20, 512, 64, dtype=torch.float16)
    check(x, weight, bias, dilation, relu_input=True)


@pytest.mark.parametrize("taps, dilation", [(1, 1), (5, 2)])
def test_taps(device, taps, dilation):
    x, weight, bias, residual = arguments(device, 2, 7, 16, 24, taps)
    check(x, weight, bias, dilation, residual=residual)


@pytest.mark.parametrize("tile", {*kernel.HALF_TILES, *kernel.FLOAT32_TILES}, ids=str)
def test_every_tile(device, monkeypatch, tile):
    """Rows of several samples share a tile, and the last tile is not full."""
    half = tile in kernel.HALF_TILES
    monkeypatch.setattr(kernel, "choose_tile", lambda *sizes: tile._replace(inputs=min(tile.inputs, 64)))
    dtype = torch.float16 if half else torch.float32
    x, weight, bias, residual = arguments(device, 3, 45, 48, 40, dtype=dtype)
    check(x, weight, bias, 3, True, residual=residual, lengths=torch.tensor([45, 7, 30], device=device))


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32])
def test_a_padded_sample_gives_the_bits_that_it_gives_alone(device, dtype):
    x, weight, bias, residual = arguments(device, 3, 7, 32, 16, dtype=torch.float16)
    lengths = [7, 4, 0]
    for rows, length in zip((*x, *residual), (*lengths, *lengths)):
        rows[length:] = float("nan")
    got = check(x, weight, bias, 3, True, True, residual, torch.tensor(lengths, device=device, dtype=dtype))
    for b, length in enumerate(lengths):
        own = slice(b, b + 1), slice(length)
        alone = kernel.conv1d_triton(x[own], weight, bias, 3, True, True, residual[own])
        assert torch.equal(got[own], alone)


def test_a_nan_of_the_own_sample_is_kept(device):
    x, weight, bias, _ = arguments(device, 1, 5, 16, 16)
    x[0, 2, 3] = float("nan")
    got = kernel.conv1d_triton(x, weight, bias, relu_input=True, relu_output=True)
    assert got.isnan().any(dim=2).tolist() == [[False, True, True, True, False]]


def test_strides_in_place_and_empty(device):
    x, weight, bias, residual = arguments(device, 2, 7, 16, 24)
    expected = check(x, weight, bias, 1, False, False, residual).clone()
    strided = x.transpose(1, 2).contiguous().transpose(1, 2)
    reversed_inputs = weight.transpose(1, 2).contiguous().transpose(1, 2)
    every_second = torch.stack((bias, bias), dim=1)[:, 0]
    got = kernel.conv1d_triton(strided, reversed_inputs, every_second, residual=residual, out=residual)
    assert got.data_ptr() == residual.data_ptr() and torch.equal(got, expected)
    assert kernel.conv1d_triton(x[:0], weight, bias).shape == (0, 7, 24)
    assert kernel.conv1d_triton(x[:, :0], weight, bias).shape == (2, 0, 24)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("inputs", [48, 51, 512])
@pytest.mark.parametrize("outputs", [7, 48, 192, 263, 512])
def test_tiles_fit(monkeypatch, dtype, inputs, outputs):
    """They waste at most a quarter, but for outputs below the smallest, and grow with the rows."""
    monkeypatch.undo()
    x = torch.empty(1, 1, inputs, dtype=dtype)
    tiles = [kernel.choose_tile(x, rows, outputs) for rows in (1, 49, 196, 1568, 50176)]
    assert [tile.rows * tile.outputs for tile in tiles] == sorted(tile.rows * tile.outputs for tile in tiles)
    for tile in tiles:
        assert outputs < 16 or kernel.padded(outputs, tile.outputs) <= 1.25 * outputs
        assert tile.inputs == 16 or inputs % tile.inputs == 0
