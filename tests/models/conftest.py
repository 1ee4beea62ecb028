"""Small models, shared by the tests of a model and of what runs on it."""

from dataclasses import replace

import pytest
import torch

from lamp_fast.config import GeneratorConfig

SMALL_GENERATOR = GeneratorConfig(
    num_codes=40, code_dim=12, width=48, num_layers=2, num_heads=3, feedforward_size=64, condition_dim=20, max_tokens=49
)


@pytest.fixture
def small_generator():
    """`small_generator(padding="released")`: a MotionGenerator with random weights, in evaluation mode."""
    from lamp_fast.models.generator import MotionGenerator

    def build(**changes):
        torch.manual_seed(0)
        model = MotionGenerator(replace(SMALL_GENERATOR, **changes)).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.2)
        return model

    return build


@pytest.fixture
def released_generator(golden):
    """`released_generator(attention_mode="causal")`: our model with the weights of the masked_transformer fixture."""
    from lamp_fast.checkpoints.released import generator as released
    from lamp_fast.models.generator import MotionGenerator

    def build(**changes):
        fixture = golden("masked_transformer")
        weights = fixture.state_dict("t2m_transformer")
        longest = len(weights["position_enc.pe"])
        config = released.config_from_released(weights, num_heads=fixture.config["num_heads"], max_tokens=longest)
        model = MotionGenerator(replace(config, **changes))
        model.load_state_dict(released.convert(weights))
        return model.eval()

    return build
