"""Motions found by words or by a motion, and words found for a motion."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ..backend import find_device
from ..checkpoints.folder import load_lamp
from ..config import FRAMES_PER_TOKEN
from ..errors import LampError
from ..models.lamp import Lamp
from ..motion.features import features_to_joints
from ..pipelines.motion import Motion, read_features
from .nearest import Approximate, Exact, Hits, Method, Neighbours, best_of_queries, neighbours_file
from .store import Contents, Store, Window
from .update import Update, update

BATCH = 64
FLOAT16 = float(np.finfo(np.float16).max)
# What a unit of the matching head's log-odds counts beside the cosine: on the validation split of lamp-mini's data the
# largest round number that makes nothing worse (docs/retrieval.md).
MATCHING_WEIGHT = 0.01
SURE = 1e-6


@dataclass(frozen=True)
class Match:
    """A clip that was found, and where in it.

    clip: its file below the indexed folder, "file#name" where a file holds several, or its name in a data set. start,
    seconds: the window that fits best. score: cosine of query and window, -1 to 1. matching: what the matching head
    says, 0 to 1, where it was asked. texts: what is known about the clip.
    """

    clip: str
    start: float
    seconds: float
    score: float
    texts: tuple[str, ...]
    matching: float | None = None


@dataclass(frozen=True)
class TextMatch:
    """A text that was found for a motion; start and seconds: the window of the motion that fits it best."""

    text: str
    start: float
    seconds: float
    score: float
    matching: float | None = None


class MotionRetriever:
    """The retrieval side of a model.

    A motion of more tokens than the model reads at once is cut into windows that overlap by half, and counts by its
    best one. Motion and text are compared by the cosine of their embeddings, a motion's being the mean over the
    queries. Raises `LampError` for a model that reads no motions.
    """

    def __init__(self, lamp: Lamp, name: str = "a model"):
        lamp.require("reads_motion")
        self.lamp = lamp.eval()
        self.about = {
            "name": name,
            "model": _hash(lamp),
            "embed_dim": str(lamp.config.language_motion.embed_dim),
            "code_dim": str(lamp.config.language_motion.code_dim),
        }

    @classmethod
    def from_pretrained(cls, name_or_folder: str | os.PathLike = "lamp-mini", device: str = "auto") -> MotionRetriever:
        """Load a model; arguments and errors as for `LampPipeline.from_pretrained`."""
        return cls(load_lamp(name_or_folder, find_device(device)), Path(name_or_folder).name)

    # Embeddings.

    @torch.inference_mode()
    def embed_texts(self, texts: Sequence[str], truncate: bool = False) -> np.ndarray:
        """B texts -> (B, E) float32, unit. Raises `LampError` as `TextTokenizer`."""
        ids, mask = self._words(texts, truncate)
        model = self.lamp.language_motion
        parts = zip(ids.split(BATCH), mask.split(BATCH), strict=True)
        return torch.cat([model.text_embedding(*part) for part in parts]).cpu().numpy()

    def embed_motion(self, motion: Motion) -> np.ndarray:
        """A motion, as `read_features` takes it -> (W, E) float32, unit: of every window. Raises as `encode`."""
        return np.stack([window.embedding for window in self.encode([motion])[0]])

    @torch.inference_mode()
    def encode(self, motions: Sequence[Motion]) -> list[list[Window]]:
        """The windows of each motion, as `read_features` takes it.

        Raises `LampError` as `read_features`, and for values so large that nothing can be said.
        """
        cut = [self._cut(read_features(motion, self.lamp)) for motion in motions]
        parts = [part for windows in cut for part in windows]
        encoded = iter([window for i in range(0, len(parts), BATCH) for window in self._encode(parts[i : i + BATCH])])
        return [[next(encoded) for _ in windows] for windows in cut]

    def _cut(self, features: Tensor) -> list[tuple[int, Tensor]]:
        """Windows that overlap by half, the last one at the end: (first token, features)."""
        size, tokens = self.lamp.max_tokens, len(features) // FRAMES_PER_TOKEN
        last = max(tokens - size, 0)
        starts = sorted({*range(0, last, max(size // 2, 1)), last})
        ends = (min(start + size, tokens) for start in starts)
        return [(a, features[FRAMES_PER_TOKEN * a : FRAMES_PER_TOKEN * b]) for a, b in zip(starts, ends, strict=True)]

    def _encode(self, parts: list[tuple[int, Tensor]]) -> list[Window]:
        lamp = self.lamp
        latents, lengths = lamp.read_motions([features for _, features in parts])
        embeddings = lamp.language_motion.motion_embedding(latents, lengths).cpu().numpy()
        if not np.isfinite(embeddings).all():
            raise LampError("a motion has values so large that the model cannot read it; is it in metres?")
        latents = latents.clamp(-FLOAT16, FLOAT16).half().cpu().numpy()
        windows = []
        for i, (start, features) in enumerate(parts):
            tokens = len(features) // FRAMES_PER_TOKEN
            read = latents[i] if lengths is None else latents[i, :tokens]
            codes = lamp.encode(features[None])[0].cpu().numpy().astype(np.uint16)
            windows.append(Window(start, tokens, embeddings[i], read, codes))
        return windows

    def _words(self, texts: Sequence[str], truncate: bool = False) -> tuple[Tensor, Tensor]:
        config = self.lamp.config.language_motion
        longest = min(config.max_pretraining_text_tokens, config.max_positions)
        ids, mask = self.lamp.text_tokenizer(texts, longest, truncate=truncate)
        return ids.to(self.lamp.device), mask.to(self.lamp.device)

    # Indexes.

    def update(
        self,
        folder: str | os.PathLike,
        index: str | os.PathLike,
        *,
        split: str | None = None,
        method: Method = "exact",
        progress: Callable[[int, int], None] | None = None,
    ) -> Update:
        """Bring an index on disk to what a folder holds now; it is made where there is none.

        Files that did not change are not encoded again, those that are gone leave. What was done before a kill stays
        done. A file that cannot be read is named in the result and left out.

        Args:
            folder: motion files (.bvh, .glb, .amc, .npz, .npy) at any depth, or a data set. index: a folder.
            split: of a data set; None: all.
            method: "exact", or with faiss "ivf" or "hnsw", which search faster than exactly and may miss some.
            progress: called with the number of sources that were looked at, and of all.

        Raises:
            LampError: no such folder, nothing in it that can be read, an index of another model or folder.
        """
        return update(self, folder, index, split=split, method=method, progress=progress)

    def open(self, index: str | os.PathLike) -> MotionIndex:
        """An index on disk, ready to be searched. Raises `LampError` for none, a damaged one or another model's."""
        return MotionIndex(self, index)

    # The matching head.

    @torch.inference_mode()
    def matching(self, latents: list[Tensor], texts: Sequence[str]) -> np.ndarray:
        """Windows (N, code_dim) and as many texts -> (B,) float32, 0 to 1: whether they belong together."""
        ids, mask = self._words(texts, truncate=True)
        found = []
        for start in range(0, len(latents), BATCH):
            part = slice(start, start + BATCH)
            lengths = torch.tensor([len(x) for x in latents[part]], device=self.lamp.device)
            padded = pad_sequence(latents[part], batch_first=True).to(self.lamp.device)
            logits = self.lamp.language_motion.matching_logits(padded, lengths, ids[part], mask[part])
            found.append(logits.softmax(-1)[:, 1])
        return torch.cat(found).cpu().numpy()


