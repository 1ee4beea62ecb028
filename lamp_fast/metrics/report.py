"""One evaluation as a table (terminal, Markdown) and as a record (JSON)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from torch import Tensor

from .interval import Interval

Row = Mapping[str, Interval | float]


@dataclass(frozen=True)
class Report:
    """measured, published: rows by name, figures by column. about: what a reader needs to repeat it.

    warnings: one sentence each, why figures cannot stand beside published ones.
    """

    title: str
    columns: Sequence[str]
    measured: Mapping[str, Row]
    published: Mapping[str, Row]
    about: Mapping[str, object]
    warnings: Sequence[str]

    def terminal(self) -> str:
        names = ["", *self.columns]
        rows = [[name, *self._cells(row)] for name, row in self._rows()]
        widths = [max(len(row[i]) for row in [names, *rows]) for i in range(len(names))]
        lines = [
            "  ".join([row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:]))])
            for row in [names, *rows]
        ]
        about = [f"  {name}: {value}" for name, value in self.about.items()]
        return "\n".join([self.title, "", *lines, "", *about, *(f"warning: {text}" for text in self.warnings)])

    def markdown(self) -> str:
        rows = [["", *self.columns], ["---"] * (len(self.columns) + 1)]
        rows += [[name, *self._cells(row)] for name, row in self._rows()]
        table = ["| " + " | ".join(row) + " |" for row in rows]
        about = [f"- {name}: {value}" for name, value in self.about.items()]
        warnings = [f"> **Warning:** {text}" for text in self.warnings]
        return "\n".join([f"## {self.title}", "", *table, "", *about, "", *warnings]).rstrip() + "\n"

    def json(self) -> str:
        rows = {
            name: {c: asdict(v) if isinstance(v, Interval) else v for c, v in row.items()}
            for name, row in self.measured.items()
        }
        record = {"title": self.title, **self.about, "measured": rows, "published": self.published}
        return json.dumps(record | {"warnings": self.warnings}, indent=2)

    def _rows(self) -> list[tuple[str, Row]]:
        return [*((f"{name} (published)", row) for name, row in self.published.items()), *self.measured.items()]

    def _cells(self, row: Row) -> list[str]:
        return [_cell(row[column]) if column in row else "" for column in self.columns]


def statistics_hash(mean: Tensor, std: Tensor) -> str:
    """The first 16 digits of SHA-256 over mean and std as float32: which normalisation a figure belongs to."""
    return hashlib.sha256(b"".join(x.detach().cpu().float().numpy().tobytes() for x in (mean, std))).hexdigest()[:16]


def _cell(value: Interval | float) -> str:
    return str(value) if isinstance(value, Interval) else f"{value:g}"
