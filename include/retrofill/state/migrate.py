"""The migrations of the state's schema, and how they are applied."""

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
from retrofill.state.connection import (
    MIGRATE,
    Connection,
    Cursor,
    connect,
    transaction,
    value,
    values,
)

log = logging.getLogger(__name__)

_LOCK = 7_316_402_119

_OLDEST_CODE = re.compile(r"^-- oldest code: (\d+)$", re.MULTILINE)

LOCK_TIMEOUT_MS = 500
"""How long a migration waits for a lock, and all that comes after waits for the migration."""

PATIENCE_S = 300.0
"""How long a migration tries to get its locks, with a second between two tries."""


class Migration(NamedTuple):
    """One step of the schema."""

    number: int
    name: str
    sql: str

    @property
    def oldest_code(self) -> int:
        """The oldest version of the code that runs with it: its own, unless it says another."""
        found = _OLDEST_CODE.search(self.sql)
        return int(found[1]) if found else self.number


def migrations() -> list[Migration]:
    """Return every migration, in order."""
    folder = files(__package__).joinpath("migrations")
    found = [entry for entry in folder.iterdir() if entry.name.endswith(".sql")]
    return [
        Migration(int(entry.name[:4]), entry.name, entry.read_text(encoding="utf-8"))
        for entry in sorted(found, key=lambda entry: entry.name)
    ]


class Pending(NamedTuple):
    """What a migration would find and do."""

    database: str
    role: str
    version: int
    """The number of the last migration that the schema has; 0: there is no schema."""

    migrations: list[str]
    """The names of those that it lacks."""


def look(dsn: Dsn, *, conn_id: str = STATE_CONN_ID) -> Pending:
    """Return what :func:`migrate` would do, and change nothing.

    :param conn_id: Airflow's connection of which ``dsn`` is made, for what is said of it
    :raises SchemaMismatch: the schema is newer than this code
    :raises StateError: Postgres cannot be reached, or refuses
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
    """Apply, in one transaction, every migration the schema lacks; return their names.

    Safe to run at once from several places: they take turns under a lock. Safe beside a running
    run: what it waits for is waited for shortly, and tried again.

    :param known: all migrations there are; None: those of this code
    :param patience_s: for how long it tries again, where others hold a lock on a table
    :param conn_id: as for :func:`look`
    :raises SchemaMismatch: the schema is newer than this code
    :raises StateLocked: others hold a lock on a table all the time
    :raises StateError: Postgres cannot be reached, or refuses
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
                        "end what holds it (pg_stat_activity: a transaction open for long, or an"
                        " autovacuum), or try later; nothing was changed",
                    ) from error
                log.info("another session holds a lock on a table; trying again")
                time.sleep(1)


def grant(dsn: Dsn, statements: Sequence[str], *, conn_id: str = STATE_CONN_ID) -> None:
    """Run GRANTs of :mod:`retrofill.state.grants`, all or none.

    :param conn_id: as for :func:`look`
    :raises StateUnfit: a role does not exist, or this one may not grant
    :raises StateError: Postgres cannot be reached, or refuses
    """
    with closing(connect(dsn, conn_id=conn_id)) as conn, transaction(conn) as cur:
        # Of two at once, Postgres would refuse one.
        cur.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        for statement in statements:
            cur.execute(statement)


def _apply(cur: Cursor, known: Sequence[Migration]) -> list[str]:
    cur.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
    # Who comes after one that waits for a lock waits as well, so it does not wait long. It is less
    # than deadlock_timeout, too: where a task and this wait for each other, this one gives way.
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
    """Return the migrations that a schema of some version lacks.

    :raises SchemaMismatch: it is newer than all that are known
    """
    if applied > known[-1].number:
        raise SchemaMismatch(
            f"the schema is at version {applied}, this code knows {known[-1].number}",
            "run the newer code, or restore the older schema",
        )
    return [entry for entry in known if entry.number > applied]


def _lock_tables(cur: Cursor) -> None:
    """Take the strongest lock on every table at once.

    Of two statements of a migration, the second may need a stronger one on the same table; a task
    that has come between would be ended by Postgres at once, as both could wait for ever.
    """
    cur.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'retrofill' ORDER BY tablename")
    tables = sql.SQL(", ").join(sql.Identifier("retrofill", name) for name in values(cur))
    cur.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(tables))


def version(conn: Connection) -> int:
    """Return the number of the last migration that the schema has; 0: there is no schema."""
    with transaction(conn) as cur:
        return _version(cur)


def require_current(conn: Connection) -> None:
    """Check that this code runs with the schema: of its own version, or a newer one that suits it.

    :raises SchemaMismatch: it is missing, older or too new; the message says what to do
    """
    wanted = migrations()[-1].number
    with transaction(conn) as cur:
        found = _version(cur)
        oldest_code = _oldest_code(cur) if found > wanted else 0
    said = f"the state's schema is at version {found}"
    if found < wanted:
        raise SchemaMismatch(f"{said}, this code needs {wanted}", MIGRATE)
    if oldest_code > wanted:
        raise SchemaMismatch(
            f"{said}, with which code of version {oldest_code} or newer runs, and this is of"
            f" version {wanted}",
            "deploy the newer code, and restart Airflow's processes",
        )


def _version(cur: Cursor) -> int:
    cur.execute("SELECT to_regclass('retrofill.migration') IS NOT NULL")
    if not value(cur):
        return 0
    cur.execute("SELECT coalesce(max(number), 0) FROM retrofill.migration")
    return int(value(cur))


def _oldest_code(cur: Cursor) -> int:
    cur.execute("SELECT max(oldest_code) FROM retrofill.migration")
    return int(value(cur))
