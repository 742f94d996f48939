"""What comes back for one request to the function's endpoint: a reply, or none."""

from typing import NamedTuple


class Reply(NamedTuple):
    """A whole HTTP response to one Invoke request."""

    tag: int
    """The number that the request was sent under."""

    status: int
    """The HTTP status."""

    request_id: str
    """Lambda's name for the request (x-amzn-RequestId); empty when it gave none."""

    function_error: str
    """X-Amz-Function-Error: ``Unhandled`` or ``Handled``; empty when the function returned."""

    executed_version: str
    """The version of the function that ran (X-Amz-Executed-Version); empty when none is named."""

    error_type: str
    """The name of Lambda's own error (x-amzn-ErrorType, up to the first colon); empty if none."""

    retry_after_s: float | None
    """Seconds to wait before the next request (Retry-After), when Lambda names them."""

    body: bytes
    """The payload of the response: what the function returned, or the error."""


class NoReply(NamedTuple):
    """A request that ended without a whole HTTP response."""

    tag: int
    """The number that the request was sent under."""

    sent: bool
    """False only when it is certain that no byte of the request left this process."""

    error: str
    """What happened, in one line."""
