"""The command line as a whole: its commands, and how it reports errors."""

import re
import sys
from typing import Annotated

import typer

from retrofill import __version__
from retrofill.cli import exporting, keeping, looking, starting, steering, triaging
from retrofill.cli.exits import exit_of
from retrofill.cli.output import print_text, say
from retrofill.model.errors import ConfigError, RetrofillError
from retrofill.model.quoting import quoted

_ABOUT = """Run a function over the data you already have.

Commands use the database of the connection `retrofill_state`: the one in the variable
`AIRFLOW_CONN_RETROFILL_STATE`, otherwise Airflow's. Airflow need not run.

Commands that start runs or answer plans also call Airflow at `RETROFILL_AIRFLOW_URL`. They sign in
with `RETROFILL_AIRFLOW_TOKEN`, or with `RETROFILL_AIRFLOW_USERNAME` and
`RETROFILL_AIRFLOW_PASSWORD`.
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


def _print_version(*, asked: bool) -> None:
    if asked:
        print_text(f"retrofill {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    del version


def main() -> None:
    """Run the command, and exit with a code of :mod:`retrofill.cli.exits`."""
    try:
        for word in sys.argv[1:]:
            # Python reads bytes that are not UTF-8 as lone surrogates.
            if re.search("[\ud800-\udfff]", word):
                raise ConfigError(f"{quoted(word)} is not allowed; give text in UTF-8")
        app(prog_name="retrofill")
    except RetrofillError as error:
        say(str(error))
        sys.exit(exit_of(error))
