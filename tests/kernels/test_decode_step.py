"""decode_step against the same rules written out position by position in float64."""

import math

import pytest
import torch

from lamp_fast.kernels.decode_step import KEPT, decode_step_ref, gumbel
from lamp_fast.kernels.philox import philox_uniform_ref


def step_inputs(batch, n, codes, masked_share=0.6):
    torch.manual_seed(batch * 1000 + n * 10 + codes)
    ids = torch.randint(codes, (batch, n))
    ids[torch.rand(batch, n) < masked_share] = codes
    logits, unconditional = torch.randn(batch, n, codes) * 2, torch.randn(batch, n, codes) * 2
    return logits, unconditional, ids, torch.rand(batch, n, codes)


def run(logits, unconditional, ids, noise, next_count, scale=4.0, temperature=1.0, top_k=5, seeds=None, step=0):
    batch = len(ids)
    next_count = torch.as_tensor(next_count).expand(batch)
    seeds = torch.zeros(batch, dtype=torch.int64) if seeds is None else seeds
    samples = torch.arange(batch)
    return decode_step_ref(
        logits,
        unconditional,
        ids,
        next_count,
        seeds,
        samples,
        noise,
        step,
        scale,
        temperature,
        min(top_k, logits.shape[-1]),
    )


def by_hand(logits, unconditional, ids, noise, next_count, scale, temperature, top_k):
    codes = logits.shape[-1]
    ids, confidence = ids.clone(), torch.full(ids.shape, KEPT, dtype=torch.float64)
    for b in range(ids.shape[0]):
        masked = [i for i in range(ids.shape[1]) if ids[b, i] == codes]
        for i in masked:
            guided = logits[b, i].double()
            if unconditional is not None:
                guided = unconditional[b, i].double() * (1 - scale) + logits[b, i].double() * scale
            allowed = guided.argsort(descending=True)[:top_k].tolist()
            value = {c: guided[c].item() / temperature - math.log(-math.log(noise[b, i, c].item())) for c in allowed}
            ids[b, i] = max(value, key=value.get)
            confidence[b, i] = guided.softmax(dim=0)[ids[b, i]]
        for i in sorted(masked, key=lambda i: confidence[b, i].item())[: int(next_count)]:
            ids[b, i] = codes
    return ids, confidence


@pytest.mark.parametrize("guided", [True, False], ids=["guided", "one-branch"])
@pytest.mark.parametrize("batch, n, codes", [(1, 1, 7), (3, 7, 48), (1, 49, 63), (3, 49, 40)])
@pytest.mark.parametrize("next_count, top_k, temperature", [(0, 5, 1.0), (3, 1, 0.7), (100, 40, 2.5)])
def test_rules(guided, batch, n, codes, next_count, top_k, temperature):
    logits, unconditional, ids, noise = step_inputs(batch, n, codes)
    unconditional = unconditional if guided else None
    top_k = min(top_k, codes)
    before = ids.clone()
    got, confidence = run(logits, unconditional, ids, noise, next_count, 4.0, temperature, top_k)
    expected, expected_confidence = by_hand(logits, unconditional, ids, noise, next_count, 4.0, temperature, top_k)
    assert torch.equal(got, expected)
    # Softmax in float32 of logits of size 20.
    torch.testing.assert_close(confidence.double(), expected_confidence, atol=1e-5, rtol=0)
    assert torch.equal(ids, before)


def test_one_of_one_code_is_certain_and_top_one_is_the_largest():
    logits, _, ids, noise = step_inputs(3, 7, 48, masked_share=1.0)
    got, _ = run(logits, None, ids, noise, 0, top_k=1)
    assert torch.equal(got, logits.argmax(dim=-1))
    got, confidence = run(logits[..., :1], None, torch.ones_like(ids), noise[..., :1], 0, top_k=1)
    assert (got == 0).all() and (confidence == 1).all()


def test_codes_that_tie_at_the_threshold_may_all_be_drawn():
    logits = torch.zeros(1, 1, 9).expand(1, 49, 9)
    noise = torch.rand(1, 49, 9)
    got, _ = run(logits, None, torch.full((1, 49), 9), noise, 0, top_k=2)
    assert torch.equal(got, noise.argmax(dim=-1))


