"""Connections from the environment: Airflow's own variables, without Airflow."""

import json
import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import boto3

from retrofill.aws.session import BotoSession
from retrofill.model.connections import STATE_CONN_ID, ConnectionFields
from retrofill.model.errors import ConfigError, StateNotConfigured
from retrofill.state.connection import dsn_of


class EnvironmentConnections:
    """The connections that ``AIRFLOW_CONN_<ID>`` define; AWS as boto3 finds it by itself.

    Format: https://airflow.apache.org/docs/apache-airflow/stable/howto/connection.html, JSON or a
    URI.

    :param environ: the variables; None: those of this process
    """

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        self._environ = os.environ if environ is None else environ

    def get(self, conn_id: str) -> ConnectionFields:
        """Return a connection.

        :raises ConfigError: there is none of this id
        """
        text = self._environ.get(f"AIRFLOW_CONN_{conn_id.upper()}")
        if text is None:
            raise ConfigError(
                f"there is no connection {conn_id!r}: set AIRFLOW_CONN_{conn_id.upper()}"
            )
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

        What it does not say, and all where there is no such connection, boto3 finds by itself.

        :raises ConfigError: the connection cannot be read
        """
        if f"AIRFLOW_CONN_{conn_id.upper()}" not in self._environ:
            return BotoSession(boto3.Session())
        found = self.get(conn_id)
        session = boto3.Session(
            found.login or None,
            found.password or None,
            found.extra.get("aws_session_token"),
            found.extra.get("region_name"),
        )
        return BotoSession(session, found.extra.get("endpoint_url"))

    def state_dsn(self) -> str:
        """Return the libpq connection string of the state.

        :raises ConfigError: its variable cannot be read
        :raises StateNotConfigured: its variable is not set, or what it says is nothing for libpq
        """
        text = self._environ.get(f"AIRFLOW_CONN_{STATE_CONN_ID.upper()}", "")
        if not text:
            raise StateNotConfigured(
                f"set AIRFLOW_CONN_{STATE_CONN_ID.upper()} to the URI of the Postgres database"
                " that holds Retrofill's state"
            )
        if not _is_json(text):
            return text
        return dsn_of(self.get(STATE_CONN_ID))


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
    return ConnectionFields(
        conn_id=conn_id,
        conn_type=parts.scheme,
        host=unquote(parts.hostname or ""),
        schema=unquote(parts.path.removeprefix("/")),
        login=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        port=parts.port,
        # Airflow writes an extra that is more than texts as one JSON text of this name.
        extra=_extra_of(query["__extra__"]) if "__extra__" in query else query,
    )


def _extra_of(given: Any) -> dict[str, Any]:
    """Return the extra of a connection, which may be an object, or one as a JSON text."""
    return dict(json.loads(given) if isinstance(given, str) and given else given or {})
