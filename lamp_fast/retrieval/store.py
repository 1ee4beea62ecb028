"""The index on disk: one SQLite file, so that whatever was committed survives a kill at any moment.

A row of `windows` is what is searched. `motions` is what the matching head and previews read, for a few windows only.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import LampError

FORMAT_VERSION = 1
FILE = "motions.sqlite"
_SCHEMA = """
CREATE TABLE about (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE sources (key TEXT PRIMARY KEY, stamp TEXT NOT NULL);
CREATE TABLE clips (
    id INTEGER PRIMARY KEY AUTOINCREMENT, source TEXT NOT NULL, name TEXT NOT NULL, fingerprint TEXT NOT NULL,
    texts TEXT NOT NULL, UNIQUE (source, name));
CREATE TABLE windows (
    id INTEGER PRIMARY KEY AUTOINCREMENT, clip INTEGER NOT NULL REFERENCES clips (id) ON DELETE CASCADE,
    start INTEGER NOT NULL, tokens INTEGER NOT NULL, embedding BLOB NOT NULL);
CREATE INDEX windows_of_clip ON windows (clip);
CREATE TABLE motions (
    window INTEGER PRIMARY KEY REFERENCES windows (id) ON DELETE CASCADE, latents BLOB NOT NULL, codes BLOB NOT NULL);
CREATE TABLE texts (text TEXT PRIMARY KEY, embedding BLOB NOT NULL);
"""


@dataclass(frozen=True)
class Window:
    """A part of a motion that the model reads at once.

    start, tokens: where it is. embedding (E,) float32, unit. latents (N, code_dim) float16: what the language-motion
    model reads; with padding "released" that is more than the tokens. codes (tokens,) uint16.
    """

    start: int
    tokens: int
    embedding: np.ndarray
    latents: np.ndarray
    codes: np.ndarray


@dataclass(frozen=True)
class KnownClip:
    """What an index remembers of a clip beside its motion: enough to see that nothing changed."""

    id: int
    fingerprint: str
    texts: tuple[str, ...]


@dataclass(frozen=True)
class Contents:
    """Everything a search reads.

    about: see `Store`. clips, clip_texts: of C clips. Of W windows: ids, for `Store.motion`; embeddings (W, E)
    float32, unit; owners (W,): which clip, 0..C-1; starts, tokens (W,) in tokens. texts: T distinct ones;
    text_embeddings (T, E).
    """

    about: Mapping[str, str]
    clips: list[str]
    clip_texts: list[tuple[str, ...]]
    ids: np.ndarray
    embeddings: np.ndarray
    owners: np.ndarray
    starts: np.ndarray
    tokens: np.ndarray
    texts: list[str]
    text_embeddings: np.ndarray


class Store:
    """An open index of one model.

    about: what the model is, text by name; "model" is the hash that an index must share. create: make the index where
    there is none. Raises `LampError` for no index, a damaged one, one of another format or of another model.
    """

    def __init__(self, folder: str | os.PathLike, about: Mapping[str, str], create: bool = False):
        self.folder = Path(folder)
        file = self.folder / FILE
        if create:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise LampError(f"cannot make the folder {folder} ({error.strerror}); choose another place") from error
        elif not file.is_file():
            raise LampError(f"{folder} holds no index; make one with: lamp-fast index CLIPS --output {folder}")
        with self._explained():
            mode = "rwc" if create else "rw"  # a file that must not be written is opened for reading all the same
            self._db = sqlite3.connect(f"{file.absolute().as_uri()}?mode={mode}", uri=True, isolation_level=None)
            self._db.execute("PRAGMA foreign_keys = ON")
            empty = not self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if empty and not create:
            raise LampError(f"{folder} holds an index that was never begun; run lamp-fast index again")
        if empty:
            with self.transaction():
                for statement in filter(str.strip, _SCHEMA.split(";")):
                    self._db.execute(statement)
                self.remember({"format": str(FORMAT_VERSION), "generation": "0", **about})
        self._check(about)

    def _check(self, about: Mapping[str, str]) -> None:
        own = self.about
        if own.get("format") != str(FORMAT_VERSION):
            raise LampError(
                f"{self.folder} is an index of format {own.get('format')}, this lamp_fast reads {FORMAT_VERSION}; "
                "make it again in a new folder"
            )
        if own.get("model") != about["model"]:
            raise LampError(
                f"{self.folder} was made with another model ({own.get('name')}, {own.get('model')}) than this one "
                f"({about['name']}, {about['model']}); search it with its own, or make an index in a new folder"
            )

    def close(self) -> None:
        self._db.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            reason = "another process is writing it" if "locked" in str(error) else str(error)
            raise LampError(f"cannot use the index {self.folder} ({reason}); try again, or make a new one") from error
        except sqlite3.DatabaseError as error:
            raise LampError(f"{self.folder / FILE} is no index, or a damaged one ({error}); make a new one") from error

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is written inside becomes true at once, or not at all."""
        with self._explained():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def _rows(self, query: str, values: tuple = ()) -> list[tuple]:
        with self._explained(), closing(self._db.execute(query, values)) as cursor:
            return cursor.fetchall()

    # What is known.

    @property
    def about(self) -> dict[str, str]:
        return dict(self._rows("SELECT key, value FROM about"))

    @property
    def sources(self) -> dict[str, str]:
        """The stamp of every source that was read to its end."""
        return dict(self._rows("SELECT key, stamp FROM sources"))

    def clips_of(self, source: str) -> dict[str, KnownClip]:
        rows = self._rows("SELECT name, id, fingerprint, texts FROM clips WHERE source = ?", (source,))
        return {name: KnownClip(id, fingerprint, tuple(json.loads(texts))) for name, id, fingerprint, texts in rows}

    @property
    def source_keys(self) -> set[str]:
        return {key for (key,) in self._rows("SELECT key FROM sources UNION SELECT source FROM clips")}

    def count(self) -> int:
        return self._rows("SELECT count(*) FROM clips")[0][0]

    def missing_texts(self) -> list[str]:
        """Texts of clips that have no embedding yet."""
        used = "SELECT DISTINCT value FROM clips, json_each(clips.texts)"
        return [text for (text,) in self._rows(f"{used} WHERE value NOT IN (SELECT text FROM texts) ORDER BY value")]

    # Writing, inside a transaction.

    def remember(self, about: Mapping[str, str]) -> None:
        self._db.executemany("INSERT OR REPLACE INTO about VALUES (?, ?)", about.items())

    def _changed(self) -> None:
        self._db.execute("UPDATE about SET value = value + 1 WHERE key = 'generation'")

    def put_clip(
        self, source: str, name: str, fingerprint: str, texts: tuple[str, ...], windows: Iterable[Window]
    ) -> None:
        row = (source, name, fingerprint, json.dumps(texts))
        insert = "INSERT INTO clips (source, name, fingerprint, texts) VALUES (?, ?, ?, ?)"
        clip = self._db.execute(insert, row).lastrowid
        for window in windows:
            row = (clip, window.start, window.tokens, window.embedding.astype("<f4").tobytes())
            insert = "INSERT INTO windows (clip, start, tokens, embedding) VALUES (?, ?, ?, ?)"
            id = self._db.execute(insert, row).lastrowid
            row = (id, window.latents.astype("<f2").tobytes(), window.codes.astype("<u2").tobytes())
            self._db.execute("INSERT INTO motions VALUES (?, ?, ?)", row)
        self._changed()

    def drop_clip(self, source: str, name: str) -> None:
        self._db.execute("DELETE FROM clips WHERE source = ? AND name = ?", (source, name))
        self._changed()

    def set_texts(self, clip: int, texts: tuple[str, ...]) -> None:
        self._db.execute("UPDATE clips SET texts = ? WHERE id = ?", (json.dumps(texts), clip))

    def drop_clips(self, ids: Iterable[int]) -> None:
        self._db.executemany("DELETE FROM clips WHERE id = ?", ((id,) for id in ids))
        self._changed()

    def begin_source(self, key: str) -> None:
        """Until `finish_source`, a kill leaves a source that is read again."""
        self._db.execute("DELETE FROM sources WHERE key = ?", (key,))

    def finish_source(self, key: str, stamp: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO sources VALUES (?, ?)", (key, stamp))

    def drop_source(self, key: str) -> None:
        self._db.execute("DELETE FROM sources WHERE key = ?", (key,))
        self._db.execute("DELETE FROM clips WHERE source = ?", (key,))
        self._changed()

    def put_texts(self, texts: list[str], embeddings: np.ndarray) -> None:
        rows = zip(texts, (e.astype("<f4").tobytes() for e in embeddings), strict=True)
        self._db.executemany("INSERT OR REPLACE INTO texts VALUES (?, ?)", rows)

    def drop_unused_texts(self) -> None:
        used = "SELECT value FROM clips, json_each(clips.texts)"
        self._db.execute(f"DELETE FROM texts WHERE text NOT IN ({used})")

    # Reading what a search needs.

    def read(self) -> Contents:
        """All but the latents, as they are at one moment."""
        with self._explained():
            self._db.execute("BEGIN")
            try:
                clips = self._rows("SELECT id, source, name, texts FROM clips ORDER BY source, name")
                query = "SELECT clip, id, start, tokens, embedding FROM windows ORDER BY clip, start"
                windows = self._rows(query)
                texts = self._rows("SELECT text, embedding FROM texts ORDER BY text")
                about = self.about
            finally:
                self._db.execute("COMMIT")
        place = {clip[0]: i for i, clip in enumerate(clips)}
        columns = tuple(zip(*windows, strict=True)) or ((),) * 5
        width = int(about["embed_dim"])
        return Contents(
            about=about,
            clips=[shown(source, name) for _, source, name, _ in clips],
            clip_texts=[tuple(json.loads(texts)) for *_, texts in clips],
            ids=np.array(columns[1], np.int64),
            embeddings=self._vectors(columns[4], width),
            owners=np.array([place[clip] for clip in columns[0]], np.int64),
            starts=np.array(columns[2], np.int64),
            tokens=np.array(columns[3], np.int64),
            texts=[text for text, _ in texts],
            text_embeddings=self._vectors([embedding for _, embedding in texts], width),
        )

    def _vectors(self, blobs: Iterable[bytes], width: int) -> np.ndarray:
        data = b"".join(blobs)
        if len(data) % (4 * width):
            raise LampError(f"{self.folder / FILE} holds embeddings of another size than {width}; make a new index")
        return np.frombuffer(data, "<f4").reshape(-1, width)

    def motion(self, window: int) -> tuple[np.ndarray, np.ndarray]:
        """latents (N, code_dim) float32, codes (N,) int64. Raises `LampError` for a window that left the index."""
        rows = self._rows("SELECT latents, codes FROM motions WHERE window = ?", (window,))
        if not rows:
            raise LampError(f"{self.folder} changed while it was searched; search again")
        latents, codes = rows[0]
        width = int(self.about["code_dim"])
        return (
            np.frombuffer(latents, "<f2").reshape(-1, width).astype(np.float32),
            np.frombuffer(codes, "<u2").astype(np.int64),
        )


def shown(source: str, name: str) -> str:
    """How a clip is called in results: the file, and which motion of it where it holds several."""
    return f"{source}#{name}" if source and name else source or name
