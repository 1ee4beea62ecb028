"""Runs the cases of every benchmarks/bench_*.py, the important first, prints them and appends a record of each to
results/<machine>.jsonl, and to the folder LAMP_FAST_RESULTS if that is set.

python benchmarks/run.py [WORD ...]   only the cases whose name holds one of the words

With TRITON_INTERPRET=1 kernels run in the interpreter: results are compared, no time is taken, nothing is recorded.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import re
import sys
import time
from pathlib import Path
from threading import Timer
from typing import Any

import torch
from measure import Plan, machine, measure

from lamp_fast.backend import triton_is_interpreted

HERE = Path(__file__).resolve().parent
CASE_SECONDS = 180.0  # a kernel that hangs must not keep the others from being measured
RESERVE_SECONDS = 10.0


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", metavar="WORD")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each kind of time of a case")
    parser.add_argument("--minutes", type=float, default=10.0, help="of all cases; the rest is left out, and named")
    parser.add_argument("--results", type=Path, default=HERE / "results", help="the folder of the records")
    parser.add_argument("--start", type=int, default=0, help="leave out the first cases (to go on after a crash)")
    parser.add_argument("--new", action="store_true", help="leave out what has a good record of this machine")
    parser.add_argument("--deadline", type=float, help="end at this time of the clock, whatever --minutes says")
    args = parser.parse_args(argv)

    checks_only = triton_is_interpreted()
    deadline = args.deadline or time.time() + 60 * args.minutes
    where = machine()
    records = Records([] if checks_only else folders(args.results), where)
    if args.start == 0:
        print(", ".join(f"{key} {value}" for key, value in where.items() if value is not None), flush=True)
    plans = chosen(args.words)
    known = records.good() if args.new else set()

    def go_on(index: int) -> None:
        """With the next case in a fresh process, since this one's GPU answers no more."""
        sys.stdout.flush()
        again = [*sys.orig_argv[1:], "--start", str(index + 1), "--deadline", str(deadline)]
        os.execv(sys.executable, [sys.executable, *again])

    for index, plan in enumerate(plans[args.start :], args.start):
        if plan.name in known:
            continue
        if time.time() > deadline - RESERVE_SECONDS:
            left = [plan.name for plan in plans[index:] if plan.name not in known]
            print(f"no time was left for {len(left)} cases: {'; '.join(left)}")
            records.add({"name": "left out", "status": "skipped", "why": "no time was left", "cases": left})
            break

        def give_up(index=index, plan=plan) -> None:
            why = f"it took longer than {CASE_SECONDS:.0f} seconds"
            print(f"{plan.name}: {why}")
            records.add({"name": plan.name, "status": "failed", "why": why})
            go_on(index)

        watchdog = Timer(CASE_SECONDS, give_up)
        watchdog.daemon = True
        watchdog.start()
        record = measure(plan, None if checks_only else args.seconds)
        watchdog.cancel()
        print("\n".join(lines(record)), flush=True)
        if record["status"] != "skipped":
            records.add(record)
        if record["status"] == "failed" and not _gpu_answers():
            go_on(index)
    for file in records.files:
        print(f"written to {file}")
    return 0


def chosen(words: list[str]) -> list[Plan]:
    """The cases whose name holds one of the words, all without words; the important first."""
    plans = [plan for path in sorted(HERE.glob("bench_*.py")) for plan in importlib.import_module(path.stem).cases()]
    return sorted(
        (plan for plan in plans if not words or any(word in plan.name for word in words)), key=lambda plan: plan.rank
    )


class Records:
    """<machine>.jsonl in some folders: a line for each record, with its time and machine."""

    def __init__(self, folders: list[Path], where: dict[str, Any]):
        label = re.sub(r"\W+", "-", where["gpu"] or where["cpu"]).strip("-").lower()
        self.files, self.where = [folder / f"{label}.jsonl" for folder in folders], where

    def good(self) -> set[str]:
        """Names of the cases that came out well."""
        lines = [line for path in self.files if path.exists() for line in path.read_text().splitlines()]
        return {record["name"] for record in map(json.loads, lines) if record["status"] == "ok"}

    def add(self, record: dict[str, Any]) -> None:
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        line = json.dumps(record | {"time": moment, "machine": self.where})
        for path in self.files:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a") as file:
                file.write(line + "\n")


def lines(record: dict[str, Any]) -> list[str]:
    """The record of a case for a person to read: a line for the case, and one for each way."""
    result = [record["name"]]
    if record["status"] != "ok" and "why" in record:
        result[0] += f": {record['status']}, {record['why']}"
    if "floor_ms" in record:
        result[0] += f", floor {record['floor_ms']:.3g} ms"
    for name, figures in record.get("ways", {}).items():
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


def folders(results: Path) -> list[Path]:
    other = os.environ.get("LAMP_FAST_RESULTS")
    return [results, Path(other)] if other else [results]


def _gpu_answers() -> bool:
    try:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
    except RuntimeError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
