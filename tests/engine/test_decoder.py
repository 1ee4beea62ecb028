"""The fused decoder is the tokenizer's decoder."""

import pytest
import torch

from lamp_fast.config import TokenizerConfig
from lamp_fast.engine.decoder import FusedDecoder
from lamp_fast.models.tokenizer import Decoder

# The roundings of 17 layers, in results of size 0.2: what the module itself loses in half precision, and room.
TOLERANCE = {torch.float32: 5e-7, torch.float16: 1e-3, torch.bfloat16: 6e-3}


def decoder(**sizes):
    torch.manual_seed(0)
    return Decoder(TokenizerConfig(**{"width": 32, "code_dim": 16, "feature_dim": 35} | sizes)).eval()


def decoded(module, latents):
    with torch.no_grad():
        return module.double()(latents.double().transpose(1, 2)).transpose(1, 2)


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("batch, n", [(1, 1), (2, 7), (1, 49), (3, 63)])
def test_the_decoder_of_the_tokenizer(dtype, batch, n):
    module, latents = decoder(), torch.randn(batch, n, 16).to(dtype)
    got = FusedDecoder(module, dtype)(latents)
    assert got.dtype == dtype and got.shape == (batch, 4 * n, 35) and not got.requires_grad
    torch.testing.assert_close(got.double(), decoded(module, latents), atol=TOLERANCE[dtype], rtol=0)


@pytest.mark.parametrize("sizes", [{"down_blocks": 1}, {"down_blocks": 3, "depth": 1}, {"dilation_growth": 2}], ids=str)
def test_other_shapes_of_decoders(sizes):
    module, latents = decoder(**sizes), torch.randn(2, 5, 16)
    got = FusedDecoder(module, torch.float32)(latents, torch.tensor([5, 5])).double()
    torch.testing.assert_close(got, decoded(module, latents), atol=5e-7, rtol=0)


def test_a_padded_motion_is_decoded_as_if_alone():
    module, latents, lengths = decoder(), torch.randn(4, 7, 16), torch.tensor([7, 3, 1, 0])
    for rows, length in zip(latents, lengths):
        rows[length:] = float("nan")
    got = FusedDecoder(module, torch.float32)(latents, lengths)
    for rows, motion, length in zip(latents, got, lengths):
        if length:
            alone = decoded(module, rows[None, :length])[0]
            torch.testing.assert_close(motion[: 4 * length].double(), alone, atol=5e-7, rtol=0)
        assert not motion[4 * length :].any()
