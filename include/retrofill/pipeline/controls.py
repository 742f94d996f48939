"""Controls: the changes that a user can make to an open run, and checks of typed values."""

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from retrofill.model.approval import ApprovalStatus
from retrofill.model.errors import ConfigError
from retrofill.model.quoting import quoted
from retrofill.params.base import form_field
from retrofill.params.limits import LimitParams
from retrofill.state import limits, runs
from retrofill.state.connection import Connection

STOP_REASON = "stopped by a user"

_DECIMALS = 10


class Limit(NamedTuple):
    """A limit that a user may set, with the title and the bounds of the trigger form."""

    name: str
    title: str
    words: str  # its description, in Markdown
    minimum: float
    maximum: float
    may_be_empty: bool  # an empty text means no limit
    is_whole: bool

    def parse(self, text: str) -> float | None:
        """Return the typed number; None: no limit.

        :raises ConfigError: it is not a number, or out of bounds
        """
        text = text.strip()
        if self.may_be_empty and not text:
            return None
        # A number with more digits than the maximum is too large, and may take long to parse.
        fraction = "" if self.is_whole else rf"(\.[0-9]{{1,{_DECIMALS}}})?"
        if re.fullmatch(rf"[0-9]{{1,{len(str(self.maximum))}}}{fraction}", text):
            number = int(text) if self.is_whole else float(text)
            if self.minimum <= number <= self.maximum:
                return number
        what = "a whole number" if self.is_whole else "a number"
        give = f"give {what} from {self.minimum:,} to {self.maximum:,}"
        empty = ", or nothing for no limit" if self.may_be_empty else ""
        raise ConfigError(f"{self.name}: {quoted(text)} is not allowed; {give}{empty}")


def _limit(name: str) -> Limit:
    form = form_field(LimitParams, name)
    types = form["type"]
    return Limit(
        name=name,
        title=form["title"],
        words=form["description_md"],
        minimum=form["minimum"],
        maximum=form["maximum"],
        may_be_empty="null" in types,
        is_whole="integer" in types,
    )


LIMITS: Mapping[str, Limit] = {
    name: _limit(name)
    for name in (
        "max_concurrency",
        "function_concurrency",
        "priority",
        "max_calls_per_second",
        "max_calls",
        "max_cost",
        "max_minutes",
        "max_failure_percent",
        "ramp_minutes",
    )
}
"""The limits that a user may set by typing a number, by name."""

BY_CAUSE = "max_percent_by_cause"
"""The limit that is a JSON object."""

ACTIONS = ("pause", "resume", "stop", *LIMITS, BY_CAUSE)
"""The actions of a user. The name of a limit sets it."""


def change(conn: Connection, run_id: int, action: str, text: str, who: str) -> bool:
    """Carry out an action of a user; return False if the run is closed.

    :param action: one of ACTIONS
    :param text: the typed limit, or the reason for a stop
    :param who: the user
    :raises ConfigError: action or text are not allowed; nothing was changed
    """
    match action:
        case "pause" | "resume":
            return limits.change_limits(conn, run_id, who=who, paused=action == "pause")
        case "stop":
            if "\0" in text:
                raise ConfigError(
                    f"reason: {quoted(text)} is not allowed; give a text without the character NUL"
                )
            return limits.stop(conn, run_id, text.strip() or STOP_REASON, who)
        case _ if action in ACTIONS:
            return set_limits(conn, run_id, {action: text}, who)
    raise ConfigError(f"action: {quoted(action)} is not allowed; give one of {', '.join(ACTIONS)}")


def set_limits(conn: Connection, run_id: int, typed: Mapping[str, str], who: str) -> bool:
    """Set limits of an open run, all or none; return False if it is closed.

    :param typed: the typed texts, by name
    :raises ConfigError: there is no such limit, or a text is not allowed; nothing was changed
    """
    values = {name: _value(name, text) for name, text in typed.items()}
    approval = runs.get_run(conn, run_id).approval
    if approval is not None and approval.status is ApprovalStatus.WAITING:
        said = ", ".join(f"{name}: {quoted(text)}" for name, text in typed.items())
        raise ConfigError(
            f"{said}: limits cannot change while the plan waits for approval, as they are part of"
            " it; change them after the approval"
        )
    return limits.change_limits(conn, run_id, who=who, **values)


def _value(name: str, text: str) -> Any:
    if name == BY_CAUSE:
        return _percents(text)
    if name not in LIMITS:
        allowed = ", ".join((*LIMITS, BY_CAUSE))
        raise ConfigError(f"{quoted(name)[1:-1]}: there is no such limit; give one of {allowed}")
    return LIMITS[name].parse(text)


def _percents(text: str) -> Any:
    """Return the typed percentages by cause; empty: no such limit."""
    try:
        typed = json.loads(text) if text.strip() else {}
    except (ValueError, RecursionError):
        typed = text
    return LimitParams.from_params({BY_CAUSE: typed}).max_percent_by_cause or {}
