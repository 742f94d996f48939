"""Items that two runs of a job list while one of them has them in process."""

from collections.abc import Iterator
from contextlib import closing

import pytest
from psycopg2.extensions import connection
from retrofill.model.calls import Settlement
from retrofill.model.errors import RunIncomplete
from retrofill.model.report import Report
from retrofill.model.runs import SetRef
from retrofill.pipeline import close_run as closing_run
from retrofill.pipeline.close_run import close_run, conclude
from retrofill.pipeline.plan_batches import plan_batches
from retrofill.state import batches, others, runs
from retrofill.state.connection import connect
from retrofill.state.lease import BatchLease

from tests.integration.opened import (
    ALL_LIVE,
    StillAirflow,
    close,
    enqueue,
    item,
    keys_in,
    open_run,
)
from tests.integration.test_batches import calls_of, success, taken

KEYS = "abcd"


@pytest.fixture
def conn(state_dsn: str) -> Iterator[connection]:
    with closing(connect(state_dsn)) as opened:
        yield opened


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(closing_run, "WAIT_S", 0.0)


def planned(conn: connection, dag_run_id: str, keys: str = KEYS) -> SetRef:
    """Open a run that lists items, and plan the new ones."""
    ref = open_run(conn, dag_run_id)
    enqueue(conn, ref, [item(key) for key in keys])
    plan_batches(conn, ref, ALL_LIVE)
    return ref


def settle_all(lease: BatchLease) -> None:
    calls = calls_of(lease)
    lease.settle(Settlement(), calls)
    lease.settle(success(*calls), [])
    lease.release(done=True)


def test_a_run_is_not_complete_while_another_active_run_has_its_items(
    state_dsn: str, conn: connection
) -> None:
    first, second = planned(conn, "first"), planned(conn, "second", "abcde")
    with closing(taken(state_dsn, batch_id=2)) as lease:
        settle_all(lease)
    with pytest.raises(RunIncomplete, match=r"run 1 \(open\) has 4 items in process"):
        close_run(conn, second, ALL_LIVE)
    report = runs.get_report(conn, second.run_id)
    assert (report.status, report.listed, report.new, report.known) == ("incomplete", 5, 1, 4)
    assert (report.items_left, report.partitions_left, report.with_others) == (0, 0, 4)
    assert report.others == [{"run_id": first.run_id, "status": "open", "items": 4}]
    assert "in process with other runs: 4\n  run 1 (open) has 4 items" in report.as_text({})
    assert runs.get_report(conn, first.run_id).with_others == 0


def test_a_run_does_not_wait_for_items_it_did_not_list(conn: connection) -> None:
    planned(conn, "first")
    second = planned(conn, "second", "")
    assert close_run(conn, second, ALL_LIVE) is False
    assert runs.get_report(conn, second.run_id).status == "complete"


def test_a_run_waits_only_for_the_items_that_it_listed(conn: connection) -> None:
    planned(conn, "first", "abcd")
    second = planned(conn, "second", "ad")
    with pytest.raises(RunIncomplete, match=r"run 1 \(open\) has 2 items in process"):
        close_run(conn, second, ALL_LIVE)
    assert runs.get_report(conn, second.run_id).with_others == 2


