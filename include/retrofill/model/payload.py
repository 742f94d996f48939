"""The payload: what one call carries, as an event shape encodes it."""

from typing import NamedTuple

JSON = "application/json"


class Payload(NamedTuple):
    """The body of one call, and what is needed to send it."""

    body: bytes

    content_type: str = JSON
    """The media type of the body."""

    headers: tuple[tuple[str, str], ...] = ()
    """Header fields that belong to the body, for functions called over plain HTTP."""

    identifiers: bytes = b""
    """16 bytes for each item in the body, concatenated."""

    failures: int = 0
    """How many times its items had failed alone. A call that is repeated for another reason counts
    as the same call."""

    job: str = ""
    """The job of the items."""
