"""The console script: exit codes, one line for an error, `env`."""

import json
import pkgutil

import pytest

from lamp_fast import LampError, cli
from lamp_fast.cli import env
from lamp_fast.cli.main import COMMANDS, main


def failing(error: BaseException):
    def run(args):
        raise error

    return run


@pytest.mark.parametrize(
    "error, code, line",
    [
        (LampError("the prompt is empty; give words"), 2, "lamp-fast: the prompt is empty; give words\n"),
        (
            ModuleNotFoundError("No module named 'accelerate'", name="accelerate"),
            2,
            "lamp-fast: accelerate is missing; run: pip install 'lamp-fast[train]'\n",
        ),
        (KeyboardInterrupt(), 130, "lamp-fast: interrupted\n"),
    ],
)
def test_an_error_is_one_line(monkeypatch, capsys, error, code, line):
    monkeypatch.setattr(env, "run", failing(error))
    assert main(["env"]) == code
    assert capsys.readouterr().err == line


@pytest.mark.parametrize("arguments", [[], ["dance"], ["env", "--no-such-option"]])
def test_a_wrong_command_line_exits_with_2(arguments):
    with pytest.raises(SystemExit) as error:
        main(arguments)
    assert error.value.code == 2


def test_every_file_is_a_command():
    names = {module.name for module in pkgutil.iter_modules(cli.__path__)} - {"main"}
    assert {command.__name__.rsplit(".")[-1] for command in COMMANDS} == names


def test_env_prints_every_backend(capsys):
    assert main(["env"]) == 0
    text = capsys.readouterr().out
    assert all(f"backend {name}" in text for name in ("eager", "triton", "native"))
    assert main(["env", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["backends"]["eager"]["works"] is True
    assert report["packages"]["torch"]
