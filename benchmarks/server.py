"""What is measured in Postgres: databases on a server set as that of the embedded stack is."""

from retrofill.state.connection import Connection, connect
from retrofill.state.migrate import migrate

from stack.services import Postgres, autocommitting

ROLE = "bench"
_LOG_FILES = """
SELECT pg_size_bytes(current_setting('min_wal_size'))
    / pg_size_bytes(current_setting('wal_segment_size'))
"""


def fill_log(server: Postgres) -> None:
    """Have the server make all files of its log that it keeps.

    They are used again and again. What it costs to make one belongs to the first hour of a server.
    """
    with autocommitting(server.dsn("postgres")) as cur:
        # As long as it is there, no file is used again.
        cur.execute("SELECT pg_create_physical_replication_slot('log', true, true)")
        cur.execute(_LOG_FILES)
        (files,) = cur.fetchone() or (0,)
        for _ in range(files):
            cur.execute("SELECT pg_logical_emit_message(false, '', ''), pg_switch_wal()")


class Database:
    """A database that is measured, owned by a role of its own."""

    def __init__(self, server: Postgres, name: str = ROLE) -> None:
        self._server = server
        self._name = name
        self.dsn = server.dsn(name, role=ROLE)

    def fresh(self, *, autovacuum: bool = True) -> None:
        """Have the state's schema, and nothing in it.

        :param autovacuum: False: items in process are left alone, since what it would do in
            between differs from one measurement to the next
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
        """Have it no more, with what is in it."""
        self._do(f"DROP DATABASE IF EXISTS {self._name} WITH (FORCE)")

    def connect(self) -> Connection:
        """Return a connection as a task has one."""
        return connect(self.dsn)

    def checkpoint(self) -> None:
        """Write out what has been done: it must not slow down what is measured next."""
        self._do("CHECKPOINT")

    def vacuum(self) -> None:
        """Do what autovacuum does within a minute."""
        self._do("VACUUM (ANALYZE)", self._name)

    def _do(self, statement: str, database: str = "postgres") -> None:
        with autocommitting(self._server.dsn(database)) as cur:
            cur.execute(statement)


def number(conn: Connection, query: str) -> int:
    """Return the one number of a query."""
    with conn, conn.cursor() as cur:
        cur.execute(query)
        (found,) = cur.fetchone() or (0,)
    return int(found)
