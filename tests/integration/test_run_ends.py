"""Runs that end in odd ways: truncated listings, cleared tasks, closed runs with active tasks."""

from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from psycopg2.extensions import connection
from retrofill.environment import EnvironmentConnections
from retrofill.export.report import export_run
from retrofill.export.stores import open_store
from retrofill.model.calls import Settlement
from retrofill.model.destination import Destination
from retrofill.model.errors import RetrofillError, RunIncomplete, SourceError
from retrofill.model.report import Report
from retrofill.model.report_files import ReportRequest
from retrofill.model.runs import SetRef
from retrofill.pipeline import close_run as closing_run
from retrofill.pipeline.close_run import close_run, conclude
from retrofill.pipeline.enqueue import enqueue as enqueue_partition
from retrofill.pipeline.list_partitions import list_partitions
from retrofill.pipeline.plan_batches import plan_batches
from retrofill.sources.s3.rows import read_rows
from retrofill.state import exports, runs
from retrofill.state.connection import connect

from stack.endpoint import (
    Rule,
    Script,
    ScriptedEndpoint,
    Span,
    scripted_endpoint,
)
from tests.faults.pipeline_run import Backfill
from tests.integration.opened import (
    ALL_LIVE,
    StillAirflow,
    enqueue,
    item,
    keys_in,
    open_next_set,
    open_run,
)
from tests.integration.test_batches import calls_of, success, taken
from tests.integration.test_two_readings import NOTHING, Claimed

KEYS = "abcdefgh"
GONE = StillAirflow(lambda _dag_id, _dag_run_ids: False)


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


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(closing_run, "WAIT_S", 0.0)


def test_a_complete_run_without_its_report_files_is_reported_and_red(
    conn: connection, tmp_path: Path
) -> None:
    ref = open_run(conn, config={"report_to": str(tmp_path)})
    enqueue(conn, ref, [])
    plan_batches(conn, ref, ALL_LIVE)
    close_run(conn, ref, ALL_LIVE)
    reports: list[str] = []

    def keep_report(report: Report) -> None:
        reports.append(report.as_text({}))

    for _ in range(2):
        with pytest.raises(RunIncomplete, match="complete, but its report files are not written"):
            conclude(conn, ref, ALL_LIVE, keep_report)
    [text] = reports
    assert f"files       none written to {tmp_path} so far" in text
    destination = Destination.parse(str(tmp_path))
    store = open_store(destination, EnvironmentConnections(), "", anywhere=True)
    written = export_run(conn, ref.run_id, ReportRequest(), destination, store)
    exports.note_files(conn, ref.run_id, written)
    report = conclude(conn, ref, ALL_LIVE, keep_report)
    assert report is not None
    assert report.files_text == f"{written.manifest} (SHA-256 {written.sha256})"


def opened(conn: connection, dag_run_id: str) -> SetRef:
    """Open a run that lists the items, and plan those of no other run."""
    ref = open_run(conn, dag_run_id)
    enqueue(conn, ref, [item(key) for key in KEYS])
    plan_batches(conn, ref, ALL_LIVE)
    return ref


def settle(dsn: str, batch_id: int, calls: int | None = None) -> None:
    """Let the first calls of a batch succeed, one item each; None: all calls."""
    with closing(taken(dsn, batch_id=batch_id)) as lease:
        made = calls_of(lease)[:calls]
        lease.settle(Settlement(), made)
        lease.settle(success(*made), [])
        lease.release(done=calls is None)


def close(conn: connection, ref: SetRef) -> Report:
    """Do what close_run does, ignoring its errors; return the report."""
    with suppress(RunIncomplete):
        close_run(conn, ref, ALL_LIVE)
    return runs.get_report(conn, ref.run_id)


def newest_batch(conn: connection) -> int:
    with conn, conn.cursor() as cur:
        cur.execute("SELECT max(batch_id) FROM retrofill.batch")
        return int((cur.fetchone() or (0,))[0])


