"""HumanVQVAE (keys `vqvae.encoder.model.*`, `vqvae.decoder.model.*`, `vqvae.quantizer.codebook`) -> MotionTokenizer."""

from __future__ import annotations

import re

from torch import Tensor

from ...config import TokenizerConfig

# (released name below `encoder.` or `decoder.`, our name). Stage i of the release is element i + 2 of a Sequential.
_ENCODER = [
    (r"model\.0\.", "input."),
    (r"model\.(\d+)\.0\.", lambda m: f"down.{int(m[1]) - 2}."),
    (r"model\.(\d+)\.1\.model\.", lambda m: f"blocks.{int(m[1]) - 2}."),
    (r"model\.\d+\.", "output."),
]
_DECODER = [
    (r"model\.0\.", "input."),
    (r"model\.(\d+)\.0\.model\.", lambda m: f"blocks.{int(m[1]) - 2}."),
    (r"model\.(\d+)\.2\.", lambda m: f"up.{int(m[1]) - 2}."),
]


def _rename(key: str, rules) -> str:
    for pattern, name in rules:
        new, found = re.subn("^" + pattern, name, key)
        if found:
            return new
    return key


def _stages(state: dict[str, Tensor], prefix: str) -> list[int]:
    return sorted({int(m[1]) for k in state if (m := re.match(rf"{re.escape(prefix)}model\.(\d+)\.", k))})


def config_from_released(state: dict[str, Tensor], prefix: str = "vqvae.") -> TokenizerConfig:
    """Sizes of a released VQ state dict; dilation growth, dropout and decay leave no trace and stay as released."""
    width, feature_dim, _ = state[f"{prefix}encoder.model.0.weight"].shape
    num_codes, code_dim = state[f"{prefix}quantizer.codebook"].shape
    stages = _stages(state, f"{prefix}encoder.")
    depth = {k.split(".model.2.1.model.")[1].split(".")[0] for k in state if ".model.2.1.model." in k}
    return TokenizerConfig(feature_dim, width, code_dim, num_codes, down_blocks=len(stages) - 2, depth=len(depth))


def convert_encoder(state: dict[str, Tensor], prefix: str = "motion_encoder.") -> dict[str, Tensor]:
    """The encoder alone, also LaMP's separate copy `motion_encoder.model.*`."""
    return {_rename(k.removeprefix(prefix), _ENCODER): v for k, v in state.items() if k.startswith(prefix + "model.")}


def convert(state: dict[str, Tensor], prefix: str = "vqvae.") -> dict[str, Tensor]:
    """Released state dict -> state dict of `MotionTokenizer`; keys outside `prefix` are left out."""
    decoder_prefix = f"{prefix}decoder."
    *_, hidden, output = _stages(state, decoder_prefix)
    rules = [*_DECODER, (rf"model\.{hidden}\.", "hidden."), (rf"model\.{output}\.", "output.")]
    part = {k.removeprefix(decoder_prefix): v for k, v in state.items() if k.startswith(decoder_prefix)}
    return {
        **{f"encoder.{k}": v for k, v in convert_encoder(state, f"{prefix}encoder.").items()},
        **{f"decoder.{_rename(k, rules)}": v for k, v in part.items()},
        "codebook.vectors": state[f"{prefix}quantizer.codebook"],
    }
