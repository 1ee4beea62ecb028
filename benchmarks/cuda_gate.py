"""What nvcc makes of each kernel of csrc/cuda, for GPUs that need not be here, against cuda_gate.json.

python benchmarks/cuda_gate.py [WORD ...]           compile and compare; exit code 1 where a kernel got worse
python benchmarks/cuda_gate.py --write [WORD ...]   write the rows of the installed nvcc

With words, only the kernels whose name holds one of them.

A row holds registers of a thread, bytes of its stack, and bytes that are spilled to it and read again. What a block has
of shared memory is decided at the launch and is no business of the compiler's.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted((ROOT / "csrc/cuda").glob("*.cu"))
TABLE = Path(__file__).with_suffix(".json")
ARCHITECTURES = ("80", "90a", "100")
SPARE_REGISTERS = 8
FUNCTION = re.compile(r"Compiling entry function '(\w+)' for 'sm_\w+'(.*?)(?=Compiling entry function|\Z)", re.DOTALL)


def version() -> str:
    """Of the installed nvcc, as 13.0."""
    text = subprocess.run(["nvcc", "--version"], check=True, capture_output=True, text=True).stdout
    return re.search(r"release (\d+\.\d+)", text)[1]


def compiled(source: Path, architecture: str) -> dict[str, dict[str, int]]:
    """A row for each kernel of the file."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as cubin:
        command = ["nvcc", "-std=c++17", "-O3", f"-I{ROOT / 'csrc/core'}", f"-arch=sm_{architecture}", "-cubin"]
        command += ["-Xptxas", "-v,-warn-spills", "-o", cubin.name, str(source)]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{source.name} does not compile for sm_{architecture}:\n{done.stderr}")
    return dict(rows_of(done.stderr))


def rows_of(report: str) -> Iterator[tuple[str, dict[str, int]]]:
    """The kernels that ptxas reports on, and their rows."""
    for mangled, text in FUNCTION.findall(report):
        stack, stores, loads = (
            int(number)
            for number in re.search(
                r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", text
            ).groups()
        )
        registers = int(re.search(r"Used (\d+) registers", text)[1])
        yield readable(mangled), {"registers": registers, "stack": stack, "spills": stores + loads}


def readable(mangled: str) -> str:
    """linear_kernel<float, Shape<...> >: without namespaces, arguments and the hash of the file."""
    name = subprocess.run(["c++filt", mangled], check=True, capture_output=True, text=True).stdout.strip()
    name = re.sub(r"\(anonymous namespace\)::|lf::cuda::", "", name).removeprefix("void ")
    return re.sub(r"\(\w.*\)$", "", name)


def complaints(row: dict[str, int], known: list[dict[str, int]]) -> Iterator[str]:
    """What is worse in `row` than in every row of `known`."""
    if row["spills"]:
        yield f"{row['spills']} bytes are spilled"
    if not known:
        yield "not in the table: look at it, then --write"
        return
    registers, stack = (max(old[name] for old in known) for name in ("registers", "stack"))
    if row["registers"] > registers + SPARE_REGISTERS:
        yield f"{row['registers']} registers, at most {registers} + {SPARE_REGISTERS} expected"
    if row["stack"] > stack:
        yield f"{row['stack']} bytes of stack, at most {stack} expected"


def main(words: list[str]) -> int:
    if shutil.which("nvcc") is None:
        print("cuda_gate: nvcc was not found; install CUDA's compiler, or put it on PATH")
        return 1
    table = json.loads(TABLE.read_text()) if TABLE.exists() else {}
    write, words = "--write" in words, [word for word in words if word != "--write"]
    current = version()
    known_versions = [current] if current in table else list(table)
    rows, worse = {}, False
    jobs = list(product(SOURCES, ARCHITECTURES))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for (_, architecture), found in zip(jobs, pool.map(compiled, *zip(*jobs))):
            for name, new in found.items():
                key = f"{name} sm_{architecture}"
                rows[key] = new
                if words and not any(word in name for word in words):
                    continue
                print(f"{key:72}", *(f"{what} {number}" for what, number in new.items()), flush=True)
                known = [new] if write else [table[old][key] for old in known_versions if key in table[old]]
                for complaint in complaints(new, known):
                    print(f"    {complaint}", flush=True)
                    worse = True
    if write:
        old = table.get(current, {}) if words else {}
        chosen = {key: row for key, row in rows.items() if not words or any(word in key for word in words)}
        table[current] = {key: (old | chosen)[key] for key in rows if key in old | chosen}
        TABLE.write_text(as_text(table))
    return worse


def as_text(table: dict[str, dict[str, dict[str, int]]]) -> str:
    """JSON with one kernel a line."""
    versions = []
    for name in sorted(table):
        rows = [f"    {json.dumps(key)}: {json.dumps(row)}" for key, row in table[name].items()]
        versions.append(f"  {json.dumps(name)}: {{\n" + ",\n".join(rows) + "\n  }")
    return "{\n" + ",\n".join(versions) + "\n}\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
