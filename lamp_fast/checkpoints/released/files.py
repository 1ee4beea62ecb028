"""Released files, opened without running anything in them, and which models they hold."""

from __future__ import annotations

import os
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...errors import LampError
from ..weights import read_tensors
from .evaluator import PARTS as EVALUATOR_PARTS

# What DataParallel and torch.compile put before names.
_WRAPPERS = re.compile(r"(?:^|(?<=\.))(?:module|_orig_mod)\.")
# NumPy's numbers, such as a best score beside the weights; pickles of old versions name them otherwise.
_NUMBERS = [np.dtype, *(type(np.dtype(kind)) for kind in ("f4", "f8", "i4", "i8", "?"))]
_SCALAR = np.float64(0).__reduce__()[0]
_NUMBERS += [(_SCALAR, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")]


@dataclass(frozen=True)
class Found:
    """One model in a file: its kind, what stands before its names (`motion_qformer.`), its tensors without that."""

    kind: str
    root: str
    tensors: dict[str, Tensor]


# kind: how a file's tensors are named; the first gives the place of the model, all must be there. Order matters: what
# an earlier kind claims (a VQ-VAE inside LaMP's pretraining) is part of that model.
_SIGNATURES: dict[str, tuple[str, ...]] = {
    "captioner": ("query_tokens", "opt_proj.weight"),
    "generator": ("token_emb.weight", "seqTransEncoder.layers.0.linear1.weight", "cond_emb.weight"),
    "language_motion": ("query_tokens", "Qformer.bert.embeddings.word_embeddings.weight", "motion_projection"),
    "evaluator": tuple(f"{part}.{n}" for part, n in zip(EVALUATOR_PARTS, ("main.0.weight", "hidden", "hidden"))),
    "tokenizer": ("vqvae.quantizer.codebook", "vqvae.encoder.model.0.weight", "vqvae.decoder.model.0.weight"),
    "length_estimator": ("output.11.weight", "output.0.weight", "output.8.weight"),
}
KINDS = {
    "captioner": "LaMP-M2T, the captioner (`trans`)",
    "generator": "LaMP-T2M, the masked transformer (`t2m_transformer`)",
    "language_motion": "LaMP's pretraining (`motion_qformer`)",
    "evaluator": "the evaluator of Guo et al. (`movement_encoder`, `motion_encoder`, `text_encoder`)",
    "tokenizer": "a VQ-VAE (`vq_model` or `net`)",
    "length_estimator": "MoMask's length estimator (`estimator`)",
}


def recognise(tensors: Mapping[str, Tensor]) -> Found | None:
    """The model among the tensors of a file, by their names; None where there is none that is known."""
    for kind, (first, *others) in _SIGNATURES.items():
        for name in tensors:
            root = name.removesuffix(first)
            if name.endswith(first) and (not root or root.endswith(".")) and all(root + o in tensors for o in others):
                return Found(kind, root, {n.removeprefix(root): t for n, t in tensors.items() if n.startswith(root)})
    return None


def read_released(file: str | os.PathLike) -> dict[str, Tensor]:
    """All named tensors of a file that torch.save or safetensors wrote, `a.b` for `b` within `a`.

    The wrappers' `module.` is taken away. What belongs to an optimiser or a scheduler is left out.
    Raises LampError for a file that is missing, damaged, cut short, holds other objects than tensors and numbers, or
    has no named tensors.
    """
    file = Path(file)
    if not file.is_file():
        raise LampError(f"there is no file {file}; give a released checkpoint")
    with open(file, "rb") as opened:
        safetensors = opened.read(9)[8:] == b"{"  # eight bytes of length, then JSON
    found = read_tensors(file) if safetensors else dict(_named_tensors(_load(file)))
    if not found:
        raise LampError(f"{file} holds no named tensors; give a checkpoint")
    return {_WRAPPERS.sub("", name): tensor for name, tensor in found.items()}


def describe(tensors: Mapping[str, Tensor]) -> str:
    """The first names, for a sentence about a file that is not known."""
    names = [f"{name} {tuple(tensor.shape)}" for name, tensor in list(tensors.items())[:4]]
    return f"{len(tensors)} tensors: {', '.join(names)}{', …' if len(tensors) > 4 else ''}"


def _load(file: Path) -> object:
    try:
        with open(file, "rb") as opened, torch.serialization.safe_globals(_NUMBERS):  # torch must not judge by the name
            with warnings.catch_warnings(action="ignore"):
                return torch.load(opened, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever the damage leads to
        if "Unsupported" in str(error) or "weights_only" in str(error).lower():
            unknown = re.search(r"GLOBAL ([\w.]+)", str(error))
            if unknown:
                raise LampError(
                    f"{file} is no checkpoint of tensors alone: it holds other objects ({unknown[1]}), and is not "
                    "opened further; get the original file again"
                ) from error
        raise LampError(
            f"{file} is {_what(file)}, no checkpoint that can be read; get the original file again"
        ) from error


def _what(file: Path) -> str:
    """What a file that torch cannot read seems to be, in a few words."""
    size = file.stat().st_size
    with open(file, "rb") as opened:
        head = opened.read(512)
    if not size:
        return "empty"
    if head.startswith(b"PK"):
        try:
            with zipfile.ZipFile(file) as archive:
                names = archive.namelist()
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
            return f"the beginning of a checkpoint, cut short after {size:,} bytes or damaged"
        if any(name.endswith("data.pkl") for name in names):
            return "a damaged checkpoint"
        return f"a zip archive of {', '.join(names[:3]) or 'nothing'}{', …' if len(names) > 3 else ''}"
    if head.startswith(b"version https://git-lfs"):
        return "a pointer of Git LFS in the place of the file"
    if head.lstrip()[:1] == b"<":
        return "a web page"
    if head[257:262] == b"ustar":
        return "an archive to be unpacked first (tar)"
    if head.startswith(b"\x80"):
        return f"a pickle of {size:,} bytes, cut short or damaged"
    text = all(byte in b"\t\n\r" or 32 <= byte < 127 for byte in head)
    return f"{size:,} bytes of {'text' if text else 'something else'}"


def _named_tensors(value: object, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor) and prefix:
        yield prefix.removesuffix("."), value
    elif isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        # The state of an optimiser: {"state": {0: ...}, "param_groups": [...]}.
        for key, inner in value.items() if "param_groups" not in value else ():
            yield from _named_tensors(inner, f"{prefix}{key}.")
