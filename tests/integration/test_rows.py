"""Rows are read by column name, in any order."""

import ast
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import pytest
from retrofill.model.errors import StateError
from retrofill.state import locks
from retrofill.state.connection import (
    Connection,
    connect,
    find,
    one,
    rows,
    transaction,
    value,
    values,
)

from tests.integration.opened import enqueue, item, open_run
from tests.integration.test_batches import plan, taken

STATE = Path(locks.__file__).parent


class Pair(NamedTuple):
    first: int
    second: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PairByName:
    first: int
    second: int


@pytest.fixture
def conn(state_dsn: str) -> Iterator[Connection]:
    with closing(connect(state_dsn)) as opened:
        yield opened


@pytest.mark.parametrize("record", [Pair, PairByName])
def test_columns_are_read_by_name(conn: Connection, record: type[Pair | PairByName]) -> None:
    with transaction(conn) as cur:
        for text in ("SELECT 1 AS first, 2 AS second", "SELECT 2 AS second, 1 AS first"):
            cur.execute(text)
            assert one(cur, record) == record(first=1, second=2)
            cur.execute(text)
            assert find(cur, record) == record(first=1, second=2)
            cur.execute(text)
            assert rows(cur, record) == [record(first=1, second=2)]


@pytest.mark.parametrize(
    "columns", ["1 AS first", "1 AS first, 2 AS third", "1 AS first, 1 AS first, 2 AS second"]
)
@pytest.mark.parametrize("read", [one, find, rows])
def test_columns_that_are_not_fields_are_reported_at_once(conn, columns, read):
    with transaction(conn) as cur:
        cur.execute(f"SELECT {columns} WHERE false")
        with pytest.raises(TypeError, match="Pair has the fields first, second; its statement"):
            read(cur, Pair)


def test_a_value_may_be_converted(conn: Connection) -> None:
    with transaction(conn) as cur:
        cur.execute("SELECT 1 AS first, 2 AS second")
        assert one(cur, Pair, second=lambda read: read * 10) == Pair(1, 20)


def test_a_missing_row_is_an_error_or_none(conn: Connection) -> None:
    with transaction(conn) as cur:
        cur.execute("SELECT 1 AS first, 2 AS second WHERE false")
        assert find(cur, Pair) is None
        assert rows(cur, Pair) == []
        with pytest.raises(StateError, match="no row for: SELECT 1 AS first"):
            one(cur, Pair)
        with pytest.raises(StateError, match="no row for"):
            value(cur)
        assert values(cur) == []


def test_limits_are_read_correctly_in_any_order_of_columns(
    conn: Connection, state_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """max_calls and max_minutes are both integers: by position, they could be confused."""
    ref = open_run(conn, max_calls=5, max_minutes=500)
    enqueue(conn, ref, [item(f"{number:02}") for number in range(40)])
    assert plan(conn, ref) == [10, 10, 10, 10]
    statement = locks._SQL["lock_run"]  # noqa: SLF001
    order = "limits, stop_reason, width"
    assert statement.count(order) == 1
    with closing(taken(state_dsn, "holder")) as held:
        allotment = held.allot(10, 0)
        assert allotment.calls == 5
        swapped = statement.replace(order, "width, limits, stop_reason")
        monkeypatch.setitem(locks._SQL, "lock_run", swapped)  # noqa: SLF001
        assert replace(held.allot(10, 0), age_s=allotment.age_s) == allotment


@pytest.mark.parametrize("path", sorted(STATE.glob("*.py")), ids=lambda path: path.name)
def test_only_one_module_reads_rows_by_position(path: Path) -> None:
    """Every other module reads records by name, or the values of one column."""
    if path.name == "connection.py":
        return
    seen = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and node.attr.startswith("fetch"):
            seen.append(ast.unparse(node))
        if isinstance(node, ast.For | ast.comprehension) and ast.unparse(node.iter) == "cur":
            seen.append("for … in cur")
    assert seen == []
