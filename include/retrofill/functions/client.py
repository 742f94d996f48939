"""The data plane: the client that sends calls to a function, and their replies."""

from collections.abc import Mapping
from queue import SimpleQueue
from typing import NamedTuple, Protocol

from retrofill.model.payload import Payload

__all__ = ["Client", "NoReply", "Payload", "Reply"]


class Reply(NamedTuple):
    """A complete HTTP response to one request."""

    tag: int
    """The tag of the request."""

    status: int
    """The HTTP status."""

    headers: Mapping[str, str]
    """The header fields by lowercase name; of a repeated one, the last."""

    body: bytes

    cut: bool = False
    """Whether the body was longer than the limit; then none of it is here."""

    took_ms: int = 0
    """Milliseconds from the request to the end of the response, rounded up."""


class NoReply(NamedTuple):
    """A request that ended without a complete HTTP response."""

    tag: int
    """The tag of the request."""

    sent: bool
    """False only if no byte of the request can have left this process."""

    error: str
    """What happened, in one line."""


class Client(Protocol):
    """The data plane to one function.

    Each request has exactly one completion::

        client.send(1, payload)
        client.completions.get()  # Reply(tag=1, status=200, …) or NoReply(tag=1, …)
    """

    completions: SimpleQueue[Reply | NoReply]
    """One entry for each :meth:`send`, in the order in which they end."""

    def send(self, tag: int, payload: Payload) -> None:
        """Send one request without waiting. Exactly one completion with this tag follows."""

    def close(self) -> None:
        """End everything. Open requests complete without a reply."""
