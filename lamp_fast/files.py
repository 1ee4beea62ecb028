"""Files and folders that appear whole or not at all: written beside, then renamed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import LampError


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.partial")


def _remove(path: Path) -> None:
    if os.path.isdir(path):
        shutil.rmtree(path, ignore_errors=True)
    elif os.path.exists(path):
        path.unlink()


def _share(path: Path) -> None:
    """Let those read the files whom the umask allows to: safetensors makes its own for their owner alone."""
    mask = os.umask(0o077)
    os.umask(mask)
    for file in (path, *path.rglob("*")):
        if file.is_file():
            file.chmod(0o666 & ~mask)


def _cannot_write(path: Path, error: OSError) -> LampError:
    reason = error.strerror or str(error)
    return LampError(f"cannot write {path} ({reason}); choose a place where files can be created")


def check_writable(path: str | os.PathLike) -> None:
    """Try out, before long work, that a file `path` can be created; nothing is left behind. Raises `LampError`."""
    path = Path(path)
    if os.path.isdir(path):
        raise LampError(f"cannot write {path}: it is a folder; give the name of a file")
    nearest = next(folder for folder in path.absolute().parents if os.path.exists(folder))
    attempt = _beside(nearest / path.name)
    try:
        attempt.touch()
        attempt.unlink()
    except OSError as error:
        raise _cannot_write(path, error) from error


@contextmanager
def new_file(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a path beside `path` to write to; it takes the name `path` when the block ends, and vanishes if it fails.

    Folders on the way are made. Raises `LampError` where the file cannot be written.
    """
    path = Path(path)
    if os.path.isdir(path):
        raise LampError(f"cannot write {path}: it is a folder; give the name of a file")
    partial = _beside(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        _share(partial)
        os.replace(partial, path)
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        _remove(partial)


@contextmanager
def new_folder(path: str | os.PathLike) -> Iterator[Path]:
    """As `new_file`, for a folder: what stood at `path` is replaced in one rename and removed only afterwards."""
    path = Path(path)
    if path.is_file():
        raise LampError(f"cannot write {path}: it is a file; give the name of a folder")
    partial = _beside(path)
    old = partial.with_suffix(".old")
    try:
        partial.mkdir(parents=True)
        yield partial
        _share(partial)
        if path.exists():
            os.replace(path, old)
        os.replace(partial, path)
    except OSError as error:
        if old.exists() and not path.exists():
            os.replace(old, path)
        raise _cannot_write(path, error) from error
    finally:
        _remove(partial)
        _remove(old)
