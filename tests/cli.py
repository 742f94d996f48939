"""The command line in a test's own process."""

import io
from typing import Any, NamedTuple, Protocol

import pytest
from retrofill.cli import main


class Ending(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


class Command(Protocol):
    """Runs a command."""

    def __call__(self, *words: object) -> Ending: ...


def command(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> Command:
    """Return a function that runs the command line."""

    def run(*words: object) -> Ending:
        monkeypatch.setattr("sys.stdin", io.StringIO())
        monkeypatch.setattr("sys.argv", ["retrofill", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        code = ended.value.code
        return Ending(code if isinstance(code, int) else 0, *capsys.readouterr())

    return run
