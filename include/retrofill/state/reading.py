"""Reading for people: one snapshot, in which no statement may take long."""

from collections.abc import Iterator
from contextlib import contextmanager

from retrofill.state.connection import Connection, Cursor, transaction
from retrofill.state.statements import load

_SQL = load("pages.sql")

STATEMENT_S = 5
"""Seconds that one statement of a page may take: people look again and again."""


@contextmanager
def snapshot(conn: Connection) -> Iterator[Cursor]:
    """Open one read-only snapshot, so that all numbers that are read in it agree."""
    with transaction(conn) as cur:
        cur.execute(_SQL["begin_snapshot"], {"timeout": f"{STATEMENT_S}s"})
        yield cur
