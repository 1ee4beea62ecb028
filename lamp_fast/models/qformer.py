"""Layers of the Q-Former: BERT layers whose self-attention serves queries and text alike (released `QFormer.py`)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import ops
from ..config import LanguageMotionConfig

KeysValues = tuple[Tensor, Tensor]


class Attention(nn.Module):
    """Multi-head attention, output projection, residual and LayerNorm (post-norm, as BERT)."""

    def __init__(self, config: LanguageMotionConfig, memory_width: int):
        super().__init__()
        width = config.hidden_size
        self.num_heads = config.num_heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(memory_width, width)
        self.value = nn.Linear(memory_width, width)
        self.output = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.dropout = config.dropout

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)

    def keys_values(self, memory: Tensor) -> KeysValues:
        """memory (B,M,W) -> keys and values, each (B,H,M,D/H)."""
        return self._heads(self.key(memory)), self._heads(self.value(memory))

    def forward(self, hidden: Tensor, keys_values: KeysValues, lengths: Tensor | None, mode: str = "full") -> Tensor:
        """hidden (B,L,D) attends to the first `lengths` (B,) of M keys (None: all) -> (B,L,D).

        mode: `causal` hides what comes after a position, the last of which stands at the last key.
        """
        return self.norm(self.before_norm(hidden, keys_values, lengths, mode))

    def before_norm(
        self, hidden: Tensor, keys_values: KeysValues, lengths: Tensor | None, mode: str = "full"
    ) -> Tensor:
        """As `forward`, without the LayerNorm at the end."""
        context = ops.sequence_attention(
            self._heads(self.query(hidden)),
            *keys_values,
            lengths,
            mode,
            dropout=self.dropout if self.training else 0.0,
            padded_queries=False,
        )
        output = self.output(context.transpose(1, 2).flatten(2))
        return hidden + F.dropout(output, self.dropout, self.training)


class FeedForward(nn.Module):
    """Two linear maps with GELU between them, residual and LayerNorm."""

    def __init__(self, config: LanguageMotionConfig, intermediate_size: int):
        super().__init__()
        self.expand = nn.Linear(config.hidden_size, intermediate_size)
        self.contract = nn.Linear(intermediate_size, config.hidden_size)
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = config.dropout

    def forward(self, hidden: Tensor) -> Tensor:
        output = self.contract(F.gelu(self.expand(hidden)))
        return self.norm(hidden + F.dropout(output, self.dropout, self.training))


class QFormerLayer(nn.Module):
    """Shared self-attention; then queries read the memory, and queries and text go through their own feed-forward."""

    def __init__(self, config: LanguageMotionConfig, has_cross_attention: bool):
        super().__init__()
        self.self_attention = Attention(config, config.hidden_size)
        self.cross_attention = Attention(config, config.memory_width) if has_cross_attention else None
        self.text_feed_forward = FeedForward(config, config.intermediate_size)
        self.query_feed_forward = FeedForward(config, config.query_intermediate_size)

    def forward(
        self,
        hidden: Tensor,
        num_queries: int,
        lengths: Tensor | None,
        memory: Tensor | None,
        memory_lengths: Tensor | None,
        prefix: KeysValues | None,
    ) -> tuple[Tensor, KeysValues]:
        """hidden (B,L,D): `num_queries` queries, then text, of which `lengths` (B,) positions are attended (None: all).
        Returns the new hidden states and the keys and values of its self-attention.

        prefix: those of earlier positions, which are attended too, and counted in lengths; then no position attends
        to what comes after it.
        """
        keys, values = self.self_attention.keys_values(hidden)
        mode = "full" if prefix is None else "causal"
        if prefix is not None:
            keys, values = torch.cat([prefix[0], keys], 2), torch.cat([prefix[1], values], 2)
        hidden = self.self_attention(hidden, (keys, values), lengths, mode)
        parts = []
        if num_queries > 0:
            queries = hidden[:, :num_queries]
            if self.cross_attention is not None:
                queries = self.cross_attention(queries, self.cross_attention.keys_values(memory), memory_lengths)
            parts.append(self.query_feed_forward(queries))
        if num_queries < hidden.shape[1]:
            parts.append(self.text_feed_forward(hidden[:, num_queries:]))
        return torch.cat(parts, 1), (keys, values)


class WordHead(nn.Module):
    """Scores of every word piece; the last matrix is the word embedding (BERT's masked-language head)."""

    def __init__(self, config: LanguageMotionConfig):
        super().__init__()
        self.transform = nn.Linear(config.hidden_size, config.hidden_size)
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))

    def forward(self, hidden: Tensor, word_embeddings: Tensor) -> Tensor:
        return F.linear(self.norm(F.gelu(self.transform(hidden))), word_embeddings, self.bias)
