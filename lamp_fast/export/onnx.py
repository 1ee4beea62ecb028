"""A model as ONNX files, each run against the model at several lengths before it is kept."""

from __future__ import annotations

import json
import os
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from .. import __version__
from ..checkpoints.folder import VOCABULARY, check_replaceable
from ..config import FRAMES_PER_TOKEN
from ..errors import LampError
from ..files import new_folder
from ..models.lamp import Lamp
from .onnx_graphs import Graph, Value, graphs_of

OPSETS = range(15, 21)
MANIFEST = "lamp.json"
NAMES = ("text_condition", "decode_step", "decoder", "text_embedding", "motion_embedding")
ONNX_FILES = {MANIFEST, VOCABULARY, "README.md", "LICENSE", *(name + ".onnx" for name in NAMES)}
# Float32 sums in another order, through some twenty layers; of a value above 1, relative to it. `Graph.rounding` adds
# what sums over a whole motion lose: millionths where a body walks, and far more where random weights make it spin.
TOLERANCE = 2e-4


@dataclass(frozen=True)
class Checked:
    """One graph: its size on disk, and how far from the model it was, at the lengths in tokens.

    error: the largest difference of the outputs, relative for values above 1. differing: the share of tokens that are
    not the model's.
    """

    name: str
    megabytes: float
    lengths: tuple[int, ...]
    error: float
    differing: float


def export_onnx(lamp: Lamp, folder: str | os.PathLike, opset: int = 17, licence: str | None = None) -> list[Checked]:
    """Write a graph for each task of the model, the words, `lamp.json`, which describes them, and a model card; the
    folder appears whole or not at all.

    opset: 15 for Unity, whose manual names 7 to 15; from 17 on LayerNorm is one operator. licence: of the weights, the
    text of LICENSE; None: no such file.
    Raises LampError for another opset, a folder that holds other files, or a graph that differs from the model.
    """
    if opset not in OPSETS:
        raise LampError(f"there is no export for opset {opset}; choose {OPSETS[0]} to {OPSETS[-1]}")
    folder = Path(folder)
    check_replaceable(folder, ONNX_FILES)
    import onnx  # noqa: F401  torch's exporter needs it, and says so in its own words only at the end

    lamp = lamp.cpu().eval()
    checked = []
    with new_folder(folder) as partial:
        graphs = graphs_of(lamp)
        for graph in graphs:
            file = partial / f"{graph.name}.onnx"
            _write(graph, file, opset)
            checked.append(check(graph, file, lamp))
        (partial / VOCABULARY).write_text("".join(p + "\n" for p in lamp.text_tokenizer.pieces), encoding="utf-8")
        (partial / MANIFEST).write_text(json.dumps(manifest(lamp, graphs, opset), indent=2) + "\n", encoding="utf-8")
        (partial / "README.md").write_text(_card(folder.name, lamp, checked, opset), encoding="utf-8")
        if licence is not None:
            (partial / "LICENSE").write_text(licence, encoding="utf-8")
    return checked


def _write(graph: Graph, file: Path, opset: int) -> None:
    inputs = graph.example(max(1, graph.lamp.max_tokens // 2), torch.Generator().manual_seed(0))
    with warnings.catch_warnings(), torch.no_grad():
        # Shapes are fixed, which the tracer warns of; the exporter that traces is the one that writes opset 15.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            graph,
            inputs,
            file,
            dynamo=False,
            opset_version=opset,
            input_names=[value.name for value in graph.inputs],
            output_names=[value.name for value in graph.outputs],
        )


@torch.no_grad()
def check(graph: Graph, file: Path, lamp: Lamp) -> Checked:
    """Run the file in onnxruntime beside the model. Raises LampError where they differ."""
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    lengths = tuple(sorted({1, 2, lamp.max_tokens // 2, lamp.max_tokens - 1, lamp.max_tokens} - {0}))
    draw = torch.Generator().manual_seed(1)
    errors, excess, differing = [], [], []
    for length in lengths:
        inputs = graph.example(length, draw)
        expected = graph.by_the_model(*inputs)
        found = session.run(None, {value.name: x.numpy() for value, x in zip(graph.inputs, inputs)})
        lost = graph.rounding(expected, [torch.from_numpy(x) for x in found])
        for value, right, got, rounding in zip(graph.outputs, expected, found, lost, strict=True):
            right = right.numpy()
            if value.dtype == torch.float32:
                off, size = np.abs(got - right), np.maximum(np.abs(right), 1)
                errors.append(float((off / size).max()))
                excess.append(float((off / (TOLERANCE * size + rounding)).max()))
            else:
                differing.append(float((got != right).mean()))
    error = float(np.max(errors))  # Python's max would overlook NaN
    result = Checked(graph.name, file.stat().st_size / 1e6, lengths, error, max(differing, default=0.0))
    if not np.max(excess) < 1 or result.differing > 0.02:
        raise LampError(
            f"{graph.name}.onnx is off the model by {error:.1e} and in {result.differing:.0%} of the tokens; "
            "nothing was written; try another opset or version of torch"
        )
    return result


def manifest(lamp: Lamp, graphs: list[Graph], opset: int) -> dict:
    """What a program must know to run the files: sizes, ids, the skeleton and every input and output."""
    words, generator = lamp.text_tokenizer, lamp.config.generator
    return {
        "format": "lamp-fast onnx",
        "format_version": 1,
        "lamp_fast_version": __version__,
        "opset": opset,
        "dataset": lamp.config.dataset,
        "frames_per_second": lamp.skeleton.fps,
        "frames_per_token": FRAMES_PER_TOKEN,
        "max_tokens": lamp.max_tokens,
        "num_codes": lamp.config.tokenizer.num_codes,
        "mask_id": generator and generator.mask_id,
        "pad_id": generator and generator.pad_id,
        "text": {"pad_id": words.pad_id, "start_id": words.start_id, "end_id": words.end_id},
        "joint_names": list(lamp.skeleton.joint_names),
        "parents": list(lamp.skeleton.parents),
        "graphs": {
            graph.name: {
                "file": f"{graph.name}.onnx",
                "inputs": [_described(value) for value in graph.inputs],
                "outputs": [_described(value) for value in graph.outputs],
            }
            for graph in graphs
        },
    }


def _described(value: Value) -> dict:
    dtype = str(value.dtype).removeprefix("torch.")
    return {"name": value.name, "dtype": dtype, "shape": list(value.shape), "meaning": value.meaning}


def _card(name: str, lamp: Lamp, checked: list[Checked], opset: int) -> str:
    rows = "\n".join(f"| {graph.name}.onnx | {graph.megabytes:.1f} MB | {graph.error:.1e} |" for graph in checked)
    return f"""---
library_name: onnx
tags: [text-to-motion, motion-retrieval]
---
# {name}

A LaMP model (language-motion pretraining) of the {lamp.config.dataset} representation as ONNX graphs of opset {opset}:
{lamp.skeleton.fps:g} frames a second, up to {lamp.max_seconds:.1f} s in one piece. lamp.json describes every input and
output; noise is an input. Written by lamp_fast {__version__}; its `examples/onnx/generate.py` goes from words to
joints.

| file | size | largest difference from the model |
|---|---|---|
{rows}
"""
