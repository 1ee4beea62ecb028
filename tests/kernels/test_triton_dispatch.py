"""Under backend triton `ops` launches the Triton kernel, alone and as an operator registered with torch."""

from unittest import mock

import pytest
import torch

from lamp_fast import ops
from lamp_fast.backend import use_backend
from lamp_fast.kernels.quantize_rows import quantize_rows_ref

pytest.importorskip("triton")


def tensors(device):
    torch.manual_seed(0)
    ids = torch.randint(10, (2, 3), device=device)
    ids[0, 0] = 9
    numbers = torch.tensor([1, 0], device=device)
    return torch.randn(2, 3, 9, device=device), ids, numbers


def registered(device):
    logits, ids, numbers = tensors(device)
    return {
        "codebook_lookup": (logits[0], logits[1]),
        "philox_uniform": (numbers, numbers, 3, 3, 9),
        "decode_step": (logits, None, ids, numbers, numbers, numbers, None, 2, 4.0, 0.9, 3),
        "quantize_rows": (logits[0],),
        "int8_linear": (*quantize_rows_ref(logits[0]), *quantize_rows_ref(logits[1]), logits[0, 0, :3]),
        "embed_tokens": (ids, logits[0, :2], torch.randn(10, 9, device=device), logits[1]),
        "norm_linear": (logits[0], logits[1], logits[1].sum(1), logits[0, 0, :3], "gelu", 1e-5, None),
        "linear_residual": (logits[0], logits[1], logits[0, 0, :3], logits[1, :, :3]),
    }


FILES = {
    "codebook_lookup": "codebook_lookup",
    "philox_uniform": "philox",
    "decode_step": "decode_step",
    "quantize_rows": "quantize_rows",
    "int8_linear": "int8_linear",
    "embed_tokens": "embed_tokens",
    "norm_linear": "norm_linear",
    "linear_residual": "linear_residual",
}


def spied(op, file):
    module = __import__(f"lamp_fast.kernels.{file}_triton", fromlist=[op])
    return mock.patch.object(module, f"{op}_triton", wraps=getattr(module, f"{op}_triton"))


@pytest.mark.parametrize("op", FILES)
def test_registered_operators(device, triton_backend, op):
    arguments = registered(device)[op]
    operator = getattr(torch.ops.lamp_fast, op)
    with use_backend("eager"):
        expected = operator(*arguments)
    with spied(op, FILES[op]) as launcher:
        got = operator(*arguments)
    launcher.assert_called_once()
    torch.testing.assert_close(got, expected, atol=2e-6, rtol=0)
    torch.library.opcheck(operator.default, arguments, test_utils=("test_schema", "test_faketensor"))


def test_attention_runs_the_kernel_in_half_precision_and_the_reference_for_the_rest(device, triton_backend):
    """The rest: gradients, dropout, long sequences, float32."""
    q = torch.randn(1, 1, 3, 16, device=device, dtype=torch.bfloat16)
    long = torch.randn(1, 1, 65, 16, device=device, dtype=torch.bfloat16)
    with spied("sequence_attention", "sequence_attention") as launcher:
        ops.sequence_attention(q, q, q, None, "full")
        launcher.assert_called_once()
        ops.sequence_attention(q.clone().requires_grad_(), q, q, None, "full").sum().backward()
        ops.sequence_attention(q, q, q, None, "full", 0.5)
        ops.sequence_attention(long, long, long, None, "full")
        ops.sequence_attention(q.float(), q.float(), q.float(), None, "full")
        launcher.assert_called_once()
