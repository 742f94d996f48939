"""Counts of a listing, via the use cases: exact wherever sets, chunks, pages or tasks end."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from itertools import count
from typing import NamedTuple

import boto3
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg2.extensions import connection
from retrofill.config import params_for
from retrofill.faults import InjectedError, Point, injected
from retrofill.model.items import Item
from retrofill.model.runs import SetRef
from retrofill.pipeline import enqueue as enqueueing
from retrofill.pipeline.enqueue import enqueue
from retrofill.pipeline.list_partitions import list_partitions
from retrofill.sources import Page, Partition, Source
from retrofill.sources.s3 import source as s3
from retrofill.state import runs
from retrofill.state.connection import connect

from stack.endpoint import Bucket, S3Object, Script, scripted_endpoint
from tests.given import s3_config, s3_source
from tests.integration.opened import item, keys_in, open_next_set, open_run
from tests.plain_source import PlainSource

REASONS = ("filtered", "archived", "rejected")
CONFIG = params_for("s3").config({"bucket": "bucket", "prefix": "in/", "function": "f"})
_numbers = count()


@pytest.fixture
def conn(state_dsn: str) -> Iterator[connection]:
    with closing(connect(state_dsn)) as opened:
        yield opened


class Listed(NamedTuple):
    """A page of a listing: its items, and the number of skipped ones by reason."""

    items: list[Item]
    others: tuple[int, int, int]


class Listing(PlainSource):
    """A source that lists given pages, in any order.

    :param parts: the pages of each partition
    """

    name = "s3://bucket"

    def __init__(self, parts: Sequence[Sequence[Listed]]) -> None:
        self._parts = parts

    def check(self) -> bool:
        return any(page.items or any(page.others) for part in self._parts for page in part)

    def partitions(self, limit: int) -> list[Partition]:
        return [Partition(number, f"part {number}", {}) for number in range(len(self._parts))][
            :limit
        ]

    def pages(self, partition: Partition, cursor: str | None = None) -> Iterator[Page]:
        for number, (items, others) in enumerate(self._parts[partition.number]):
            name = f"page {number:04}"
            if name > (cursor or ""):
                yield Page(items, name, dict(zip(REASONS, others, strict=True)))


def read_whole(
    conn: connection,
    source: Source,
    rooms: Iterator[int],
    crash: Callable[[Point], None] = lambda _: None,
) -> tuple[SetRef, int]:
    """Read a source in as many sets as needed, restarting each task that crashes."""
    ref = open_run(conn, f"run {next(_numbers)}", max_items=next(rooms), partitions=0)
    for sets in count(1):
        for part in list_partitions(conn, ref, CONFIG, source):
            while True:
                try:
                    with injected(crash):
                        enqueue(conn, ref, part["part_no"], source)
                    break
                except InjectedError:
                    pass
        runs.close_set(conn, ref)
        if not runs.partitions_left(conn, ref.run_id):
            return ref, sets
        ref = open_next_set(conn, ref, max_items=next(rooms))
    raise AssertionError


def crashes_at(visits: set[int]) -> Callable[[Point], None]:
    """Return a function that raises at the chunk commits with these numbers."""
    reached = count()

    def act(point: Point) -> None:
        if point in (Point.CHUNK_COPIED, Point.CHUNK_COMMITTED) and next(reached) in visits:
            raise InjectedError

    return act


@st.composite
def _listings(draw: st.DrawFn) -> list[list[Listed]]:
    """Draw pages with keys in any order, versions of one key, and repeats of the last page."""
    names = draw(
        st.lists(
            st.tuples(st.sampled_from("abcdefghij"), st.integers(0, 5)), unique=True, max_size=40
        )
    )
    left = [item(key, f"version {number}") for key, number in names]
    parts: list[list[Listed]] = []
    for _ in range(draw(st.integers(1, 3))):
        part: list[Listed] = []
        last: list[Item] = []
        for size in draw(st.lists(st.integers(0, 6), max_size=8)):
            repeated = draw(st.lists(st.sampled_from(last), max_size=3)) if last else []
            fresh, left = left[:size], left[size:]
            others = draw(st.tuples(*[st.integers(0, 3)] * 3))
            part.append(Listed([*repeated, *fresh], others))
            last = part[-1].items or last
        parts.append(part)
    # Items that another partition lists, too, are known there.
    if parts[0] and draw(st.booleans()):
        parts.append(parts[0])
    return parts


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    parts=_listings(),
    rooms=st.lists(st.integers(1, 12), min_size=1, max_size=4),
    chunk_items=st.integers(1, 9),
    crashes=st.sets(st.integers(0, 40), max_size=8),
    before=st.integers(0, 12),
)
def test_counts_equal_the_listing_wherever_a_set_or_page_ends(
    conn: connection,
    *,
    parts: list[list[Listed]],
    rooms: list[int],
    chunk_items: int,
    crashes: set[int],
    before: int,
) -> None:
    with conn, conn.cursor() as cur:
        cur.execute("TRUNCATE retrofill.in_process, retrofill.run CASCADE")
        cur.execute("DELETE FROM retrofill.extent")
    listed = [{one.identifier: one for page in part for one in page.items} for part in parts]
    every = {identifier: one for part in listed for identifier, one in part.items()}
    known = list(every.values())[:before]
    read_whole(conn, Listing([[Listed(known, (0, 0, 0))]]), iter([100]))

    each_room = (room for _ in count() for room in rooms)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(enqueueing, "CHUNK_ITEMS", chunk_items)
        ref, _ = read_whole(conn, Listing(parts), each_room, crashes_at(crashes))

    report = runs.get_report(conn, ref.run_id)
    counted = Counter({"listed": report.listed, "new": report.new, **report.left_out})
    expected = Counter(listed=sum(map(len, listed)), new=len(every) - len(known))
    for place, reason in enumerate(REASONS):
        expected[reason] = sum(page.others[place] for part in parts for page in part)
    assert counted == expected
    assert report.known == report.listed - report.new
    with conn, conn.cursor() as cur:
        cur.execute("SELECT identifier::text FROM retrofill.in_process")
        held = [bytes.fromhex(text.replace("-", "")) for (text,) in cur]
    assert sorted(held) == sorted(every)


def test_half_of_a_hundred_objects_are_filtered_in_sets_of_twenty(
    conn: connection, aws_session: boto3.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = [
        S3Object(key=f"in/{number:03}.{'jpg' if number % 2 else 'txt'}") for number in range(100)
    ]
    cold = [S3Object(key=f"in/{number:03}.z.jpg", storage_class="GLACIER") for number in range(7)]
    bucket = Bucket(name="bucket", objects=tuple(objects + cold))
    config = s3_config(bucket="bucket", prefix="in/", function="f", key_glob="*.jpg")
    with scripted_endpoint(Script(buckets=(bucket,))) as endpoint:
        client = aws_session.client("s3", endpoint_url=endpoint.url)
        source = s3_source(config, client)
        for page_keys, room in [(1_000, 20), (1_000, 1), (10, 20), (7, 3), (1, 50)]:
            monkeypatch.setattr(s3, "PAGE_KEYS", page_keys)
            with conn, conn.cursor() as cur:
                cur.execute("TRUNCATE retrofill.in_process")
                cur.execute("DELETE FROM retrofill.extent")
            ref, sets = read_whole(conn, source, (room for _ in count()))
            report = runs.get_report(conn, ref.run_id)
            assert sets >= 50 // room
            assert (report.listed, report.new, report.known) == (50, 50, 0)
            assert report.left_out == {"filtered": 50, "archived": 7}
            assert len(keys_in(conn, "in_process")) == 50


def test_a_page_that_changes_between_two_sets_is_counted_once(
    conn: connection,
) -> None:
    first = Listing([[Listed([item(key) for key in "abcdef"], (3, 1, 0))]])
    later = Listing([[Listed([item(key) for key in "axcdeyf"], (2, 0, 0))]])
    ref = open_run(conn, max_items=3)
    assert enqueue(conn, ref, 0, first) == {"listed": 3, "new": 3, "known": 0}
    for new in (2, 2, 1):
        ref = open_next_set(conn, ref, max_items=2)
        assert enqueue(conn, ref, 0, later)["new"] == new
    report = runs.get_report(conn, ref.run_id)
    assert (report.listed, report.known, report.partitions_left) == (8, 0, 0)
    assert report.left_out == {"filtered": 2}
    assert keys_in(conn, "in_process") == [*"abcdefxy"]
