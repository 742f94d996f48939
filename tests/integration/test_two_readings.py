"""A source is read twice, first to divide it and then in full; disagreements are reported."""

from collections.abc import Iterator
from contextlib import closing

import pytest
from psycopg2.extensions import connection
from retrofill.model.errors import RunIncomplete, SourceError
from retrofill.model.runs import SetRef
from retrofill.pipeline.close_run import close_run
from retrofill.pipeline.enqueue import enqueue
from retrofill.pipeline.list_partitions import list_partitions
from retrofill.sources import Page, Partition
from retrofill.state import runs
from retrofill.state.connection import connect
from retrofill.state.screening import get_partition

from stack.endpoint import Operation, Reply, Rule, Script, ScriptedEndpoint, scripted_endpoint
from tests.faults.pipeline_run import Backfill
from tests.integration.opened import ALL_LIVE, open_run
from tests.plain_source import PlainSource

NOTHING = Rule(
    operation=Operation.LIST_OBJECTS,
    reply=Reply(
        body="<ListBucketResult><EncodingType>url</EncodingType><IsTruncated>false</IsTruncated>"
        "</ListBucketResult>"
    ),
)
"""Each listing ends before its first object."""


@pytest.fixture
def conn(state_dsn: str) -> Iterator[connection]:
    with closing(connect(state_dsn)) as opened:
        yield opened


@pytest.fixture
def endpoint() -> Iterator[ScriptedEndpoint]:
    with scripted_endpoint(Script()) as running:
        yield running


@pytest.fixture
def backfill(state_dsn: str, endpoint: ScriptedEndpoint) -> Backfill:
    params = {"event": "items", "items_per_call": 1_000}
    return Backfill(dsn=state_dsn, endpoint=endpoint, params=params, tries=1)


def test_a_range_with_seen_keys_that_lists_none_is_not_done(
    conn: connection, backfill: Backfill
) -> None:
    backfill.serve(100_000)
    ref = backfill.open("run 1")
    parts = [part["part_no"] for part in backfill.list_partitions(ref)]
    assert len(parts) == 5
    for number in parts:
        if number == 2:
            backfill.break_with(NOTHING)
            label = get_partition(conn, ref.run_id, 2).label
            for _ in range(2):
                with pytest.raises(SourceError, match="its listing shows none") as caught:
                    backfill.enqueue(ref, number)
                assert label in str(caught.value)
                assert "start a new run" in str(caught.value)
            backfill.break_with()
        else:
            backfill.enqueue(ref, number)
    assert runs.partitions_left(conn, ref.run_id) == [(2, label)]
    report = runs.get_report(conn, ref.run_id)
    assert 70_000 < report.listed < 90_000

    backfill.enqueue(ref, 2)
    report = runs.get_report(conn, ref.run_id)
    assert (report.listed, report.partitions_left) == (100_000, 0)


def test_a_run_with_an_unfinished_range_is_not_complete(
    conn: connection, backfill: Backfill
) -> None:
    backfill.serve(3)
    ref = backfill.open("run 1")
    backfill.list_partitions(ref)
    backfill.break_with(NOTHING)
    with pytest.raises(SourceError, match=r"'s3://bucket/data/': the survey saw 3 keys"):
        backfill.enqueue(ref, 0)
    with pytest.raises(RunIncomplete, match="1 partition not listed to the end"):
        close_run(conn, ref, ALL_LIVE)
    assert runs.get_report(conn, ref.run_id).status == "incomplete"


def test_a_source_with_an_object_that_lists_none_is_not_divided(
    conn: connection, backfill: Backfill
) -> None:
    backfill.serve(1)
    ref = backfill.open("run 1")
    backfill.break_with(NOTHING)
    with pytest.raises(SourceError, match="its survey shows nothing"):
        backfill.list_partitions(ref)
    assert not runs.has_partitions(conn, ref.run_id)
    # A new run starts over: if the source is empty then, it counts as empty.
    ended = backfill.run("run 2", watched=False)
    assert (ended.errors, ended.report.status, ended.report.listed) == ([], "complete", 0)


@pytest.mark.parametrize(
    ("objects", "params"),
    [
        (0, {}),
        (2_500, {"key_glob": "*.none"}),
        (2_500, {"modified_before": "2001-01-01T00:00:00Z"}),
    ],
    ids=["no object", "no key that is asked for", "no time that is asked for"],
)
def test_a_source_without_items_is_complete(
    backfill: Backfill, objects: int, params: dict[str, str]
) -> None:
    backfill.serve(objects)
    backfill.params.update(params)
    ended = backfill.run(watched=False)
    assert (ended.errors, ended.report.status) == ([], "complete")
    assert (ended.report.listed, sum(ended.report.left_out.values())) == (0, objects)


class Claimed(PlainSource):
    """A source with this many partitions, in each of which it claims to have seen this many keys.

    None of them lists anything.
    """

    name = "given://source"

    def __init__(self, *seen: int | None) -> None:
        self._seen = seen

    def check(self) -> bool:
        return True

    def partitions(self, limit: int) -> list[Partition]:
        found = [Partition(no, f"part {no}", {}, seen) for no, seen in enumerate(self._seen)]
        return found[:limit]

    def pages(self, partition: Partition, cursor: str | None = None) -> Iterator[Page]:
        del partition, cursor
        yield from ()


def opened(conn: connection) -> SetRef:
    """Open a run whose source had an object."""
    return open_run(conn, partitions=0, source_seen=True)


@pytest.mark.parametrize(
    ("seen", "says"),
    [((), "given://source named no partition"), ((0, 0), "told://source was not empty when")],
)
def test_a_source_that_suddenly_lists_nothing_is_an_error_and_nothing_is_written(
    conn: connection, backfill: Backfill, seen: tuple[int, ...], says: str
) -> None:
    ref = opened(conn)
    with pytest.raises(SourceError, match=says):
        list_partitions(conn, ref, backfill.config, Claimed(*seen))
    assert not runs.has_partitions(conn, ref.run_id)


def test_a_partition_that_was_not_surveyed_may_be_empty(
    conn: connection, backfill: Backfill
) -> None:
    source = Claimed(None, 0, 1)
    ref = opened(conn)
    list_partitions(conn, ref, backfill.config, source)
    for number in (0, 1):
        enqueue(conn, ref, number, source)
        assert get_partition(conn, ref.run_id, number).done
    with pytest.raises(SourceError, match="'part 2': the survey saw 1 keys"):
        enqueue(conn, ref, 2, source)
