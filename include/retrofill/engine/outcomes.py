"""What may become of a call: the classes that every kind of function sorts its answers into."""

from dataclasses import dataclass, replace
from enum import StrEnum

MAX_MESSAGE_CHARS = 1_000
MAX_TYPE_CHARS = 200

_HINT = "{} (hint: {})"

NOT_SENT = "Call.NotSent"
NO_ANSWER = "Call.NoAnswer"

LOST = "Call.Lost"
"""The error type of a call whose task died before it settled it."""

TOO_LONG = "Answer.TooLong"
"""The error type of an answer that is longer than is read."""

MALFORMED = "Answer.Malformed"
"""The error type of an answer that its contract cannot read."""


class Outcome(StrEnum):
    """The class of a call that ended, and what is done about it."""

    SUCCEEDED = "succeeded"
    """The function returned. What it returned is read by the answer contract."""

    FAILED = "failed"
    """The function said error, timed out or crashed. A call of many items is bisected and blames
    nobody; a single item is blamed, tried again, and quarantined at last."""

    THROTTLED = "throttled"
    """Refused for load. The call waits as long as the reply asks, the window shrinks, and it is
    made again without end."""

    STARTING = "starting"
    """Refused while the function, its network or its file system starts up, or never sent. The
    call is made again after a while, and too many in a row stop the run."""

    UNKNOWN = "unknown"
    """No whole answer, or an error within the service: the function may have run, perhaps runs
    still. The call is made again no sooner than the function's timeout after it was sent."""

    MISCONFIGURED = "misconfigured"
    """Refused, and would be refused again. The run stops at once; its items stay as they are."""

    TOO_LARGE = "too_large"
    """Refused because of this payload. A call of many items is bisected; a single item is
    quarantined at once."""


REFUSED = frozenset({Outcome.THROTTLED, Outcome.STARTING, Outcome.MISCONFIGURED, Outcome.TOO_LARGE})
"""The outcomes of calls that did not run the function."""


class Cause(StrEnum):
    """Why a call failed."""

    TIMED_OUT = "timed_out"
    OUT_OF_MEMORY = "out_of_memory"
    CRASHED = "crashed"

    HANDLED = "handled"
    """The function told of its error itself."""

    UNHANDLED = "unhandled"
    """The function raised an error that it did not handle."""

    MALFORMED_ANSWER = "malformed_answer"
    """The function returned, and its answer says nothing that can be relied on."""

    ANSWER_LOST = "answer_lost"
    """The function came to its end, and its answer did not get through: another call would do the
    work again, and be answered no better."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a call ended, in words that may be stored and shown."""

    kind: Outcome

    error_type: str = ""
    """The name of the error: the service's, or the function's own; empty on success."""

    message: str = ""
    """What the error says, at most 1,000 characters, safe as Postgres text."""

    retry_after_s: float | None = None
    """Seconds to wait before the next call, when the reply names them."""

    cause: str = ""
    """Why it failed; empty for every other class."""

    request_id: str = ""
    """The function's name for the request; empty when it gave none."""

    executed_version: str = ""
    """The version of the function that ran; empty when none is named."""

    hint: str = ""
    """What the error means, where no item is the cause; empty: that is not known."""

    done: bool = False
    """Whether the function did its work for certain, and all that is missing is its answer."""


def explained(ended: Ended, hint: str) -> Ended:
    """Return how a call ended with a hint at what its error means, if there is one."""
    if not hint:
        return ended
    said = ended.message[: MAX_MESSAGE_CHARS - len(hint) - len(_HINT)]
    return replace(ended, message=_HINT.format(said, hint), hint=hint)


def storable(text: str, most: int = MAX_MESSAGE_CHARS) -> str:
    """Return text that Postgres takes: no NUL, no lone surrogate, at most ``most`` characters."""
    paired = text[:most].encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return paired.replace("\0", "\N{REPLACEMENT CHARACTER}")