class MotionIndex:
    """An index that is searched; it stays as it was opened while the one on disk changes."""

    def __init__(self, retriever: MotionRetriever, folder: str | os.PathLike):
        self.retriever, self.folder = retriever, Path(folder)
        with Store(folder, retriever.about) as store:
            self.contents: Contents = store.read()
        self.method: Method = self.contents.about.get("method", "exact")
        self._neighbours = self._open_neighbours(self.folder / neighbours_file(self.contents.about["generation"]))

    def _open_neighbours(self, file: Path) -> Neighbours:
        # An update that was cut leaves no file for what it changed: then the search is exact.
        if self.method == "exact" or not file.is_file():
            return Exact(self.contents.embeddings, self.contents.owners)
        return Approximate.load(file, self.contents.owners)

    def __len__(self) -> int:
        """Clips."""
        return len(self.contents.clips)

    def search(self, query: str | Motion, k: int = 10, rerank: int = 0) -> list[Match]:
        """Clips for words, or like a motion; the best first, at most k.

        query: a string is words; of a motion file give the `Path`, other motions as `read_features` takes them.
        rerank: of words, so many of the first are judged by the matching head, too, whose log-odds are added. Raises
        `LampError` for words or a motion that the model cannot read, and for k or rerank out of range.
        """
        _check_count(k, rerank)
        if isinstance(query, str):
            queries = self.retriever.embed_texts([query])
        elif rerank:
            raise LampError(
                "the matching head compares a motion with a text; leave rerank out when searching by motion"
            )
        else:
            queries = self.retriever.embed_motion(query)
        hits = self.nearest(queries, max(k, rerank))
        matches = [self._match(row, owner, score) for row, owner, score in _rows(hits)]
        if rerank:
            latents = [self._motion(row)[0] for row in hits.rows[:rerank]]
            judged = self.retriever.matching(latents, [query] * len(latents)) if latents else ()
            matches = _reorder(matches, judged)
        return matches[:k]

    def nearest(self, queries: np.ndarray, k: int) -> Hits:
        """queries (M, E) float32, unit -> the clips whose windows are nearest to any of them."""
        if not len(self):
            return Hits(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))
        return best_of_queries(self._neighbours, np.asarray(queries, np.float32), k)

    def texts(
        self, motion: Motion, k: int = 10, rerank: int = 0, candidates: Sequence[str] | None = None
    ) -> list[TextMatch]:
        """Texts that say what a motion is; the best first, at most k.

        candidates: the texts to choose from; None: every text that a clip of the index has. Raises as `search`.
        """
        _check_count(k, rerank)
        retriever, contents = self.retriever, self.contents
        texts, embeddings = contents.texts, contents.text_embeddings
        if candidates is not None:
            texts, embeddings = list(candidates), retriever.embed_texts(candidates, truncate=True)
        if not texts:
            raise LampError(f"no clip in {self.folder} has a text; give texts to choose from")
        windows = retriever.encode([motion])[0]
        scores = embeddings @ np.stack([window.embedding for window in windows]).T
        best = scores.max(1)
        order = np.argsort(-best, kind="stable")[: max(k, rerank)]
        fitting = [windows[i] for i in scores[order].argmax(1)]
        matches = [
            TextMatch(texts[i], *self._seconds(window.start, window.tokens), float(best[i]))
            for i, window in zip(order, fitting, strict=True)
        ]
        if rerank:
            latents = [torch.from_numpy(window.latents.astype(np.float32)) for window in fitting[:rerank]]
            matches = _reorder(matches, retriever.matching(latents, [match.text for match in matches[:rerank]]))
        return matches[:k]

    @torch.inference_mode()
    def preview(self, match: Match) -> np.ndarray:
        """Joints (T, J, 3) in metres of the window that was found, as the tokenizer gives it back."""
        contents, lamp = self.contents, self.retriever.lamp
        owned = np.flatnonzero(contents.owners == contents.clips.index(match.clip))
        starts = contents.starts[owned] * lamp.seconds_per_token
        _, codes = self._motion(owned[np.abs(starts - match.start).argmin()])
        features = lamp.decode(codes[None].to(lamp.device))[0].cpu().numpy()
        return features_to_joints(features, lamp.skeleton)

    def _match(self, row: int, owner: int, score: float) -> Match:
        contents = self.contents
        span = self._seconds(contents.starts[row], contents.tokens[row])
        return Match(contents.clips[owner], *span, score, contents.clip_texts[owner])

    def _seconds(self, start: int, tokens: int) -> tuple[float, float]:
        each = self.retriever.lamp.seconds_per_token
        return round(float(start) * each, 6), round(float(tokens) * each, 6)

    def _motion(self, row: int) -> tuple[Tensor, Tensor]:
        """latents (N, code_dim) and codes (N,) of one window, read from the disk."""
        with Store(self.folder, self.retriever.about) as store:
            latents, codes = store.motion(int(self.contents.ids[row]))
        return torch.from_numpy(latents), torch.from_numpy(codes)


