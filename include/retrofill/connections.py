"""The state, by way of Airflow's connection to it."""

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException

from retrofill.model.errors import StateNotConfigured
from retrofill.state.connection import Connection, connect, require_granted
from retrofill.state.grants import RUNTIME
from retrofill.state.migrate import require_current

STATE_CONN_ID = "retrofill_state"
"""The Airflow connection of the Postgres database that holds the state."""

_TYPES = ("postgres", "postgresql")


def state_dsn() -> str:
    """Return the libpq URI of the state.

    :raises StateNotConfigured: Airflow has no connection of that id, or one to something else
    """
    try:
        connection = BaseHook.get_connection(STATE_CONN_ID)
    except AirflowNotFoundException as error:
        raise StateNotConfigured(
            f"Airflow has no connection {STATE_CONN_ID!r}; define it with the Postgres database"
            " that holds Retrofill's state"
        ) from error
    if connection.conn_type not in _TYPES:
        raise StateNotConfigured(
            f"Airflow's connection {STATE_CONN_ID!r} is of type {connection.conn_type!r}; define it"
            " as one of type 'postgres'"
        )
    uri = connection.get_uri()
    return "postgresql" + uri[uri.index("://") :]


@contextmanager
def open_state(needed: Mapping[str, str] = RUNTIME) -> Iterator[Connection]:
    """Open the state, which must be of a schema that suits this code.

    :param needed: what the connection's role must be allowed, as :mod:`.state.grants` has it
    :raises StateError: it cannot be reached or used; the message says what to do
    """
    with closing(connect(state_dsn())) as conn:
        require_current(conn)
        require_granted(conn, needed)
        yield conn
