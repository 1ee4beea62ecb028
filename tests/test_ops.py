"""The operators as torch sees them: registrations, shapes in a compiled graph, errors of one sentence."""

from unittest import mock

import pytest
import torch

from lamp_fast import ops
from lamp_fast.backend import Backend, available, use_backend
from lamp_fast.errors import LampError


def decode_arguments(guided=True, noise=True):
    torch.manual_seed(0)
    logits, noise_tensor = torch.randn(2, 7, 9), torch.rand(2, 7, 9)
    seeds, samples = torch.tensor([3, 4]), torch.tensor([0, 1])
    ids = torch.randint(10, (2, 7))
    ids[0, 0] = 9
    return (
        logits,
        torch.randn(2, 7, 9) if guided else None,
        ids,
        torch.tensor([1, 0]),
        seeds,
        samples,
        noise_tensor if noise else None,
        2,
        4.0,
        0.9,
        3,
    )


INT8 = (*ops.quantize_rows(torch.randn(7, 5)), *ops.quantize_rows(torch.randn(9, 5)))
LINEAR = (torch.randn(7, 5), torch.randn(9, 5), torch.randn(9))
BYTES = torch.randint(-127, 128, (9, 5), dtype=torch.int8)
QKV = torch.randn(2, 7, 6), torch.randn(18, 6), torch.randn(18), torch.randn(18)
CONVOLUTION = (torch.randn(2, 7, 3), torch.randn(3, 5, 3), torch.randn(5))
RESIDUAL = (torch.randn(2, 7, 5), torch.randn(3, 5, 5), torch.randn(5), torch.randn(5, 5), torch.randn(5))
REGISTERED = {
    "codebook_lookup": (torch.randn(7, 5), torch.randn(9, 5)),
    "codebook_lookup-empty": (torch.randn(0, 5), torch.randn(9, 5)),
    "codebook_lookup-one": (torch.randn(1, 1), torch.randn(1, 1)),
    "codebook_lookup-fast": (torch.randn(7, 5), torch.randn(9, 5), "fast"),
    "codebook_sums": (torch.randn(7, 5), torch.randint(4, (7,)), 4),
    "codebook_sums-empty": (torch.randn(0, 5, dtype=torch.bfloat16), torch.zeros(0, dtype=torch.int64), 3),
    "residual_codebook_lookup": (torch.randn(7, 5), torch.randn(2, 9, 5)),
    "residual_codebook_lookup-half": (torch.randn(5, 7).half().T, torch.randn(1, 1, 5).half()),
    "philox_uniform": (torch.tensor([1, -2]), torch.tensor([0, 5]), 3, 7, 9),
    "philox_uniform-one": (torch.tensor([1]), torch.tensor([0]), 0, 1, 1),
    "decode_step": decode_arguments(),
    "decode_step-one-branch": decode_arguments(guided=False),
    "decode_step-philox": decode_arguments(noise=False),
    "decode_step-strided": tuple(
        argument.transpose(0, 1).contiguous().transpose(0, 1)
        if torch.is_tensor(argument) and argument.ndim > 1
        else argument
        for argument in decode_arguments()
    ),
    "masked_rows": (torch.tensor([[5, 1, 5], [0, 5, 2]]), 5, 2, 2),
    "masked_rows-all": (torch.tensor([[5, 1, 5]]), -1, 3, 1),
    "recover_joints": (torch.randn(2, 5, 23), torch.randn(23), torch.rand(23), torch.tensor([5, 2])),
    "recover_joints-all": (torch.randn(1, 1, 23), torch.randn(23), torch.rand(23), None),
    "codebook_lookup-strided": (torch.randn(5, 7).T, torch.randn(5, 9).T),
    "sequence_attention": (*torch.randn(3, 2, 3, 7, 4), torch.tensor([7, 2]), "soft_causal"),
    "sequence_attention-cross": (torch.randn(1, 3, 2, 5), *torch.randn(2, 1, 3, 7, 5), None, "causal"),
    "qkv_attention": (*QKV, torch.tensor([7, 2]), "soft_causal", 3, 1e-5),
    "qkv_attention-no-norm": (*QKV[:2], None, QKV[3], None, "full", 1, 1e-5),
    "quantize_rows": (torch.randn(7, 5),),
    "quantize_rows-strided": (torch.randn(5, 7, dtype=torch.bfloat16).T,),
    "quantize_rows-empty": (torch.randn(0, 5),),
    "int8_linear": (*INT8, torch.randn(9, dtype=torch.bfloat16), torch.bfloat16),
    "int8_linear-no-bias": (*INT8, None),
    "embed_tokens": (torch.tensor([[0, 3], [1, 1]]), torch.randn(2, 5), torch.randn(4, 5), torch.randn(3, 5)),
    "norm_linear": (*LINEAR, LINEAR[2], "gelu", 1e-5, None),
    "norm_linear-8-bit": (LINEAR[0].bfloat16(), BYTES, *LINEAR[2:], LINEAR[2].bfloat16(), "none", 1e-5, LINEAR[2]),
    "linear_residual": (*LINEAR, torch.randn(7, 9)),
    "linear_residual-norm-rows": (
        *LINEAR,
        torch.randn(7, 9),
        torch.randn(7, 2),
        LINEAR[2],
        LINEAR[2],
        torch.tensor([3, -1], dtype=torch.int32),
    ),
    "linear_residual-8-bit": (LINEAR[0], BYTES, LINEAR[2], torch.randn(7, 9), *[None] * 4, LINEAR[2]),
    "conv1d": (*CONVOLUTION, 3, True, True, torch.randn(2, 7, 5), torch.tensor([7, 2])),
    "conv1d-plain": CONVOLUTION,
    "conv1d-many": (torch.randn(1, 300, 3), torch.randn(5, 3, 3).transpose(0, 1), torch.randn(5)),
    "conv1d-empty": (torch.randn(0, 7, 3), *CONVOLUTION[1:]),
    "conv_residual": (*RESIDUAL, 9, torch.tensor([7, 2])),
    "conv_residual-plain": RESIDUAL,
    "upsample_conv": (torch.randn(2, 7, 3), torch.randn(2, 2, 5, 3), torch.randn(5), torch.tensor([7, 2])),
    "upsample_conv-plain": (torch.randn(1, 1, 3), torch.randn(2, 2, 5, 3), torch.randn(5)),
    "sequence_attention-all": (*torch.randn(3, 1, 1, 1, 5), None, "full"),
}


