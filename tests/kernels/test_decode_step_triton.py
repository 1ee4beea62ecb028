"""The Triton kernel of decode_step draws the tokens of the reference.

Only the logarithms of the noise and the sum of the softmax may round differently. The inputs below have no two scores
and no two certainties closer than that, except where they are equal to the bit, so tokens are compared exactly.
"""

import pytest
import torch

from lamp_fast.kernels.decode_step import KEPT, decode_step_ref

decode_step_triton = pytest.importorskip("lamp_fast.kernels.decode_step_triton").decode_step_triton


def arguments(batch, n, codes, next_count=2, guided=True, noise=True, temperature=1.0, top_k=5, dtype=torch.float32):
    torch.manual_seed(batch * 1000 + n * 10 + codes)
    ids = torch.randint(codes, (batch, n))
    ids[torch.rand(batch, n) < 0.6] = codes
    ids[0, 0] = codes
    return {
        "logits": (torch.randn(batch, n, codes) * 2).to(dtype),
        "unconditional_logits": (torch.randn(batch, n, codes) * 2).to(dtype) if guided else None,
        "ids": ids,
        "next_count": torch.full((batch,), next_count),
        "seeds": torch.arange(batch) - 1,
        "samples": torch.arange(batch) + 3,
        "noise": torch.rand(batch, n, codes) if noise else None,
        "step": 3,
        "guidance_scale": 4.0,
        "temperature": temperature,
        "top_k": min(top_k, codes),
    }


def check(device, inputs, **options):
    expected_ids, expected_confidence = decode_step_ref(**inputs)
    ids, confidence = launch(device, inputs, **options)
    assert torch.equal(ids.cpu(), expected_ids)
    # A softmax is a sum of at most a few hundred float32 exponentials; the kept 1e5 is exact.
    torch.testing.assert_close(confidence.cpu(), expected_confidence, atol=2e-6, rtol=0)
    return ids


def launch(device, inputs, **options):
    moved = {name: value.to(device) if torch.is_tensor(value) else value for name, value in inputs.items()}
    return decode_step_triton(**moved, **options)


@pytest.mark.parametrize("guided", [True, False], ids=["guided", "one-branch"])
@pytest.mark.parametrize(
    "batch, n, codes, next_count, top_k, temperature",
    [(1, 1, 1, 0, 1, 1.0), (1, 1, 7, 0, 5, 1.0), (2, 7, 13, 3, 1, 0.7), (1, 17, 20, 100, 20, 2.5)],
)
def test_tokens_of_the_reference(device, guided, batch, n, codes, next_count, top_k, temperature):
    check(device, arguments(batch, n, codes, next_count, guided, temperature=temperature, top_k=top_k))


def test_size_of_a_motion(device):
    check(device, arguments(1, 49, 512, next_count=20, noise=False, top_k=52))


def test_the_noise_of_the_seed(device):
    check(device, arguments(2, 7, 41, noise=False))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_logits_are_mixed_in_float32(device, dtype):
    check(device, arguments(1, 7, 16, dtype=dtype))


def test_ties_at_the_threshold_both_zeros_and_infinite_logits(device):
    inputs = arguments(1, 5, 9, guided=False, top_k=3)
    inputs["ids"][:] = 9
    inputs["logits"][0, 0] = 0.0
    inputs["logits"][0, 1] = torch.tensor([1.0, 0.0, -0.0, 0.0, -0.0, -1.0, -2.0, -3.0, -4.0])
    inputs["logits"][0, 2, 2:] = float("-inf")
    inputs["logits"][0, 3] = torch.tensor([5.0, 5.0, 5.0, 5.0, 1.0, 1.0, 1.0, 1.0, 1.0])
    inputs["logits"][0, 4] *= 1e30
    check(device, inputs)


def test_of_equally_certain_positions_the_first_is_masked_first(device):
    inputs = arguments(1, 7, 5, guided=False)
    inputs["logits"][:] = 0
    inputs["ids"] = torch.tensor([[5, 0, 5, 5, 5, 6, 5]])
    ids = check(device, inputs)
    assert (ids == 5).tolist() == [[True, False, True, False, False, False, False]]


def test_counts_are_per_sample_and_poison_does_not_leak(device):
    inputs = arguments(3, 7, 16)
    inputs["next_count"] = torch.tensor([0, 4, 49])
    kept = inputs["ids"] != 16
    clean = {name: value.clone() if torch.is_tensor(value) else value for name, value in inputs.items()}
    for name in ("logits", "unconditional_logits", "noise"):
        inputs[name][kept] = float("nan")
    ids, confidence = launch(device, inputs)
    assert torch.equal(ids.cpu(), decode_step_ref(**clean)[0])
    assert (confidence.cpu()[kept] == KEPT).all()


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_logits_that_are_not_numbers_end_and_give_codes(device):
    inputs = arguments(1, 3, 9, next_count=0, guided=False)
    inputs["ids"][:] = 9
    inputs["logits"][:] = float("nan")
    ids, _ = launch(device, inputs)
    assert ((ids >= 0) & (ids < 9)).all()


def test_strides_and_written_in_place(device):
    inputs = arguments(2, 7, 16)
    expected = decode_step_ref(**inputs)[0]
    for name in ("logits", "unconditional_logits", "noise"):
        inputs[name] = inputs[name].transpose(0, 1).contiguous().transpose(0, 1)
    inputs["ids"] = inputs["ids"].to(device)
    confidence = torch.full((2, 7), float("nan"), device=device)
    arrivals = torch.zeros(2, dtype=torch.int32, device=device)
    ids, _ = launch(device, inputs, out=(inputs["ids"], confidence), arrivals=arrivals)
    assert ids is inputs["ids"] and torch.equal(ids.cpu(), expected)
    assert not confidence.isnan().any() and not arrivals.any()


def test_empty(device):
    ids, confidence = launch(device, arguments(1, 3, 9) | {"logits": torch.zeros(0, 3, 9), "ids": torch.zeros(0, 3)})
    assert ids.shape == confidence.shape == (0, 3)


def test_logits_of_the_masked_positions_only(device):
    inputs = arguments(3, 7, 16, next_count=1)
    expected = decode_step_ref(**inputs)
    for limit in (6, int((inputs["ids"] == 16).sum(dim=1).max())):
        order = (inputs["ids"] != 16).int().argsort(dim=1, stable=True)[:, :limit, None].expand(-1, -1, 16)
        compact = {name: inputs[name].gather(1, order) for name in ("logits", "unconditional_logits")}
        torch.testing.assert_close(decode_step_ref(**inputs | compact), expected, atol=0, rtol=0)
        check(device, inputs | compact)
