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

    :raises StateUnavailable: the connection broke; whether the commit took place is not known
    :raises SchemaMismatch: a table or column is missing
    :raises StateError: Postgres refused a statement
    """
    try:
        with conn, conn.cursor() as cur:
            yield cur
    except (psycopg2.OperationalError, psycopg2.InterfaceError) as error:
        raise StateUnavailable(_why_unavailable(error)) from error
    except psycopg2.Error as error:
        if conn.closed:
            raise StateUnavailable(_why_unavailable(error)) from error
        mend = _MENDS.get(error.pgcode or "")
        if mend is None:
            raise StateError(f"Postgres refused: {error}".strip()) from error
        kind = StateError if error.pgcode == errorcodes.INSUFFICIENT_PRIVILEGE else SchemaMismatch
        raise kind(f"{str(error).strip()}\nWhat to do: {mend}") from error


# What a server that is there cannot do now, and would do later.
_NOT_NOW = {
    errorcodes.DISK_FULL: "give its disk more space",
    errorcodes.OUT_OF_MEMORY: "give it more memory, or have fewer tasks at once",
    errorcodes.QUERY_CANCELED: "see in pg_stat_activity what it waited for, or who cancelled it",
    errorcodes.DEADLOCK_DETECTED: "leave the state's tables to Retrofill while a run goes on",
    errorcodes.SERIALIZATION_FAILURE: "leave the state's tables to Retrofill while a run goes on",
}


def _why_unavailable(error: psycopg2.Error) -> str:
    """Return what an error says of a server that may be there again later, and what to do."""
    said = str(error).strip()
    mend = _NOT_NOW.get(error.pgcode or "")
    if mend is None:
        return f"the state's Postgres went away: {said}"
    return (
        f"the state's Postgres cannot go on: {said}\nWhat to do: {mend}. Nothing is lost: what was"
        " not written is tried again"
    )


def one(cur: Cursor) -> tuple[Any, ...]:
    """Return the row that the statement just run must have.

    :raises StateError: it has none: the state lacks what it should hold
    """
    row = cur.fetchone()
    if row is None:
        statement = (cur.query or b"").decode("utf-8", "replace")
        raise StateError(f"the state holds no row for: {statement}")
    return row
