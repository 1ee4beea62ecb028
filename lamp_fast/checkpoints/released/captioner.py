"""LaMP-M2T (`trans`): what was trained under our names, and the language model it carries."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from ...config import CaptionerConfig
from ...errors import LampError
from ...files import new_folder
from ...models.llm_captioner import LlmCaptioner, reads_motion
from ..captioner import LANGUAGE_MODEL, open_words, save_captioner
from ..folder import CONFIG, WEIGHTS, check_replaceable
from . import language_motion

PROMPT = "a man is"
_LLM = "llm.base_model.model."
_LORA = re.compile(r"\.(\w+)\.lora_A\.default\.weight$")


def convert(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The trained tensors of `LlmCaptioner`; dead modules and OPT's second copy are left out."""
    read = {name: t for name, t in language_motion.convert(state_dict).items() if reads_motion(name)}
    lora = {name: t for name, t in state_dict.items() if name.startswith(_LLM) and ".lora_" in name}
    projection = {name.replace("opt_proj.", "projection."): t for name, t in state_dict.items() if "opt_proj." in name}
    return {**{f"language_motion.{name}": t for name, t in read.items()}, **projection, **lora}


def config_from_released(state_dict: Mapping[str, Tensor], num_heads: int = 12) -> CaptionerConfig:
    """num_heads: of the Q-Former. LoRA's alpha is twice its rank, as released. Raises LampError for another model."""
    lora = {m[1]: t.shape[0] for name, t in state_dict.items() if name.startswith(_LLM) and (m := _LORA.search(name))}
    if not lora or "opt_proj.weight" not in state_dict:
        raise LampError("this is no released captioner: it has no opt_proj and LoRA; give the state dict under `trans`")
    rank = next(iter(lora.values()))
    read = language_motion.config_from_released(state_dict, num_heads)
    targets = tuple(sorted(lora))
    return CaptionerConfig(read, prompt=PROMPT, lora_rank=rank, lora_alpha=2 * rank, lora_targets=targets)


def language_model(state_dict: Mapping[str, Tensor], num_heads: int = 32) -> nn.Module:
    """The OPT inside, without LoRA, in the precision of the file; num_heads are OPT's own. Both peft key styles."""
    from transformers import OPTConfig, OPTForCausalLM

    tensors = {
        name.removeprefix(_LLM).replace(".base_layer.", "."): tensor
        for name, tensor in state_dict.items()
        if name.startswith(_LLM) and ".lora_" not in name
    }
    vocabulary, width = tensors["model.decoder.embed_tokens.weight"].shape
    if num_heads < 1 or width % num_heads:
        raise LampError(f"OPT is {width} wide, which {num_heads} heads do not divide; give its number of heads")
    layers = {name.split(".")[3] for name in tensors if name.startswith("model.decoder.layers.")}
    config = OPTConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        word_embed_proj_dim=width,
        num_hidden_layers=len(layers),
        ffn_dim=tensors["model.decoder.layers.0.fc1.weight"].shape[0],
        max_position_embeddings=tensors["model.decoder.embed_positions.weight"].shape[0] - 2,
        num_attention_heads=num_heads,
    )
    model = OPTForCausalLM(config).to(tensors["lm_head.weight"].dtype)
    _load(model, tensors)
    return model.eval()


def convert_captioner(
    state_dict: Mapping[str, Tensor],
    destination: Path,
    tokenizer: str | os.PathLike,
    config: CaptionerConfig,
    num_heads: int = 32,
) -> set[str]:
    """Write a folder for `load_captioner`, with the OPT inside; returns the released names that were used.

    tokenizer: a folder with OPT's. config: of `config_from_released`. num_heads: OPT's own. The motion encoder is left
    out: it is that of the LaMP the captioner was made from. Raises LampError for tensors that are missing or misfit.
    """
    check_replaceable(destination, {CONFIG, WEIGHTS, LANGUAGE_MODEL, "README.md"})
    words, llm = open_words(tokenizer), language_model(state_dict, num_heads)
    tensors = {name: tensor.float() for name, tensor in convert(state_dict).items()}
    with new_folder(destination) as partial:
        llm.save_pretrained(partial / LANGUAGE_MODEL)
        words.save_pretrained(partial / LANGUAGE_MODEL)
        model = LlmCaptioner(dataclasses.replace(config, language_model=LANGUAGE_MODEL), llm, words)
        _load(model, tensors)
        save_captioner(partial, model)
    return {name for name in state_dict if _is_used(name)}


def _load(model: nn.Module, tensors: dict[str, Tensor]) -> None:
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        reason = str(error).splitlines()[1].strip()
        raise LampError(f"this captioner does not fit together ({reason}); get the whole file") from error


def _is_used(name: str) -> bool:
    ours = language_motion.released_name(name)
    return name.startswith((_LLM, "opt_proj.")) or (ours is not None and reads_motion(ours))
