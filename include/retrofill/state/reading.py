"""Reading for people: one snapshot, in which no statement may take long."""

from collections.abc import Iterator
from contextlib import contextmanager

from retrofill.state.connection import Connection, Cursor, read_in_order, transaction
from retrofill.state.statements import load

_SQL = load("reading.sql")

STATEMENT_S = 5
"""Seconds that one statement of a page may take: people look again and again."""


@contextmanager
def snapshot(conn: Connection, *, in_order: bool = False) -> Iterator[Cursor]:
    """Open one read-only snapshot, so that all numbers that are read in it agree.

    :param in_order: whether to read tables in the order of their indexes
    """
    with transaction(conn) as cur:
        cur.execute(_SQL["begin_snapshot"], {"timeout": f"{STATEMENT_S}s"})
        if in_order:
            read_in_order(cur)
        yield cur


def read_by_index(cur: Cursor) -> None:
    """Have the rest of a transaction read tables by their indexes only."""
    cur.execute(_SQL["read_by_index"])
