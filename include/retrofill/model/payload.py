"""The payload: what one call carries, as an event shape writes it."""

from typing import NamedTuple

JSON = "application/json"


class Payload(NamedTuple):
    """The body of one call, and what must be known of it to send it."""

    body: bytes

    content_type: str = JSON
    """The media type of the body."""

    headers: tuple[tuple[str, str], ...] = ()
    """Header fields that belong to the body, for functions that are called over plain HTTP."""

    identifiers: bytes = b""
    """16 bytes of each item in the body, one after another."""

    failures: int = 0
    """How often its items had failed alone before: a call that is repeated for another reason is
    the same call."""

    job: str = ""
    """The job that the items are sent for."""
