"""Migrations of the state's schema: which are missing, and applying them."""

import logging
import re
import time
from collections.abc import Sequence
from contextlib import closing
from importlib.resources import files
from typing import NamedTuple

from psycopg2 import sql

from retrofill.model.connections import STATE_CONN_ID
from retrofill.model.errors import SchemaMismatch, StateLocked
from retrofill.state.address import Dsn
from retrofill.state.connection import Connection, Cursor, connect, transaction, value, values
from retrofill.state.failures import MIGRATE

log = logging.getLogger(__name__)

_LOCK = 7_316_402_119

_OLDEST_CODE = re.compile(r"^-- oldest code: (\d+)$", re.MULTILINE)

LOCK_TIMEOUT_MS = 500
"""How long a migration waits for a lock. Statements that come later wait behind it."""

PATIENCE_S = 300.0
"""How long a migration tries to get its locks, once per second."""


class Migration(NamedTuple):
    """One step of the schema."""

    number: int
    name: str
    sql: str

    @property
    def oldest_code(self) -> int:
        """The oldest version of the code that runs with it; by default, its own number."""
        found = _OLDEST_CODE.search(self.sql)
        return int(found[1]) if found else self.number


def migrations() -> list[Migration]:
    """Return all migrations of this code, in order."""
    folder = files(__package__).joinpath("migrations")
    found = [entry for entry in folder.iterdir() if entry.name.endswith(".sql")]
    return [
        Migration(int(entry.name[:4]), entry.name, entry.read_text(encoding="utf-8"))
        for entry in sorted(found, key=lambda entry: entry.name)
    ]


class Pending(NamedTuple):
    """What :func:`migrate` would do, and where."""

    database: str
    role: str
    version: int
    """The number of the last migration that was applied; 0: there is no schema."""

    migrations: list[str]
    """The names of the missing migrations."""


def look(dsn: Dsn, *, conn_id: str = STATE_CONN_ID) -> Pending:
    """Return what :func:`migrate` would do, and change nothing.

    :param conn_id: the Airflow connection that errors name
    :raises SchemaMismatch: the schema is newer than this code
    :raises StateError: Postgres cannot be reached, or refuses a statement
    """
    with closing(connect(dsn, conn_id=conn_id)) as conn:
        with transaction(conn) as cur:
            applied = _version(cur)
        names = [entry.name for entry in _lacking(applied, migrations())]
        return Pending(conn.info.dbname, conn.info.user, applied, names)


def migrate(
    dsn: Dsn,
    known: Sequence[Migration] | None = None,
    *,
    patience_s: float = PATIENCE_S,
    conn_id: str = STATE_CONN_ID,
) -> list[str]:
    """Apply all missing migrations in one transaction; return their names.

    It is safe to run several at once, because they take turns under a lock. It is safe during a
    run, because it waits for locks only briefly and tries again.

    :param known: all migrations; None: those of this code
    :param patience_s: how long to try while other sessions hold a lock on a table
    :param conn_id: as for :func:`look`
    :raises SchemaMismatch: the schema is newer than this code
    :raises StateLocked: other sessions held a lock on a table all that time
    :raises StateError: Postgres cannot be reached, or refuses a statement
    """
    known = migrations() if known is None else known
    give_up_at = time.monotonic() + patience_s
    with closing(connect(dsn, conn_id=conn_id)) as conn:
        while True:
            try:
                with transaction(conn) as cur:
                    return _apply(cur, known)
            except StateLocked as error:
                if time.monotonic() > give_up_at:
                    raise StateLocked(
                        error.what,
                        "end the session that holds it (see pg_stat_activity: a long transaction,"
                        " or an autovacuum), or try later; nothing was changed",
                    ) from error
                log.info("another session holds a lock on a table; trying again")
                time.sleep(1)


def grant(dsn: Dsn, statements: Sequence[str], *, conn_id: str = STATE_CONN_ID) -> None:
    """Run GRANTs of :mod:`retrofill.state.grants` in one transaction.

    :param conn_id: as for :func:`look`
    :raises StateUnfit: a role does not exist, or this one may not grant
    :raises StateError: Postgres cannot be reached, or refuses a statement
    """
    with closing(connect(dsn, conn_id=conn_id)) as conn, transaction(conn) as cur:
        # Postgres refuses one of two GRANTs that run at the same time.
        cur.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        for statement in statements:
            cur.execute(statement)


def _apply(cur: Cursor, known: Sequence[Migration]) -> list[str]:
    cur.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
    # It waits only briefly, because every later statement waits behind it. The time is also less
    # than deadlock_timeout: in a deadlock with a task, the migration gives way.
    cur.execute("SELECT set_config('lock_timeout', %s, true)", (f"{LOCK_TIMEOUT_MS}ms",))
    applied = _version(cur)
    pending = _lacking(applied, known)
    if applied and pending:
        _lock_tables(cur)
    for entry in pending:
        cur.execute(entry.sql)
        cur.execute(
            "INSERT INTO retrofill.migration (number, name, oldest_code) VALUES (%s, %s, %s)",
            (entry.number, entry.name, entry.oldest_code),
        )
    return [entry.name for entry in pending]


def _lacking(applied: int, known: Sequence[Migration]) -> list[Migration]:
    if applied > known[-1].number:
        raise SchemaMismatch(
            f"the schema is at version {applied}, but this code knows only {known[-1].number}",
            "run the newer code, or restore the older schema",
        )
    return [entry for entry in known if entry.number > applied]


def _lock_tables(cur: Cursor) -> None:
    """Take the strongest lock on every table in one statement.

    Without that, two statements of a migration may need ever stronger locks on one table. With a
    task between them, this would be a deadlock, and Postgres would end the task.
    """
    cur.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'retrofill' ORDER BY tablename")
    tables = sql.SQL(", ").join(sql.Identifier("retrofill", name) for name in values(cur))
    cur.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(tables))


def version(conn: Connection) -> int:
    """Return the number of the last migration that was applied; 0: there is no schema."""
    with transaction(conn) as cur:
        return _version(cur)


def require_current(conn: Connection) -> None:
    """Check that the schema has this code's version, or a newer one that allows this code.

    :raises SchemaMismatch: it is missing, older or too new; the message says what to do
    """
    wanted = migrations()[-1].number
    with transaction(conn) as cur:
        found = _version(cur)
        oldest_code = 0
        if found > wanted:
            cur.execute("SELECT max(oldest_code) FROM retrofill.migration")
            oldest_code = value(cur)
    schema = f"the state's schema is at version {found}"
    if found < wanted:
        raise SchemaMismatch(f"{schema}, but this code needs version {wanted}", MIGRATE)
    if oldest_code > wanted:
        raise SchemaMismatch(
            f"{schema}, which needs code of version {oldest_code} or newer; this code is of"
            f" version {wanted}",
            "deploy the newer code, and restart Airflow's processes",
        )


def _version(cur: Cursor) -> int:
    cur.execute("SELECT to_regclass('retrofill.migration') IS NOT NULL")
    if not value(cur):
        return 0
    cur.execute("SELECT coalesce(max(number), 0) FROM retrofill.migration")
    return int(value(cur))
