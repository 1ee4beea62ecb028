"""The C++ core seen from Python: the same answers as PyTorch, inputs read where they lie."""

import numpy as np
import pytest
import torch

native = pytest.importorskip("lamp_fast._native", reason="the C++ module is not built")


@pytest.mark.parametrize("rows, codes, width", [(1, 1, 1), (7, 13, 3), (49, 512, 128), (63, 5, 63), (0, 4, 2)])
def test_lookup_is_the_nearest_in_float64(rows, codes, width):
    generator = torch.Generator().manual_seed(rows + codes + width)
    x = torch.randn(rows, width, generator=generator)
    codebook = torch.randn(codes, width, generator=generator)
    distance = (x.double()[:, None] - codebook.double()).square().sum(-1)
    indices = native.codebook_lookup(x, codebook)
    assert indices.dtype == np.int64
    assert np.array_equal(indices, distance.argmin(1).numpy())
    assert np.array_equal(native.codebook_lookup(x, codebook, threads=3), indices)


def test_lookup_takes_arrays_that_are_not_contiguous():
    x = torch.randn(10, 14, generator=torch.Generator().manual_seed(0))
    expected = native.codebook_lookup(x[:, ::2].contiguous(), x[:5, ::2].contiguous())
    assert np.array_equal(native.codebook_lookup(x[:, ::2], x[:5, ::2]), expected)
    assert np.array_equal(native.codebook_lookup(x.numpy()[:, ::2], x.numpy()[:5, ::2]), expected)


@pytest.mark.parametrize(
    "x, codebook, words",
    [
        pytest.param(np.zeros((2, 3)), np.zeros((4, 3), np.float32), "float32", id="float64"),
        pytest.param(
            torch.zeros(2, 3, dtype=torch.float64), np.zeros((4, 3), np.float32), "float32", id="torch-float64"
        ),
        pytest.param("words", np.zeros((4, 3), np.float32), "float32", id="text"),
        pytest.param(np.zeros(3, np.float32), np.zeros((4, 3), np.float32), "(M, D)", id="one-axis"),
        pytest.param(np.zeros((2, 3), np.float32), np.zeros((4, 2), np.float32), "width", id="widths"),
        pytest.param(np.zeros((2, 3), np.float32), np.zeros((0, 3), np.float32), "empty", id="no-codes"),
        pytest.param(np.full((2, 3), np.nan, np.float32), np.zeros((4, 3), np.float32), "NaN", id="nan"),
    ],
)
def test_lookup_refuses(x, codebook, words):
    with pytest.raises(ValueError, match=words.replace("(", r"\(").replace(")", r"\)")):
        native.codebook_lookup(x, codebook)


@pytest.mark.parametrize("rows, codes, width", [(1, 1, 1), (49, 63, 7), (700, 512, 63)])
def test_residual_lookup_is_a_lookup_a_level(rows, codes, width):
    generator = torch.Generator().manual_seed(rows)
    x, codebooks = torch.randn(rows, width, generator=generator), torch.randn(3, codes, width, generator=generator)
    indices, quantized = native.residual_codebook_lookup(x, codebooks, threads=3)
    left, total = x, torch.zeros_like(x)
    for level, codebook in enumerate(codebooks):
        expected = native.codebook_lookup(left, codebook)
        assert np.array_equal(indices[:, level], expected)
        left, total = left - codebook[expected], total + codebook[expected]
    assert np.array_equal(quantized, total.numpy())


def test_noise_does_not_depend_on_batch_mates_or_length():
    seeds, samples = np.array([3, -1, 3]), np.array([0, 5, 7])
    noise = native.philox_uniform(seeds, samples, 2, 7, 9)
    assert noise.shape == (3, 7, 9) and noise.dtype == np.float32
    assert (noise >= 0).all() and (noise < 1).all()
    assert len(np.unique(noise)) > 0.9 * noise.size
    assert np.array_equal(native.philox_uniform(seeds[1:2], samples[1:2], 2, 5, 6)[0], noise[1, :5, :6])
    assert not np.array_equal(native.philox_uniform(seeds, samples, 3, 7, 9), noise)


def test_noise_equals_the_reference():
    philox = pytest.importorskip("lamp_fast.kernels.philox")
    seeds, samples = torch.tensor([0, 2**62 + 12345, -7]), torch.tensor([0, 1, 2**33 + 5])
    expected = philox.philox_uniform_ref(seeds, samples, 4, 7, 13)
    assert np.array_equal(native.philox_uniform(seeds, samples, 4, 7, 13), expected.numpy())
