"""A server of its own, on which work is measured in a process of its own."""

import multiprocessing
import resource
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from multiprocessing.connection import Connection as Sender
from pathlib import Path
from typing import NamedTuple

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812  it is a class
from retrofill.state.connection import connect
from retrofill.state.migrate import migrate

from benchmarks.screening.work import ITEMS_PER_QUERY, Stopwatch, Work, count, query_per_item
from stack.services import Postgres, free_port, running

ROLE = "bench"
_KB_PER_MB = 1024
_LOG_FILES = """
SELECT pg_size_bytes(current_setting('min_wal_size'))
    / pg_size_bytes(current_setting('wal_segment_size'))
"""
_WAL = "SELECT pg_current_wal_insert_lsn() - '0/0'"


class WrongCountError(Exception):
    """Something was screened or settled that should not, or was not that should."""


class Measured(NamedTuple):
    """What one measurement took."""

    items: int
    seconds: float
    cpu_s: float
    """In that time, of the process that did it and of all the server's."""
    peak_mb: float
    """The most memory of the process that did it."""
    wal_bytes: int


@contextmanager
def own_server() -> Iterator[Postgres]:
    """Run a new Postgres for a block, with the settings of the embedded stack."""
    with tempfile.TemporaryDirectory(prefix="retrofill-bench-") as directory:
        server = Postgres(Path(directory) / "data", free_port(), password="bench")  # noqa: S106
        with running(server):
            yield server


def fill_log(server: Postgres) -> None:
    """Have the server make all files of its log that it keeps.

    They are used again and again. What it costs to make one belongs to the first hour of a server.
    """
    with closing(psycopg2.connect(server.dsn("postgres"))) as conn, conn.cursor() as cur:
        conn.autocommit = True
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
        self._dsn = server.dsn(name, role=ROLE)

    def fresh(self) -> None:
        """Have the state's schema, and nothing in it."""
        self._server.ensure_database(ROLE)
        self.drop()
        self._do(f"CREATE DATABASE {self._name} OWNER {ROLE}")
        migrate(self._dsn)

    def drop(self) -> None:
        """Have it no more, with what is in it."""
        self._do(f"DROP DATABASE IF EXISTS {self._name} WITH (FORCE)")

    def connect(self) -> Connection:
        """Return a connection as a task has one."""
        return connect(self._dsn)

    def checkpoint(self) -> None:
        """Write out what has been done: it must not slow down what is measured next."""
        self._do("CHECKPOINT")

    def vacuum(self) -> None:
        """Do what autovacuum does within a minute."""
        self._do("VACUUM (ANALYZE)", self._name)

    def measure(self, work: Work, items: int) -> Measured:
        """Do some work in a process of its own, which shares nothing with this one.

        :raises WrongCountError: it did not do what it should
        """
        self.checkpoint()
        context = multiprocessing.get_context("spawn")
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=_measure, args=(self._dsn, work, items, sender))
        process.start()
        sender.close()
        try:
            measured: Measured = receiver.recv()
        except EOFError as error:
            raise WrongCountError(f"{work.__name__} broke off; see above") from error
        finally:
            process.join()
        wanted = min(items, ITEMS_PER_QUERY) if work is query_per_item else items
        if measured.items != wanted:
            raise WrongCountError(f"{work.__name__}: {measured.items:,} items, not {wanted:,}")
        return measured

    def bytes_of(self, table: str) -> int:
        """Return what a table takes on disk, with its indexes."""
        with closing(self.connect()) as conn:
            return count(conn, f"SELECT pg_total_relation_size('retrofill.{table}')")

    def _do(self, statement: str, database: str = "postgres") -> None:
        with closing(psycopg2.connect(self._server.dsn(database))) as conn:
            conn.autocommit = True
            with conn.cursor() as cur:
                cur.execute(statement)


def _measure(dsn: str, work: Work, items: int, sender: Sender) -> None:
    with closing(connect(dsn)) as conn:
        watch = Stopwatch(conn)
        wal_bytes = count(conn, _WAL)
        done = work(conn, items, watch)
        wal_bytes = count(conn, _WAL) - wal_bytes
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _KB_PER_MB
    sender.send(Measured(done, watch.seconds, watch.cpu_s, peak, wal_bytes))
