"""The params of a function behind HTTP: where it is, and how to call it."""

import json
import re
from functools import partial
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, JsonValue, WithJsonSchema

from retrofill.functions.kind import FunctionParams
from retrofill.model.quoting import quoted
from retrofill.params import field, refuse
from retrofill.params.texts import BLANK, ConnectionId, Text, one_of

SECTION = "Function: HTTP"
"""The section of the trigger form that shows these params."""

METHODS = ("POST", "PUT", "PATCH")

LONGEST_TIMEOUT_S = 3_600
"""The limit of Cloud Run. Azure Functions allow less."""

NAME = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_VISIBLE = re.compile(r"[\x21-\x7e]([\x20-\x7e\t]*[\x21-\x7e])?")
_OURS = frozenset({
    "authorization", "connection", "content-length", "content-type", "expect", "host",
    "idempotency-key", "transfer-encoding", "user-agent",
})  # fmt: skip
_LONGEST_PAIRS = 8_000


def _path(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme or parts.netloc:
        refuse("it names a host, which belongs in the connection")
    if "?" in text or "#" in text:
        refuse("it has a query or a fragment; use http_query for a query")
    return text


def is_ours(name: str) -> bool:
    """Return whether Retrofill sets a header field."""
    return name.lower() in _OURS or name.lower().startswith("ce-")


def require_headers(headers: dict[str, Any]) -> dict[str, str]:
    """Return additional header fields of a request.

    Format: https://www.rfc-editor.org/rfc/rfc9110.html#section-5.

    :raises PydanticCustomError: a name or value is not valid, or Retrofill sets the field itself
    """
    for name, value in headers.items():
        if not re.fullmatch(NAME, name):
            refuse(f"{quoted(name)} is not the name of a header")
        if is_ours(name):
            refuse(f"Retrofill sets {name} itself")
        if not isinstance(value, str) or not _VISIBLE.fullmatch(value):
            refuse(f"the value of {name} is not a text of ASCII in one line")
    return headers


def _query(query: dict[str, Any]) -> dict[str, str]:
    for name, value in query.items():
        if not isinstance(value, str):
            refuse(f"the value of {quoted(name)} is not a text")
    return query


def _short(pairs: dict[str, Any]) -> dict[str, Any]:
    if len(json.dumps(pairs)) > _LONGEST_PAIRS:
        refuse(f"it has more than {_LONGEST_PAIRS:,} characters")
    return pairs


class HttpParams(FunctionParams):
    """Which HTTP connection, and what a request to it looks like."""

    http_conn_id: ConnectionId = field(
        SECTION,
        "HTTP connection",
        "The Airflow connection of the function: scheme, host, port and credentials.",
        allowed="the id of a connection",
        form={"maxLength": 200},
        examples=["http_default"],
    )
    http_path: Annotated[Annotated[Text, AfterValidator(_path)] | None, BLANK] = field(
        SECTION,
        "Path",
        "The path of the function, appended to that of the connection.",
        allowed="a path, such as /resize",
        default=None,
        examples=["/resize"],
    )
    http_method: Annotated[
        str,
        AfterValidator(partial(one_of, METHODS)),
        WithJsonSchema({"type": "string", "enum": list(METHODS)}),
    ] = field(
        SECTION,
        "Method",
        "The HTTP method of each call.",
        default="POST",
    )
    http_headers: Annotated[
        dict[str, JsonValue] | None,
        AfterValidator(lambda given: given and require_headers(_short(given))),
    ] = field(
        SECTION,
        "Headers",
        "Additional headers of each call. Put secrets into the connection instead.",
        allowed="a JSON object of texts",
        default=None,
        examples=[{"X-Tenant": "photos"}],
    )
    http_query: Annotated[
        dict[str, JsonValue] | None, AfterValidator(lambda given: given and _query(_short(given)))
    ] = field(
        SECTION,
        "Query",
        "The query parameters of each call.",
        allowed="a JSON object of texts",
        default=None,
        examples=[{"width": "200"}],
    )
    http_timeout_s: int = field(
        SECTION,
        "Timeout",
        "Seconds that a call may take. A call without a response is not repeated sooner.",
        default=60,
        examples=[60, 540],
        ge=1,
        le=LONGEST_TIMEOUT_S,
    )

    def label(self) -> str:
        """Return the connection and the path within it."""
        return f"{self.http_conn_id}{self.http_path or ''}"
