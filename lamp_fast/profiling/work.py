"""The work that each stage of a generation cannot do without, counted from the sizes of the model.

A product and a sum are two operations. Of bytes only the weights count, each read once: everything else fits in caches.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..config import FRAMES_PER_TOKEN, GeneratorConfig, LanguageMotionConfig, TokenizerConfig


@dataclass(frozen=True)
class Work:
    flops: float
    bytes: float

    def __add__(self, other: Work) -> Work:
        return Work(self.flops + other.flops, self.bytes + other.bytes)


def text_work(config: LanguageMotionConfig, batch: int, words: int, weight_bytes: int = 2) -> Work:
    """`LanguageMotionModel.condition`: the text alone, then the queries that read it; `words` with [CLS] and [SEP]."""
    width, queries = config.hidden_size, config.num_queries
    crossings = -(-config.num_layers // config.cross_attention_every)
    text = config.num_layers * (4 * width**2 + 2 * width * config.intermediate_size)
    query = config.num_layers * (4 * width**2 + 2 * width * config.query_intermediate_size) + crossings * 2 * width**2
    memory = width * config.memory_width + crossings * 2 * width * config.memory_width
    products = (text + memory) * words + query * queries
    attention = 2 * width * (config.num_layers * (words**2 + queries**2) + crossings * queries * words)
    return Work(2 * batch * (products + attention), (text + query + memory) * weight_bytes)


def decoding_work(
    config: GeneratorConfig, batch: int, tokens: int, steps: int, weight_bytes: int = 2, guided: bool = True
) -> Work:
    """`decoding.generate`: both branches of the guidance in every step. Tokens enter through a table, not a product.

    Counts every token in every step; the engine finishes the last layer for masked tokens only, some 15 % less.
    """
    width, rows = config.width, tokens + 1
    layers = config.num_layers * (4 * width**2 + 2 * width * config.feedforward_size)
    head = width**2 + width * config.num_codes
    attention = config.num_layers * 2 * rows**2 * width
    passes = steps * batch * (2 if guided else 1)
    return Work(2 * passes * (layers * rows + head * tokens + attention), (layers + head) * weight_bytes)


def decoder_work(config: TokenizerConfig, batch: int, tokens: int, weight_bytes: int = 2) -> Work:
    """`MotionTokenizer.decode`; the convolution after an upsampling has two taps for each of two phases, not three."""
    width = config.width
    stages = [3 * config.code_dim * width]
    flops, length = stages[0] * tokens, tokens
    for _ in range(config.down_blocks):
        block, up = config.depth * (3 + 1) * width**2, 2 * 2 * width**2
        stages += [block, up]
        flops += (block + up) * length
        length *= 2
    last = 3 * width * (width + config.feature_dim)
    assert length == tokens * FRAMES_PER_TOKEN
    return Work(2 * batch * (flops + last * length), (sum(stages) + last) * weight_bytes)
