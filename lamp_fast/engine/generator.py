"""The generator as the engine runs it: four launches a layer, tables in place of the first projections."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import ops
from ..models.decoding import Score
from ..models.generator import MotionGenerator
from .layers import FeedForward, NormLinear, Precision, ResidualLinear, SelfAttention, attend


class FusedGenerator:
    """A `MotionGenerator` with its weights multiplied out; the same function but for rounding.

    A token enters the first layer as a sum of two table rows: id and position, each with its share of the hidden state
    (D) and of the first layer's queries, keys and values (3D). The last layer and the head run for masked tokens only.
    """

    def __init__(self, model: MotionGenerator, precision: Precision):
        self.config, layers = model.config, model.layers
        heads, mode = self.config.num_heads, self.config.attention_mode

        qkv, into, condition = (
            (linear.weight.detach().float(), linear.bias.detach().float())
            for linear in (layers[0].qkv, model.token_projection, model.condition_projection)
        )

        def with_qkv(hidden: Tensor, bias: Tensor | None) -> Tensor:
            return torch.cat([hidden, F.linear(hidden, qkv[0], bias)], -1).to(precision.dtype)

        self.table = with_qkv(F.linear(model.token_embedding.weight.detach().float(), *into), None)
        self.positions = with_qkv(model.positions.float(), qkv[1])
        self.condition_weight = with_qkv(condition[0].T, None).T.contiguous()
        self.condition_bias = with_qkv(condition[1], qkv[1])

        norms = [None, *(layer.norm2 for layer in layers)]
        self.attentions = [
            SelfAttention(norm, layer.qkv.weight, layer.qkv.bias, heads, mode, precision)
            for norm, layer in zip(norms[1:], layers[1:])
        ]
        self.outputs = [ResidualLinear(layer.attention_output, norm, precision) for norm, layer in zip(norms, layers)]
        self.feed_forwards = [FeedForward(layer.norm1, layer.ff1, layer.ff2, precision) for layer in layers]
        head = model.head
        self.dense = NormLinear(norms[-1], head.dense.weight, head.dense.bias, precision)
        self.logits = NormLinear(head.norm, head.output.weight, head.output.bias, precision)

    def condition_rows(self, condition: Tensor, guided: bool) -> Tensor:
        """condition (B,C) -> (B,4D), or both branches (2B,4D): with the condition, then without."""
        rows = F.linear(condition.to(self.condition_weight.dtype), self.condition_weight, self.condition_bias)
        return torch.cat([rows, self.condition_bias.expand_as(rows)]) if guided else rows

    def score(self, condition: Tensor, lengths: Tensor | None, guided: bool, only_masked: bool) -> Score:
        """condition (B,C), lengths (B,) in tokens or None (all of them) -> what `decoding.draw_masked` asks for logits.

        only_masked: finish the last layer for as many tokens as can be masked in a step, not for all.
        """
        branches = 2 if guided else 1
        condition_rows = self.condition_rows(condition, guided)
        if lengths is not None:
            lengths = None if self.config.padding == "released" else (lengths + 1).repeat(branches)

        rows_of_all: list[Tensor] = []  # the same in every step

        def every_row(ids: Tensor) -> Tensor:
            if not rows_of_all:  # no id is -1, so that the rows stand in the order of the tokens
                rows_of_all.append(ops.masked_rows(ids, -1, ids.shape[1], branches))
            return rows_of_all[0]

        def score(ids: Tensor, limit: int) -> tuple[Tensor, Tensor | None]:
            batch, n = ids.shape
            kept = limit if only_masked else n
            rows = ops.masked_rows(ids, self.config.mask_id, kept, branches) if kept < n else every_row(ids)
            logits = self._logits(ids, condition_rows, lengths, rows).view(branches, batch, kept, -1)
            return (logits[0], logits[1]) if guided else (logits[0], None)

        return score

    def _logits(self, ids: Tensor, condition_rows: Tensor, lengths: Tensor | None, rows: Tensor) -> Tensor:
        """-> (len(rows), K)."""
        x, *qkv = ops.embed_tokens(ids, condition_rows, self.table, self.positions).chunk(4, dim=-1)
        length, stats = x.shape[1], None
        attended = attend(*qkv, lengths, self.config.attention_mode, self.config.num_heads)
        x = x.flatten(0, 1)
        for i, (output, feed_forward) in enumerate(zip(self.outputs, self.feed_forwards)):
            if i > 0:
                attended, stats = self.attentions[i - 1](x.unflatten(0, (-1, length)), lengths)
            last = i == len(self.outputs) - 1
            x = feed_forward(output(attended, x, stats, rows if last else None))
        return self.logits(self.dense(x, "gelu")[0])[0]
