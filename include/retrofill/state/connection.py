"""Connections to the state, set up so that every statement sees what others committed before it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
from psycopg2 import errorcodes
from psycopg2.extensions import ISOLATION_LEVEL_READ_COMMITTED
from psycopg2.extensions import connection as Connection  # noqa: N812  it is a class
from psycopg2.extensions import cursor as Cursor  # noqa: N812  it is a class

from include.retrofill.model.errors import SchemaMismatch, StateError, StateUnavailable

__all__ = ["Connection", "Cursor", "connect", "one", "transaction"]

CONNECT_TIMEOUT_S = 10
STATEMENT_TIMEOUT_S = 300

_MIGRATE = "apply the migrations: python -m include.retrofill.state.migrate"
_MENDS = {
    errorcodes.UNDEFINED_TABLE: _MIGRATE,
    errorcodes.INVALID_SCHEMA_NAME: _MIGRATE,
    errorcodes.UNDEFINED_COLUMN: _MIGRATE,
    errorcodes.INSUFFICIENT_PRIVILEGE: "grant the connection's role what docs/operations.md lists",
}
_NOT_NOW = {
    errorcodes.DISK_FULL: "give its disk more space",
    errorcodes.OUT_OF_MEMORY: "give it more memory, or have fewer tasks at once",
    errorcodes.LOCK_NOT_AVAILABLE: "end the session that holds the lock; pg_blocking_pids tells it",
    errorcodes.QUERY_CANCELED: "see in pg_stat_activity what it waited for, or who cancelled it",
    errorcodes.DEADLOCK_DETECTED: "leave the state's tables to Retrofill while a run goes on",
    errorcodes.SERIALIZATION_FAILURE: "leave the state's tables to Retrofill while a run goes on",
    errorcodes.READ_ONLY_SQL_TRANSACTION: "point the connection retrofill_state at the primary",
}


def connect(dsn: str) -> Connection:
    """Open a connection whose transactions run at READ COMMITTED.

    :param dsn: a libpq connection string or URI
    :raises StateUnavailable: the server cannot be reached or refuses the connection
    """
    try:
        opened = psycopg2.connect(
            dsn,
            connect_timeout=CONNECT_TIMEOUT_S,
            application_name="retrofill",
            keepalives_idle=30,
            keepalives_interval=10,
            keepalives_count=3,
            tcp_user_timeout=60_000,
            options=f"-c statement_timeout={STATEMENT_TIMEOUT_S}s -c timezone=UTC"
            " -c idle_in_transaction_session_timeout=60s -c client_encoding=UTF8",
        )
    except (psycopg2.OperationalError, psycopg2.ProgrammingError) as error:
        message = f"the state's Postgres cannot be reached (connection retrofill_state): {error}"
        raise StateUnavailable(message.strip()) from error
    # Screening is proved for READ COMMITTED only: under a stricter level its snapshot would be
    # older than its lock. So the level is set here, whatever the server's or role's default is.
    opened.set_session(isolation_level=ISOLATION_LEVEL_READ_COMMITTED)
    return opened


@contextmanager
def transaction(conn: Connection) -> Iterator[Cursor]:
    """Run one transaction: commit at the end, roll back on any error.

    :raises StateUnavailable: the connection broke, and whether the commit took place is not
        known; or the server cannot do now what it was asked
    :raises SchemaMismatch: a table or column is missing
    :raises StateError: Postgres refused a statement
    """
    try:
        with conn, conn.cursor() as cur:
            yield cur
    except psycopg2.Error as error:
        raise _meaning(error, broken=bool(conn.closed)) from error


def _meaning(error: psycopg2.Error, *, broken: bool) -> StateError:
    """Say what an error of Postgres's means, and what to do."""
    code, said = error.pgcode or "", str(error).strip()
    if not broken and code in _NOT_NOW:
        return StateUnavailable(
            f"the state's Postgres cannot go on: {said}\nWhat to do: {_NOT_NOW[code]}. Nothing is"
            " lost: what was not written is tried again"
        )
    if broken or isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError):
        return StateUnavailable(f"the state's Postgres went away: {said}")
    if code not in _MENDS:
        return StateError(f"Postgres refused: {said}")
    kind = StateError if code == errorcodes.INSUFFICIENT_PRIVILEGE else SchemaMismatch
    return kind(f"{said}\nWhat to do: {_MENDS[code]}")


def one(cur: Cursor) -> tuple[Any, ...]:
    """Return the row that the statement just run must have.

    :raises StateError: it has none: the state lacks what it should hold
    """
    row = cur.fetchone()
    if row is None:
        statement = (cur.query or b"").decode("utf-8", "replace")
        raise StateError(f"the state holds no row for: {statement}")
    return row