def test_a_run_waits_for_another_that_is_ending(
    state_dsn: str, conn: connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned(conn, "first")
    second = planned(conn, "second")
    monkeypatch.setattr(closing_run, "WAIT_S", 60.0)
    monkeypatch.setattr(closing_run, "LOOK_EVERY_S", 0.01)
    waited = []

    def is_alive(_dag_id: str, _ids: object) -> bool:
        if not waited:
            waited.append(runs.get_report(conn, second.run_id).with_others)
            with closing(taken(state_dsn)) as lease:
                settle_all(lease)
        return True

    assert close_run(conn, second, StillAirflow(is_alive)) is False
    assert waited == [4]
    report = runs.get_report(conn, second.run_id)
    assert (report.status, report.with_others, report.others) == ("complete", 0, [])


@pytest.mark.parametrize("left", ["closed", "open"])
def test_the_next_set_takes_over_items_of_a_run_that_ended_meanwhile(
    state_dsn: str, conn: connection, left: str
) -> None:
    """Airflow has ended its DAG run; the run itself was closed or not."""
    first, second = planned(conn, "first"), planned(conn, "second")
    if left == "closed":
        batches.release_set(conn, first)
        close(conn, first.run_id, complete=False)
    airflow = StillAirflow(lambda _, ids: "second" in ids)
    assert close_run(conn, second, airflow) is True
    assert airflow.reported == ([] if left == "closed" else [first.run_id])
    following = SetRef(second.run_id, 2)
    assert runs.later_sets(conn, second) == [("d", second.next_dag_run_id("second"))]
    (batch,) = plan_batches(conn, following, airflow)
    with closing(taken(state_dsn, batch_id=batch["batch_id"])) as lease:
        settle_all(lease)
    assert close_run(conn, following, airflow) is False
    report = runs.get_report(conn, second.run_id)
    assert (report.status, report.resumed, report.succeeded) == ("complete", 4, 4)
    assert keys_in(conn, "results") == [*KEYS]


def test_no_further_set_is_requested_after_planning_failed(conn: connection) -> None:
    """It would find the same items and fail in the same way for ever."""
    first = planned(conn, "first")
    second = open_run(conn, "second")
    enqueue(conn, second, [item(key) for key in KEYS])
    batches.release_set(conn, first)
    close(conn, first.run_id, complete=False)
    with pytest.raises(RunIncomplete, match=r"run 1 \(incomplete\) has 4 items in process"):
        close_run(conn, second, ALL_LIVE)
    assert runs.later_sets(conn, second) == []


def test_items_taken_over_belong_to_the_new_run(conn: connection) -> None:
    first, second = planned(conn, "first"), planned(conn, "second")
    batches.release_set(conn, first)
    close(conn, first.run_id, complete=False)
    third = planned(conn, "third")
    held = [(other.run_id, other.items, other.free) for other in others.look(conn, second.run_id)]
    assert held == [(third.run_id, 4, False)]
    assert others.look(conn, third.run_id) == []


def test_a_run_that_close_run_did_not_close_is_closed_reported_and_red(conn: connection) -> None:
    ref = planned(conn, "first")
    reports: list[Report] = []
    with pytest.raises(RunIncomplete, match="run 1 is incomplete: 4 items left"):
        conclude(conn, ref, ALL_LIVE, reports.append)
    assert [(report.status, report.items_left) for report in reports] == [("incomplete", 4)]
    assert runs.get_report(conn, ref.run_id).is_notified
    with pytest.raises(RunIncomplete):
        conclude(conn, ref, ALL_LIVE, reports.append)
    assert len(reports) == 1


def test_a_finished_run_that_close_run_did_not_close_is_red(
    state_dsn: str, conn: connection
) -> None:
    ref = planned(conn, "first")
    with closing(taken(state_dsn)) as lease:
        settle_all(lease)
    reports: list[Report] = []
    with pytest.raises(RunIncomplete, match="complete, but close_run did not end"):
        conclude(conn, ref, ALL_LIVE, reports.append)
    assert [report.status for report in reports] == ["complete"]


def test_a_run_continues_with_an_active_next_set_and_ends_without_one(
    conn: connection,
) -> None:
    ref = planned(conn, "first")
    runs.open_next_set(conn, ref)
    reports: list[Report] = []
    assert conclude(conn, ref, ALL_LIVE, reports.append) is None
    assert reports == []
    with pytest.raises(RunIncomplete, match="4 items left"):
        conclude(conn, ref, StillAirflow(lambda _, __: False), reports.append)
    assert len(reports) == 1


def test_a_run_without_partitions_is_incomplete(conn: connection) -> None:
    ref = open_run(conn, partitions=0)
    with pytest.raises(RunIncomplete, match="its source was never divided into partitions"):
        close_run(conn, ref, ALL_LIVE)
    assert runs.get_report(conn, ref.run_id).status == "incomplete"