def test_of_equally_certain_positions_the_first_is_masked_first():
    logits = torch.zeros(1, 7, 5)
    ids = torch.tensor([[5, 0, 5, 5, 5, 6, 5]])
    got, _ = run(logits, None, ids, torch.rand(1, 7, 5), 2)
    assert (got == 5).tolist() == [[True, False, True, False, False, False, False]]
    assert got[0, 1] == 0 and got[0, 5] == 6


def test_counts_are_per_sample_and_known_tokens_are_never_masked():
    logits, unconditional, ids, noise = step_inputs(3, 49, 40)
    masked = ids == 40
    got, _ = run(logits, unconditional, ids, noise, torch.tensor([0, 4, 49]))
    assert (got == 40).sum(dim=1).tolist() == [0, 4, masked[2].sum().item()]
    assert torch.equal(got[~masked], ids[~masked])


def test_nothing_masked():
    logits, unconditional, _, noise = step_inputs(2, 7, 40)
    ids = torch.randint(40, (2, 7))
    got, confidence = run(logits, unconditional, ids, noise, 5)
    assert torch.equal(got, ids) and (confidence == KEPT).all()


def test_poison_at_positions_that_are_not_drawn_does_not_leak():
    logits, unconditional, ids, noise = step_inputs(3, 49, 40)
    expected = run(logits, unconditional, ids, noise, 4)
    kept = ids != 40
    for tensor in (logits, unconditional, noise):
        tensor[kept] = float("nan")
    got = run(logits, unconditional, ids, noise, 4)
    assert torch.equal(got[0], expected[0]) and torch.equal(got[1], expected[1])


def test_philox_noise_is_the_noise_of_the_seed():
    logits, unconditional, ids, _ = step_inputs(3, 7, 41)
    seeds = torch.tensor([1, 2, -3])
    noise = philox_uniform_ref(seeds, torch.arange(3), 6, 7, 41)
    expected = run(logits, unconditional, ids, noise, 2)
    got = run(logits, unconditional, ids, None, 2, seeds=seeds, step=6)
    assert torch.equal(got[0], expected[0]) and torch.equal(got[1], expected[1])


def test_extreme_noise_is_finite():
    edge = torch.tensor([0.0, 2.0**-24, 0.5, 1 - 2.0**-24])
    assert gumbel(edge).isfinite().all()
    assert (gumbel(edge).diff() > 0).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_logits_are_mixed_in_float32(dtype):
    logits, unconditional, ids, noise = step_inputs(3, 7, 48)
    logits, unconditional = logits.to(dtype), unconditional.to(dtype)
    got = run(logits, unconditional, ids, noise, 2)
    expected = run(logits.float(), unconditional.float(), ids, noise, 2)
    assert got[1].dtype == torch.float32
    assert torch.equal(got[0], expected[0]) and torch.equal(got[1], expected[1])


def test_non_contiguous():
    logits, unconditional, ids, noise = step_inputs(3, 7, 48)
    expected = run(logits, unconditional, ids, noise, 2)
    both = torch.stack((logits, unconditional), dim=-1)
    got = run(both[..., 0], both[..., 1], ids.T.contiguous().T, noise.transpose(0, 1).contiguous().transpose(0, 1), 2)
    assert torch.equal(got[0], expected[0]) and torch.equal(got[1], expected[1])


def test_draws_follow_the_softmax_of_the_filtered_logits():
    logits = torch.tensor([2.0, 1.0, 0.0, -1.0, -2.0]).expand(1, 40_000, 5)
    ids = torch.full((1, 40_000), 5)
    got, _ = run(logits, None, ids, None, 0, temperature=2.0, top_k=3, seeds=torch.tensor([9]))
    share = torch.bincount(got[0], minlength=5) / 40_000
    expected = torch.cat(((torch.tensor([2.0, 1.0, 0.0]) / 2).softmax(dim=0), torch.zeros(2)))
    # Standard deviation of a share of 40,000 draws is at most 0.0025.
    torch.testing.assert_close(share, expected, atol=0.01, rtol=0)