def test_every_operator_is_registered_and_checked_here():
    assert {case.split("-")[0] for case in REGISTERED} == set(ops.OPERATORS)


@pytest.mark.parametrize("case", REGISTERED)
def test_registration(case):
    torch.library.opcheck(getattr(torch.ops.lamp_fast, case.split("-")[0]).default, REGISTERED[case])


@pytest.mark.parametrize("case", REGISTERED)
def test_a_compiled_graph_calls_the_operator_and_agrees(case):
    """One graph; a differentiable operator is its reference there."""
    operator, arguments = ops.OPERATORS[case.split("-")[0]], REGISTERED[case]
    graphs = []

    def keep_graph(graph, _):
        graphs.append(graph)
        return graph.forward

    torch.compiler.reset()
    compiled = torch.compile(lambda *values: operator(*values), backend=keep_graph, fullgraph=True)
    torch.testing.assert_close(compiled(*arguments), operator(*arguments), rtol=0, atol=0)
    called = {str(node.target) for node in graphs[0].graph.nodes if node.op == "call_function"}
    assert any(f"lamp_fast.{operator.name}" in target for target in called) != operator.differentiable


def test_the_choice_says_why():
    x = torch.randn(3, 4)
    with use_backend("eager"):
        choice = ops.codebook_lookup.choose(x, x)
    assert choice == (Backend.EAGER, "it is the backend in force", ops.codebook_lookup.reference)
    with mock.patch.object(ops, "current_backend", lambda: Backend.NATIVE):
        assert ops.codebook_lookup.choose(x, x).backend is Backend.NATIVE
        assert "does not reach tensors on meta" in ops.codebook_lookup.choose(x.to("meta"), x).reason
        assert "gradients" in ops.codebook_lookup.choose(x.clone().requires_grad_(), x).reason
        assert "native does not have it" in ops.sequence_attention.choose(x).reason


def test_the_choice_is_logged_once(caplog):
    logits = decode_arguments()
    ops.decode_step._logged.clear()
    with use_backend("eager"), caplog.at_level("INFO", logger="lamp_fast.ops"):
        for _ in range(3):
            ops.decode_step(*logits)
    assert caplog.messages == ["decode_step runs on eager: it is the backend in force"]


@pytest.mark.parametrize("case", REGISTERED)
def test_every_backend_agrees(case):
    """Noise, ids and codes are the same on every backend; the CPU ones are compared here."""
    operator = getattr(torch.ops.lamp_fast, case.split("-")[0])
    with use_backend("eager"):
        expected = operator(*REGISTERED[case])
    if not available()[Backend.NATIVE].works:
        pytest.skip(available()[Backend.NATIVE].reason)
    with use_backend("native"):
        got = operator(*REGISTERED[case])
    # The softmax of decode_step's confidence is summed in another order.
    torch.testing.assert_close(got, expected, rtol=1e-6 if operator.__name__.startswith("decode_step") else 0, atol=0)


