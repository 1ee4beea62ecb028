"""MoMask's length estimator (`estimator` of `finest.tar`) -> our names."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from ...config import LengthEstimatorConfig
from ...errors import LampError


def convert(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict of `LengthEstimator`: the same Sequential under another name."""
    return {f"mlp.{name.removeprefix('output.')}": t for name, t in state_dict.items() if name.startswith("output.")}


def config_from_released(state_dict: Mapping[str, Tensor]) -> LengthEstimatorConfig:
    """Sizes read from shapes. Raises LampError when a tensor is missing."""
    try:
        hidden_size, text_dim = state_dict["output.0.weight"].shape
        return LengthEstimatorConfig(text_dim, hidden_size, num_classes=state_dict["output.11.weight"].shape[0])
    except KeyError as error:
        raise LampError(f"released length estimator: the checkpoint lacks {error.args[0]}; give MoMask's") from error
