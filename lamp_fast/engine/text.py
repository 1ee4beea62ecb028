"""From words to the generator's condition as the engine runs it, and the conditions of prompts seen before."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..models.language_motion import LanguageMotionModel
from ..models.qformer import Attention
from .layers import FeedForward, NormLinear, Precision, ResidualLinear, SelfAttention, attend
from .streams import InTurn


class FusedText:
    """`LanguageMotionModel.condition` with its weights multiplied out; the same function but for rounding.

    The projection of the text into the queries' memory is part of their keys and values, which one launch makes for all
    layers. What the queries are before they first read the text does not depend on it, and is computed here, once.
    Only for `padding="exact"`: pads are never read.
    """

    def __init__(self, model: LanguageMotionModel, precision: Precision):
        config, layers = model.config, model.layers
        self.dtype, self.num_heads, self.num_queries = precision.dtype, config.num_heads, config.num_queries
        self.words, self.positions = model.word_embeddings.weight.detach(), model.position_embeddings.weight.detach()

        self.text_layers = []
        norm = model.embedding_norm
        for layer in layers:
            attention = layer.self_attention
            forward = _feed_forward(attention.norm, layer.text_feed_forward, precision)
            self.text_layers.append((*_self_attention(attention, norm, precision), forward))
            norm = layer.text_feed_forward.norm
        self.memory = NormLinear(norm, *memory_projection(model, model.condition_projection), precision)

        self.query_layers = []
        norm = None
        for layer in layers:
            attention, cross, read = layer.self_attention, layer.cross_attention, None
            own = None if norm is None else _self_attention(attention, norm, precision)
            norm = attention.norm
            if cross is not None:
                query = NormLinear(norm, cross.query.weight, cross.query.bias, precision)
                read = query, ResidualLinear(cross.output, norm, precision)
                norm = cross.norm
            self.query_layers.append((own, read, _feed_forward(norm, layer.query_feed_forward, precision)))
            norm = layer.query_feed_forward.norm
        self.norm = norm
        with torch.no_grad():
            attention, queries = layers[0].self_attention, model.embedding_norm(model.query_tokens)
            self.queries = attention.before_norm(queries, attention.keys_values(queries), None)[0].to(precision.dtype)

    def __call__(self, input_ids: Tensor, lengths: Tensor) -> Tensor:
        """input_ids (B,L) int64, lengths (B,) in word pieces -> condition (B,D) float32."""
        batch, length = input_ids.shape
        x = (self.words[input_ids] + self.positions[:length]).to(self.dtype).flatten(0, 1)
        for attention, output, feed_forward in self.text_layers:
            attended, stats = attention(x.unflatten(0, (batch, length)), lengths)
            x = feed_forward(output(attended, x, stats))
        memory = iter(self.memory(x)[0].unflatten(0, (batch, length)).split(x.shape[1], dim=-1))

        x = self.queries.expand(batch, -1, -1).flatten(0, 1)
        for attention, read, feed_forward in self.query_layers:
            if attention is not None:
                own, output = attention
                attended, stats = own(x.unflatten(0, (batch, self.num_queries)), None)
                x = output(attended, x, stats)
            if read is not None:
                query, output = read
                q, stats = query(x)
                q = q.unflatten(0, (batch, self.num_queries))
                keys, values = next(memory), next(memory)
                attended = attend(q, keys, values, lengths, "full", self.num_heads, padded_queries=False)
                x = output(attended, x, stats)
            x = feed_forward(x)
        return self.norm(x.float()).unflatten(0, (batch, self.num_queries)).mean(1)


class PromptCache:
    """The conditions of the prompts used last, in one table (size, D); safe to use from several threads and streams."""

    def __init__(self, size: int, width: int, device: torch.device):
        self.table = torch.empty(size, width, device=device)
        self._slots: OrderedDict[str, int] = OrderedDict()  # the prompt used longest ago comes first
        self._turn = InTurn(device)

    def get(self, prompts: Sequence[str]) -> Tensor | None:
        """B prompts -> (B,D) float32, or None where one of them is not there."""
        with self._turn:
            if not all(prompt in self._slots for prompt in prompts):
                return None
            for prompt in prompts:
                self._slots.move_to_end(prompt)
            return self.table[self._index([self._slots[prompt] for prompt in prompts])]

    def put(self, prompts: Sequence[str], conditions: Tensor) -> None:
        """Keep the conditions (B,D) of B prompts; of more than fit, the last."""
        rows = {prompt: row for row, prompt in enumerate(prompts)}
        kept = list(rows)[max(0, len(rows) - len(self.table)) :]
        if not kept:
            return
        with self._turn:
            slots = []
            for prompt in kept:
                free = len(self._slots)
                if prompt in self._slots:
                    free = self._slots.pop(prompt)
                elif free == len(self.table):
                    _, free = self._slots.popitem(last=False)
                self._slots[prompt] = free
                slots.append(free)
            self.table[self._index(slots)] = conditions[self._index([rows[prompt] for prompt in kept])]

    def __len__(self) -> int:
        return len(self._slots)

    def _index(self, values: list[int]) -> Tensor:
        return torch.tensor(values).to(self.table.device, non_blocking=True)


def _self_attention(attention: Attention, norm, precision: Precision) -> tuple[SelfAttention, ResidualLinear]:
    parts = (attention.query, attention.key, attention.value)
    weight, bias = (torch.cat([getattr(part, name).detach() for part in parts]) for name in ("weight", "bias"))
    attend = SelfAttention(norm, weight, bias, attention.num_heads, "full", precision)
    return attend, ResidualLinear(attention.output, norm, precision)


def _feed_forward(norm, feed_forward, precision: Precision) -> FeedForward:
    return FeedForward(norm, feed_forward.expand, feed_forward.contract, precision)


def memory_projection(model: LanguageMotionModel, into: nn.Linear) -> tuple[Tensor, Tensor]:
    """Weight and bias of the keys and values of every cross-attention, of what `into` makes the queries' memory of."""
    weights, biases = [], []
    for layer in model.layers:
        if layer.cross_attention is not None:
            for part in (layer.cross_attention.key, layer.cross_attention.value):
                weight, bias = part.weight.detach().float(), part.bias.detach().float()
                weights.append(weight @ into.weight.detach().float())
                biases.append(bias if into.bias is None else weight @ into.bias.detach().float() + bias)
    return torch.cat(weights), torch.cat(biases)
