"""Commands that steer an open run. Its tasks read the state every second; Airflow is not asked."""

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


def pause(run: RunNumber) -> None:
    """Pause a run: calls in flight are completed, and no others are sent."""
    _change(run, "pause")
    say(f"run {run} is paused")


def resume(run: RunNumber) -> None:
    """Resume a paused run."""
    _change(run, "resume")
    say(f"run {run} continues")


def stop(
    run: RunNumber,
    *,
    reason: Annotated[str, typer.Option(help="Shown in the report and on the page.")] = "",
) -> None:
    """Stop a run: calls in flight are completed, and it closes as incomplete."""
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

    An empty value means no limit.
    """
    typed = split(values)
    with open_state() as conn:
        runs.get_run(conn, run)
        _require_open(run, set_limits_of(conn, run, typed, getpass.getuser()))
    said = ", ".join(f"{name} is now {text or 'without limit'}" for name, text in typed.items())
    say(f"run {run}: {said}")


def _change(run: int, action: str, text: str = "") -> None:
    with open_state() as conn:
        runs.get_run(conn, run)
        _require_open(run, change(conn, run, action, text, getpass.getuser()))


def _require_open(run: int, done: bool) -> None:  # noqa: FBT001  the result of the change
    if not done:
        raise ConfigError(f"run: {run} is closed, so nothing was changed")
