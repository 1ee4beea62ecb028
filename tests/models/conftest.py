"""The released weights in our models."""

from dataclasses import replace

import pytest


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
