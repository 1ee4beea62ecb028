"""README and docs: commands that parse, Python that runs, links that lead somewhere."""

import re
import shlex
from pathlib import Path

import pytest

from lamp_fast.cli.main import build_parser

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(language: str) -> list[str]:
    return [
        block for path in DOCUMENTS for block in re.findall(rf"```{language}\n(.*?)```", path.read_text(), re.DOTALL)
    ]


COMMANDS = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("lamp-fast ")]


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_parse(line):
    build_parser().parse_args(shlex.split(line, comments=True)[1:])


@pytest.mark.parametrize("code", blocks("python"), ids=lambda code: code.splitlines()[0])
def test_python_runs(code, tmp_path, monkeypatch):
    if not (ROOT / "lamp_fast/assets/lamp-mini").is_dir():
        pytest.skip("lamp-mini is not bundled")
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README", "exec"), {})


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(path):
    for target in re.findall(r"\]\((?!https?://|#|mailto:)([^)#]+)", path.read_text()):
        assert (path.parent / target).exists(), f"{target} does not exist"
