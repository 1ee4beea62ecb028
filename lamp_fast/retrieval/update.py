"""An index brought to what its folder holds."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import LampError
from .nearest import METHODS, Approximate, Method, neighbours_file
from .sources import Source, SourceClip, find_sources, printable
from .store import KnownClip, Store, Window, shown

if TYPE_CHECKING:
    from .retriever import MotionRetriever

FRAMES_AT_ONCE = 4_000
"""Features that wait to be encoded and committed together: some seconds of work, which is what a kill can cost."""


@dataclass
class Update:
    """What an update did. encoded, unchanged, removed: clips; refused: a sentence for each file that was left out."""

    encoded: int = 0
    unchanged: int = 0
    removed: int = 0
    clips: int = 0
    refused: list[str] = field(default_factory=list)


def update(
    retriever: MotionRetriever,
    folder: str | os.PathLike,
    index: str | os.PathLike,
    *,
    split: str | None,
    method: Method,
    progress: Callable[[int, int], None] | None,
) -> Update:
    """See `MotionRetriever.update`."""
    if method not in METHODS:
        raise LampError(f"the method is {method!r}, expected one of {', '.join(METHODS)}")
    if method != "exact":
        import faiss  # noqa: F401  (missing, it is better missed before the work than after)
    sources = find_sources(folder, split, skip=Path(index))
    if not sources:
        raise LampError(f"{folder} holds no motion files; give a folder with .bvh, .glb, .amc, .npz or .npy files")
    with Store(index, retriever.about, create=True) as store:
        _check_folder(store, Path(folder))
        writer = _Writer(retriever, store)
        writer.leave(store.source_keys - {source.key for source in sources})
        stamps = store.sources
        for i, source in enumerate(sources):
            if progress:
                progress(i, len(sources))
            if stamps.get(source.key) == source.stamp:
                writer.done.unchanged += len(store.clips_of(source.key))
            else:
                writer.read(source)
        writer.flush()
        if progress:
            progress(len(sources), len(sources))
        _embed_texts(retriever, store, writer.done)
        writer.done.clips = store.count()
        if not writer.done.clips:
            raise LampError(writer.done.refused[0] if writer.done.refused else f"{folder} holds no motions")
        _write_neighbours(store, method)
    return writer.done


class _Writer:
    """Encodes clips together and commits them together, each source's stamp with or after its last clip."""

    def __init__(self, retriever: MotionRetriever, store: Store):
        self.retriever, self.store = retriever, store
        self.done = Update()
        self._clips: list[tuple[str, SourceClip, str]] = []
        self._finished: list[tuple[str, str]] = []
        self._refused: set[str] = set()  # sources with a clip that the model refuses: they are read again

    def leave(self, keys: set[str]) -> None:
        for key in sorted(keys):
            self.done.removed += len(self.store.clips_of(key))
            with self.store.transaction():
                self.store.drop_source(key)

    def read(self, source: Source) -> None:
        known, seen = self.store.clips_of(source.key), set()
        if known:
            with self.store.transaction():
                self.store.begin_source(source.key)
        try:
            for clip in source.clips(self.retriever.lamp.skeleton):
                self._take(source.key, clip, known.get(clip.name))
                seen.add(clip.name)
        except LampError as error:
            named = source.key in str(error)
            self.done.refused.append(str(error) if named else f"{source.key}: {error}")
            return  # what was read of it before stays: one damaged file must not empty the index of a data set
        self._finished.append((source.key, source.stamp))
        gone = [clip.id for name, clip in known.items() if name not in seen]
        if gone:
            with self.store.transaction():
                self.store.drop_clips(gone)
            self.done.removed += len(gone)

    def _take(self, source: str, clip: SourceClip, known: KnownClip | None) -> None:
        fingerprint = clip.fingerprint
        if known is not None and known.fingerprint == fingerprint:
            self.done.unchanged += 1
            if known.texts != clip.texts:
                with self.store.transaction():
                    self.store.set_texts(known.id, clip.texts)
            return
        self._clips.append((source, clip, fingerprint))
        if sum(len(waiting.features) for _, waiting, _ in self._clips) >= FRAMES_AT_ONCE:
            self.flush()

    def flush(self) -> None:
        motions = self._encode()
        self._refused |= {waiting[0] for waiting, motion in zip(self._clips, motions, strict=True) if motion is None}
        with self.store.transaction():
            for (source, clip, fingerprint), motion in zip(self._clips, motions, strict=True):
                if motion is not None:
                    self.store.drop_clip(source, clip.name)
                    self.store.put_clip(source, clip.name, fingerprint, clip.texts, motion)
            for key, stamp in self._finished:
                if key not in self._refused:
                    self.store.finish_source(key, stamp)
        self.done.encoded += sum(motion is not None for motion in motions)
        self._clips, self._finished = [], []

    def _encode(self) -> list[list[Window] | None]:
        """Of every clip that waits; None for those that the model refuses."""
        try:
            return self.retriever.encode([clip.features for _, clip, _ in self._clips])
        except LampError:
            return [self._encode_alone(source, clip) for source, clip, _ in self._clips]

    def _encode_alone(self, source: str, clip: SourceClip) -> list[Window] | None:
        try:
            return self.retriever.encode([clip.features])[0]
        except LampError as error:
            self.done.refused.append(f"{shown(source, clip.name)}: {error}")
            return None


def _check_folder(store: Store, folder: Path) -> None:
    """Another folder than last time would throw everything out: only where the first one is gone, as after a move."""
    before = store.about.get("folder")
    if before and Path(before).exists() and not os.path.samefile(before, folder):
        raise LampError(f"{store.folder} is the index of {before}; give another place for that of {folder}")
    with store.transaction():
        store.remember({"folder": printable(folder.resolve())})


def _embed_texts(retriever: MotionRetriever, store: Store, done: Update) -> None:
    """Embeddings of the texts that are new, without those that no clip has any more."""
    known = []
    for text in store.missing_texts():
        try:
            retriever.lamp.text_tokenizer([text], 2**30)
            known.append(text)
        except LampError as error:  # a label that is no English
            done.refused.append(f"the text {text[:60]!r} is left out: {error}")
    embeddings = retriever.embed_texts(known, truncate=True) if known else []
    with store.transaction():
        store.drop_unused_texts()
        store.put_texts(known, embeddings)


def _write_neighbours(store: Store, method: Method) -> None:
    with store.transaction():
        store.remember({"method": method})
    current = store.folder / neighbours_file(store.about["generation"])
    if method != "exact":
        contents = store.read()
        Approximate.build(contents.embeddings, contents.owners, method).save(current)
    for file in store.folder.glob("neighbours-*.faiss"):
        if method == "exact" or file != current:
            file.unlink()