def test_native_refuses_what_is_not_finite():
    if not available()[Backend.NATIVE].works:
        pytest.skip(available()[Backend.NATIVE].reason)
    with use_backend("native"), pytest.raises(LampError, match="NaN"):
        ops.codebook_lookup(torch.full((2, 3), float("nan")), torch.zeros(4, 3))


def test_bad_input_is_one_sentence():
    x = torch.zeros(3, 5)
    for codebook in (torch.zeros(4, 6), torch.zeros(0, 5), torch.zeros(5)):
        with pytest.raises(LampError, match="codebook_lookup"):
            ops.codebook_lookup(x, codebook)
    x, x_scale, weight, weight_scale = INT8
    for arguments in (
        (x.float(), x_scale, weight, weight_scale, None),
        (x, weight_scale, weight, weight_scale, None),
        (x[:, 1:], x_scale, weight, weight_scale, None),
        (x, x_scale, weight, weight_scale, x_scale),
    ):
        with pytest.raises(LampError, match="int8_linear"):
            ops.int8_linear(*arguments)
    for bad in (x, x_scale, x.float()[:, :0]):
        with pytest.raises(LampError, match="quantize_rows"):
            ops.quantize_rows(bad)
    x, weight, bias = LINEAR
    for arguments in (
        (x, weight[:, 1:], bias, bias, "none", 1e-5),
        (x, weight, bias[1:], bias, "none", 1e-5),
        (x, weight, bias, bias, "relu", 1e-5),
        (x, BYTES, bias, bias, "none", 1e-5),
        (x, weight, bias, bias, "none", 1e-5, bias),
    ):
        with pytest.raises(LampError, match="norm_linear"):
            ops.norm_linear(*arguments)
    residual = torch.zeros(7, 9)
    for arguments in ((residual[1:],), (residual, torch.zeros(7, 2)), (residual, torch.zeros(6, 2), bias, bias)):
        with pytest.raises(LampError, match="linear_residual"):
            ops.linear_residual(x, weight, bias, *arguments)
    ids, condition, table, positions = REGISTERED["embed_tokens"]
    for arguments in (
        (condition[:1], table, positions),
        (condition, table, positions[:1]),
        (condition.half(), table, table),
    ):
        with pytest.raises(LampError, match="embed_tokens"):
            ops.embed_tokens(ids, *arguments)
    x, weight, bias = CONVOLUTION
    for arguments in (
        (x[0], weight, bias),
        (x, weight[:2], bias),
        (x, weight[..., 1:], bias),
        (x, weight.half(), bias),
        (x, weight, bias[1:]),
        (x, weight, bias, 1, False, False, x),
        (x, weight, bias, 1, False, False, None, torch.tensor([7])),
    ):
        with pytest.raises(LampError, match="conv1d"):
            ops.conv1d(*arguments)
    x, conv, bias, out, _ = RESIDUAL
    for arguments in ((conv[:1], bias, out, bias), (conv, bias, out[1:], bias), (conv, bias, out, bias[1:])):
        with pytest.raises(LampError, match="conv_residual"):
            ops.conv_residual(x, *arguments)
    x, weight, bias = REGISTERED["upsample_conv-plain"]
    for arguments in ((weight[:1], bias), (weight, bias[1:]), (weight, bias, torch.tensor([1, 1]))):
        with pytest.raises(LampError, match="upsample_conv"):
            ops.upsample_conv(x, *arguments)
    q = torch.zeros(1, 1, 2, 4)
    with pytest.raises(LampError, match="soft_causal"):
        ops.sequence_attention(q, q, q, None, "sideways")
    lengths, more = torch.ones(1, dtype=torch.int64), torch.zeros(1, 1, 3, 4)
    for arguments in ((q, more, more, lengths, "full"), (more, q, q, None, "causal", 0.0, False)):
        with pytest.raises(LampError, match="queries do not fit"):
            ops.sequence_attention(*arguments)
    x, weight, fold, bias = QKV
    for arguments in ((x[0], weight, fold), (x, weight.T, fold), (x, weight, fold[1:]), (x.double(), weight, fold)):
        with pytest.raises(LampError, match="qkv_attention"):
            ops.qkv_attention(*arguments, bias, None, "full", 1, 1e-5)
    for mode, heads in (("full", 4), ("sideways", 1)):
        with pytest.raises(LampError, match="qkv_attention"):
            ops.qkv_attention(x, weight, fold, bias, None, mode, heads, 1e-5)
