"""Connections from the environment: Airflow's own variables, without Airflow."""

import json
import os
from collections.abc import Mapping
from urllib.parse import parse_qsl, unquote, urlsplit

import boto3

from retrofill.aws.session import BotoSession
from retrofill.model.connections import ConnectionFields
from retrofill.model.errors import ConfigError, StateNotConfigured

STATE_CONN_ID = "retrofill_state"


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
        if text.lstrip().startswith("{"):
            return ConnectionFields(conn_id=conn_id, **json.loads(text))
        parts = urlsplit(text)
        return ConnectionFields(
            conn_id=conn_id,
            conn_type=parts.scheme,
            host=unquote(parts.hostname or ""),
            schema=unquote(parts.path.removeprefix("/")),
            login=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
            port=parts.port,
            extra=dict(parse_qsl(parts.query)),
        )

    def aws(self, conn_id: str) -> BotoSession:
        """Open AWS with the credentials, region and endpoint that boto3 finds by itself."""
        del conn_id
        return BotoSession(boto3.Session())

    def state_dsn(self) -> str:
        """Return the libpq URI of the state.

        :raises StateNotConfigured: its variable is not set
        """
        uri = self._environ.get(f"AIRFLOW_CONN_{STATE_CONN_ID.upper()}", "")
        if not uri:
            raise StateNotConfigured(
                f"set AIRFLOW_CONN_{STATE_CONN_ID.upper()} to the URI of the Postgres database"
                " that holds Retrofill's state"
            )
        return uri
