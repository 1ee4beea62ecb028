"""Under backend triton `ops` launches the Triton kernel, alone and as an operator registered with torch."""

from unittest import mock

import pytest
import torch

from lamp_fast import ops
from lamp_fast.backend import use_backend
from lamp_fast.config import LanguageMotionConfig
from lamp_fast.kernels.quantize_rows import quantize_rows_ref
from lamp_fast.models.language_motion import LanguageMotionModel

pytest.importorskip("triton")


def tensors(device):
    torch.manual_seed(0)
    ids = torch.randint(10, (2, 3), device=device)
    ids[0, 0] = 9
    numbers = torch.tensor([1, 0], device=device)
    return torch.randn(2, 3, 9, device=device), ids, numbers


def registered(device):
    logits, ids, numbers = tensors(device)
    weight = torch.randn(9, 3, device=device)
    qkv = logits[..., :3].contiguous(), weight, weight.sum(1), logits[0, 0]
    square = torch.randn(3, 3, 3, device=device)
    return {
        "codebook_lookup": (logits[0], logits[1]),
        "codebook_sums": (logits[0], ids[0], 10),
        "residual_codebook_lookup": (logits[0], logits),
        "philox_uniform": (numbers, numbers, 3, 3, 9),
        "decode_step": (logits, None, ids, numbers, numbers, numbers, None, 2, 4.0, 0.9, 3),
        "qkv_attention": (*qkv, None, "full", 1, 1e-5),
        "masked_rows": (ids, 9, 2, 2),
        "recover_joints": (torch.randn(2, 3, 23, device=device), *torch.rand(2, 23, device=device), numbers + 1),
        "quantize_rows": (logits[0],),
        "int8_linear": (*quantize_rows_ref(logits[0]), *quantize_rows_ref(logits[1]), logits[0, 0, :3]),
        "embed_tokens": (ids, logits[0, :2], torch.randn(10, 9, device=device), logits[1]),
        "norm_linear": (logits[0], logits[1], logits[1].sum(1), logits[0, 0, :3], "gelu", 1e-5, None),
        "linear_residual": (logits[0], logits[1], logits[0, 0, :3], logits[1, :, :3]),
        "conv1d": (logits, logits[:1], logits[0, 0, :3], 1, True, False, None, numbers),
        "conv_residual": (square, square, square[0, 0], square[0], square[0, 1], 2, numbers.repeat(2)[:3]),
        "upsample_conv": (logits, logits[:, None, :2].expand(2, 2, 2, 9), logits[0, 0, :2], numbers),
    }


OPERATORS = tuple(registered("meta"))


def spied(op):
    operator = ops.OPERATORS[op]
    return mock.patch.object(operator, "triton", wraps=operator.triton)


@pytest.mark.parametrize("op", OPERATORS)
def test_registered_operators(device, triton_backend, op):
    arguments = registered(device)[op]
    operator = getattr(torch.ops.lamp_fast, op)
    with use_backend("eager"):
        expected = operator(*arguments)
    with spied(op) as launcher:
        got = operator(*arguments)
    launcher.assert_called_once()
    torch.testing.assert_close(got, expected, atol=2e-6, rtol=0)
    torch.library.opcheck(operator.default, arguments, test_utils=("test_schema", "test_faketensor"))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("tokens", [3, 65])
def test_attention_runs_the_kernel_but_for_gradients_dropout_and_float64(device, triton_backend, dtype, tokens):
    q = torch.randn(1, 1, tokens, 16, device=device, dtype=dtype)
    with spied("sequence_attention") as launcher:
        ops.sequence_attention(q, q, q, None, "full", 0.0)
        launcher.assert_called_once()
        ops.sequence_attention(q.clone().requires_grad_(), q, q, None, "full").sum().backward()
        ops.sequence_attention(q, q, q, None, "full", 0.5)
        ops.sequence_attention(q.double(), q.double(), q.double(), None, "full")
        launcher.assert_called_once()


def test_the_condition_attends_by_the_kernel(device, triton_backend):
    """Text by itself, queries by themselves, queries to text: each layer's attention."""
    config = LanguageMotionConfig(
        vocab_size=9,
        hidden_size=16,
        num_layers=2,
        num_heads=2,
        intermediate_size=16,
        query_intermediate_size=16,
        num_queries=3,
        memory_width=8,
        code_dim=4,
        num_codes=4,
        embed_dim=4,
    )
    torch.manual_seed(0)
    model = LanguageMotionModel(config).eval().to(device)
    ids, mask = torch.tensor([[1, 2, 3, 4], [5, 6, 0, 0]]), torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
    with torch.no_grad(), spied("sequence_attention") as launcher:
        got = model.condition(ids.to(device), mask.to(device))
    assert launcher.call_count == 5
    with torch.no_grad(), use_backend("eager"):
        torch.testing.assert_close(got, model.condition(ids.to(device), mask.to(device)), atol=1e-5, rtol=0)


def test_convolutions_in_float64_take_the_reference(device, triton_backend):
    for op in "conv1d", "conv_residual", "upsample_conv":
        arguments = [value.double() if torch.is_tensor(value) else value for value in registered(device)[op]]
        assert ops.OPERATORS[op].choose(*arguments).reason == "its sums are float32"
