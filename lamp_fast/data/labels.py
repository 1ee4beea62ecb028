"""What is said about clips, and which of them are for training: read from tables, or made up where nothing is given."""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..errors import LampError

SHARES = {"train": 0.85, "val": 0.05, "test": 0.10}
NO_WORDS = "a person moves"


def read_texts(path: Path) -> dict[str, list[str]]:
    """Texts by clip, from JSON lines (`id`, `texts`, perhaps `sentences`) or a CSV table (`id`, `text`; more rows add).

    Raises `LampError` for a table that cannot be read.
    """
    texts: dict[str, list[str]] = {}
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            if path.suffix.lower() == ".csv":
                for row in csv.DictReader(file):
                    texts.setdefault(row["id"], []).append(row["text"])
            else:
                for record in map(json.loads, filter(str.strip, file)):
                    texts.setdefault(record["id"], []).extend([*record["texts"], *record.get("sentences", ())])
    except OSError as error:
        raise LampError(f"cannot read {path} ({error.strerror}); give a table of texts") from error
    except (ValueError, KeyError, TypeError, AttributeError, csv.Error, RecursionError) as error:
        raise LampError(
            f"{path} is no table of texts ({type(error).__name__}: {error}); expected lines of JSON with id and texts, "
            "or CSV with the columns id and text"
        ) from error
    return {name: cleaned for name, said in texts.items() if (cleaned := clean(said))}


def texts_beside(path: Path) -> list[str]:
    """The lines of the .txt file beside a motion file; of HumanML3D's `caption#words#from#to` the captions."""
    file = path.with_suffix(".txt")
    if not file.is_file():
        return []
    return clean(line.split("#")[0] for line in file.read_text(encoding="utf-8", errors="replace").splitlines())


def clean(texts: Iterable[object]) -> list[str]:
    """Distinct texts with single spaces, none empty."""
    return [*dict.fromkeys(filter(None, (" ".join(text.split()) for text in texts if isinstance(text, str))))]


def words_of(name: str) -> str:
    """The words in a file's name: "walk1_subject5" -> "walk subject"; a name without words is `NO_WORDS`."""
    words = re.findall(r"[A-Z]?[a-z]+|[A-Z]{2,}(?![a-z])", name.rpartition("/")[2])
    return " ".join(word.lower() for word in words if len(word) > 1) or NO_WORDS


def read_splits(path: Path, ids: Sequence[str]) -> dict[str, list[str]]:
    """Splits by name, of those clips that exist. Raises `LampError` for other files, and where train is left empty."""
    try:
        splits = json.loads(path.read_text(encoding="utf-8-sig"))
        known = set(ids)
        chosen = {name: [clip for clip in clips if clip in known] for name, clips in splits.items()}
    except OSError as error:
        raise LampError(f"cannot read {path} ({error.strerror}); give the JSON file of the splits") from error
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise LampError(
            f"{path} is no table of splits, expected JSON such as {{'train': [ids], 'val': [ids]}}"
        ) from error
    if not chosen.get("train"):
        raise LampError(f"{path} puts none of the {len(ids)} clips into 'train'; expected ids such as {min(ids)!r}")
    return chosen


def make_splits(ids: Sequence[str]) -> dict[str, list[str]]:
    """The same clips give the same splits, by a hash of their names; each split gets one clip at least, train the rest.

    Raises `LampError` for fewer than three clips.
    """
    if len(ids) < len(SHARES):
        raise LampError(
            f"{len(ids)} clips are too few for training, validation and test; expected at least {len(SHARES)}"
        )
    order = sorted(ids, key=lambda name: hashlib.sha256(name.encode()).digest())
    val, test = (max(1, round(SHARES[name] * len(ids))) for name in ("val", "test"))
    parts = {"train": order[val + test :], "val": order[:val], "test": order[val : val + test]}
    return {name: sorted(part) for name, part in parts.items()}
