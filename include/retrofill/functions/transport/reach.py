"""Check that an endpoint can be reached: name, port, proxy and TLS. Nothing is sent."""

from concurrent.futures import TimeoutError as TimedOut

from awscrt.exceptions import AwsCrtError

from retrofill.functions.transport.client import CONNECT_S
from retrofill.functions.transport.endpoint import Endpoint, connector
from retrofill.functions.transport.exchange import in_a_line
from retrofill.model.errors import ConfigError, FunctionUnavailable

_TLS_FAILED = "AWS_IO_TLS_ERROR_NEGOTIATION_FAILURE"


def require_reachable(
    endpoint: Endpoint, *, field: str, verify: bool | str, proxy_url: str | None
) -> None:
    """Connect to an endpoint, and close the connection.

    :param field: the param that names the endpoint
    :raises ConfigError: TLS fails, or proxy or certificates cannot be used
    :raises FunctionUnavailable: there is no connection; a retry may succeed
    """
    where = f"{endpoint.authority} cannot be reached"
    connect, _ = connector(endpoint, verify=verify, proxy_url=proxy_url)
    try:
        connection = connect().result(CONNECT_S)
    except TimedOut as error:
        raise FunctionUnavailable(f"{field}: {where} within {CONNECT_S:g} s") from error
    except AwsCrtError as error:
        why = f"{field}: {where}: {in_a_line(error)}"
        if error.name == _TLS_FAILED:
            raise ConfigError(
                f"{why}; check its certificate and the connection's verify, which may be the path"
                " of a CA's PEM file"
            ) from error
        raise FunctionUnavailable(why) from error
    connection.close().result(CONNECT_S)
