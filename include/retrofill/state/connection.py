"""Connections to the state, set up so that every statement sees what others committed before it."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

import psycopg2
from psycopg2 import errorcodes
from psycopg2.extensions import ISOLATION_LEVEL_READ_COMMITTED
from psycopg2.extensions import connection as Connection  # noqa: N812  it is a class
from psycopg2.extensions import cursor as Cursor  # noqa: N812  it is a class

from retrofill.model.connections import STATE_CONN_ID
from retrofill.model.errors import (
    SchemaMismatch,
    StateError,
    StateFull,
    StateLocked,
    StateUnavailable,
    StateUnfit,
)
from retrofill.state.address import (
    Dsn,
    is_full,
    make_database,
    parts_of,
    text_for,
    what_to_do,
)
from retrofill.state.grants import statements
from retrofill.state.statements import load

__all__ = [
    "Connection",
    "Cursor",
    "aside",
    "connect",
    "find",
    "one",
    "read_in_order",
    "require_granted",
    "require_isolation",
    "rows",
    "transaction",
    "value",
    "values",
]

_SQL = load("connection.sql")
log = logging.getLogger(__name__)

PATIENCE_S = 300.0
"""How long a task waits for a connection where there is none left."""

_AGAIN_S = 1.0
"""How long it rests between two tries to get one."""

Record = TypeVar("Record")

_USUAL = {
    "connect_timeout": "10",
    "fallback_application_name": "retrofill",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
}
"""What libpq is told unless the connection says otherwise: a server that died is noticed."""

_ENCODING = {"client_encoding": "UTF8"}
"""What it is told in any case: no other encoding has all keys."""

_SESSION = {
    "statement_timeout": "300s",
    "idle_in_transaction_session_timeout": "60s",
    "TimeZone": "UTC",
}
"""What a session is set to unless the connection's ``options`` say otherwise.

