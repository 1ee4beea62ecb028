"""Complete models of random weights in the sizes that are compared, and their weights under the released names."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import count

import torch
from torch import Tensor

from lamp_fast.config import GeneratorConfig, LampConfig, LanguageMotionConfig, LengthConfig, TokenizerConfig, preset
from lamp_fast.models.lamp import Lamp
from lamp_fast.models.text import TextTokenizer

WORDS_OF_A_PROMPT = 10
LOGITS = 1.0  # their standard deviation

_BASE, _MINI = preset("lamp-base"), preset("lamp-mini")
# The reference decodes with the released attention only, so all have that.
CONFIGS = {
    "8x384": replace(_BASE, generator=GeneratorConfig(width=384, num_heads=6)),
    "8x512": _BASE,
    "lamp-mini": replace(_MINI, generator=replace(_MINI.generator, attention_mode="soft_causal")),
    "tiny": LampConfig(
        tokenizer=TokenizerConfig(width=32, code_dim=16, num_codes=24),
        language_motion=LanguageMotionConfig(
            vocab_size=64,
            hidden_size=32,
            num_layers=2,
            num_heads=2,
            intermediate_size=48,
            query_intermediate_size=48,
            num_queries=12,
            memory_width=40,
            code_dim=16,
            num_codes=24,
        ),
        generator=GeneratorConfig(
            num_codes=24, code_dim=16, width=32, num_layers=2, num_heads=2, feedforward_size=48, condition_dim=32
        ),
        length=LengthConfig(condition_dim=32, hidden_size=16),
    ),
}


@cache
def random_lamp(name: str, device: torch.device) -> Lamp:
    """A float32 model in which every part has its say in the logits, so that a wrong part draws other tokens."""
    config = CONFIGS[name]
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    words = [f"w{i}" for i in range(config.language_motion.vocab_size - len(special) - 1)]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("\n".join([*special, *words, "[DEC]"]))
        file.flush()
        text_tokenizer = TextTokenizer(file.name)
    torch.manual_seed(0)
    width = config.tokenizer.feature_dim
    lamp = Lamp(config, text_tokenizer, mean=torch.zeros(width), std=torch.ones(width)).to(device).eval()
    with torch.no_grad():
        lamp.tokenizer.codebook.vectors.normal_()
        lamp.generator.token_embedding.weight.normal_()
        for module in lamp.generator.modules():
            if isinstance(module, torch.nn.Linear):
                module.weight.normal_(std=module.in_features**-0.5)
        lamp.generator.head.output.weight.mul_(LOGITS)
    return lamp.requires_grad_(False)


def new_prompts(name: str, batch: int) -> Iterator[list[str]]:
    """Batches of prompts, none of which came before."""
    vocabulary = CONFIGS[name].language_motion.vocab_size - 5
    for first in count(step=batch):
        numbers = range(first, first + batch)
        yield [" ".join(f"w{(n * 7 + i * (n + 3)) % vocabulary}" for i in range(WORDS_OF_A_PROMPT)) for n in numbers]


def released_generator(lamp: Lamp) -> dict[str, Tensor]:
    """What `reference.masked_transformer` reads."""
    renames = {
        r"token_embedding\.": "token_emb.",
        r"token_projection\.": "input_process.poseEmbedding.",
        r"condition_projection\.": "cond_emb.",
        r"head\.dense\.": "output_process.dense.",
        r"head\.norm\.": "output_process.LayerNorm.",
        r"head\.output\.": "output_process.poseFinal.",
        r"layers\.(\d+)\.qkv\.": r"seqTransEncoder.layers.\1.self_attn.in_proj_",
        r"layers\.(\d+)\.attention_output\.": r"seqTransEncoder.layers.\1.self_attn.out_proj.",
        r"layers\.(\d+)\.ff(\d)\.": r"seqTransEncoder.layers.\1.linear\2.",
        r"layers\.(\d+)\.norm(\d)\.": r"seqTransEncoder.layers.\1.norm\2.",
    }
    weights = _renamed(lamp.generator.state_dict(), renames)
    return weights | {"position_enc.pe": lamp.generator.positions[:, None]}


def released_decoder(lamp: Lamp) -> dict[str, Tensor]:
    """What `reference.vq.decode` reads, and the codebook."""
    stages = lamp.config.tokenizer.down_blocks
    renames = {
        r"input\.": "vqvae.decoder.model.0.",
        r"blocks\.(\d+)\.": lambda found: f"vqvae.decoder.model.{int(found[1]) + 2}.0.model.",
        r"up\.(\d+)\.": lambda found: f"vqvae.decoder.model.{int(found[1]) + 2}.2.",
        r"hidden\.": f"vqvae.decoder.model.{stages + 2}.",
        r"output\.": f"vqvae.decoder.model.{stages + 4}.",
    }
    weights = _renamed(lamp.tokenizer.decoder.state_dict(), renames)
    return weights | {"vqvae.quantizer.codebook": lamp.tokenizer.codebook.vectors}


def _renamed(weights: dict[str, Tensor], renames: dict) -> dict[str, Tensor]:
    result = {}
    for name, tensor in weights.items():
        [(pattern, to)] = [(pattern, to) for pattern, to in renames.items() if re.match(pattern, name)]
        result[re.sub(pattern, to, name, count=1)] = tensor
    return result
