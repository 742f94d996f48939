"""Connections: where credentials and addresses come from, whoever keeps them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

STATE_CONN_ID = "retrofill_state"
"""The connection of the Postgres database that holds the state."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionFields:
    """One connection, in Airflow's fields."""

    conn_id: str
    conn_type: str
    host: str = ""
    schema: str = ""
    login: str = ""
    password: str = field(default="", repr=False)
    port: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False)


class AwsSession(Protocol):
    """One account of AWS, with the settings of its connection."""

    def client(self, service: str) -> Any:
        """Return a boto3 client of a service, to be asked by one thread at a time."""

    def credentials(self) -> Any:
        """Return what botocore finds as credentials, which renew themselves; None: nothing."""

    @property
    def region(self) -> str:
        """The region of its services; empty: none is known."""

    @property
    def verify(self) -> bool | str | None:
        """How TLS is verified, as boto3 takes it; None: as boto3 does by default."""


class Connections(Protocol):
    """All connections there are, by their ids."""

    def get(self, conn_id: str) -> ConnectionFields:
        """Return a connection.

        :raises ConfigError: there is none of this id
        """

    def aws(self, conn_id: str) -> AwsSession:
        """Open a connection to AWS."""
