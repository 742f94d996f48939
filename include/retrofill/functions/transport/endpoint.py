"""The endpoint of calls and connections to it: address, TLS, proxy and sockets."""

from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from threading import Event
from typing import NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

from awscrt.http import HttpClientConnection, HttpProxyAuthenticationType, HttpProxyOptions
from awscrt.io import (
    ClientBootstrap,
    ClientTlsContext,
    DefaultHostResolver,
    EventLoopGroup,
    SocketOptions,
    TlsConnectionOptions,
    TlsContextOptions,
)

from retrofill.model.errors import ConfigError

CONNECT_TIMEOUT_S = 5
"""Seconds for the TCP handshake."""

KEEP_ALIVE_IDLE_S = 60
"""Seconds of silence before TCP probes the peer. AWS's NAT gateways and load balancers drop a
connection after 350 s of silence; a function may be silent for longer."""

KEEP_ALIVE_INTERVAL_S = 15
KEEP_ALIVE_PROBES = 4

_DEFAULT_PORTS = {"http": 80, "https": 443}


class Endpoint(NamedTuple):
    """The address of an HTTP endpoint."""

    host: str
    """Name or address, without brackets."""

    port: int
    secure: bool
    authority: str
    """The Host header: the host, and the port unless it is the scheme's default."""

    base_path: str
    """The path of its URL, without a slash at the end."""

    @classmethod
    def parse(cls, url: str, field: str = "endpoint_url") -> "Endpoint":
        """Parse an endpoint's URL.

        :param field: the field that contains it, for messages
        :raises ConfigError: it is not the URL of an HTTP endpoint
        """
        parts = _split(field, url)
        if parts.username is not None or parts.query or parts.fragment:
            raise ConfigError(
                f"{field}: the URL of {parts.hostname} has a user, a query or a fragment, which is"
                " not allowed; give http[s]://host[:port][/path]"
            )
        host, port = parts.hostname or "", parts.port or _DEFAULT_PORTS[parts.scheme]
        bracketed = f"[{host}]" if ":" in host else host
        own_port = port == _DEFAULT_PORTS[parts.scheme]
        return cls(
            host,
            port,
            parts.scheme == "https",
            bracketed if own_port else f"{bracketed}:{port}",
            parts.path.rstrip("/"),
        )


def connector(
    endpoint: Endpoint, *, verify: bool | str, proxy_url: str | None
) -> tuple[Callable[[], Future[HttpClientConnection]], Event]:
    """Return the function that opens connections to an endpoint.

    Its thread ends once nothing refers to the function and its connections any more. An event shows
    that it has ended.

    :param verify: True: TLS by the system's certificates; a path: by that PEM file or directory of
        hashed certificates; False: the server's certificate is not checked
    :param proxy_url: ``http[s]://[user:password@]host[:port]``; None: no proxy
    :raises ConfigError: it is not the URL of an HTTP proxy, or the certificates cannot be read
    """
    tls = _tls("endpoint_url", endpoint.host, verify=verify) if endpoint.secure else None
    proxy = _proxy_options(proxy_url, verify=verify)
    # One loop: because of Python's lock, a second one could not run in parallel.
    loops = EventLoopGroup(1)
    bootstrap = ClientBootstrap(loops, DefaultHostResolver(loops))
    connect = partial(
        HttpClientConnection.new,
        endpoint.host,
        endpoint.port,
        bootstrap,
        _socket_options(),
        tls,
        proxy,
    )
    return connect, loops.shutdown_event


def _proxy_options(proxy_url: str | None, *, verify: bool | str) -> HttpProxyOptions | None:
    """Return proxy options: a tunnel to an HTTPS endpoint, forwarding to an HTTP one."""
    if proxy_url is None:
        return None
    parts = _split("proxy_url", proxy_url)
    options = HttpProxyOptions(parts.hostname or "", parts.port or _DEFAULT_PORTS[parts.scheme])
    if parts.scheme == "https":
        options.tls_connection_options = _tls("proxy_url", options.host_name, verify=verify)
    if parts.username is not None:
        options.auth_type = HttpProxyAuthenticationType.Basic
        options.auth_username = unquote(parts.username)
        options.auth_password = unquote(parts.password or "")
    return options


def _socket_options() -> SocketOptions:
    options = SocketOptions()
    options.connect_timeout_ms = CONNECT_TIMEOUT_S * 1_000
    options.keep_alive = True
    options.keep_alive_timeout_secs = KEEP_ALIVE_IDLE_S
    options.keep_alive_interval_secs = KEEP_ALIVE_INTERVAL_S
    options.keep_alive_max_probes = KEEP_ALIVE_PROBES
    return options


def _split(field: str, url: str) -> SplitResult:
    allowed = "give http[s]://host[:port]"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        # The error quotes the presumed port, which may be part of a password.
        raise ConfigError(
            f"{field}: it is not a URL, or its port is not valid; {allowed}"
        ) from None
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or port == 0:
        # A proxy's URL may contain a password: name only its scheme and host.
        raise ConfigError(
            f"{field}: {parts.scheme}://{parts.hostname or ''} is not allowed; {allowed}"
        )
    return parts


def _tls(field: str, host: str, *, verify: bool | str) -> TlsConnectionOptions:
    options = TlsContextOptions()
    try:
        if isinstance(verify, str):
            if Path(verify).is_dir():
                options.override_default_trust_store_from_path(ca_dirpath=verify)
            else:
                options.override_default_trust_store_from_path(ca_filepath=verify)
        else:
            options.verify_peer = verify
        connection_options = ClientTlsContext(options).new_connection_options()
    except (OSError, RuntimeError) as error:
        trusted = verify if isinstance(verify, str) else "the system's certificates"
        raise ConfigError(f"verify: {trusted} cannot be used for {field} ({error})") from error
    connection_options.set_server_name(host)
    return connection_options
