"""Airflow's connections: the state, AWS and others."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial

from airflow.sdk import BaseHook

from retrofill.compat import AirflowNotFoundException
from retrofill.environment import EnvironmentConnections
from retrofill.model.connections import AwsSession, ConnectionFields
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

    def aws(self, conn_id: str) -> AwsSession:
        """Open one of Airflow's connections to AWS."""
        # It takes a fifth of a second, which only tasks that use AWS need.
        from retrofill.aws_hook import HookSession  # noqa: PLC0415

        return HookSession(conn_id)


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
