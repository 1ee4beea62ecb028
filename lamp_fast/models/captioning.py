"""Words one after another: beam search, the likeliest word, or sampling, over any model that scores the next word."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from .. import ops
from ..errors import LampError
from ..kernels.decode_step import gumbel
from .language_motion import LanguageMotionModel
from .seeding import row_samples, row_seeds
from .text import DEC, PAD, START, UNKNOWN, TextTokenizer

# Motion tokens count the steps of the same noise from 0: a caption never shares a number with them.
FIRST_STEP = 2**16


class NextWord(Protocol):
    """Scores of the word that follows, over what R rows have said so far."""

    def start(self, width: int) -> Tensor:
        """-> scores (B,V) of each sample's first word; from now on a sample has `width` rows, R = B * width."""

    def step(self, words: Tensor, rows: Tensor | None = None) -> Tensor:
        """words (R,) int64 are said -> scores (R,V) of the next. rows (R,) int64: whose past each row takes over."""


@dataclass(frozen=True)
class CaptionOptions:
    """How words are chosen.

    num_beams: texts kept in parallel; 1 takes the likeliest word at every step. length_penalty: a text's score is the
    sum of its log-probabilities divided by its number of words to this power; above 1 favours longer texts.
    sample: draw each word instead, among the likeliest that share top_p of the probability; num_beams is then unused.

    Raises LampError for a number out of its range.
    """

    num_beams: int = 5
    length_penalty: float = 1.0
    sample: bool = False
    temperature: float = 1.0
    top_p: float = 0.9

    def __post_init__(self) -> None:
        beams = self.num_beams
        whole = isinstance(beams, int) and not isinstance(beams, bool)
        _check("num_beams", beams, whole and 1 <= beams <= 64, "a whole number from 1 to 64")
        _check("length_penalty", self.length_penalty, _finite(self.length_penalty), "a finite number")
        _check("temperature", self.temperature, _finite(self.temperature) and self.temperature > 0, "above 0")
        _check("top_p", self.top_p, _finite(self.top_p) and 0 < self.top_p <= 1, "above 0 and at most 1")


