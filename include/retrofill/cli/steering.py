"""Commands that steer an open run: its tasks look every second, so Airflow is not asked."""

import getpass
from typing import Annotated

import typer

from retrofill.cli.looking import RunNumber
from retrofill.cli.output import say
from retrofill.cli.state import open_state
from retrofill.cli.values import split
from retrofill.model.errors import ConfigError
from retrofill.pipeline.controls import change
from retrofill.pipeline.controls import set_limits as set_limits_of
from retrofill.state import runs

_CLOSED = "run: {}; it is closed, so nothing was changed"


def pause(run: RunNumber) -> None:
    """Pause a run: calls in flight end, and no other is sent."""
    _change(run, "pause", "")
    say(f"run {run} is paused")


def resume(run: RunNumber) -> None:
    """Resume a run that is paused."""
    _change(run, "resume", "")
    say(f"run {run} goes on")


def stop(
    run: RunNumber,
    *,
    reason: Annotated[str, typer.Option(help="Why, as report and page then say.")] = "",
) -> None:
    """Stop a run: calls in flight end, and it closes as incomplete."""
    _change(run, "stop", reason)
    say(f"run {run} stops")


def set_limits(
    run: RunNumber,
    values: Annotated[
        list[str],
        typer.Argument(metavar="NAME=VALUE", help="Limits to change, such as max_concurrency=20."),
    ],
) -> None:
    """Change limits of a run, all or none.

    A value left empty means that there is no such limit.
    """
    typed = split(values)
    with open_state() as conn:
        runs.get_run(conn, run)
        if not set_limits_of(conn, run, typed, getpass.getuser()):
            raise ConfigError(_CLOSED.format(run))
    said = ", ".join(f"{name} is now {text or 'without limit'}" for name, text in typed.items())
    say(f"run {run}: {said}")


def _change(run: int, action: str, text: str) -> None:
    with open_state() as conn:
        runs.get_run(conn, run)
        if not change(conn, run, action, text, getpass.getuser()):
            raise ConfigError(_CLOSED.format(run))
