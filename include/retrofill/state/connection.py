"""Connections to the state: transactions, and their rows as records."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

import psycopg2
from psycopg2.extensions import ISOLATION_LEVEL_READ_COMMITTED
from psycopg2.extensions import connection as Connection  # noqa: N812  it is a class
from psycopg2.extensions import cursor as Cursor  # noqa: N812  it is a class

from retrofill.model.connections import STATE_CONN_ID
from retrofill.model.errors import StateError, StateFull, StateUnavailable, StateUnfit
from retrofill.state.address import Dsn, parts_of
from retrofill.state.failures import WRITABLE, make_database, meaning_of, not_connected
from retrofill.state.grants import statements
from retrofill.state.statements import load

__all__ = ["Connection", "Cursor"]

_SQL = load("connection.sql")
log = logging.getLogger(__name__)

PATIENCE_S = 300.0
"""How long a task waits for a connection when none is left."""

_PAUSE_S = 1.0
"""The pause between two attempts to get one."""

PAGE_STATEMENT_S = 5
"""The time limit for a statement of a page: people reload pages that do not answer."""

Record = TypeVar("Record")

_DEFAULTS = {
    "connect_timeout": "10",
    "fallback_application_name": "retrofill",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
}
"""Options of libpq that the connection may override: with them, a dead server is noticed."""

_FIXED = {"client_encoding": "UTF8"}
"""Options that it may not override: no other encoding has all keys."""

_SESSION = {
    "statement_timeout": "300s",
    "idle_in_transaction_session_timeout": "60s",
    "TimeZone": "UTC",
}
"""Settings of a session, unless the connection's ``options`` have others.

They are set with a statement: RDS Proxy accepts no options at the start, PgBouncer only some.
"""

OLDEST_SERVER = 14
"""The first version of PostgreSQL that has multiranges."""

ISOLATION = "read committed"
"""The level for which screening is proved. A stricter one would take a snapshot before its lock."""


def connect(dsn: Dsn, *, patience_s: float = 0.0, conn_id: str = STATE_CONN_ID) -> Connection:
    """Open a connection whose transactions run at READ COMMITTED, and check that they do.

    :param patience_s: how long to wait while no connection is left
    :param conn_id: the Airflow connection that errors name
    :raises StateNotConfigured: ``dsn`` is not a valid connection string
    :raises StateFull: no connection is left
    :raises StateUnavailable: the server cannot be reached, refuses the connection or accepts no
        writes
    :raises StateUnfit: server or database lack something that the state needs
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
                log.warning("%s\nWaiting up to %.0f s for a connection", error, patience_s)
            logged = True
        time.sleep(_PAUSE_S)


def _connect(dsn: Dsn, conn_id: str) -> Connection:
    options = _DEFAULTS | parts_of(dsn, conn_id) | _FIXED
    try:
        opened: Connection = psycopg2.connect(**options)  # type: ignore[call-overload]
    except psycopg2.OperationalError as error:
        raise not_connected(str(error).strip(), conn_id) from error
    try:
        # Server, database or role may have another default.
        opened.set_session(isolation_level=ISOLATION_LEVEL_READ_COMMITTED)
        _require_fit(opened)
    except BaseException:
        opened.close()
        raise
    return opened


class _Server(NamedTuple):
    version: int
    encoding: str
    isolation: str
    read_only: bool
    standby: bool


def _require_fit(conn: Connection) -> None:
    """Check the settings that a transaction actually gets; a pooler may change them."""
    with transaction(conn) as cur:
        cur.execute(
            _SQL["set_session"], {"names": list(_SESSION), "settings": list(_SESSION.values())}
        )
        cur.execute(_SQL["get_server"])
        server = one(cur, _Server)
    if server.version < OLDEST_SERVER * 10_000:
        raise StateUnfit(
            f"the state's Postgres has version {server.version // 10_000}; the oldest version that"
            f" works is {OLDEST_SERVER}",
            "move the database to a newer server",
        )
    if server.encoding != "UTF8":
        raise StateUnfit(
            f"the state's database is encoded in {server.encoding}, which cannot store every key",
            "create one in UTF-8 and set it in the connection; see docs/operations/roles.md",
            make_database(f"{conn.info.dbname}_utf8"),
        )
    require_isolation(server.isolation)
    if server.read_only or server.standby:
        what = "is a standby" if server.standby else "accepts no writes"
        raise StateUnavailable(f"the state's Postgres {what}", WRITABLE)


def require_isolation(level: str) -> None:
    """Check the isolation level of a transaction.

    :raises StateUnfit: it is not READ COMMITTED
    """
    if level != ISOLATION:
        raise StateUnfit(
            f"a transaction runs at {level}, not at {ISOLATION} as requested: something between"
            " here and Postgres changes it",
            "connect directly, or configure the pooler not to change it",
        )


def require_granted(conn: Connection, needed: Mapping[str, str]) -> None:
    """Check before work begins that the connection's role has its privileges.

    :param needed: comma-separated privileges by table or view
    :raises StateUnfit: the role lacks some; the message has the GRANTs
    """
    wanted = [(name, one) for name, some in needed.items() for one in some.split(", ")]
    names, privileges = [name for name, _ in wanted], [one for _, one in wanted]
    try:
        with executed(conn, _SQL["list_missing_grants"], names=names, privileges=privileges) as cur:
            missing = pairs(cur)
    except StateUnfit:
        # The role may not even use the schema.
        missing = dict(needed)
    if missing:
        role = conn.info.user
        raise StateUnfit(
            f"the role {role} lacks privileges in the schema retrofill",
            "grant them as the owner of the schema, or trigger the DAG retrofill_migrate with its"
            " params conn_id, the owner's connection, and grant",
            "\n".join(statements(role, missing)),
        )


