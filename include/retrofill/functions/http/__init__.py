"""Any function behind HTTP: Cloud Run, Azure Functions, Knative, OpenFaaS, a service."""

from typing import TYPE_CHECKING

from retrofill.functions.client import Client
from retrofill.functions.http.logs import LOG_URL, log_link
from retrofill.functions.http.outcomes import classify
from retrofill.functions.http.params import HttpParams
from retrofill.functions.kind import Asked, FunctionKind
from retrofill.model.function import Pinned

if TYPE_CHECKING:
    from retrofill.functions.http.access import Access

# awscrt, the client behind both, takes 9 MB and 40 ms: it is imported where a function is called.

NAME = "http"

MAX_REQUEST_BYTES = 6_291_456
"""The maximum size of a call: the smallest limit of the usual services, except API gateways."""


def _access(params: HttpParams, asked: Asked) -> "Access":
    from retrofill.functions.http.access import access  # noqa: PLC0415

    return access(asked.connections.get(params.http_conn_id), params)


def _resolve(params: HttpParams, asked: Asked) -> Pinned:
    """Find the function, by connecting to it.

    No request is sent, because many frameworks call the function for any method.
    """
    from retrofill.functions.transport.reach import require_reachable  # noqa: PLC0415

    found = _access(params, asked)
    require_reachable(
        found.endpoint,
        field="http_conn_id",
        verify=found.verify,
        proxy_url=found.proxy_url,
    )
    return Pinned(
        kind=NAME,
        name=found.url,
        version="",
        timeout_s=params.http_timeout_s,
        facts={
            "method": params.http_method,
            **({LOG_URL: found.log_url} if found.log_url else {}),
        },
    )


def _open(params: HttpParams, function: Pinned, asked: Asked) -> Client:
    from retrofill.functions.http.client import http_client  # noqa: PLC0415
    from retrofill.functions.transport.client import (  # noqa: PLC0415
        DEADLINE_MARGIN_S,
        MOST_IN_FLIGHT,
    )

    return http_client(
        _access(params, asked),
        method=params.http_method,
        deadline_s=function.timeout_s + DEADLINE_MARGIN_S,
        max_in_flight=MOST_IN_FLIGHT,
    )


KIND = FunctionKind(
    name=NAME,
    title="a function behind HTTP",
    params=HttpParams,
    resolve=_resolve,
    open=_open,
    classify=classify,
    max_request_bytes=MAX_REQUEST_BYTES,
    log_link=log_link,
)