def _finite(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _check(name: str, value: object, fits: bool, expected: str) -> None:
    if not fits:
        raise LampError(f"caption: {name} is {value!r}, expected {expected}")


DEFAULT_OPTIONS = CaptionOptions()


class CaptionWriter(Protocol):
    """A model that puts motions into words: LaMP's own head or a language model.

    end_id: the word that ends a text. never (V,) bool: words that no text holds. max_words: with the end.
    """

    end_id: int
    never: Tensor | None
    max_words: int

    def read(self, latents: Tensor, lengths: Tensor | None) -> NextWord:
        """latents (B,N,code_dim) of `MotionTokenizer.encode`, lengths (B,) in tokens or None: all."""

    def decode(self, ids: Tensor) -> list[str]:
        """ids (B,L) int64 -> B texts, each up to its end."""


class LampWriter:
    """LaMP's text generation, the third task of its pretraining: always there."""

    def __init__(self, model: LanguageMotionModel, text_tokenizer: TextTokenizer):
        self.model, self.text_tokenizer = model, text_tokenizer
        self.end_id = text_tokenizer.end_id
        self.max_words = min(model.config.max_pretraining_text_tokens, model.config.max_positions) - 1
        special = {START, UNKNOWN, PAD, DEC}
        self.never = torch.tensor([piece in special for piece in text_tokenizer.pieces], device=model.temp.device)

    def read(self, latents: Tensor, lengths: Tensor | None) -> NextWord:
        return _QueriesThenWords(self.model, latents, lengths)

    def decode(self, ids: Tensor) -> list[str]:
        return self.text_tokenizer.decode(ids)


class _QueriesThenWords:
    """The queries of a motion, then the words said, as keys and values of every layer."""

    def __init__(self, model: LanguageMotionModel, latents: Tensor, lengths: Tensor | None):
        self.model = model
        _, self.past = model.query_memory(model.motion_projection(latents), lengths)

    def start(self, width: int) -> Tensor:
        keys = self.past[0][0]
        scores = self.step(torch.full((len(keys),), self.model.dec_id, device=keys.device))
        self.past = [(k.repeat_interleave(width, 0), v.repeat_interleave(width, 0)) for k, v in self.past]
        return scores

    def step(self, words: Tensor, rows: Tensor | None = None) -> Tensor:
        if rows is not None:
            self.past = [(k[rows], v[rows]) for k, v in self.past]
        scores, self.past = self.model.next_word_logits(words, self.past)
        return scores


@torch.no_grad()
def write_captions(
    writer: CaptionWriter,
    latents: Tensor,
    lengths: Tensor | None,
    options: CaptionOptions = DEFAULT_OPTIONS,
    *,
    seed: int | Tensor = 0,
    samples: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """-> ids (B,L) int64 with L <= writer.max_words, the end and nothing else after a text; scores (B,) float32.

    The score is the mean log-probability of the words, the end included (sum / words^length_penalty for beams). No text
    is empty. seed, samples: as `decoding.generate` takes them; equal (seed, sample) and motion give equal texts in any
    batch. The host waits once a step, to see whether all texts have ended.
    Raises LampError for more beams than half of the vocabulary.
    """
    end, max_words, never = writer.end_id, writer.max_words, writer.never
    width = 1 if options.sample else options.num_beams
    words = writer.read(latents, lengths)
    scores = words.start(width)
    if width > 1:
        return _beam_search(words, scores, end, max_words, options, never)
    choose = _sampler(scores, options, seed, samples) if options.sample else lambda log_probs, _: log_probs.argmax(-1)
    return _one_by_one(words, scores, end, max_words, choose, never)


def _log_probs(scores: Tensor, never: Tensor | None, end: int, step: int) -> Tensor:
    log_probs = scores.float().log_softmax(-1)
    if never is not None:
        log_probs = log_probs.masked_fill(never, -torch.inf)
    if step == 0:
        log_probs[:, end] = -torch.inf
    return log_probs


def _one_by_one(
    words: NextWord,
    scores: Tensor,
    end: int,
    max_words: int,
    choose: Callable[[Tensor, int], Tensor],
    never: Tensor | None,
) -> tuple[Tensor, Tensor]:
    ended = torch.zeros(len(scores), dtype=torch.bool, device=scores.device)
    total, count, said = torch.zeros(len(scores), device=scores.device), torch.zeros_like(ended, dtype=torch.long), []
    for step in range(max_words):
        log_probs = _log_probs(scores, never, end, step)
        word = choose(log_probs, step)
        total += log_probs.gather(1, word[:, None])[:, 0].masked_fill(ended, 0)
        count += ~ended
        said.append(word.masked_fill(ended, end))
        ended = ended | (word == end)
        if step + 1 == max_words or ended.all():
            break
        scores = words.step(said[-1])
    return torch.stack(said, 1), total / count


def _sampler(
    scores: Tensor, options: CaptionOptions, seed: int | Tensor, samples: Tensor | None
) -> Callable[[Tensor, int], Tensor]:
    """Gumbel-max over the likeliest words, with noise that is a function of (seed, sample, step, word)."""
    batch, vocabulary = scores.shape
    seeds = row_seeds(seed, batch, scores.device)
    samples = row_samples(samples, batch, scores.device)

    def choose(log_probs: Tensor, step: int) -> Tensor:
        log_probs = (log_probs / options.temperature).log_softmax(-1)
        ordered, order = log_probs.sort(descending=True)
        before = ordered.exp().cumsum(-1) - ordered.exp()
        unlikely = torch.zeros_like(log_probs, dtype=torch.bool).scatter(1, order, before >= options.top_p)
        uniform = ops.philox_uniform(seeds, samples, FIRST_STEP + step, 1, vocabulary)[:, 0]
        return log_probs.masked_fill(unlikely, -torch.inf).add(gumbel(uniform)).argmax(-1)

    return choose


def _beam_search(
    words: NextWord, scores: Tensor, end: int, max_words: int, options: CaptionOptions, never: Tensor | None
) -> tuple[Tensor, Tensor]:
    """W texts of every sample go on, W finished ones are kept, as in transformers' beam search without early stopping.

    Twice as many continuations as beams are looked at, so that W go on even if W of them end. A sample is done when its
    worst finished text is at least as good as the best that goes on.
    """
    width, power = options.num_beams, options.length_penalty
    batch, vocabulary = scores.shape
    if 2 * width > vocabulary:
        raise LampError(f"caption: num_beams is {width}, expected at most {vocabulary // 2}, half of the vocabulary")
    device = scores.device
    first_rows = torch.arange(batch, device=device)[:, None] * width
    among_best = torch.arange(2 * width, device=device) < width
    ids = torch.full((batch, width, max_words), end, device=device)
    sums = torch.full((batch, width), -torch.inf, device=device)
    sums[:, 0] = 0
    kept, kept_scores = ids.clone(), torch.full((batch, width), -torch.inf, device=device)
    done = torch.zeros(batch, dtype=torch.bool, device=device)
    scores = scores.repeat_interleave(width, 0)
    for step in range(max_words):
        log_probs = _log_probs(scores, never, end, step).view(batch, width, vocabulary)
        best, flat = (sums[..., None] + log_probs).flatten(1).topk(2 * width)
        beam, word = flat // vocabulary, flat % vocabulary
        texts = _take(ids, beam)
        texts[..., step] = word
        ended, length = word == end, (step + 1) ** power

        finished = (best / length).masked_fill(~(ended & among_best) | done[:, None], -torch.inf)
        kept_scores, kept = _best_of(kept_scores, kept, finished, texts)
        sums, going_on = best.masked_fill(ended, -torch.inf).topk(width)
        ids = _take(texts, going_on)
        done = done | (kept_scores[:, -1] >= sums[:, 0] / length)
        if step + 1 == max_words or done.all():
            break
        rows = first_rows + beam.gather(1, going_on)
        scores = words.step(ids[..., step].flatten(), rows.flatten())
    unfinished = (sums / length).masked_fill(done[:, None], -torch.inf)
    kept_scores, kept = _best_of(kept_scores, kept, unfinished, ids)
    return kept[:, 0, : step + 1], kept_scores[:, 0]


def _take(texts: Tensor, which: Tensor) -> Tensor:
    """texts (B,W,L), which (B,M) int64 -> (B,M,L)."""
    return texts.gather(1, which[..., None].expand(-1, -1, texts.shape[-1]))


def _best_of(scores: Tensor, texts: Tensor, more_scores: Tensor, more_texts: Tensor) -> tuple[Tensor, Tensor]:
    """The W best of W and M scored texts, best first."""
    best, which = torch.cat([scores, more_scores], 1).topk(scores.shape[1])
    return best, _take(torch.cat([texts, more_texts], 1), which)