def _rows(hits: Hits) -> zip:
    return zip(hits.rows.tolist(), hits.owners.tolist(), hits.scores.tolist(), strict=True)


def _reorder(matches: list, judged: np.ndarray) -> list:
    """The first ones by their score and what the matching head says, the others behind them."""
    judged = np.clip(np.asarray(judged, np.float64), SURE, 1 - SURE)
    scores = np.array([match.score for match in matches[: len(judged)]])
    order = np.argsort(-(scores + MATCHING_WEIGHT * np.log(judged / (1 - judged))), kind="stable")
    first = [type(matches[i])(**{**vars(matches[i]), "matching": float(judged[i])}) for i in order]
    return first + matches[len(first) :]


def _check_count(k: int, rerank: int) -> None:
    if k < 1:
        raise LampError(f"{k} results were asked for, expected at least 1")
    if rerank < 0:
        raise LampError(f"rerank is {rerank}, expected 0 or the number of results to judge again")


def _hash(lamp: Lamp) -> str:
    """Of everything that makes an embedding: weights, words, statistics, sizes."""
    told = hashlib.blake2b(digest_size=8)
    config = lamp.config
    settings = config.language_motion, config.tokenizer, config.motion_encoder, config.dataset, lamp.max_tokens
    told.update(repr((settings, lamp.text_tokenizer.pieces)).encode())
    used = ("mean", "std", "tokenizer.", "motion_encoder.", "language_motion.")
    for name, tensor in sorted(lamp.state_dict().items()):
        if not name.startswith(used):
            continue
        told.update(name.encode())
        told.update(tensor.detach().cpu().contiguous().float().numpy())
    return told.hexdigest()
