"""Arrays written as one value, in Postgres's format."""

from collections.abc import Iterator
from contextlib import closing

import psycopg2
import pytest
from psycopg2.extensions import connection
from retrofill.state.arrays import numbers, texts
from retrofill.state.connection import connect

TEXTS = [
    "",
    " ",
    "NULL",
    "null",
    "{}",
    "a,b",
    '"',
    "\\",
    '\\"',
    "\n\t",
    "'; --",
    "é 日本 🙂",
    "%s %(a)s",
]


@pytest.fixture
def conn(state_dsn: str) -> Iterator[connection]:
    with closing(connect(state_dsn)) as opened:
        yield opened


@pytest.mark.parametrize("values", [[], TEXTS, *([one] for one in TEXTS)])
def test_texts_arrive_unchanged(conn: connection, values: list[str]) -> None:
    with conn.cursor() as cur:
        cur.execute("SELECT %s::text[]", (texts(values),))
        assert cur.fetchone() == (values,)


@pytest.mark.parametrize("values", [[], [0], [-1, 9_223_372_036_854_775_807]])
def test_numbers_arrive_unchanged(conn: connection, values: list[int]) -> None:
    with conn.cursor() as cur:
        cur.execute("SELECT %s::bigint[]", (numbers(values),))
        assert cur.fetchone() == (values,)


def test_text_that_postgres_cannot_store_is_refused(conn: connection) -> None:
    with conn.cursor() as cur, pytest.raises((ValueError, psycopg2.Error)):
        cur.execute("SELECT %s::text[]", (texts(["a\0b"]),))
