"""What a person may change of an open run by its page, and what is wrong with what was typed."""

from typing import NamedTuple

from retrofill.model.approval import Answer
from retrofill.model.errors import ConfigError
from retrofill.model.quoting import quoted
from retrofill.params.base import form_field
from retrofill.params.limits import LimitParams
from retrofill.state import limits, runs
from retrofill.state.connection import Connection

ACTIONS = ("pause", "resume", "stop", "max_concurrency", "max_calls_per_second")
STOP_REASON = "stopped by a person"


class Limit(NamedTuple):
    """A number that a person may set, with the title and the bounds that the trigger form has."""

    name: str
    title: str
    minimum: int
    maximum: int
    may_be_empty: bool
    """Whether no number means no limit."""

    def parse(self, text: str) -> int:
        """Return the number that was typed.

        :raises ConfigError: it is none, or out of bounds
        """
        text = text.strip()
        # More digits than the maximum has cannot be right, and may take long to read.
        if text.isascii() and text.isdigit() and len(text) <= len(str(self.maximum)):
            number = int(text)
            if self.minimum <= number <= self.maximum:
                return number
        allowed = f"allowed is a whole number from {self.minimum:,} to {self.maximum:,}"
        empty = ", or nothing for no limit" if self.may_be_empty else ""
        raise ConfigError(f"{self.name}: {quoted(text)}; {allowed}{empty}")


def _waits(conn: Connection, run_id: int) -> bool:
    approval = runs.get_run(conn, run_id).approval
    return approval is not None and approval.state is Answer.WAITING


def _limit(name: str) -> Limit:
    field = form_field(LimitParams, name)
    may_be_empty = "null" in field["type"]
    return Limit(name, field["title"], field["minimum"], field["maximum"], may_be_empty)


CONCURRENCY = _limit("max_concurrency")
RATE = _limit("max_calls_per_second")


def change(conn: Connection, run_id: int, action: str, text: str) -> bool:
    """Do what a form of the page asks for; return False if the run is closed.

    :param action: one of ACTIONS
    :param text: what was typed for a limit
    :raises ConfigError: there is no such action, or the text is not allowed; nothing was changed
    """
    match action:
        case "pause" | "resume":
            return limits.change_limits(conn, run_id, paused=action == "pause")
        case "stop":
            return limits.stop(conn, run_id, STOP_REASON)
        case CONCURRENCY.name | RATE.name if _waits(conn, run_id):
            raise ConfigError(
                f"{action}: {quoted(text)}; not while the plan waits for approval, which is of the"
                " limits that it shows; change it when the plan is approved"
            )
        case CONCURRENCY.name:
            return limits.change_limits(conn, run_id, max_concurrency=CONCURRENCY.parse(text))
        case RATE.name:
            rate = RATE.parse(text) if text.strip() else None
            return limits.change_limits(conn, run_id, max_calls_per_second=rate)
        case _:
            raise ConfigError(f"action: {quoted(action)}; allowed are {', '.join(ACTIONS)}")
