"""Connections from the environment: Airflow's own variables, without Airflow."""

import json
import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import boto3

from retrofill.aws.session import BotoSession
from retrofill.model.connections import ConnectionFields
from retrofill.model.errors import ConfigError


class EnvironmentConnections:
    """The connections that ``AIRFLOW_CONN_<ID>`` define; AWS as boto3 finds it by default.

    Format: https://airflow.apache.org/docs/apache-airflow/stable/howto/connection.html, JSON or a
    URI.

    :param environ: the variables; None: those of this process
    """

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        self._environ = os.environ if environ is None else environ

    def has(self, conn_id: str) -> bool:
        """Return whether there is a connection with this id."""
        return bool(self._environ.get(f"AIRFLOW_CONN_{conn_id.upper()}"))

    def get(self, conn_id: str) -> ConnectionFields:
        """Return a connection.

        :raises ConfigError: there is no connection with this id, or it cannot be read
        """
        if not self.has(conn_id):
            raise ConfigError(
                f"there is no connection {conn_id!r}: set AIRFLOW_CONN_{conn_id.upper()}"
            )
        text = self._environ[f"AIRFLOW_CONN_{conn_id.upper()}"]
        read = _from_json if _is_json(text) else _from_uri
        try:
            return read(conn_id, text)
        except (TypeError, ValueError, AttributeError) as error:
            # The error itself may quote a part of a password.
            raise ConfigError(
                f"the connection {conn_id!r} cannot be read ({type(error).__name__}): give"
                f" AIRFLOW_CONN_{conn_id.upper()} as a URI or as a JSON object"
            ) from None

    def aws(self, conn_id: str) -> BotoSession:
        """Open AWS with the keys, region and endpoint of a connection.

        boto3 finds what it does not define, and everything if there is no such connection.

        :raises ConfigError: the connection cannot be read
        """
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


def _is_json(text: str) -> bool:
    return text.lstrip().startswith("{")


def _from_json(conn_id: str, text: str) -> ConnectionFields:
    said = json.loads(text)
    port = said.get("port")
    return ConnectionFields(
        conn_id=conn_id,
        conn_type=said.get("conn_type") or "",
        host=said.get("host") or "",
        schema=said.get("schema") or "",
        login=said.get("login") or "",
        password=said.get("password") or "",
        port=None if port in (None, "") else int(port),
        extra=_extra_of(said.get("extra")),
    )


def _from_uri(conn_id: str, text: str) -> ConnectionFields:
    parts = urlsplit(text)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    # Airflow writes an extra with more than texts as one JSON text under this name.
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
    """Return host and port of a URI; of several hosts with a port each, all separated by commas.

    A single port after several hosts applies to all, as in Airflow.
    """
    places = [urlsplit(f"//{host}") for host in hosts.split(",")]
    names = ",".join(place.hostname or "" for place in places)
    ports = [str(place.port or "") for place in places]
    return names, ",".join(ports) if any(ports[:-1]) else ports[-1]


def _extra_of(given: Any) -> dict[str, Any]:
    """Return the extra of a connection, which may be an object, or a JSON text of one."""
    return dict(json.loads(given) if isinstance(given, str) and given else given or {})
