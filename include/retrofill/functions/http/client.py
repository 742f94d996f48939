"""The data plane to an HTTP function. Each request names its work, so that it is done only once."""

import hashlib
import uuid

from retrofill.functions.client import Payload
from retrofill.functions.http.access import Access
from retrofill.functions.transport.client import HttpClient


class HttpFunction:
    """Sends calls to one HTTP function; see :class:`retrofill.functions.client.Client`.

    :param method: POST, PUT or PATCH
    :raises ConfigError: proxy, certificates or a number cannot be used
    """

    def __init__(
        self, access: Access, *, method: str, deadline_s: float, max_in_flight: int
    ) -> None:
        self._transport = HttpClient(
            access.endpoint,
            method=method,
            path=access.path,
            headers=access.headers,
            sign=access.sign,
            deadline_s=deadline_s,
            max_in_flight=max_in_flight,
            verify=access.verify,
            proxy_url=access.proxy_url,
        )
        self.completions = self._transport.completions

    def send(self, tag: int, payload: Payload) -> None:
        """Send one request without waiting. Exactly one completion with this tag follows."""
        key = ("Idempotency-Key", idempotency_key(payload.job, payload.identifiers))
        self._transport.send(tag, payload._replace(headers=(*payload.headers, key)))

    def close(self) -> None:
        """End everything. Open requests complete without a reply."""
        self._transport.close()


def idempotency_key(job: str, identifiers: bytes) -> str:
    """Return the Idempotency-Key of a call: the same whenever a job sends the same items.

    Source of the header:
    https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/. Its value is
    without the draft's quotes, as today's servers read it.
    """
    owner = hashlib.blake2b(job.encode()).digest()
    digest = hashlib.blake2b(identifiers, key=owner, digest_size=16).digest()
    return str(uuid.UUID(bytes=digest, version=4))
