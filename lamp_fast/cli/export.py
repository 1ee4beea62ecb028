"""`lamp-fast export TARGET MODEL PLACE` writes a model for programs that are not Python."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_parser(subparsers) -> None:
    parser = subparsers.add_parser("export", help="write a model for other programs", description=__doc__)
    targets = parser.add_subparsers(title="targets", required=True, metavar="TARGET")

    native = "write a model as the one file that the C library reads (docs/native.md)"
    target = targets.add_parser("native", help=native, description=native)
    target.add_argument("model", help="a model folder, or the name of a bundled model: lamp-mini")
    target.add_argument("file", help="the file to write, such as lamp-mini.safetensors")
    target.add_argument("--storage", choices=("f32", "bf16", "int8"), default="int8", help="of the weights in the file")
    target.set_defaults(run=run_native)

    onnx = "write a model as ONNX files, each checked against it in onnxruntime (docs/onnx.md)"
    target = targets.add_parser("onnx", help=onnx, description=onnx)
    target.add_argument("model", help="a model folder, or the name of a bundled model: lamp-mini")
    target.add_argument("folder", help="the folder to write")
    target.add_argument("--opset", type=int, default=17, help="15 for Unity, 17 and above elsewhere (%(default)s)")
    target.set_defaults(run=run_onnx)


def run_native(args: argparse.Namespace) -> int:
    from ..checkpoints.folder import load_lamp
    from ..engine.native_file import write_native

    write_native(args.file, load_lamp(args.model), args.storage)
    print(f"{args.file}: {Path(args.file).stat().st_size / 1e6:.1f} MB")
    return 0


def run_onnx(args: argparse.Namespace) -> int:
    from ..checkpoints.folder import find_lamp, load_lamp
    from ..export.onnx import export_onnx

    licence = find_lamp(args.model) / "LICENSE"
    text = licence.read_text(encoding="utf-8") if licence.is_file() else None
    for graph in export_onnx(load_lamp(args.model), args.folder, args.opset, text):
        lengths = ", ".join(map(str, graph.lengths))
        print(
            f"{graph.name}.onnx: {graph.megabytes:.1f} MB; off the model by {graph.error:.1e} at most, "
            f"{graph.differing:.1%} of the tokens; {lengths} tokens long"
        )
    return 0