By a statement: RDS Proxy takes no options at the start, and PgBouncer only some.
"""

OLDEST_SERVER = 14
"""The first version of PostgreSQL that has multiranges."""

ISOLATION = "read committed"
"""What screening is proved for: at a stricter level its snapshot would be older than its lock."""

_GRANT = (
    "grant the connection's role what docs/operations/roles.md lists; to migrate, connect as"
    " the owner"
)
_WRITABLE = (
    "connect to the primary, and see that neither default_transaction_read_only nor a full disk"
    " closes it to writes"
)
MIGRATE = "trigger the DAG retrofill_migrate or run, as its owner: python -m retrofill db migrate"
"""What a person does about a schema that is missing or older."""

_FIXES = {
    errorcodes.UNDEFINED_TABLE: MIGRATE,
    errorcodes.INVALID_SCHEMA_NAME: MIGRATE,
    errorcodes.UNDEFINED_COLUMN: MIGRATE,
    errorcodes.INSUFFICIENT_PRIVILEGE: _GRANT,
    errorcodes.UNDEFINED_OBJECT: "create the role first; see docs/operations/roles.md",
}
_KINDS: Mapping[str, type[StateError]] = {
    errorcodes.INSUFFICIENT_PRIVILEGE: StateUnfit,
    errorcodes.UNDEFINED_OBJECT: StateUnfit,
}
_NOT_NOW = {
    errorcodes.DISK_FULL: "give its disk more space",
    errorcodes.OUT_OF_MEMORY: "give it more memory, or have fewer tasks at once",
    errorcodes.LOCK_NOT_AVAILABLE: "end the session that holds the lock; pg_blocking_pids tells it",
    errorcodes.QUERY_CANCELED: "see in pg_stat_activity what it waited for, or who cancelled it",
    errorcodes.DEADLOCK_DETECTED: "leave the state's tables to Retrofill while a run goes on",
    errorcodes.SERIALIZATION_FAILURE: "leave the state's tables to Retrofill while a run goes on",
    errorcodes.READ_ONLY_SQL_TRANSACTION: _WRITABLE,
}


def connect(dsn: Dsn, *, patience_s: float = 0.0, conn_id: str = STATE_CONN_ID) -> Connection:
    """Open a connection whose transactions run at READ COMMITTED, and see that they do.

    :param patience_s: how long to wait for a connection where there is none left
    :param conn_id: Airflow's connection of which ``dsn`` is made, for what is said of it
    :raises StateNotConfigured: what is told is no connection string of libpq
    :raises StateFull: there is none left
    :raises StateUnavailable: the server cannot be reached, refuses the connection or takes no
        writes
    :raises StateUnfit: server or database are not what the state needs
    """
    give_up_at = time.monotonic() + patience_s
    logged = False
    while True:
        try:
            return _connect(dsn, conn_id)
        except StateFull as error:
            if time.monotonic() >= give_up_at:
                raise
            if not logged:
                log.warning("%s\nWaiting for one, for up to %.0f s", error, patience_s)
            logged = True
        time.sleep(_AGAIN_S)


def _connect(dsn: Dsn, conn_id: str) -> Connection:
    told = _USUAL | parts_of(dsn, conn_id) | _ENCODING
    try:
        opened: Connection = psycopg2.connect(**told)  # type: ignore[call-overload]
    except psycopg2.OperationalError as error:
        raise _unreachable(str(error).strip(), conn_id) from error
    try:
        # Whatever the default of server, database or role is.
        opened.set_session(isolation_level=ISOLATION_LEVEL_READ_COMMITTED)
        _require_fit(opened)
    except BaseException:
        opened.close()
        raise
    return opened


def _unreachable(said: str, conn_id: str = STATE_CONN_ID) -> StateUnavailable:
    """Say why a connection was not to be had, and what to do."""
    kind, what = StateUnavailable, "the state's Postgres cannot be reached"
    if is_full(said):
        kind, what = StateFull, "the state's Postgres has no connection left"
    return kind(f"{what} (connection {conn_id}): {said}", what_to_do(said), text_for(said))


class _Server(NamedTuple):
    """What the other end of a connection is like."""

    version: int
    encoding: str
    isolation: str
    read_only: bool
    standby: bool


def _require_fit(conn: Connection) -> None:
    """Look what a transaction really is like: a pooler between may have its own mind."""
    with transaction(conn) as cur:
        cur.execute(
            _SQL["set_session"], {"names": list(_SESSION), "settings": list(_SESSION.values())}
        )
        cur.execute(_SQL["look"])
        server = one(cur, _Server)
    if server.version < OLDEST_SERVER * 10_000:
        raise StateUnfit(
            f"the state's Postgres is of version {server.version // 10_000}; {OLDEST_SERVER} is the"
            " oldest that has what is used",
            "move the database to a newer server",
        )
    if server.encoding != "UTF8":
        raise StateUnfit(
            f"the state's database is encoded in {server.encoding}, which cannot hold every key",
            "create one in UTF-8 and have the connection name it; see docs/operations/roles.md",
            make_database(f"{conn.info.dbname}_utf8"),
        )
    require_isolation(server.isolation)
    if server.read_only or server.standby:
        what = "is a standby" if server.standby else "takes no writes"
        raise StateUnavailable(f"the state's Postgres {what}", _WRITABLE)


def require_isolation(level: str) -> None:
    """Check the isolation level that a transaction has found itself at.

    :raises StateUnfit: it is not READ COMMITTED
    """
    if level != ISOLATION:
        raise StateUnfit(
            f"a transaction was asked for at {ISOLATION} and runs at {level}: something between"
            " here and Postgres changes it",
            "connect directly, or set the pooler so that it does not",
        )


class _Missing(NamedTuple):
    """What a role lacks on a table or view."""

    name: str
    privileges: str


def require_granted(conn: Connection, needed: Mapping[str, str]) -> None:
    """Check that the connection's role has what it needs, before it is in the middle of work.

    :param needed: privileges by table or view, with commas between
    :raises StateUnfit: something is missing; the message has the GRANT
    """
    pairs = [(name, one) for name, some in needed.items() for one in some.split(", ")]
    try:
        with transaction(conn) as cur:
            cur.execute(
                _SQL["list_missing_grants"],
                {"names": [name for name, _ in pairs], "privileges": [some for _, some in pairs]},
            )
            missing = {lacks.name: lacks.privileges for lacks in rows(cur, _Missing)}
    except StateUnfit:
        # It may not even look into the schema.
        missing = dict(needed)
    if missing:
        role = conn.info.user
        raise StateUnfit(
            f"the role {role} may not do all it needs to in the schema retrofill",
            "grant it that as the owner of the schema, or trigger the DAG retrofill_migrate with"
            " its params conn_id, for the owner's connection, and grant",
            "\n".join(statements(role, missing)),
        )


@contextmanager
def transaction(conn: Connection) -> Iterator[Cursor]:
    """Run one transaction: commit at the end, roll back on any error.

    :raises StateUnavailable: the connection broke, and whether the commit took place is not
        known; or the server cannot do now what it was asked
    :raises StateLocked: a lock was not to be had in time
    :raises SchemaMismatch: a table or column is missing
    :raises StateUnfit: the role lacks a privilege
    :raises StateError: Postgres refused a statement
    """
    try:
        with conn, conn.cursor() as cur:
            yield cur
    except psycopg2.Error as error:
        raise _meaning(error, broken=bool(conn.closed)) from error


def read_in_order(cur: Cursor) -> None:
    """Have the rest of a transaction read tables in the order of their indexes."""
    cur.execute(_SQL["read_in_order"])


@contextmanager
def aside(cur: Cursor, what: str) -> Iterator[None]:
    """Run statements whose refusal the rest of the transaction does not mind: it is logged.

    What the server cannot do now is raised. The rest could not be done either.

    :param what: what they write, for people
    """
    cur.execute(_SQL["begin_aside"])
    try:
        yield
    except psycopg2.OperationalError:
        raise
    except psycopg2.DatabaseError as error:
        cur.execute(_SQL["drop_aside"])
        log.warning("%s: Postgres refused it, and the task goes on: %s", what, error)
    else:
        cur.execute(_SQL["end_aside"])


def _meaning(error: psycopg2.Error, *, broken: bool) -> StateError:
    """Say what an error of Postgres's means, and what to do."""
    code, said = error.pgcode or "", str(error).strip()
    if not broken and code in _NOT_NOW:
        not_now = StateLocked if code == errorcodes.LOCK_NOT_AVAILABLE else StateUnavailable
        return not_now(
            f"the state's Postgres cannot go on: {said}",
            f"{_NOT_NOW[code]}. Nothing is lost: what was not written is tried again",
        )
    if is_full(said):
        # A pooler lets everybody in, and says so of the first statement.
        return _unreachable(said)
    if broken or isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError):
        return StateUnavailable(f"the state's Postgres went away: {said}")
    if code not in _FIXES:
        return StateError(f"Postgres refused: {said}")
    return _KINDS.get(code, SchemaMismatch)(said, _FIXES[code])


