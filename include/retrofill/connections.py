"""The state, by way of Airflow's connection to it."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException

from include.retrofill.model.errors import StateNotConfigured
from include.retrofill.state.connection import Connection, connect
from include.retrofill.state.migrate import require_current

STATE_CONN_ID = "retrofill_state"
"""The Airflow connection of the Postgres database that holds the state."""


def state_dsn() -> str:
    """Return the libpq URI of the state.

    :raises StateNotConfigured: Airflow has no connection of that id
    """
    try:
        uri = BaseHook.get_connection(STATE_CONN_ID).get_uri()
    except AirflowNotFoundException as error:
        raise StateNotConfigured(
            f"Airflow has no connection {STATE_CONN_ID!r}; define it with the Postgres database"
            " that holds Retrofill's state"
        ) from error
    return "postgresql" + uri[uri.index("://") :]


@contextmanager
def state() -> Iterator[Connection]:
    """Open the state, which must be of this code's schema version.

    :raises StateError: it cannot be reached or used; the message says what to do
    """
    with closing(connect(state_dsn())) as conn:
        require_current(conn)
        yield conn
