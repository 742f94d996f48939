"""Connections from Airflow's environment variables, without Airflow."""

import json
import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from retrofill.model.connections import AwsSession, ConnectionFields
from retrofill.model.errors import ConfigError


class EnvironmentConnections:
    """The connections in ``AIRFLOW_CONN_<ID>``, as JSON or URI.

    Format: https://airflow.apache.org/docs/apache-airflow/stable/howto/connection.html

    :param environ: the variables; None: those of this process
    """

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        self._environ = os.environ if environ is None else environ

    def has(self, conn_id: str) -> bool:
        """Return whether there is a connection with this id."""
        return bool(self._environ.get(_variable(conn_id)))

    def get(self, conn_id: str) -> ConnectionFields:
        """Return a connection.

        :raises ConfigError: there is no connection with this id, or it cannot be read
        """
        variable = _variable(conn_id)
        text = self._environ.get(variable)
        if not text:
            raise ConfigError(f"there is no connection {conn_id!r}: set {variable}")
        read = _from_json if text.lstrip().startswith("{") else _from_uri
        try:
            return read(conn_id, text)
        except (TypeError, ValueError, AttributeError) as error:
            # The message of the error may contain a part of a password.
            raise ConfigError(
                f"the connection {conn_id!r} cannot be read ({type(error).__name__}): give"
                f" {variable} as a URI or as a JSON object"
            ) from None

    def aws(self, conn_id: str) -> AwsSession:
        """Open AWS with the keys, region and endpoint of a connection.

        boto3 finds values that the connection does not define, or all if there is no connection.

        :raises ConfigError: the connection cannot be read
        """
        # They take a tenth of a second, which only tasks that use AWS need.
        import boto3  # noqa: PLC0415

        from retrofill.aws.session import BotoSession  # noqa: PLC0415

        if not self.has(conn_id):
            return BotoSession(boto3.Session())
        found = self.get(conn_id)
        session = boto3.Session(
            found.login or None,
            found.password or None,
            found.extra.get("aws_session_token"),
            found.extra.get("region_name"),
        )
        return BotoSession(session, found.extra.get("endpoint_url"))


def _variable(conn_id: str) -> str:
    return f"AIRFLOW_CONN_{conn_id.upper()}"


def _from_json(conn_id: str, text: str) -> ConnectionFields:
    given = json.loads(text)
    texts = ("conn_type", "host", "schema", "login", "password")
    port = given.get("port")
    return ConnectionFields(
        conn_id=conn_id,
        port=None if port in (None, "") else int(port),
        extra=_extra_of(given.get("extra")),
        **{name: given.get(name) or "" for name in texts},
    )


def _from_uri(conn_id: str, text: str) -> ConnectionFields:
    parts = urlsplit(text)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    # Airflow writes an extra with other values than texts as one JSON text under this name.
    extra = _extra_of(query["__extra__"]) if "__extra__" in query else query
    host, ports = _place_of(parts.netloc.rpartition("@")[2])
    if "," in ports:
        extra = {"port": ports, **extra}
    return ConnectionFields(
        conn_id=conn_id,
        conn_type=parts.scheme,
        host=unquote(host),
        schema=unquote(parts.path.removeprefix("/")),
        login=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        port=int(ports) if ports and "," not in ports else None,
        extra=extra,
    )


def _place_of(hosts: str) -> tuple[str, str]:
    """Return hosts and ports of a URI, each separated by commas if there are several.

    A single port after several hosts applies to all of them, as in Airflow.
    """
    places = [urlsplit(f"//{host}") for host in hosts.split(",")]
    names = ",".join(place.hostname or "" for place in places)
    ports = [str(place.port or "") for place in places]
    return names, ",".join(ports) if any(ports[:-1]) else ports[-1]


def _extra_of(given: Any) -> dict[str, Any]:
    return dict(json.loads(given) if isinstance(given, str) and given else given or {})
