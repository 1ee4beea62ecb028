"""The whole decoder through the Triton kernels against the tokenizer's decoder."""

import pytest
import torch

from lamp_fast.config import TokenizerConfig
from lamp_fast.engine.decoder import FusedDecoder
from lamp_fast.models.tokenizer import Decoder

pytestmark = pytest.mark.usefixtures("few_programs")


# As in tests/engine/test_decoder.py; the interpreter cuts bfloat16 off instead of rounding.
@pytest.mark.parametrize("dtype, atol", [(torch.float32, 5e-7), (torch.float16, 1e-3), (torch.bfloat16, 1.5e-2)])
def test_the_decoder_of_the_tokenizer(device, triton_backend, dtype, atol):
    torch.manual_seed(0)
    module = Decoder(TokenizerConfig(width=48, code_dim=16, feature_dim=35)).eval().to(device)
    latents, lengths = torch.randn(2, 7, 16).to(device, dtype), [7, 3]
    latents[1, 3:] = float("nan")
    got = FusedDecoder(module, dtype)(latents, torch.tensor(lengths, device=device)).double()
    assert not got[1, 12:].any()
    module.double()
    for rows, motion, length in zip(latents, got, lengths):
        with torch.no_grad():
            alone = module(rows[None, :length].double().transpose(1, 2))[0].T
        torch.testing.assert_close(motion[: 4 * length], alone, atol=atol, rtol=0)