@contextmanager
def transaction(conn: Connection) -> Iterator[Cursor]:
    """Run one transaction: commit at the end, roll back on any error.

    :raises StateUnavailable: the connection broke, and the commit may have succeeded or not; or
        the server cannot do it now
    :raises StateLocked: another session held a lock for too long
    :raises SchemaMismatch: a table or column is missing
    :raises StateUnfit: the role lacks a privilege
    :raises StateError: Postgres refused a statement
    """
    try:
        with conn, conn.cursor() as cur:
            yield cur
    except psycopg2.Error as error:
        raise meaning_of(error, broken=bool(conn.closed)) from error


@contextmanager
def executed(conn: Connection, statement: str, **values: Any) -> Iterator[Cursor]:
    """Run a transaction that begins with a statement, whose rows are read next."""
    with transaction(conn) as cur:
        cur.execute(statement, values)
        yield cur


def execute(conn: Connection, statement: str, **values: Any) -> None:
    """Run one statement as a transaction."""
    with executed(conn, statement, **values):
        pass


@contextmanager
def snapshot(conn: Connection, *, in_order: bool = False) -> Iterator[Cursor]:
    """Open one read-only snapshot for a page, so that all its numbers agree.

    :param in_order: whether to read tables in the order of their indexes
    """
    with executed(conn, _SQL["begin_snapshot"], timeout=f"{PAGE_STATEMENT_S}s") as cur:
        if in_order:
            read_in_order(cur)
        yield cur


def read_in_order(cur: Cursor) -> None:
    """Make the rest of a transaction read tables in the order of their indexes."""
    cur.execute(_SQL["read_in_order"])


def read_by_index(cur: Cursor) -> None:
    """Make the rest of a transaction read tables through their indexes only."""
    cur.execute(_SQL["read_by_index"])


@contextmanager
def optional(cur: Cursor, what: str) -> Iterator[None]:
    """Run statements that may fail without failing the transaction; a refusal is logged.

    An error of the connection or server is raised: the rest of the transaction would fail too.

    :param what: what they write, for the log
    """
    cur.execute(_SQL["begin_optional"])
    try:
        yield
    except psycopg2.OperationalError:
        raise
    except psycopg2.DatabaseError as error:
        cur.execute(_SQL["undo_optional"])
        log.warning("%s: Postgres refused it; the task continues: %s", what, error)
    else:
        cur.execute(_SQL["end_optional"])


def rows(cur: Cursor, record: type[Record], **converted: Callable[[Any], object]) -> list[Record]:
    """Return the rows of the last statement as records, matched by column name.

    :param record: a NamedTuple or dataclass whose fields are the columns
    :param converted: by field, a function that converts the column's value
    :raises TypeError: fields and columns differ, even if there are no rows
    """
    make = _maker(cur, record, converted)
    return [make(row) for row in cur.fetchall()]


def find(cur: Cursor, record: type[Record], **converted: Callable[[Any], object]) -> Record | None:
    """Return the first row of the last statement, as :func:`rows` does; None if it has none."""
    make, row = _maker(cur, record, converted), cur.fetchone()
    return None if row is None else make(row)


def one(cur: Cursor, record: type[Record], **converted: Callable[[Any], object]) -> Record:
    """Return the first row of the last statement, as :func:`rows` does.

    :raises StateError: it has none: the state lacks a row that it should have
    """
    return _maker(cur, record, converted)(_present(cur))


def value(cur: Cursor) -> Any:
    """Return the single value of the last statement: one column of one row.

    :raises StateError: there is no row: the state lacks a row that it should have
    """
    (only,) = _present(cur)
    return only


def values(cur: Cursor) -> list[Any]:
    """Return the single column of the last statement's rows."""
    return [only for (only,) in cur.fetchall()]


def pairs(cur: Cursor) -> dict[Any, Any]:
    """Return the last statement's two columns: the second by the first, in the order of rows."""
    return dict(cur.fetchall())


def chunks(cur: Cursor, record: type[Record], most: int) -> Iterator[list[Record]]:
    """Read the rows of the last statement as :func:`rows` does, at most ``most`` at a time."""
    while found := cur.fetchmany(most):
        make = _maker(cur, record, {})
        yield [make(row) for row in found]


def _maker(
    cur: Cursor, record: type[Record], converted: Mapping[str, Callable[[Any], object]]
) -> Callable[[tuple[Any, ...]], Record]:
    names = tuple(column.name for column in cur.description or ())
    fields = record.__annotations__
    if sorted(names) != sorted(fields):
        raise TypeError(
            f"{record.__name__} has the fields {', '.join(fields)};"
            f" its statement has the columns {', '.join(names)}"
        )

    def make(row: tuple[Any, ...]) -> Record:
        columns = dict(zip(names, row, strict=True))
        for name, convert in converted.items():
            columns[name] = convert(columns[name])
        return record(**columns)

    return make


def _present(cur: Cursor) -> tuple[Any, ...]:
    row = cur.fetchone()
    if row is None:
        statement = (cur.query or b"").decode("utf-8", "replace")
        raise StateError(f"the state holds no row for: {statement}")
    return row
