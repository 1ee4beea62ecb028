"""Runs the cases of every benchmarks/bench_*.py, prints a table and appends one record for each to results/*.jsonl.

python benchmarks/run.py [WORD ...]   only the cases whose name holds one of the words

With TRITON_INTERPRET=1 kernels run in the interpreter: results are compared, no time is taken, nothing is recorded.
"""

from __future__ import annotations

import argparse
import importlib
import json
import re
import sys
import time
from pathlib import Path
from typing import Any

from measure import machine, measure

from lamp_fast.backend import triton_is_interpreted

HERE = Path(__file__).resolve().parent


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", metavar="WORD")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each kind of time of a case")
    parser.add_argument("--results", type=Path, default=HERE / "results", help="the folder of the records")
    args = parser.parse_args(argv)

    seconds = None if triton_is_interpreted() else args.seconds
    where = machine()
    print(", ".join(f"{key} {value}" for key, value in where.items() if value is not None))
    label = re.sub(r"\W+", "-", where["gpu"] or where["cpu"]).strip("-").lower()
    file = args.results / f"{label}.jsonl"
    plans = [plan for path in sorted(HERE.glob("bench_*.py")) for plan in importlib.import_module(path.stem).cases()]
    for plan in sorted(plans, key=lambda plan: plan.rank):
        if args.words and not any(word in plan.name for word in args.words):
            continue
        record = measure(plan, seconds)
        print("\n".join(lines(record)), flush=True)
        if seconds is not None and record["status"] != "skipped":
            moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("a") as records:
                records.write(json.dumps(record | {"time": moment, "machine": where}) + "\n")
    if seconds is not None:
        print(f"written to {file}")
    return 0


def lines(record: dict[str, Any]) -> list[str]:
    """The record of a case for a person to read: a line for the case, and one for each way."""
    if "ways" not in record:
        return [f"{record['name']}: {record['status']}, {record['why']}"]
    floor = f", floor {record['floor_ms']:.3g} ms" if "floor_ms" in record else ""
    result = [record["name"] + floor]
    for name, figures in record["ways"].items():
        if "failed" in figures:
            result.append(f"  {name:16} no speed, its result is wrong: {figures['failed']}")
            continue
        if "ms" not in figures:
            result.append(f"  {name:16} its result is right")
            continue
        spread = figures["warm_ms" if "warm_ms" in figures else "host_ms"]
        words = [f"{figures['ms']:9.4f} ms ({spread['p10']:.4f}..{spread['p90']:.4f})"]
        if "warm_ms" in figures:
            words.append(f"cold {figures['cold_ms']['p50']:.4f}, host {figures['host_ms']['p50']:.4f}")
            words.append(f"{figures['launches']} launches, {figures['syncs']} syncs")
        if "speedup" in figures:
            words.append(f"{figures['speedup']:.2f}x")
        if "share_of_floor" in figures:
            words.append(f"{figures['share_of_floor']:.1%} of the floor")
        result.append(f"  {name:16} " + ", ".join(words))
    return result


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
