"""LaMP's language-motion model and its four pretraining tasks (paper §3.2; released `motiongpm_lamp.py`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import LanguageMotionConfig
from ..errors import LampError
from .qformer import KeysValues, QFormerLayer, WordHead

IGNORED = -100
MAX_LOGIT_SCALE = 100.0


@dataclass(frozen=True)
class PretrainingOptions:
    """What our pretraining does differently from the released one; `released()` is the released behaviour.

    temperature: contrastive logits are exp(temp)·cos, the factor at most 100; released: temp·cos.
    hard_negatives: clips that share a text are positives of each other and never negatives; released: only a pair
        itself is positive, and it can even be drawn as its own negative.
    padded_frames: motion tokens beyond the length are neither attended nor predicted; released: they are both.
    generation_memory: motion generation reads the text through the very path of `condition`; released: through the
        embedding layer and a projection of its own.
    matching_pairs: how many pairs of the batch the matching task sees, with two negatives each; None: all (as
        released). That task makes three joint passes for each pair, over half of the whole work.
    """

    temperature: Literal["exp", "released"] = "exp"
    hard_negatives: Literal["exclude_same_text", "released"] = "exclude_same_text"
    padded_frames: Literal["masked", "released"] = "masked"
    generation_memory: Literal["condition", "embeddings"] = "condition"
    label_smoothing: float = 0.1
    matching_pairs: int | None = None

    @classmethod
    def released(cls) -> PretrainingOptions:
        return cls("released", "released", "released", "embeddings")


@dataclass
class LanguageMotionLosses:
    """Scalars; `total` is their sum."""

    contrastive: Tensor
    matching: Tensor
    text_generation: Tensor
    motion_generation: Tensor
    total: Tensor


class LanguageMotionModel(nn.Module):
    """A motion side (learnable queries reading motion tokens) and a text side that share self-attention.

    Inputs, everywhere: latents (B,N,code_dim) float from `MotionTokenizer.encode`; lengths (B,) int64 in tokens, 1..N,
    or None when every token is real; input_ids (B,L) int64 and attention_mask (B,L), 1 = word piece, 0 = pad; pads
    come last.
    """

    def __init__(self, config: LanguageMotionConfig):
        super().__init__()
        if config.hidden_size % config.num_heads:
            raise LampError(
                f"config: hidden_size {config.hidden_size} cannot be split into {config.num_heads} heads; "
                "give a num_heads that divides it"
            )
        self.config = config
        width = config.hidden_size
        self.word_embeddings = nn.Embedding(config.vocab_size, width)
        self.position_embeddings = nn.Embedding(config.max_positions, width)
        self.embedding_norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.query_tokens = nn.Parameter(torch.empty(1, config.num_queries, width))
        self.layers = nn.ModuleList(
            QFormerLayer(config, has_cross_attention=i % config.cross_attention_every == 0)
            for i in range(config.num_layers)
        )
        self.motion_projection = nn.Linear(config.code_dim, config.memory_width, bias=False)
        self.text_projection = nn.Linear(width, config.memory_width, bias=False)
        self.condition_projection = nn.Linear(width, config.memory_width)
        self.text_proj = nn.Linear(width, config.embed_dim)
        self.motion_proj = nn.Linear(width, config.embed_dim)
        self.matching_head = nn.Linear(width, 2)
        self.code_head = nn.Linear(width, config.num_codes, bias=False)
        self.word_head = WordHead(config)
        self.temp = nn.Parameter(torch.tensor(1 / 0.07).log())
        self._initialise()

    def _initialise(self) -> None:
        nn.init.normal_(self.query_tokens, std=0.02)
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Embedding)):
                nn.init.normal_(module.weight, std=0.02)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)
        for projection in (self.motion_projection, self.text_projection, self.condition_projection):
            nn.init.normal_(projection.weight, std=projection.in_features**-0.5)

    @property
    def dec_id(self) -> int:
        """Id of [DEC], which starts a text to be generated: the last one."""
        return self.config.vocab_size - 1

    # The three passes through the shared layers.

    def embed_text(self, input_ids: Tensor, start: int = 0) -> Tensor:
        """(B,L), which stand at position `start` and on -> word and position embeddings, normalised (B,L,D)."""
        stop = start + input_ids.shape[1]
        if stop > self.config.max_positions:
            raise LampError(
                f"the text has {stop} tokens but the model has {self.config.max_positions} positions; shorten it"
            )
        hidden = self.word_embeddings(input_ids) + self.position_embeddings.weight[start:stop]
        return F.dropout(self.embedding_norm(hidden), self.config.dropout, self.training)

    def _embed_queries(self, batch: int) -> Tensor:
        hidden = F.dropout(self.embedding_norm(self.query_tokens), self.config.dropout, self.training)
        return hidden.expand(batch, -1, -1)

    def _run_layers(
        self,
        hidden: Tensor,
        num_queries: int,
        lengths: Tensor | None = None,
        memory: Tensor | None = None,
        memory_lengths: Tensor | None = None,
        prefix: list[KeysValues] | None = None,
    ) -> tuple[Tensor, list[KeysValues]]:
        cache = []
        for i, layer in enumerate(self.layers):
            hidden, keys_values = layer(
                hidden, num_queries, lengths, memory, memory_lengths, prefix[i] if prefix else None
            )
            cache.append(keys_values)
        return hidden, cache

    def encode_text(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Text alone; pads are not attended. -> (B,L,D)."""
        return self._run_layers(self.embed_text(input_ids), 0, _num_words(attention_mask))[0]

    def query_memory(self, memory: Tensor, memory_lengths: Tensor | None) -> tuple[Tensor, list[KeysValues]]:
        """Queries alone, reading the first memory_lengths (B,) rows of memory (B,M,memory_width) (None: all).

        Returns query_hidden (B,Q,D) and, for each layer, the keys and values of the queries, which a text can attend.
        """
        queries = self._embed_queries(memory.shape[0])
        return self._run_layers(queries, self.config.num_queries, None, memory, memory_lengths)

    def encode_motion(self, latents: Tensor, lengths: Tensor | None) -> Tensor:
        """Queries reading the motion. -> (B,Q,D)."""
        return self._query_motion(latents, lengths)[0]

    def _query_motion(self, latents: Tensor, lengths: Tensor | None) -> tuple[Tensor, list[KeysValues]]:
        return self.query_memory(self.motion_projection(latents), lengths)

    def encode_pair(self, latents: Tensor, lengths: Tensor | None, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Queries and text attending to each other, the queries also reading the motion. -> queries (B,Q,D)."""
        num_queries = self.config.num_queries
        hidden = torch.cat([self._embed_queries(len(latents)), self.embed_text(input_ids)], 1)
        attended = num_queries + _num_words(attention_mask)
        hidden, _ = self._run_layers(hidden, num_queries, attended, self.motion_projection(latents), lengths)
        return hidden[:, :num_queries]

    # What the model is asked for.

    def project_text(self, text_hidden: Tensor) -> Tensor:
        """(B,L,D) -> unit vectors (B,E), of the first token."""
        return F.normalize(self.text_proj(text_hidden[:, 0]), dim=-1)

    def project_motion(self, query_hidden: Tensor) -> Tensor:
        """(B,Q,D) -> unit vectors (B,Q,E), one for every query."""
        return F.normalize(self.motion_proj(query_hidden), dim=-1)

    def text_embedding(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """-> unit vectors (B,E)."""
        return self.project_text(self.encode_text(input_ids, attention_mask))

    def motion_features(self, latents: Tensor, lengths: Tensor | None) -> Tensor:
        """-> unit vectors (B,Q,E), one for every query."""
        return self.project_motion(self.encode_motion(latents, lengths))

    def motion_embedding(self, latents: Tensor, lengths: Tensor | None) -> Tensor:
        """-> unit vectors (B,E): the mean of `motion_features`, normalised."""
        return F.normalize(self.motion_features(latents, lengths).mean(1), dim=-1)

    def condition(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """The generator's condition: the queries read the text, and their mean is taken. -> (B,D).

        With config.padding "exact" the result does not depend on padding. With "released" the queries read pads too:
        give ids padded to config.max_text_tokens, as the released model does.
        """
        text_hidden = self.encode_text(input_ids, attention_mask)
        return self._query_text(text_hidden, attention_mask).mean(1)

    def _query_text(self, text_hidden: Tensor, attention_mask: Tensor) -> Tensor:
        memory_lengths = _num_words(attention_mask) if self.config.padding == "exact" else None
        return self.query_memory(self.condition_projection(text_hidden), memory_lengths)[0]

    def matching_logits(
        self, latents: Tensor, lengths: Tensor | None, input_ids: Tensor, attention_mask: Tensor
    ) -> Tensor:
        """-> (B,2): class 1 says that motion and text belong together."""
        return self.matching_head(self.encode_pair(latents, lengths, input_ids, attention_mask)).mean(1)

    def word_logits(self, input_ids: Tensor, attention_mask: Tensor, queries: list[KeysValues]) -> Tensor:
        """Next-word scores (B,L,V) of a text that starts with [DEC]. Every word attends to the queries, whose keys and
        values `query_memory` returned, and to the words up to itself."""
        attended = self.config.num_queries + _num_words(attention_mask)
        hidden, _ = self._run_layers(self.embed_text(input_ids), 0, attended, prefix=queries)
        return self.word_head(hidden, self.word_embeddings.weight)

    def next_word_logits(self, words: Tensor, past: list[KeysValues]) -> tuple[Tensor, list[KeysValues]]:
        """words (B,) int64, said next after `past`: what `query_memory` returned, grown by every word since [DEC].

        -> scores (B,V) of the word that follows, and the new past.
        """
        said = past[0][0].shape[2] - self.config.num_queries
        hidden, past = self._run_layers(self.embed_text(words[:, None], said), 0, prefix=past)
        return self.word_head(hidden[:, 0], self.word_embeddings.weight), past

    # Pretraining.

    def contrastive_logits(
        self, motion_features: Tensor, text_embedding: Tensor, options: PretrainingOptions = PretrainingOptions()
    ) -> Tensor:
        """(B,Q,E), (B',E) -> (B,B'): scaled cosine of text and the query that fits best.

        In the parameters' precision, also under autocast: bfloat16 would err by 0.1 at a scale of 100.
        """
        features, text = motion_features.to(self.temp.dtype), text_embedding.to(self.temp.dtype)
        with torch.autocast(features.device.type, enabled=False):
            cosine = torch.einsum("iqe,je->ijq", features, text).amax(-1)
        scale = self.temp.exp().clamp(max=MAX_LOGIT_SCALE) if options.temperature == "exp" else self.temp
        return scale * cosine

    def forward(
        self,
        latents: Tensor,
        codes: Tensor,
        lengths: Tensor | None,
        input_ids: Tensor,
        attention_mask: Tensor,
        text_ids: Tensor | None = None,
        *,
        options: PretrainingOptions = PretrainingOptions(),
        neg_motion_idx: Tensor | None = None,
        neg_text_idx: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> LanguageMotionLosses:
        """Losses of B pairs of motion and text.

        codes (B,N) int64, N <= Q: the motion's tokens. text_ids (B,) int64: equal where two texts are the same (None:
        all differ). neg_motion_idx, neg_text_idx (B,) int64: the negatives of matching; else they are drawn with
        `generator` (of the model's device), harder ones more often. Raises LampError when N > Q.
        """
        if codes.shape[1] > self.config.num_queries:
            raise LampError(
                f"the motion has {codes.shape[1]} tokens but the model predicts {self.config.num_queries}; cut it"
            )
        if options.padded_frames == "released":
            lengths = None
        query_hidden, query_cache = self._query_motion(latents, lengths)
        text_hidden = self.encode_text(input_ids, attention_mask)
        logits = self.contrastive_logits(self.project_motion(query_hidden), self.project_text(text_hidden), options)
        same_text = _same_text(logits, text_ids if options.hard_negatives == "exclude_same_text" else None)
        contrastive = _contrastive_loss(logits, same_text, options.label_smoothing)

        allowed = ~same_text if options.hard_negatives == "exclude_same_text" else torch.ones_like(same_text)
        if neg_motion_idx is None:
            neg_motion_idx = draw_negatives(logits.detach().T, allowed, generator)
        if neg_text_idx is None:
            neg_text_idx = draw_negatives(logits.detach(), allowed, generator)
        some = slice(options.matching_pairs)
        negatives = neg_motion_idx[some], neg_text_idx[some], allowed.any(1)[some]
        matching = self._matching_loss(latents, lengths, input_ids, attention_mask, *negatives)
        text_generation = self._text_generation_loss(input_ids, attention_mask, query_cache, options)
        motion_generation = self._motion_generation_loss(
            codes, lengths, input_ids, attention_mask, text_hidden, options
        )
        total = contrastive + matching + text_generation + motion_generation
        return LanguageMotionLosses(contrastive, matching, text_generation, motion_generation, total)

    def _matching_loss(
        self, latents, lengths, input_ids, attention_mask, neg_motion_idx, neg_text_idx, has_negative
    ) -> Tensor:
        """Every pair, every text with a wrong motion, every motion with a wrong text (where the sample has one)."""
        own = torch.arange(len(has_negative), device=latents.device)
        motion, text = torch.cat([own, neg_motion_idx, own]), torch.cat([own, own, neg_text_idx])
        lengths = None if lengths is None else lengths[motion]
        logits = self.matching_logits(latents[motion], lengths, input_ids[text], attention_mask[text])
        labels = torch.cat([torch.ones_like(own), torch.zeros_like(own), torch.zeros_like(own)])
        counted = torch.cat([torch.ones_like(has_negative), has_negative, has_negative])
        return F.cross_entropy(logits, labels, reduction="none").mul(counted).sum() / counted.sum()

    def _text_generation_loss(self, input_ids, attention_mask, query_cache, options) -> Tensor:
        inputs, targets = self._with_dec(input_ids)[:, :-1], input_ids[:, 1:]
        logits = self.word_logits(inputs, attention_mask[:, :-1], query_cache)
        targets = targets.masked_fill(attention_mask[:, 1:] == 0, IGNORED)
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), label_smoothing=options.label_smoothing)

    def _motion_generation_loss(self, codes, lengths, input_ids, attention_mask, text_hidden, options) -> Tensor:
        if options.generation_memory == "condition":
            query_hidden = self._query_text(text_hidden, attention_mask)
        else:
            memory = self.text_projection(self.embed_text(self._with_dec(input_ids)))
            query_hidden, _ = self.query_memory(memory, _num_words(attention_mask))
        logits = self.code_head(query_hidden[:, : codes.shape[1]])
        if lengths is not None:
            beyond = torch.arange(codes.shape[1], device=codes.device) >= lengths[:, None]
            codes = codes.masked_fill(beyond, IGNORED)
        return F.cross_entropy(logits.flatten(0, 1), codes.flatten(), label_smoothing=options.label_smoothing)

    def _with_dec(self, input_ids: Tensor) -> Tensor:
        return torch.cat([torch.full_like(input_ids[:, :1], self.dec_id), input_ids[:, 1:]], 1)


def _num_words(attention_mask: Tensor) -> Tensor:
    """(B,L), non-zero = word piece -> (B,) int64."""
    return (attention_mask != 0).sum(1)


def _same_text(logits: Tensor, text_ids: Tensor | None) -> Tensor:
    if text_ids is None:
        text_ids = torch.arange(len(logits), device=logits.device)
    return text_ids[:, None] == text_ids


def _contrastive_loss(logits: Tensor, same_text: Tensor, label_smoothing: float) -> Tensor:
    targets = same_text.to(logits.dtype) / same_text.sum(1, keepdim=True)
    motion_to_text = F.cross_entropy(logits, targets, label_smoothing=label_smoothing)
    text_to_motion = F.cross_entropy(logits.T, targets, label_smoothing=label_smoothing)
    return (motion_to_text + text_to_motion) / 2


def draw_negatives(logits: Tensor, allowed: Tensor, generator: torch.Generator | None) -> Tensor:
    """For every row a column, with probability softmax(logits) among the allowed ones (0 where none is): Gumbel-max,
    which neither underflows nor waits for the host."""
    gumbel = -torch.empty_like(logits).exponential_(generator=generator).log()
    return (logits + gumbel).masked_fill(~allowed, -torch.inf).argmax(1)