def test_a_listing_that_ends_before_the_surveys_last_key_is_not_done(
    conn: connection, backfill: Backfill
) -> None:
    """2,500 keys are seen; the first page is listed, and the second is empty."""
    backfill.serve(2_500)
    ref = backfill.open("run 1")
    backfill.list_partitions(ref)
    rule = Rule(operation=NOTHING.operation, reply=NOTHING.reply, calls=Span(first=2))
    backfill.break_with(rule)
    with pytest.raises(SourceError):
        backfill.enqueue(ref, 0)
    with pytest.raises(RunIncomplete):
        close_run(conn, ref, ALL_LIVE)


@pytest.mark.parametrize(
    "body",
    [b"<ListBucketResult/>", b"<ListBucketResult><IsTruncated>1</IsTruncated></ListBucketResult>"],
)
def test_a_response_without_a_truncation_flag_is_not_a_listing(body: bytes) -> None:
    with pytest.raises(SourceError):
        read_rows(body)


def test_a_source_with_an_object_whose_partitions_list_none_is_not_complete(
    conn: connection, backfill: Backfill
) -> None:
    ref = open_run(conn, partitions=0, source_seen=True)
    source = Claimed(None, None)
    try:
        for part in list_partitions(conn, ref, backfill.config, source):
            enqueue_partition(conn, ref, part["part_no"], source)
        plan_batches(conn, ref, ALL_LIVE)
    except SourceError:
        pass
    assert close(conn, ref).status == "incomplete"


def test_a_cleared_run_is_complete_once_all_it_took_over_is_processed(
    state_dsn: str, conn: connection
) -> None:
    close(conn, opened(conn, "first"))
    second = opened(conn, "second")
    settle(state_dsn, newest_batch(conn), calls=3)
    assert close(conn, second).items_left == 5
    plan_batches(conn, second, ALL_LIVE)
    settle(state_dsn, newest_batch(conn))
    assert keys_in(conn, "in_process") == []
    report = close(conn, second)
    assert (report.resumed, report.items_left, report.status) == (8, 0, "complete")


def test_an_earlier_cleared_set_fails_if_its_run_is_incomplete(conn: connection) -> None:
    first = open_run(conn, "first", max_items=2)
    enqueue(conn, first, [item(key) for key in KEYS])
    plan_batches(conn, first, ALL_LIVE)
    open_next_set(conn, first, max_items=100)
    runs.close_run(conn, first.run_id)
    plan_batches(conn, first, ALL_LIVE)
    with pytest.raises(RunIncomplete):
        close_run(conn, first, GONE)
    with pytest.raises(RunIncomplete):
        conclude(conn, first, GONE, lambda _: None)


def test_items_planned_for_a_run_closed_meanwhile_go_to_the_next_run(
    conn: connection,
) -> None:
    """Someone marks a DAG run as failed; notify closes its run before plan_batches is killed."""
    first = open_run(conn, "first")
    enqueue(conn, first, [item(key) for key in KEYS])
    with pytest.raises(RunIncomplete):
        conclude(conn, first, GONE, lambda _: None)
    with suppress(RetrofillError):
        plan_batches(conn, first, ALL_LIVE)
    second = open_run(conn, "second")
    enqueue(conn, second, [item(key) for key in KEYS])
    assert plan_batches(conn, second, GONE) != []


def test_a_run_closed_by_an_earlier_set_frees_the_items_of_the_later_one(
    conn: connection,
) -> None:
    first = open_run(conn, "first", max_items=2)
    enqueue(conn, first, [item(key) for key in KEYS])
    following = open_next_set(conn, first, max_items=100)
    enqueue(conn, following, [item(key) for key in KEYS])
    plan_batches(conn, following, ALL_LIVE)
    with pytest.raises(RunIncomplete):
        conclude(conn, first, GONE, lambda _: None)
    second = open_run(conn, "second")
    enqueue(conn, second, [item(key) for key in KEYS])
    assert plan_batches(conn, second, GONE) != []