def rows(cur: Cursor, record: type[Record], **converted: Callable[[Any], object]) -> list[Record]:
    """Return the rows of the statement just run, read by the names of their columns.

    :param record: a NamedTuple or dataclass; each column is named as one of its fields
    :param converted: by field, what makes its value of the column's
    :raises TypeError: the names of columns and fields differ, whether or not there are rows
    """
    make = _maker(cur, record, converted)
    return [make(row) for row in cur.fetchall()]


def find(cur: Cursor, record: type[Record], **converted: Callable[[Any], object]) -> Record | None:
    """Return the row that the statement just run may have, read as :func:`rows` reads it.

    :returns: None if there is no row
    :raises TypeError: the names of columns and fields differ
    """
    make, row = _maker(cur, record, converted), cur.fetchone()
    return None if row is None else make(row)


def one(cur: Cursor, record: type[Record], **converted: Callable[[Any], object]) -> Record:
    """Return the row that the statement just run must have, read as :func:`rows` reads it.

    :raises StateError: it has none: the state lacks what it should hold
    :raises TypeError: the names of columns and fields differ
    """
    return _maker(cur, record, converted)(_present(cur))


def value(cur: Cursor) -> Any:
    """Return the value that the statement just run must have: one column of one row.

    :raises StateError: there is no row: the state lacks what it should hold
    """
    (only,) = _present(cur)
    return only


def values(cur: Cursor) -> list[Any]:
    """Return the one column of the rows of the statement just run."""
    return [only for (only,) in cur.fetchall()]


def pairs(cur: Cursor) -> dict[Any, Any]:
    """Return the two columns of the rows of the statement just run: by the first, the second."""
    return dict(cur.fetchall())


def chunks(cur: Cursor, record: type[Record], most: int) -> Iterator[list[Record]]:
    """Read the rows of the statement just run as :func:`rows` does, some at a time.

    :param most: rows in a chunk
    :raises TypeError: the names of columns and fields differ
    """
    while found := cur.fetchmany(most):
        make = _maker(cur, record, {})
        yield [make(row) for row in found]


def _maker(
    cur: Cursor, record: type[Record], converted: Mapping[str, Callable[[Any], object]]
) -> Callable[[tuple[Any, ...]], Record]:
    """Return what makes records of the rows of the statement just run."""
    names = tuple(column.name for column in cur.description or ())
    _require_fields(record, names)

    def make(row: tuple[Any, ...]) -> Record:
        fields = dict(zip(names, row, strict=True))
        for name, convert in converted.items():
            fields[name] = convert(fields[name])
        return record(**fields)

    return make


def _require_fields(record: type[object], names: tuple[str, ...]) -> None:
    fields = record.__annotations__
    if set(names) != fields.keys() or len(names) != len(fields):
        raise TypeError(
            f"{record.__name__} has the fields {', '.join(fields)};"
            f" its statement has the columns {', '.join(names)}"
        )


def _present(cur: Cursor) -> tuple[Any, ...]:
    row = cur.fetchone()
    if row is None:
        statement = (cur.query or b"").decode("utf-8", "replace")
        raise StateError(f"the state holds no row for: {statement}")
    return row
