"""An HTTP connection as access to a function: its address, credentials, TLS and proxy."""

import base64
import os
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode
from urllib.request import getproxies, proxy_bypass

from awscrt.http import HttpRequest

from retrofill.functions.http.logs import template
from retrofill.functions.http.params import NAME, HttpParams, is_ours
from retrofill.functions.transport.client import Sign
from retrofill.functions.transport.endpoint import Endpoint
from retrofill.model.connections import ConnectionFields
from retrofill.model.errors import ConfigError

AUTH = ("none", "basic", "bearer", "header", "google")

_NOT_HEADERS = frozenset({
    "allow_redirects", "audience", "auth", "bearer", "cert", "check_response", "header", "log_url",
    "max_redirects", "proxies", "proxy", "stream", "timeout", "trust_env", "verify",
})  # fmt: skip
"""Settings in the extra of an Airflow HTTP connection; everything else in it is a header."""

_TRUTH = {"true": True, "false": False}
_SCHEMES = ("http", "https")
_SECRET = re.compile(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?")


class Access(NamedTuple):
    """Everything that a request needs apart from its payload."""

    endpoint: Endpoint
    url: str
    """The function's address, without query and credentials."""

    path: str
    """Path and query of each request."""

    headers: tuple[tuple[str, str], ...]
    sign: Sign | None
    verify: bool | str
    proxy_url: str | None
    log_url: str = ""
    """The template for links to a call's log; empty: unknown."""


def access(connection: ConnectionFields, params: HttpParams) -> Access:
    """Return the access that a connection gives to a function.

    The connection is read as in Airflow's HTTP provider: ``schema`` is the scheme, and ``extra``
    contains settings and headers. Format:
    https://airflow.apache.org/docs/apache-airflow-providers-http/stable/connections/http.html.

    :raises ConfigError: a field of the connection cannot be used; the message names it
    """
    where = f"http_conn_id: the connection {connection.conn_id!r}"
    extra = connection.extra
    url = _base_url(where, connection)
    endpoint = Endpoint.parse(url, where)
    path = "/" + "/".join(
        part
        for part in (endpoint.base_path.strip("/"), (params.http_path or "").lstrip("/"))
        if part
    )
    path = quote(path, safe="/%:@!$&'()*+,;=-._~")
    query = f"?{urlencode(params.http_query)}" if params.http_query else ""
    own = {name: value for name, value in extra.items() if name not in _NOT_HEADERS}
    headers_of_auth, sign = _auth(where, connection, f"{endpoint_url(endpoint)}{path}")
    auth = "authorization" if sign else next((name for name, _ in headers_of_auth), "").lower()
    headers = _merged(_texts(where, own, auth), params.http_headers or {}, auth)
    return Access(
        endpoint,
        f"{endpoint_url(endpoint)}{path}",
        f"{path}{query}",
        (*headers, *headers_of_auth),
        sign,
        _verify(where, extra),
        _proxy(where, extra, endpoint),
        template(where, extra.get("log_url", "")),
    )


def endpoint_url(endpoint: Endpoint) -> str:
    """Return scheme and authority of an endpoint."""
    return f"{'https' if endpoint.secure else 'http'}://{endpoint.authority}"


def _base_url(where: str, connection: ConnectionFields) -> str:
    if not connection.host:
        raise ConfigError(f"{where} has no host; give the host of the function")
    if "://" in connection.host:
        return connection.host
    scheme = connection.schema or (
        connection.conn_type if connection.conn_type in _SCHEMES else "http"
    )
    if scheme not in _SCHEMES:
        raise ConfigError(f"{where} has the schema {scheme!r}; give http or https")
    port = "" if connection.port is None else f":{connection.port}"
    # An IPv6 address has colons of its own.
    bare = connection.host.count(":") > 1 and not connection.host.startswith("[")
    host = f"[{connection.host}]" if bare else connection.host
    return f"{scheme}://{host}{port}"


def _texts(where: str, headers: Mapping[str, Any], auth: str) -> dict[str, str]:
    """Return the headers in the extra of a connection.

    :param auth: the header with the credentials, in lowercase; empty: there is none
    :raises ConfigError: one is not a header, or is set by Retrofill
    """
    for name, value in headers.items():
        fits = isinstance(value, str) and _SECRET.fullmatch(value)
        if not (fits and re.fullmatch(NAME, name)):
            raise ConfigError(
                f"{where} has {name!r} in its extra, which is neither a setting nor a header; give"
                " headers as one line of ASCII each, and the settings as in the docs"
            )
        own_auth = name.lower() == "authorization" and not auth
        if name.lower() == auth or (is_ours(name) and not own_auth):
            raise ConfigError(
                f"{where} has the header {name!r} in its extra, which Retrofill sets itself;"
                " remove it"
            )
    return dict(headers)


def _merged(extra: Mapping[str, str], asked: Mapping[str, Any], auth: str) -> list[tuple[str, str]]:
    """Return the headers of a connection and of a run; those of the run take precedence.

    :raises ConfigError: one is the header with the credentials
    """
    names = {name.lower() for name in asked}
    if auth in names:
        raise ConfigError(
            f"http_headers: {auth!r} is the header with the connection's credentials; remove it"
        )
    kept = {name: value for name, value in extra.items() if name.lower() not in names}
    return [*kept.items(), *((name, str(value)) for name, value in asked.items())]


def _auth(
    where: str, connection: ConnectionFields, url: str
) -> tuple[list[tuple[str, str]], Sign | None]:
    """Return the headers with the credentials, or the function that adds them to each request."""
    extra = connection.extra
    usual = "bearer" if extra.get("bearer") else "basic" if connection.login else "none"
    auth = extra.get("auth", usual)
    if auth not in AUTH:
        raise ConfigError(f"{where} has auth {auth!r}; give one of {', '.join(AUTH)}")
    if auth == "none":
        return [], None
    if auth == "google":
        return [], _google(where, str(extra.get("audience") or url))
    if auth == "basic":
        pair = f"{connection.login}:{connection.password}".encode()
        return [("Authorization", f"Basic {base64.b64encode(pair).decode()}")], None
    secret = str(extra.get("bearer") or connection.password)
    if not _SECRET.fullmatch(secret):
        raise ConfigError(
            f"{where} has auth {auth!r}, but no password that can be a header; give the secret as"
            " its password, in one line of ASCII"
        )
    if auth == "bearer":
        return [("Authorization", f"Bearer {secret}")], None
    name = extra.get("header")
    ours = isinstance(name, str) and is_ours(name) and name.lower() != "authorization"
    if not isinstance(name, str) or not re.fullmatch(NAME, name) or ours:
        raise ConfigError(
            f"{where} has auth 'header', but no usable name of the header; give it as header in its"
            " extra, such as X-Api-Key"
        )
    return [(name, secret)], None


def _google(where: str, audience: str) -> Sign:
    """Return the function that adds an identity token from Google to each request.

    Format: https://cloud.google.com/run/docs/authenticating/service-to-service.

    :raises ConfigError: google-auth is not installed, or finds no credentials
    """
    try:
        from google.auth.exceptions import GoogleAuthError  # noqa: PLC0415  often not installed
        from google.auth.transport.requests import Request  # noqa: PLC0415
        from google.oauth2 import id_token  # noqa: PLC0415
    except ImportError as error:
        raise ConfigError(
            f"{where} has auth 'google', which needs google-auth ({error}); install"
            " apache-airflow-providers-google, or google-auth[requests]"
        ) from error
    fetch: Callable[[str], Any] = id_token.fetch_id_token_credentials
    try:
        credentials = fetch(audience)
    except GoogleAuthError as error:
        raise ConfigError(f"{where} has auth 'google', but no identity ({error})") from error

    def sign(request: HttpRequest, body: bytes) -> None:
        del body
        if not credentials.valid:
            credentials.refresh(Request())
        request.headers.set("Authorization", f"Bearer {credentials.token}")

    return sign


def _verify(where: str, extra: Mapping[str, Any]) -> bool | str:
    given = extra.get("verify", os.environ.get("REQUESTS_CA_BUNDLE") or True)
    if isinstance(given, str) and given:
        return _TRUTH.get(given.lower(), given)
    if not isinstance(given, bool):
        raise ConfigError(
            f"{where} has verify {given!r}; give true, false or the path of a PEM file"
        )
    return given


def _proxy(where: str, extra: Mapping[str, Any], endpoint: Endpoint) -> str | None:
    scheme = "https" if endpoint.secure else "http"
    given = extra.get("proxies", extra.get("proxy"))
    if given is None:
        found = getproxies()
        return None if proxy_bypass(endpoint.host) else found.get(scheme) or found.get("all")
    if isinstance(given, str):
        return given
    own = given.get(scheme) if isinstance(given, dict) else given
    if not isinstance(given, dict) or not isinstance(own, str | None):
        raise ConfigError(f"{where} has malformed proxies; give a URL for each scheme")
    return own
