"""Imports point down the rooms of docs/architecture.md, and no two rooms need each other."""

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import lamp_fast
from lamp_fast.ops import OPERATORS

ROOT = Path(__file__).resolve().parents[2]
ROOMS = (ROOT / "docs/architecture.md").read_text().partition("## The rooms")[2].partition("## ")[0]
LEVELS = {"_native": 0, "__main__": 6} | {
    Path(place).stem: int(level)
    for level, places in re.findall(r"^\| (\d) \| (.*?) \|", ROOMS, re.MULTILINE)
    for place in re.findall(r"`([\w/]+(?:\.py)?)`", places)
}
FILES = sorted(
    path
    for path in (ROOT / "lamp_fast").rglob("*.py")
    if path != ROOT / "lamp_fast/__init__.py" and "kernels" not in path.relative_to(ROOT).parts
)


def room(module: str) -> str:
    """The room of a dotted name below lamp_fast: `models.tokenizer` lies in `models`."""
    return module.split(".")[0]


def imported_rooms(path: Path) -> set[str]:
    """Rooms that a file of lamp_fast imports, at the top or inside a function."""
    package = path.relative_to(ROOT / "lamp_fast").parent.parts
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join(["lamp_fast"] * bool(node.level) + [*above] + [node.module] * bool(node.module))
            names = [f"{base}.{alias.name}" for alias in node.names] if base == "lamp_fast" else [base]
        else:
            continue
        for name in names:
            if name.startswith("lamp_fast."):
                target = name.removeprefix("lamp_fast.")
                rooms.add(room(lamp_fast._PUBLIC.get(target, target)))
    return rooms - {"__version__"}


def own_room(path: Path) -> str:
    return path.relative_to(ROOT / "lamp_fast").with_suffix("").parts[0]


def test_the_document_names_every_room():
    assert LEVELS.keys() - {"_native"} == {"kernels", "csrc"} | {own_room(path) for path in FILES}


def test_the_document_names_every_operator():
    table = (ROOT / "docs/architecture.md").read_text().partition("| operator |")[2].partition("\n\n")[0]
    first_cells = (row.split("|")[1] for row in table.splitlines()[2:])
    assert {name for cell in first_cells for name in re.findall(r"`(\w+)`", cell)} == set(OPERATORS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down(path):
    own = own_room(path)
    for target in imported_rooms(path):
        assert LEVELS[target] <= LEVELS[own], f"{own} (level {LEVELS[own]}) imports {target} (level {LEVELS[target]})"


def test_rooms_have_no_cycle():
    graph = {}
    for path in FILES:
        own = own_room(path)
        graph.setdefault(own, set()).update(imported_rooms(path) - {own})
    TopologicalSorter(graph).prepare()


@pytest.mark.parametrize("path", sorted((ROOT / "kernels").rglob("*.py")), ids=lambda path: path.name)
def test_kernels_stand_alone(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            assert not any(alias.name.split(".")[0] in ("lamp_fast", "kernels") for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            assert node.level <= 1, "a kernel imports from above kernels/"
            assert node.level == 1 or node.module.split(".")[0] not in ("lamp_fast", "kernels")


def test_kernels_package_has_no_side_effect():
    body = ast.parse((ROOT / "kernels/__init__.py").read_text()).body
    assert len(body) == 1 and isinstance(body[0], ast.Expr), "kernels/__init__.py holds a docstring and nothing else"
