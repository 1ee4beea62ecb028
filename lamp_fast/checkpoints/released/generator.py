"""Released masked transformer (`t2m_transformer` in the checkpoint) -> `MotionGenerator`."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from ...config import GeneratorConfig
from ...errors import LampError

_NAMES = {
    "token_embedding": "token_emb",
    "token_projection": "input_process.poseEmbedding",
    "condition_projection": "cond_emb",
    "head.dense": "output_process.dense",
    "head.norm": "output_process.LayerNorm",
    "head.output": "output_process.poseFinal",
}
_LAYER_NAMES = {
    "qkv.weight": "self_attn.in_proj_weight",
    "qkv.bias": "self_attn.in_proj_bias",
    "attention_output.weight": "self_attn.out_proj.weight",
    "attention_output.bias": "self_attn.out_proj.bias",
    "norm1.weight": "norm1.weight",
    "norm1.bias": "norm1.bias",
    "ff1.weight": "linear1.weight",
    "ff1.bias": "linear1.bias",
    "ff2.weight": "linear2.weight",
    "ff2.bias": "linear2.bias",
    "norm2.weight": "norm2.weight",
    "norm2.bias": "norm2.bias",
}


def config_from_released(
    state_dict: Mapping[str, Tensor], *, num_heads: int = 8, max_tokens: int = 49
) -> GeneratorConfig:
    """Sizes from the shapes of the tensors; the number of heads and the longest motion cannot be seen there.

    Raises LampError when a tensor is missing.
    """
    ids, code_dim = _tensor(state_dict, "token_emb.weight").shape
    width, condition_dim = _tensor(state_dict, "cond_emb.weight").shape
    return GeneratorConfig(
        num_codes=ids - 2,
        code_dim=code_dim,
        width=width,
        num_layers=_num_layers(state_dict),
        num_heads=num_heads,
        feedforward_size=_tensor(state_dict, "seqTransEncoder.layers.0.linear1.weight").shape[0],
        condition_dim=condition_dim,
        max_tokens=max_tokens,
        attention_mode="soft_causal",
        padding="released",
    )


def convert(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict of our `MotionGenerator`; the Q-Former in the same checkpoint is left alone.

    Raises LampError when a tensor is missing.
    """
    names = {
        f"{ours}.{kind}": f"{theirs}.{kind}"
        for ours, theirs in _NAMES.items()
        for kind in ("weight", "bias")
        if (ours, kind) != ("token_embedding", "bias")
    }
    for i in range(_num_layers(state_dict)):
        names |= {f"layers.{i}.{ours}": f"seqTransEncoder.layers.{i}.{theirs}" for ours, theirs in _LAYER_NAMES.items()}
    return {ours: _tensor(state_dict, theirs) for ours, theirs in names.items()}


def _num_layers(state_dict: Mapping[str, Tensor]) -> int:
    count = 0
    while f"seqTransEncoder.layers.{count}.linear1.weight" in state_dict:
        count += 1
    return count


def _tensor(state_dict: Mapping[str, Tensor], name: str) -> Tensor:
    if name not in state_dict:
        raise LampError(f"released generator: the checkpoint has no tensor {name}; give its `t2m_transformer` part")
    return state_dict[name]
