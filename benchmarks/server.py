"""Databases for measurements, on a server with the settings of the embedded stack."""

import json

from retrofill.state.connection import Connection, connect
from retrofill.state.migrate import migrate

from benchmarks.contenders.work import REGION
from stack.services import Postgres, autocommit_cursor

ROLE = "bench"
_LOG_FILES = """
SELECT pg_size_bytes(current_setting('min_wal_size'))
    / pg_size_bytes(current_setting('wal_segment_size'))
"""


def fill_log(server: Postgres) -> None:
    """Make the server create all files of its write-ahead log that it keeps.

    It reuses them. Only the first hour of a server pays for their creation.
    """
    with autocommit_cursor(server.dsn("postgres")) as cur:
        # The slot keeps the server from reusing a file before all exist.
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

    def create(self, *, autovacuum: bool = True) -> None:
        """Create the database, or create it again, with the state's empty schema.

        :param autovacuum: False: leave the in-process cache alone, because autovacuum would run at
            another time in each measurement
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
        """Drop the database, if it exists."""
        self._do(f"DROP DATABASE IF EXISTS {self._name} WITH (FORCE)")

    def connect(self) -> Connection:
        """Return a connection like a task's."""
        return connect(self.dsn)

    def checkpoint(self) -> None:
        """Write all changes to disk now, so that this does not slow down the next measurement."""
        self._do("CHECKPOINT")

    def vacuum(self) -> None:
        """Do what autovacuum does within a minute."""
        self._do("VACUUM (ANALYZE)", self._name)

    def environment(self, aws_url: str) -> dict[str, str]:
        """Return the connections of tasks that use this database and an AWS at this address."""
        aws = {"endpoint_url": aws_url, "region_name": REGION}
        connection = {"conn_type": "aws", "login": "test", "password": "test", "extra": aws}
        return {
            "AIRFLOW_CONN_RETROFILL_STATE": self.dsn,
            "AIRFLOW_CONN_AWS_DEFAULT": json.dumps(connection),
        }

    def _do(self, statement: str, database: str = "postgres") -> None:
        with autocommit_cursor(self._server.dsn(database)) as cur:
            cur.execute(statement)


def number(conn: Connection, query: str) -> int:
    """Return the single number of a query."""
    with conn, conn.cursor() as cur:
        cur.execute(query)
        (found,) = cur.fetchone() or (0,)
    return int(found)
