"""The outcomes of calls, into which every kind of function sorts its responses."""

from dataclasses import dataclass, replace
from enum import StrEnum

MAX_MESSAGE_CHARS = 1_000
MAX_TYPE_CHARS = 200

_HINT = "{} (hint: {})"

NOT_SENT = "Call.NotSent"
NO_ANSWER = "Call.NoAnswer"

LOST = "Call.Lost"
"""The error type of a call whose task died before settling it."""

TOO_LONG = "Answer.TooLong"
"""The error type of a response that is longer than the limit."""

MALFORMED = "Answer.Malformed"
"""The error type of a response that its contract cannot read."""


class Outcome(StrEnum):
    """How a call ended, and what happens next."""

    SUCCEEDED = "succeeded"
    """The function returned. The answer contract reads its response."""

    FAILED = "failed"
    """The function reported an error, timed out or crashed. A call with many items is bisected and
    blames no item. A single item is blamed, retried, and finally quarantined."""

    THROTTLED = "throttled"
    """Refused because of load. The call waits as long as the response asks, the window shrinks, and
    the call is repeated without limit."""

    STARTING = "starting"
    """Refused while the function, its network or its file system starts, or never sent. The call is
    repeated after a while. Too many in a row stop the run."""

    UNKNOWN = "unknown"
    """No complete response, or an error within the service: the function may have run, or may still
    be running. The call is repeated no sooner than the function's timeout after it was sent."""

    MISCONFIGURED = "misconfigured"
    """Refused, and would be refused again. The run stops at once; its items stay as they are."""

    TOO_LARGE = "too_large"
    """Refused because of this payload. A call with many items is bisected. A single item is
    quarantined at once."""


REFUSED = frozenset({Outcome.THROTTLED, Outcome.STARTING, Outcome.MISCONFIGURED, Outcome.TOO_LARGE})
"""The outcomes of calls for which the function did not run."""


class Cause(StrEnum):
    """Why a call failed."""

    TIMED_OUT = "timed_out"
    OUT_OF_MEMORY = "out_of_memory"
    CRASHED = "crashed"

    HANDLED = "handled"
    """The function reported its error itself."""

    UNHANDLED = "unhandled"
    """The function raised an error that it did not handle."""

    MALFORMED_ANSWER = "malformed_answer"
    """The function returned, but its response is not reliable."""

    ANSWER_LOST = "answer_lost"
    """The function did its work, but its response did not get through. Another call would do the
    work again, and its response would not get through either."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a call ended, in texts that are safe to store and show."""

    kind: Outcome

    error_type: str = ""
    """The name of the error: the service's, or the function's own; empty on success."""

    message: str = ""
    """The message of the error, at most 1,000 characters, safe as Postgres text."""

    retry_after_s: float | None = None
    """Seconds to wait before the next call, if the response names them."""

    cause: str = ""
    """Why it failed; empty for every other outcome."""

    request_id: str = ""
    """The id that the function's service gave the request; empty if it gave none."""

    executed_version: str = ""
    """The version of the function that ran; empty if unknown."""

    hint: str = ""
    """An explanation of the error, if no item causes it; empty: none is known."""

    done: bool = False
    """Whether the function certainly did its work, and only its response is missing."""


def explained(ended: Ending, hint: str) -> Ending:
    """Return how a call ended, with a hint that explains its error, if there is one."""
    if not hint:
        return ended
    said = ended.message[: MAX_MESSAGE_CHARS - len(hint) - len(_HINT)]
    return replace(ended, message=_HINT.format(said, hint), hint=hint)


def storable(text: str, most: int = MAX_MESSAGE_CHARS) -> str:
    """Return text that Postgres accepts: no NUL, no lone surrogate, at most ``most`` characters."""
    paired = text[:most].encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return paired.replace("\0", "\N{REPLACEMENT CHARACTER}")
