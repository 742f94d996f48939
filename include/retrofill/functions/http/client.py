"""The data plane to an HTTP function. Requests have keys, so that servers can deduplicate them."""

import hashlib
import uuid

from retrofill.functions.http.access import Access
from retrofill.functions.transport.client import HttpClient


def http_client(
    access: Access, *, method: str, deadline_s: float, max_in_flight: int
) -> HttpClient:
    """Open the data plane to one HTTP function.

    :param method: POST, PUT or PATCH
    :raises ConfigError: proxy, certificates or a number cannot be used
    """
    return HttpClient(
        access.endpoint,
        method=method,
        path=access.path,
        headers=access.headers,
        headers_of=lambda payload: [
            ("Idempotency-Key", idempotency_key(payload.job, payload.identifiers))
        ],
        sign=access.sign,
        deadline_s=deadline_s,
        max_in_flight=max_in_flight,
        verify=access.verify,
        proxy_url=access.proxy_url,
    )


def idempotency_key(job: str, identifiers: bytes) -> str:
    """Return the Idempotency-Key of a call: the same whenever a job sends the same items.

    Source of the header:
    https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/. Its value is
    without the draft's quotes, as today's servers read it.
    """
    owner = hashlib.blake2b(job.encode()).digest()
    digest = hashlib.blake2b(identifiers, key=owner, digest_size=16).digest()
    return str(uuid.UUID(bytes=digest, version=4))
