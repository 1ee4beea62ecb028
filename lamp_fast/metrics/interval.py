"""A measure over replications."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Interval:
    """mean ± half_width, the 95 % confidence interval of `replications` values."""

    mean: float
    half_width: float
    replications: int

    def __str__(self) -> str:
        spread = f"±{self.half_width:.3f}" if self.replications > 1 else ""
        return f"{self.mean:.3f}{spread}"


def confidence_interval(values: Sequence[float]) -> Interval:
    """The interval of one or more values, as released (`eval_t2m_trans_res.py`): 1.96 std / sqrt(n), std over n."""
    values = np.asarray(values, np.float64)
    return Interval(float(values.mean()), float(1.96 * values.std() / np.sqrt(len(values))), len(values))
