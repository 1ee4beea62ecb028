"""What the compiler makes of each Triton kernel, for GPUs that need not be here, against compile_gate.json.

python benchmarks/compile_gate.py [WORD ...]           compile and compare; exit code 1 where a kernel got worse
python benchmarks/compile_gate.py --write [WORD ...]   write the rows of the installed Triton version

With words, only the kernels whose name holds one of them.

A row holds registers of a thread, bytes of shared memory of a program, spilled words, and how often the machine code
has an instruction: tensor (tensor cores), fma (float32 multiply-add), load128 and load16 (widest and narrowest loads).
races: see `races`.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.runtime.jit import JITFunction

from lamp_fast.kernels.codebook_lookup import PRECISIONS
from lamp_fast.kernels.codebook_lookup_triton import codebook_lookup_triton
from lamp_fast.kernels.codebook_sums_triton import codebook_sums_triton
from lamp_fast.kernels.conv1d_triton import conv1d_triton
from lamp_fast.kernels.conv_residual_triton import conv_residual_triton
from lamp_fast.kernels.decode_step_triton import decode_step_triton
from lamp_fast.kernels.dependent_launch import dependent_launches
from lamp_fast.kernels.embed_tokens_triton import embed_tokens_triton
from lamp_fast.kernels.int8_linear_triton import int8_linear_triton
from lamp_fast.kernels.linear_residual_triton import linear_residual_triton
from lamp_fast.kernels.masked_rows_triton import masked_rows_triton
from lamp_fast.kernels.norm_linear_triton import norm_linear_triton, row_stats_triton
from lamp_fast.kernels.philox_triton import philox_uniform_triton
from lamp_fast.kernels.qkv_attention_triton import qkv_attention_triton
from lamp_fast.kernels.quantize_rows_triton import quantize_rows_triton
from lamp_fast.kernels.recover_joints_triton import recover_joints_triton
from lamp_fast.kernels.residual_codebook_lookup_triton import residual_codebook_lookup_triton
from lamp_fast.kernels.sequence_attention_triton import sequence_attention_triton
from lamp_fast.kernels.upsample_conv_triton import upsample_conv_triton

TABLE = Path(__file__).with_suffix(".json")
ARCHITECTURES = (80, 90, 100)
# The first architecture for kernels with a word in their name: float8 numbers, programmatic dependent launch.
FIRST = {"fp8": 89, "pdl": 90}
SPARE_REGISTERS = 8
INSTRUCTIONS = {
    "tensor": r"U?[HIQ]G?MMA|UTC\w*MMA|HMMA",
    "fma": r"FFMA2?",
    "load128": r"(?:LDG|LDGSTS)\.[\w.]*128",
    "load16": r"(?:LDG|LDGSTS)\.[\w.]*U16",
    "spills": r"STL|LDL",
}
TYPES = {
    torch.float32: "fp32",
    torch.float16: "fp16",
    torch.bfloat16: "bf16",
    torch.int64: "i64",
    torch.int32: "i32",
    torch.int8: "i8",
    torch.float8_e4m3fn: "fp8e4nv",
}


def cases() -> Iterator[tuple[str, Callable[[], Any]]]:
    """Name and launch of each kernel, in the sizes of lamp-base."""

    def tensor(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        return torch.empty(shape, dtype=dtype, device="meta")

    def integers(*shape: int) -> torch.Tensor:
        return tensor(*shape, dtype=torch.int64)

    codebook = tensor(512, 512)
    for (name, rows), precision in product((("motion", 49), ("corpus", 1_000_000)), PRECISIONS):
        yield (
            f"codebook_lookup {name} {precision}",
            lambda m=rows, precision=precision: codebook_lookup_triton(tensor(m, 512), codebook, precision),
        )
    yield "codebook_sums", lambda: codebook_sums_triton(tensor(12_544, 512), integers(12_544), 512)
    for name, rows in (("motion", 49), ("corpus", 1_000_000)):
        yield (
            f"residual_codebook_lookup {name}",
            lambda m=rows: residual_codebook_lookup_triton(tensor(m, 512), tensor(6, 512, 512)),
        )
    yield "philox_uniform", lambda: philox_uniform_triton(integers(1), integers(1), 0, 49, 512)
    logits = tensor(1, 49, 512, dtype=torch.bfloat16)
    sample = integers(1)
    yield (
        "decode_step",
        lambda: decode_step_triton(logits, logits, integers(1, 49), sample, sample, sample, None, 0, 4.0, 1.0, 52),
    )
    for dtype in (torch.bfloat16, torch.float16, torch.float32):
        q = tensor(2, 49, 3, 8, 64, dtype=dtype).permute(2, 0, 3, 1, 4)
        yield (
            f"sequence_attention {TYPES[dtype]}",
            lambda q=q: sequence_attention_triton(*q, integers(2), "soft_causal"),
        )
    for dtype in (torch.bfloat16, torch.float32):
        q = tensor(2, 197, 3, 8, 64, dtype=dtype).permute(2, 0, 3, 1, 4)
        yield (
            f"sequence_attention long {TYPES[dtype]}",
            lambda q=q: sequence_attention_triton(*q, integers(2), "causal"),
        )
    q, key = (tensor(1, n, 12, 64, dtype=torch.bfloat16).transpose(1, 2) for n in (49, 14))
    yield (
        "sequence_attention cross bf16",
        lambda q=q, key=key: sequence_attention_triton(q, key, key, integers(1), "full", padded_queries=False),
    )
    for rows, width, heads, dtype in (
        (50, 512, 8, torch.bfloat16),
        (50, 384, 6, torch.bfloat16),
        (50, 384, 8, torch.bfloat16),
        (50, 384, 6, torch.float16),
        (17, 384, 6, torch.bfloat16),
    ):
        x, weight = tensor(2, rows, width, dtype=dtype), tensor(3 * width, width, dtype=dtype)
        fold, bias = tensor(3 * width), tensor(3 * width, dtype=dtype)
        yield (
            f"qkv_attention {rows}x{width}/{heads} {TYPES[dtype]}",
            lambda x=x, weight=weight, fold=fold, bias=bias, heads=heads: qkv_attention_triton(
                x, weight, fold, bias, integers(2), "soft_causal", heads, 1e-5
            ),
        )
    for rows, width in ((100, 512), (100, 1024), (25_600, 512)):
        yield (
            f"quantize_rows {rows}x{width}",
            lambda m=rows, i=width: quantize_rows_triton(tensor(m, i, dtype=torch.bfloat16)),
        )
    for rows, width, channels in ((2, 768, 512), (100, 512, 1536), (1600, 512, 1024), (25_600, 1024, 512)):
        x, weight = tensor(rows, width, dtype=torch.int8), tensor(channels, width, dtype=torch.int8)
        scales = tensor(rows), tensor(channels)
        bias = tensor(channels, dtype=torch.bfloat16)
        yield (
            f"int8_linear {rows}x{width}x{channels}",
            lambda x=x, weight=weight, scales=scales, bias=bias: int8_linear_triton(
                x, scales[0], weight, scales[1], bias, torch.bfloat16
            ),
        )
    ids, width = tensor(256, 49, dtype=torch.int64), 263
    yield "masked_rows", lambda: masked_rows_triton(ids, 512, 31, 2)
    for dtype in (torch.bfloat16, torch.float32):
        normal = tensor(1, 196, width, dtype=dtype)
        yield (
            f"recover_joints {TYPES[dtype]}",
            lambda normal=normal: recover_joints_triton(normal, tensor(width), tensor(width), integers(1)),
        )
    yield from linear_cases(tensor)


def linear_cases(tensor: Callable[..., torch.Tensor]) -> Iterator[tuple[str, Callable[[], Any]]]:
    """The stages around the linear layers: one guided motion, two branches of 50 rows, then 8 and 256 motions."""
    fp32, bf16, int8, fp8 = torch.float32, torch.bfloat16, torch.int8, torch.float8_e4m3fn

    def norm_linear(rows: int, dtype: torch.dtype, weight: torch.dtype | None) -> Any:
        return norm_linear_triton(
            tensor(rows, 512, dtype=dtype),
            tensor(1024, 512, dtype=weight or dtype),
            tensor(1024),
            tensor(1024, dtype=dtype),
            "gelu",
            1e-5,
            None if weight is None else tensor(1024),
        )

    def linear_residual(
        rows: int, dtype: torch.dtype, weight: torch.dtype | None, chosen: torch.Tensor | None = None
    ) -> Any:
        vector = tensor(512, dtype=dtype)
        return linear_residual_triton(
            tensor(rows, 1024, dtype=dtype),
            tensor(512, 1024, dtype=weight or dtype),
            vector,
            tensor(rows, 512, dtype=dtype),
            tensor(rows, 2),
            vector,
            vector,
            chosen,
            None if weight is None else tensor(512),
        )

    sizes = {"b1": 100, "b8": 800, "b256": 25_600}
    for launch in norm_linear, linear_residual:
        for size in "b1", "b256":
            for name, types in {
                "bf16": (bf16, None),
                "w8": (bf16, int8),
                "fp8": (bf16, fp8),
                "fp32": (fp32, None),
            }.items():
                yield (
                    f"{launch.__name__} {size} {name}",
                    lambda launch=launch, rows=sizes[size], types=types: launch(rows, *types),
                )
        yield f"{launch.__name__} b8 bf16", lambda launch=launch: launch(sizes["b8"], bf16, None)
    yield "norm_linear b1 bf16 pdl", lambda: norm_linear(sizes["b1"], bf16, None)
    chosen = tensor(sizes["b1"] // 2, dtype=torch.int32)
    yield "linear_residual b1 bf16 pdl", lambda: linear_residual(sizes["b1"], bf16, None, chosen)
    yield "row_stats bf16", lambda: row_stats_triton(tensor(25_600, 512, dtype=bf16), 1e-5, tensor(25_600, 2))
    ids, positions = tensor(2, 49, dtype=torch.int64), tensor(49, 512, dtype=bf16)
    for name in "embed_tokens bf16", "embed_tokens bf16 pdl":
        yield (
            name,
            lambda: embed_tokens_triton(ids, tensor(2, 512, dtype=bf16), tensor(514, 512, dtype=bf16), positions),
        )

    yield from decoder_cases()


def decoder_cases() -> Iterator[tuple[str, Callable[[], Any]]]:
    """One motion, or 256 of them, on their way from 49 tokens to 196 frames; weights as the engine lays them out."""

    def tensor(*shape: int, dtype: torch.dtype = torch.bfloat16) -> torch.Tensor:
        return torch.empty(shape, dtype=dtype, device="meta")

    def lengths(batch: int) -> torch.Tensor:
        return tensor(batch, dtype=torch.int64)

    def conv1d(batch: int, frames: int, outputs: int = 512, dtype: torch.dtype = torch.bfloat16) -> Any:
        x, bias = tensor(batch, frames, 512, dtype=dtype), tensor(outputs, dtype=dtype)
        weight = tensor(outputs, 3, 512, dtype=dtype).transpose(0, 1)
        return conv1d_triton(x, weight, bias, 9, True, True, None, lengths(batch))

    def one_tap(batch: int, frames: int) -> Any:
        x = tensor(batch, frames, 512)
        return conv1d_triton(x, tensor(1, 512, 512), tensor(512), residual=x)

    def conv_residual(batch: int, width: int) -> Any:
        x, conv, bias = tensor(batch, 196, width), tensor(width, 3, width).transpose(0, 1), tensor(width)
        return conv_residual_triton(x, conv, bias, tensor(width, width), bias, 9, lengths(batch))

    def upsample_conv(batch: int) -> Any:
        weight = tensor(2, 512, 2, 512).transpose(1, 2)
        return upsample_conv_triton(tensor(batch, 49, 512), weight, tensor(512), lengths(batch))

    for batch, frames in ((1, 49), (1, 196), (256, 196)):
        yield f"conv1d {batch}x{frames}", lambda b=batch, t=frames: conv1d(b, t)
    yield "conv1d fp32 1x196", lambda: conv1d(1, 196, dtype=torch.float32)
    for batch in (1, 256):
        yield f"conv1d {batch}x196 263 outputs", lambda b=batch: conv1d(b, 196, 263)
        yield f"conv1d {batch}x196 one tap", lambda b=batch: one_tap(b, 196)
        yield f"upsample_conv {batch}x49", lambda b=batch: upsample_conv(b)
    for batch, width in ((1, 128), (256, 192), (256, 256)):
        yield f"conv_residual {batch}x196 width {width}", lambda b=batch, c=width: conv_residual(b, c)


def launched(name: str) -> tuple[JITFunction, dict[str, Any]]:
    """The kernel of a case, `<op>_kernel`, with its arguments and options, caught before it reaches a device."""
    caught = {}

    def run(kernel, *arguments, grid, warmup, **options):
        caught[kernel.__name__] = kernel, dict(zip(kernel.arg_names, arguments)) | options

    with mock.patch.object(JITFunction, "run", run):
        with dependent_launches() if name.endswith(" pdl") else nullcontext():
            dict(cases())[name]()
    return caught[f"{name.split()[0]}_kernel"]


def compiled(kernel: JITFunction, arguments: dict[str, Any], architecture: int) -> dict[str, int]:
    """One row of the table; arguments are specialised as a launch does it, by alignment, multiples of 16 and ones."""
    arguments = dict(arguments)
    signature, constants, attributes = {}, {}, {}
    for index, parameter in enumerate(kernel.params):
        value = arguments.pop(parameter.name)
        special = not parameter.do_not_specialize
        if parameter.is_constexpr or value is None or (special and type(value) is int and value == 1):
            signature[parameter.name] = "constexpr"
            constants[(index,)] = value
        elif isinstance(value, float):
            signature[parameter.name] = "fp32"
        else:
            is_tensor = isinstance(value, torch.Tensor)
            signature[parameter.name] = "*" + TYPES[value.dtype] if is_tensor else "i32"
            if is_tensor or (special and value % 16 == 0):
                attributes[(index,)] = [["tt.divisibility", 16]]
    source = ASTSource(kernel, signature, constants, attributes)
    result = triton.compile(source, target=GPUTarget("cuda", architecture, 32), options=arguments)
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(result.asm["cubin"])
        file.flush()
        usage, code = cuobjdump("--dump-resource-usage", file.name), cuobjdump("--dump-sass", file.name)
    opcodes = re.findall(r"^\s+/\*[0-9a-f]{4,}\*/\s+(?:@!?\w+\s+)?([A-Z][\w.]*)", code, re.MULTILINE)
    assert opcodes, f"cuobjdump shows no code for sm_{architecture}"
    row = {"registers": int(re.search(r"REG:(\d+)", usage)[1]), "shared": result.metadata.shared}
    row["races"] = races(result.asm["ttgir"])
    return row | {
        name: sum(re.match(f"(?:{pattern})\\b", opcode) is not None for opcode in opcodes)
        for name, pattern in INSTRUCTIONS.items()
    }


def races(ttgir: str) -> int:
    """Copies in shared memory that are read by tensor cores, which go on while the next is fetched, and by others too.

    Triton 3.6 and 3.9 count no buffer for tensor cores where they are not the only reader (sm_90), so that the copy is
    overwritten while they read it.
    """
    copy, loaded, multiplied = {}, set(), set()
    for line in ttgir.splitlines():
        names = re.findall(r"%[\w$.-]+", line)
        if "ttg.memdesc_" in line:
            copy[names[0]] = copy.get(names[1], names[1])
        elif "ttg.local_load" in line:
            loaded.add(copy.get(names[1]))
        elif "ttng.warp_group_dot " in line and "isAsync" in line:
            multiplied |= {copy[name] for name in names[1:3] if name in copy}
    return len(loaded & multiplied)


def cuobjdump(*arguments: str) -> str:
    tool = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
    return subprocess.run([tool, *arguments], check=True, capture_output=True, text=True).stdout


def complaints(row: dict[str, int], known: list[dict[str, int]]) -> Iterator[str]:
    """What is worse in `row` than in every row of `known`."""
    if row["spills"]:
        yield f"{row['spills']} instructions spill registers"
    if row["races"]:
        yield f"{row['races']} copies in shared memory are overwritten while tensor cores read them"
    if not known:
        yield "not in the table: look at it, then --write"
        return
    registers, shared = max(old["registers"] for old in known), max(old["shared"] for old in known)
    if row["registers"] > registers + SPARE_REGISTERS:
        yield f"{row['registers']} registers, at most {registers} + {SPARE_REGISTERS} expected"
    if row["shared"] > shared:
        yield f"{row['shared']} bytes of shared memory, at most {shared} expected"
    for name, expected in (("tensor", "tensor core instructions"), ("load128", "128 bit loads")):
        if all(old[name] for old in known) and not row[name]:
            yield f"no {expected} any more"
    for name, unexpected in (("tensor", "tensor core instructions"), ("load16", "16 bit loads")):
        if not any(old[name] for old in known) and row[name]:
            yield f"{row[name]} {unexpected}, none expected"


def row(name: str, architecture: int) -> dict[str, int]:
    # Launchers may choose tiles by the architecture.
    with mock.patch("torch.cuda.get_device_capability", lambda device: divmod(architecture, 10)):
        return compiled(*launched(name), architecture)


def built(names: list[str]) -> Iterator[tuple[str, int]]:
    """Each of these kernels with each architecture that can run it."""
    for name, architecture in product(names, ARCHITECTURES):
        if all(architecture >= first for word, first in FIRST.items() if word in name):
            yield name, architecture


def main(words: list[str]) -> int:
    table = json.loads(TABLE.read_text()) if TABLE.exists() else {}
    write, words = "--write" in words, [word for word in words if word != "--write"]
    versions = [triton.__version__] if triton.__version__ in table else list(table)
    everything = [name for name, _ in cases()]
    chosen = [name for name in everything if not words or any(word in name for word in words)]
    keys = list(built(chosen))
    rows, worse = table.get(triton.__version__, {}), False
    # Fresh processes: torch and Triton have started threads here.
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        for (name, architecture), new in zip(keys, pool.map(row, *zip(*keys))):
            key = f"{name} sm_{architecture}"
            print(f"{key:36}", *(f"{what} {number}" for what, number in new.items()), flush=True)
            known = [new] if write else [table[version][key] for version in versions if key in table[version]]
            for complaint in complaints(new, known):
                print(f"    {complaint}", flush=True)
                worse = True
            rows[key] = new
    if write:
        valid = [f"{name} sm_{architecture}" for name, architecture in built(everything)]
        table[triton.__version__] = {key: rows[key] for key in valid if key in rows}
        TABLE.write_text(as_text(table))
    return worse


def as_text(table: dict[str, dict[str, dict[str, int]]]) -> str:
    """JSON with one kernel a line."""
    versions = []
    for version in sorted(table):
        rows = [f"    {json.dumps(key)}: {json.dumps(row)}" for key, row in table[version].items()]
        versions.append(f"  {json.dumps(version)}: {{\n" + ",\n".join(rows) + "\n  }")
    return "{\n" + ",\n".join(versions) + "\n}\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
