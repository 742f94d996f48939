"""Airflow's connections: the state, AWS and others."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from airflow.providers.amazon.aws.hooks.base_aws import AwsGenericHook
from airflow.sdk import BaseHook

from retrofill.aws.session import control_plane, region_here
from retrofill.compat import AirflowNotFoundException
from retrofill.environment import EnvironmentConnections
from retrofill.model.connections import ConnectionFields
from retrofill.model.errors import ConfigError
from retrofill.state.connection import PATIENCE_S, Connection
from retrofill.state.grants import RUNTIME
from retrofill.wiring import Wiring


class AirflowConnections:
    """Airflow's connections; see :class:`retrofill.model.connections.Connections`."""

    def get(self, conn_id: str) -> ConnectionFields:
        """Return a connection.

        :raises ConfigError: Airflow has no connection with this id, or cannot read it
        """
        try:
            found = BaseHook.get_connection(conn_id)
        except AirflowNotFoundException as error:
            # Airflow also raises this for one that it cannot read, such as a URI of several hosts.
            ours = EnvironmentConnections()
            if ours.has(conn_id):
                return ours.get(conn_id)
            raise ConfigError(f"Airflow has no connection {conn_id!r}; define it") from error
        return ConnectionFields(
            conn_id=conn_id,
            conn_type=found.conn_type or "",
            host=found.host or "",
            schema=found.schema or "",
            login=found.login or "",
            password=found.password or "",
            port=found.port,
            extra=found.extra_dejson,
        )

    def aws(self, conn_id: str) -> "_HookSession":
        """Open one of Airflow's connections to AWS."""
        return _HookSession(conn_id)


class _HookSession:
    """AWS through the provider's hook, with everything that it reads from a connection."""

    def __init__(self, conn_id: str) -> None:
        self._conn_id = conn_id
        self._plain: AwsGenericHook[Any] = AwsGenericHook(conn_id)
        self._own = self._plain.config

    def client(self, service: str) -> Any:
        return self._hook(service).get_conn()

    def credentials(self) -> Any:
        return self._hook("sts").get_session().get_credentials()

    @property
    def region(self) -> str:
        # Without a session: a session that assumes a role would send requests.
        return self._plain.region_name or region_here()

    @property
    def verify(self) -> bool | str | None:
        return self._hook("sts").verify

    def _hook(self, service: str) -> "AwsGenericHook[Any]":
        return AwsGenericHook(
            aws_conn_id=self._conn_id, client_type=service, config=control_plane(self._own)
        )


def wiring() -> Wiring:
    """Return the composition root with Airflow's connections."""
    return Wiring(AirflowConnections())


@contextmanager
def open_state(
    needed: Mapping[str, str] = RUNTIME, *, patience_s: float = 0.0
) -> Iterator[Connection]:
    """Open the state; see :meth:`retrofill.wiring.Wiring.open_state`."""
    with wiring().open_state(needed, patience_s=patience_s) as conn:
        yield conn


task_state = partial(open_state, patience_s=PATIENCE_S)
"""Opens the state for a task, which waits if Postgres has no connection left."""
