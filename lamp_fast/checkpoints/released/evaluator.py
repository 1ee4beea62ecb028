"""Evaluator of Guo et al. (`movement_encoder`, `motion_encoder`, `text_encoder` of `finest.tar`) -> our names."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from ...config import EvaluatorConfig
from ...errors import LampError

PARTS = ("movement_encoder", "motion_encoder", "text_encoder")
_RENAMES = [
    (r"movement_encoder\.main\.0\.", "movement.first."),
    (r"movement_encoder\.main\.3\.", "movement.second."),
    (r"movement_encoder\.out_net\.", "movement.output."),
    (r"text_encoder\.pos_emb\.", "parts_of_speech."),
    (r"(motion|text)_encoder\.hidden$", r"\1.start"),
    (r"(motion|text)_encoder\.input_emb\.", r"\1.input."),
    (r"(motion|text)_encoder\.gru\.", r"\1.gru."),
    (r"(motion|text)_encoder\.output_net\.0\.", r"\1.hidden."),
    (r"(motion|text)_encoder\.output_net\.1\.", r"\1.norm."),
    (r"(motion|text)_encoder\.output_net\.3\.", r"\1.output."),
]


def convert(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict of `MotionTextEvaluator`; released names begin with that of their part, as in `PARTS`."""
    renamed = {}
    for name, tensor in state_dict.items():
        for pattern, ours in _RENAMES:
            if re.match(pattern, name):
                renamed[re.sub(pattern, ours, name, count=1)] = tensor
                break
    return renamed


def config_from_released(state_dict: Mapping[str, Tensor]) -> EvaluatorConfig:
    """Sizes read from shapes. Raises LampError when a tensor is missing."""
    tensors = convert(state_dict)
    try:
        movement_hidden, moving, _ = tensors["movement.first.weight"].shape
        word_dim, num_parts_of_speech = tensors["parts_of_speech.weight"].shape
        return EvaluatorConfig(
            feature_dim=moving + 4,
            word_dim=word_dim,
            num_parts_of_speech=num_parts_of_speech,
            movement_hidden=movement_hidden,
            movement_dim=tensors["movement.second.weight"].shape[0],
            motion_hidden=tensors["motion.input.weight"].shape[0],
            text_hidden=tensors["text.input.weight"].shape[0],
            embed_dim=tensors["text.output.weight"].shape[0],
        )
    except KeyError as error:
        raise LampError(
            f"released evaluator: the checkpoint lacks {error.args[0]}; give the whole finest.tar"
        ) from error
