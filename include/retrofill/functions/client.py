"""What sends calls to a function, and what comes back for each: a reply, or none."""

from collections.abc import Mapping
from queue import SimpleQueue
from typing import NamedTuple, Protocol

from retrofill.model.payload import Payload

__all__ = ["Client", "NoReply", "Payload", "Reply"]


class Reply(NamedTuple):
    """A whole HTTP response to one request."""

    tag: int
    """The number that the request was sent under."""

    status: int
    """The HTTP status."""

    headers: Mapping[str, str]
    """The header fields by their names in lower case; of a repeated one, the last."""

    body: bytes

    cut: bool = False
    """Whether the body was longer than is read; then none of it is here."""

    took_ms: int = 0
    """Milliseconds from its request to its end, rounded up."""


class NoReply(NamedTuple):
    """A request that ended without a whole HTTP response."""

    tag: int
    """The number that the request was sent under."""

    sent: bool
    """False only when it is certain that no byte of the request left this process."""

    error: str
    """What happened, in one line."""


class Client(Protocol):
    """The data plane to one function."""

    completions: SimpleQueue[Reply | NoReply]
    """One entry for each :meth:`send`, in the order they end."""

    def send(self, tag: int, payload: Payload) -> None:
        """Send one request without waiting; exactly one completion with this tag follows."""

    def close(self) -> None:
        """End everything; requests that are open complete without a reply."""
