"""A Postgres that holds runs whose batches are planned, one database for each measurement."""

import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psutil
import psycopg2
from psycopg2 import sql
from retrofill.model.listing import Page
from retrofill.state import batches
from retrofill.state.connection import Connection, Cursor, connect
from retrofill.state.limits import change_limits
from retrofill.state.migrate import migrate
from retrofill.state.screening import Chunk, get_partition, screen

from benchmarks.encode import KEYS, items
from benchmarks.measure import cpu_s
from benchmarks.opened import open_run
from stack.services import Postgres, free_port, running

_MOST = 10_000_000
_MOST_CONCURRENCY = 10_000


class PlannedState:
    """Makes databases with one open run, whose items wait in batches."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres
        self._batches: dict[str, int] = {}
        pid = (postgres.directory / "postmaster.pid").read_text().splitlines()[0]
        self._server = psutil.Process(int(pid))

    @contextmanager
    def database(self, count: int, batch_items: int, in_flight: int) -> Iterator[tuple[str, int]]:
        """Yield the URI of a database with so many items, and the number of its batches.

        :param in_flight: the ``max_concurrency`` of the run
        """
        template = f"planned_{count}_{batch_items}"
        name = sql.Identifier("measured")
        with closing(psycopg2.connect(self._postgres.dsn("postgres"))) as server:
            server.autocommit = True
            with server.cursor() as cur:
                if template not in self._batches:
                    self._batches[template] = self._make(cur, template, count, batch_items)
                create = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
                cur.execute(create.format(name, sql.Identifier(template)))
                dsn = self._postgres.dsn("measured")
                with closing(connect(dsn)) as conn:
                    change_limits(conn, 1, max_concurrency=in_flight)
                try:
                    yield dsn, self._batches[template]
                finally:
                    cur.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))

    def _make(self, cur: Cursor, template: str, count: int, batch_items: int) -> int:
        """Make a template that stays as planning leaves it; return the number of its batches.

        Calls begin right after planning, so no statistics of the tables must come in between.
        """
        self._postgres.ensure_database(template)
        dsn = self._postgres.dsn(template)
        _set_autovacuum(cur, "off")
        migrate(dsn)
        with closing(connect(dsn)) as conn:
            batches = _plan(conn, count, batch_items)
        close = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false")
        cur.execute(close.format(sql.Identifier(template)))
        _set_autovacuum(cur, "on")
        return batches

    def cpu_s(self) -> float:
        """Return the seconds of CPU that the server has taken, all its processes together."""
        return cpu_s(self._server)


@contextmanager
def planned_state() -> Iterator[PlannedState]:
    """Run the server, set as the embedded stack's: what it commits is on the disk."""
    with tempfile.TemporaryDirectory(prefix="retrofill-bench-") as directory:
        server = Postgres(Path(directory) / "data", free_port(), password="bench")  # noqa: S106
        with running(server):
            yield PlannedState(server)


def _set_autovacuum(cur: Cursor, value: str) -> None:
    cur.execute(sql.SQL("ALTER SYSTEM SET autovacuum = {}").format(sql.Literal(value)))
    cur.execute("SELECT pg_reload_conf()")


def _plan(conn: Connection, count: int, batch_items: int) -> int:
    ref = open_run(
        conn,
        "s3://camera-uploads",
        items_per_call=1,
        max_concurrency=_MOST_CONCURRENCY,
        max_items=_MOST,
    )
    page = Page(items(KEYS["plain keys"], count), "all", {})
    chunk = Chunk(pages=[page], done=True)
    screen(conn, ref, 0, get_partition(conn, ref.run_id, 0), chunk)
    planned = batches.plan(conn, ref, 1, most_items=batch_items, fewest_items=batch_items)
    return len(planned)
