"""Databases for measurements, on a server with the settings of the embedded stack."""

from retrofill.state.connection import Connection, connect
from retrofill.state.migrate import migrate

from stack.services import Postgres, autocommit_cursor

ROLE = "bench"
_LOG_FILES = """
SELECT pg_size_bytes(current_setting('min_wal_size'))
    / pg_size_bytes(current_setting('wal_segment_size'))
"""


def fill_log(server: Postgres) -> None:
    """Make the server create all files of its log that it keeps.

    They are reused. The cost of creating one belongs to the first hour of a server.
    """
    with autocommit_cursor(server.dsn("postgres")) as cur:
        # As long as the slot exists, no file is reused.
        cur.execute("SELECT pg_create_physical_replication_slot('log', true, true)")
        cur.execute(_LOG_FILES)
        (files,) = cur.fetchone() or (0,)
        for _ in range(files):
            cur.execute("SELECT pg_logical_emit_message(false, '', ''), pg_switch_wal()")


class Database:
    """A database for measurements, owned by its own role."""

    def __init__(self, server: Postgres, name: str = ROLE) -> None:
        self._server = server
        self._name = name
        self.dsn = server.dsn(name, role=ROLE)

    def fresh(self, *, autovacuum: bool = True) -> None:
        """Create the database again, with the state's empty schema.

        :param autovacuum: False: leave the in-process cache alone, because what autovacuum would do
            in between differs from one measurement to the next
        """
        self._server.ensure_database(ROLE)
        self.drop()
        self._do(f"CREATE DATABASE {self._name} OWNER {ROLE}")
        migrate(self.dsn)
        if not autovacuum:
            self._do(
                "ALTER TABLE retrofill.in_process SET (autovacuum_enabled = false)", self._name
            )

    def drop(self) -> None:
        """Drop the database with everything in it."""
        self._do(f"DROP DATABASE IF EXISTS {self._name} WITH (FORCE)")

    def connect(self) -> Connection:
        """Return a connection like a task's."""
        return connect(self.dsn)

    def checkpoint(self) -> None:
        """Write out what has been done, so that it does not slow down the next measurement."""
        self._do("CHECKPOINT")

    def vacuum(self) -> None:
        """Do what autovacuum does within a minute."""
        self._do("VACUUM (ANALYZE)", self._name)

    def _do(self, statement: str, database: str = "postgres") -> None:
        with autocommit_cursor(self._server.dsn(database)) as cur:
            cur.execute(statement)


def number(conn: Connection, query: str) -> int:
    """Return the single number of a query."""
    with conn, conn.cursor() as cur:
        cur.execute(query)
        (found,) = cur.fetchone() or (0,)
    return int(found)
