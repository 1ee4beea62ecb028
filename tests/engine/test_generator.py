"""The fused generator gives the logits of the model."""

import pytest
import torch

from lamp_fast.engine.generator import FusedGenerator
from lamp_fast.engine.layers import Precision
from lamp_fast.models.decoding import DecodingOptions, draw_masked, generate, masked_counts, model_score
from lamp_fast.models.quantization import quantize_generator


def inputs(model, batch, n):
    torch.manual_seed(n)
    ids = torch.randint(model.config.num_codes, (batch, n))
    ids[torch.rand(batch, n) < 0.5] = model.config.mask_id
    ids[:, 0] = model.config.mask_id
    lengths = torch.randint(1, n + 1, (batch,))
    lengths[0] = n
    return ids, torch.randn(batch, model.config.condition_dim), lengths


@pytest.mark.parametrize("guided", [True, False])
@pytest.mark.parametrize("padding", ["exact", "released"])
@pytest.mark.parametrize("mode", ["full", "soft_causal", "causal"])
@pytest.mark.parametrize("batch, n", [(1, 1), (3, 7), (2, 49)])
def test_logits_of_the_model(small_generator, batch, n, mode, padding, guided):
    model = small_generator(attention_mode=mode, padding=padding)
    ids, condition, lengths = inputs(model, batch, n)
    with torch.no_grad():
        expected = model_score(model, condition, lengths, guided)(ids, n)
        got = FusedGenerator(model, Precision(torch.float32)).score(condition, lengths, guided, only_masked=False)(
            ids, n
        )
    real = (torch.arange(n) < lengths[:, None]) if padding == "exact" else torch.ones(batch, n, dtype=torch.bool)
    for ours, theirs in zip(got, expected, strict=True):
        if theirs is not None:
            # Two float32 orders of the same sums; logits are of order 10.
            torch.testing.assert_close(ours[real], theirs[real], atol=2e-4, rtol=1e-4)
    assert (got[1] is None) == (not guided)


def test_logits_of_the_masked_tokens_only(small_generator):
    model = small_generator()
    ids, condition, lengths = inputs(model, 3, 20)
    fused, limit = FusedGenerator(model, Precision(torch.float32)), 15
    every = fused.score(condition, lengths, True, only_masked=False)(ids, limit)[0]
    compact = fused.score(condition, lengths, True, only_masked=True)(ids, limit)[0]
    assert compact.shape[1] == limit
    for sample in range(3):
        masked = (ids[sample] == model.config.mask_id).nonzero()[:, 0]
        torch.testing.assert_close(compact[sample, : len(masked)], every[sample, masked], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("only_masked", [True, False])
def test_tokens_of_the_model(small_generator, only_masked):
    model, options = small_generator(), DecodingOptions(num_inference_steps=6)
    lengths, condition = torch.tensor([49, 7, 30]), torch.randn(3, model.config.condition_dim)
    expected = generate(model, condition, lengths, options, seed=4)
    ids = torch.full((3, 49), model.config.mask_id)
    ids[torch.arange(49) >= lengths[:, None]] = model.config.pad_id
    score = FusedGenerator(model, Precision(torch.float32)).score(condition, lengths, True, only_masked)
    counts = masked_counts(lengths, options.num_inference_steps)
    got = draw_masked(score, ids, counts, 40, options, seeds=torch.full((3,), 4), samples=torch.arange(3))
    assert torch.equal(got, expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_stays_as_near_as_the_models_own(small_generator, dtype):
    """Measured by the divergence from float32; a factor of 2 for other roundings of the same size."""
    model = small_generator()
    ids, condition, lengths = inputs(model, 2, 49)

    real = torch.arange(49) < lengths[:, None]

    def divergence(score):
        logs, wanted = score[real].float().log_softmax(-1), expected[real].log_softmax(-1)
        return float((wanted.exp() * (wanted - logs)).sum(-1).mean())

    with torch.no_grad():
        expected = model_score(model, condition, lengths, False)(ids, 49)[0]
        fused = FusedGenerator(model, Precision(dtype)).score(condition, lengths, False, only_masked=False)(ids, 49)[0]
        half = model_score(small_generator().to(dtype), condition.to(dtype), lengths, False)(ids, 49)[0]
    assert 0 < divergence(fused) < 2 * divergence(half)


@pytest.mark.parametrize("weights", ["int8", "fp8"])
def test_8_bit_weights_are_those_of_the_quantised_model(small_generator, weights):
    """The same scheme as `models.quantization`, but for the norm's scale, which is in the weights here before they are
    rounded: as near to float32 as that, within a factor of 2."""
    model = small_generator()
    ids, condition, lengths = inputs(model, 2, 49)
    real = torch.arange(49) < lengths[:, None]
    with torch.no_grad():
        expected = model_score(model, condition, lengths, False)(ids, 49)[0][real]
        simulated = quantize_generator(model, f"w8a16-{weights}", torch.float32)
        simulated = model_score(simulated, condition, lengths, False)(ids, 49)[0][real]
        fused = FusedGenerator(model, Precision(torch.float32, weights))
        fused = fused.score(condition, lengths, False, only_masked=False)(ids, 49)[0][real]
    error, simulated_error = ((x - expected).norm() / expected.norm() for x in (fused, simulated))
    assert 0 < error < 2 * simulated_error
