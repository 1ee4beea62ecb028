"""Each way of the benchmarks gives the right result in the sizes that are timed, before any of them is timed."""

import sys
from itertools import zip_longest
from pathlib import Path

import pytest
import torch

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU")

MOST_RANK = 4  # beyond are sizes between those before


def plans() -> list:
    if not torch.cuda.is_available():
        return []
    sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))
    from run import chosen

    found = [plan for plan in chosen([]) if plan.rank <= MOST_RANK]
    # pytest-xdist hands out the first tests in pairs: those that take long are to be apart.
    long, short = ([plan for plan in found if plan.name.startswith("generate") is wanted] for wanted in (True, False))
    in_turn = [plan for pair in zip_longest(long, short) for plan in pair if plan is not None]
    return [pytest.param(plan, id=plan.name) for plan in in_turn]


@pytest.mark.parametrize("plan", plans())
def test_case(plan):
    from measure import measure

    record = measure(plan, seconds=None)
    torch.cuda.empty_cache()
    if record["status"] == "skipped":
        pytest.skip(record["why"])
    wrong = {name: figures["failed"] for name, figures in record.get("ways", {}).items() if "failed" in figures}
    assert record["status"] == "ok", record.get("why", wrong)
