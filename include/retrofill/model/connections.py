"""Connections: credentials and addresses, independent of where they are stored."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

STATE_CONN_ID = "retrofill_state"
"""The connection to the Postgres database that holds the state."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionFields:
    """The fields of an Airflow connection."""

    conn_id: str
    conn_type: str
    host: str = ""
    schema: str = ""
    login: str = ""
    password: str = field(default="", repr=False)
    port: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False)


class AwsSession(Protocol):
    """An AWS account, with the settings of its connection."""

    def client(self, service: str) -> Any:
        """Return a boto3 client of a service. Use it in one thread at a time."""

    def credentials(self) -> Any:
        """Return botocore's credentials, which renew themselves; None: none were found."""

    @property
    def region(self) -> str:
        """The region of its services; empty: none is known."""

    @property
    def verify(self) -> bool | str | None:
        """How to verify TLS, in boto3's terms; None: boto3's default."""


class Connections(Protocol):
    """Look up connections by id."""

    def get(self, conn_id: str) -> ConnectionFields:
        """Return a connection.

        :raises ConfigError: there is no connection with this id
        """

    def aws(self, conn_id: str) -> AwsSession:
        """Open a connection to AWS."""
