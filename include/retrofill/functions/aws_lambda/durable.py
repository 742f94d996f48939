"""Calls of a durable function: each names its execution, so that none starts twice."""

import hashlib

from retrofill.functions.client import Payload
from retrofill.functions.transport.client import HttpClient

_HEADER = "X-Amz-Durable-Execution-Name"


class DurableCalls:
    """Sends calls to a durable function; see :class:`retrofill.functions.client.Client`.

    For a known name with the same payload, Lambda returns the existing execution, running or ended.
    So a call that is repeated because its outcome is unknown gets the same name, and a call that is
    repeated because it failed gets another.
    https://docs.aws.amazon.com/lambda/latest/dg/durable-execution-idempotency.html

    :param transport: sends the requests
    :param names: the prefix of the names of the run's executions
    """

    def __init__(self, transport: HttpClient, names: str) -> None:
        self._transport = transport
        self._names = names
        self.completions = transport.completions

    def send(self, tag: int, payload: Payload) -> None:
        """Send one request without waiting. Exactly one completion with this tag follows."""
        name = execution_name(self._names, payload)
        self._transport.send(tag, payload._replace(headers=(*payload.headers, (_HEADER, name))))

    def close(self) -> None:
        """End everything. Open requests complete without a reply."""
        self._transport.close()


def execution_name(names: str, payload: Payload) -> str:
    """Return the name of a call's execution: at most 64 letters, digits and dashes."""
    digest = hashlib.blake2b(payload.identifiers, digest_size=16)
    digest.update(str(payload.failures).encode())
    return f"{names}-{digest.hexdigest()}"
