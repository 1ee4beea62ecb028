"""Imports point down the rooms of docs/architecture.md, and no two rooms need each other."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import lamp_fast

ROOT = Path(__file__).resolve().parents[2]
LEVELS = {
    "kernels": 0,
    "_native": 0,
    "errors": 1,
    "files": 1,
    "config": 1,
    "backend": 1,
    "ranges": 1,
    "motion": 1,
    "native_cuda": 1,
    "ops": 2,
    "readers": 2,
    "models": 3,
    "reference": 3,
    "checkpoints": 4,
    "pipelines": 5,
    "retrieval": 5,
    "engine": 5,
    "training": 5,
    "metrics": 5,
    "data": 5,
    "export": 5,
    "viewer": 5,
    "profiling": 5,
    "cli": 6,
    "serve": 6,
    "__main__": 6,
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


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down(path):
    own = room(path.relative_to(ROOT / "lamp_fast").with_suffix("").as_posix().replace("/", "."))
    assert own in LEVELS, f"{own} has no level: add it to docs/architecture.md and here"
    for target in imported_rooms(path):
        assert LEVELS[target] <= LEVELS[own], f"{own} (level {LEVELS[own]}) imports {target} (level {LEVELS[target]})"


def test_rooms_have_no_cycle():
    graph = {}
    for path in FILES:
        own = room(path.relative_to(ROOT / "lamp_fast").with_suffix("").as_posix().replace("/", "."))
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
