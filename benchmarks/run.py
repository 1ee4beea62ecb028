"""Runs the cases of every benchmarks/bench_*.py, prints a table and appends one record for each to results/*.jsonl.

python benchmarks/run.py [WORD ...]   only the cases whose name holds one of the words
"""

from __future__ import annotations

import importlib
import json
import re
import sys
import time
from pathlib import Path

from measure import machine, measure

HERE = Path(__file__).resolve().parent


def main(words: list[str]) -> int:
    where = machine()
    print(", ".join(f"{key} {value}" for key, value in where.items() if value is not None))
    print(f"{'case':52} {'median':>10} {'p80':>10} {'first':>10} {'reference':>10} {'speed-up':>9} {'of floor':>9}")
    label = re.sub(r"\W+", "-", where["gpu"] or where["cpu"]).strip("-").lower()
    results = HERE / "results" / f"{label}.jsonl"
    results.parent.mkdir(exist_ok=True)
    with results.open("a") as file:
        for path in sorted(HERE.glob("bench_*.py")):
            for case in importlib.import_module(path.stem).cases():
                if words and not any(word in case.name for word in words):
                    continue
                record = measure(case)
                share = f"{record['share_of_floor']:9.1%}" if record["share_of_floor"] is not None else " " * 9
                print(
                    f"{case.name:52} {record['median_ms']:7.3f} ms {record['p80_ms']:7.3f} ms"
                    f" {record['first_call_ms']:7.3f} ms {record['reference_median_ms']:7.3f} ms"
                    f" {record['speedup']:8.2f}x {share}"
                )
                moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
                file.write(json.dumps(record | {"time": moment, "machine": where}) + "\n")
    print(f"written to {results.relative_to(HERE.parent)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
