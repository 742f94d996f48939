"""The command line as a whole: its commands, and what becomes of errors."""

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from retrofill import __version__
from retrofill.cli import exporting, keeping, looking, starting, steering, triaging
from retrofill.cli.exits import exit_of
from retrofill.cli.output import print_text, say
from retrofill.model.errors import ConfigError, RetrofillError
from retrofill.model.quoting import quoted

_ABOUT = """Run a function over the data you already have.

Commands that look at runs, steer them, and keep the state, read the database of the connection
`retrofill_state`: that of the variable `AIRFLOW_CONN_RETROFILL_STATE`, else Airflow's. Airflow need
not run for them.

Commands that start or answer something ask Airflow at `RETROFILL_AIRFLOW_URL`, signed in by
`RETROFILL_AIRFLOW_TOKEN`, or by `RETROFILL_AIRFLOW_USERNAME` and `RETROFILL_AIRFLOW_PASSWORD`.
"""

_LOOK, _START, _STEER, _KEEP = "Look", "Start and answer", "Steer", "Keep"

app = typer.Typer(
    name="retrofill",
    help=_ABOUT,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)

for _panel, _name, _command in (
    (_LOOK, "jobs", looking.jobs),
    (_LOOK, "runs", looking.runs),
    (_LOOK, "status", looking.status),
    (_LOOK, "item", triaging.item),
    (_LOOK, "quarantine", triaging.quarantine),
    (_LOOK, "export", exporting.export),
    (_START, "plan", starting.plan),
    (_START, "run", starting.run),
    (_START, "approve", starting.approve),
    (_START, "reject", starting.reject),
    (_START, "redrive", triaging.redrive),
    (_STEER, "pause", steering.pause),
    (_STEER, "resume", steering.resume),
    (_STEER, "stop", steering.stop),
    (_STEER, "set", steering.set_limits),
    (_KEEP, "check-jobs", keeping.check_jobs),
    (_KEEP, "forget", keeping.forget),
):
    app.command(_name, rich_help_panel=_panel)(_command)
app.add_typer(keeping.db, rich_help_panel=_KEEP)


def _say_version(*, asked: bool) -> None:
    if asked:
        print_text(f"retrofill {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Show it.")
    ] = False,
) -> None:
    del version


def _require_text(words: Sequence[str]) -> None:
    """Check that all that was typed is text: Python lets through what is not UTF-8.

    :raises ConfigError: a word is not
    """
    for word in words:
        try:
            word.encode()
        except UnicodeEncodeError as error:
            raise ConfigError(f"{quoted(word)}; allowed is text in UTF-8") from error


def main() -> None:
    """Run the command that was asked for, and exit as :mod:`retrofill.cli.exits` has it."""
    try:
        _require_text(sys.argv[1:])
        app(prog_name="retrofill")
    except RetrofillError as error:
        say(str(error))
        sys.exit(exit_of(error))
