"""Content passes through screening, calls, quarantine and redrive unchanged, byte for byte."""

import json
from collections.abc import Iterator
from contextlib import closing
from functools import cache
from itertools import count
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from psycopg2.extensions import connection
from retrofill.engine import portions
from retrofill.model.items import Item
from retrofill.pipeline.enqueue import enqueue
from retrofill.pipeline.redrive import redrive_quarantine
from retrofill.sources.memory import MemorySource
from retrofill.state import batches, runs
from retrofill.state.connection import connect

from tests.integration.opened import close, open_run
from tests.integration.test_portions import Recorder, invoke, row
from tests.integration.test_redrive import asked

texts = st.text(max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
sizes = st.sampled_from([0, 1_000, 1_000])


def content_of(value: object, text: str, size: int) -> str:
    """Return a row as JSON, with a text that makes it about `size` characters long."""
    filling = (text or "\u00e9\u4e2d\U0001f600") * size
    row = {"value": value, "text": filling[:size]}
    return json.dumps(row, ensure_ascii=False, separators=(",", ":"))


contents = st.lists(st.builds(content_of, values, texts, sizes), min_size=1, max_size=4)
WIDE = [content_of(None, '\x00\x1e\x1f\x7f\u2028\ufeff\uffff\U0010ffff"\\/', 1_000)]
LARGE = [content_of(None, text, 10**6) for text in ("x", "\u4e2d", "\U0001f600\n")]


@cache
def escaped(character: str) -> str:
    return character if character.isascii() else json.dumps(character)[1:-1]


def record_of(item: Item) -> bytes:
    """Return the record that a function must receive, built one character at a time."""
    row = "".join(map(escaped, item.content))
    key, identifier = json.dumps(item.key), UUID(bytes=item.identifier)
    return f'{{"identifier":"{identifier}","key":{key},"row":{row}}}'.encode()


def kept(conn: connection, job_id: int, table: str) -> list[tuple[str, str, int]]:
    with conn, conn.cursor() as cur:
        cur.execute(
            f"SELECT item_key, content, octet_length(content) FROM retrofill.{table}"  # noqa: S608
            " WHERE job_id = %s ORDER BY item_key",
            (job_id,),
        )
        return cur.fetchall()


def called(dsn: str, batch_id: int, client: Recorder) -> set[bytes]:
    """Invoke a batch, an item in each call; return the records that were sent."""
    client.keeps = True
    invoke(dsn, client, batch_id=batch_id)
    begin, end = b'{"items":[', b"]}"
    assert all(body.startswith(begin) and body.endswith(end) for body in client.bodies)
    return {body[len(begin) : -len(end)] for body in client.bodies}


@pytest.fixture
def conn(state_dsn: str) -> Iterator[connection]:
    with closing(connect(state_dsn)) as opened:
        yield opened


@pytest.mark.parametrize("ordered", [True, False])
def test_content_stays_the_same_everywhere(
    state_dsn: str, conn: connection, monkeypatch: pytest.MonkeyPatch, *, ordered: bool
) -> None:
    monkeypatch.setattr(portions, "PORTION_BYTES", 1_500_000)
    numbers = count(1)

    @settings(
        max_examples=5,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(contents)
    @example(WIDE)
    @example(LARGE)
    def check(drawn: list[str]) -> None:
        number = next(numbers)
        items = [row(f"in/{number}-{at}", one) for at, one in enumerate(drawn)]
        as_kept = [(one.key, one.content, len(one.content.encode())) for one in items]
        ref = open_run(conn, f"first {number}", max_concurrency=4)
        source = MemorySource.of(items if ordered else items[::-1], ordered=ordered)
        with conn, conn.cursor() as cur:
            cur.execute(
                "UPDATE retrofill.partition SET description = %s WHERE run_id = %s",
                (json.dumps(source.partitions(1)[0].description), ref.run_id),
            )
        assert enqueue(conn, ref, 0, source)["new"] == len(items)
        assert kept(conn, 1, "in_process") == as_kept
        (batch,) = batches.plan(conn, ref, 1, most_items=10**6, fewest_items=10**6)
        failing = Recorder(frozenset(one.key for one in items))
        assert called(state_dsn, batch.batch_id, failing) == set(map(record_of, items))
        assert kept(conn, 1, "quarantine") == as_kept
        close(conn, ref.run_id, complete=True)
        again = open_run(
            conn, f"again {number}", max_concurrency=4, config={"redrive": "quarantine"}
        )
        assert redrive_quarantine(conn, again, 0, asked()) == {"redriven": len(items)}
        assert kept(conn, 1, "in_process") == as_kept
        (batch,) = batches.plan(conn, again, 1, most_items=10**6, fewest_items=10**6)
        assert called(state_dsn, batch.batch_id, Recorder()) == set(map(record_of, items))
        assert runs.get_report(conn, again.run_id).succeeded == len(items)
        close(conn, again.run_id, complete=True)

    check()
