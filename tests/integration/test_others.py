"""Items that two runs of a job list, while one of them has them in process."""

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
    """Open a run that lists items, and plan what it finds new."""
    ref = open_run(conn, dag_run_id)
    enqueue(conn, ref, [item(key) for key in keys])
    plan_batches(conn, ref, ALL_LIVE)
    return ref


def settle_all(lease: BatchLease) -> None:
    calls = calls_of(lease)
    lease.settle(Settlement(), calls)
    lease.settle(success(*calls), [])
    lease.release(done=True)


def test_a_run_is_not_complete_while_another_that_lives_has_its_items(
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


def test_what_is_not_listed_is_not_waited_for(conn: connection) -> None:
    planned(conn, "first")
    second = planned(conn, "second", "")
    assert close_run(conn, second, ALL_LIVE) is False
    assert runs.get_report(conn, second.run_id).status == "complete"


def test_a_run_waits_for_another_that_comes_to_its_end(
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
def test_the_next_set_takes_over_what_a_run_that_ended_meanwhile_left(
    state_dsn: str, conn: connection, left: str
) -> None:
    """Airflow has ended its DAG run; it was closed, or nobody did."""
    first, second = planned(conn, "first"), planned(conn, "second")
    if left == "closed":
        batches.release_set(conn, first)
        close(conn, first.run_id, complete=False)
    airflow = StillAirflow(lambda _, ids: "second" in ids)
    assert close_run(conn, second, airflow) is True
    assert airflow.told == ([] if left == "closed" else [first.run_id])
    following = SetRef(second.run_id, 2)
    assert runs.later_sets(conn, second) == [("d", second.next_dag_run_id("second"))]
    (batch,) = plan_batches(conn, following, airflow)
    with closing(taken(state_dsn, batch_id=batch["batch_id"])) as lease:
        settle_all(lease)
    assert close_run(conn, following, airflow) is False
    report = runs.get_report(conn, second.run_id)
    assert (report.status, report.resumed, report.succeeded) == ("complete", 4, 4)
    assert keys_in(conn, "results") == [*KEYS]


def test_no_further_set_is_asked_for_where_planning_has_failed(conn: connection) -> None:
    """It would find the same, and fail the same way, for ever."""
    first = planned(conn, "first")
    second = open_run(conn, "second")
    enqueue(conn, second, [item(key) for key in KEYS])
    batches.release_set(conn, first)
    close(conn, first.run_id, complete=False)
    with pytest.raises(RunIncomplete, match=r"run 1 \(incomplete\) has 4 items in process"):
        close_run(conn, second, ALL_LIVE)
    assert runs.later_sets(conn, second) == []


def test_what_was_taken_over_is_with_the_run_that_has_it_now(conn: connection) -> None:
    first, second = planned(conn, "first"), planned(conn, "second")
    batches.release_set(conn, first)
    close(conn, first.run_id, complete=False)
    third = planned(conn, "third")
    held = [(other.run_id, other.items, other.free) for other in others.look(conn, second.run_id)]
    assert held == [(third.run_id, 4, False)]
    assert others.look(conn, third.run_id) == []


def test_a_run_that_close_run_did_not_close_is_closed_told_and_red(conn: connection) -> None:
    ref = planned(conn, "first")
    told: list[Report] = []
    with pytest.raises(RunIncomplete, match="run 1 is incomplete: 4 items left"):
        conclude(conn, ref, ALL_LIVE, told.append)
    assert [(report.status, report.items_left) for report in told] == [("incomplete", 4)]
    assert runs.get_report(conn, ref.run_id).is_notified
    with pytest.raises(RunIncomplete):
        conclude(conn, ref, ALL_LIVE, told.append)
    assert len(told) == 1


def test_a_run_whose_work_is_done_and_that_close_run_did_not_close_is_red(
    state_dsn: str, conn: connection
) -> None:
    ref = planned(conn, "first")
    with closing(taken(state_dsn)) as lease:
        settle_all(lease)
    told: list[Report] = []
    with pytest.raises(RunIncomplete, match="complete, but close_run did not end"):
        conclude(conn, ref, ALL_LIVE, told.append)
    assert [report.status for report in told] == ["complete"]


def test_a_run_goes_on_where_its_next_set_lives_and_ends_where_that_never_came(
    conn: connection,
) -> None:
    ref = planned(conn, "first")
    runs.open_next_set(conn, ref)
    told: list[Report] = []
    assert conclude(conn, ref, ALL_LIVE, told.append) is None
    assert told == []
    with pytest.raises(RunIncomplete, match="4 items left"):
        conclude(conn, ref, StillAirflow(lambda _, __: False), told.append)
    assert len(told) == 1


def test_a_run_without_partitions_is_incomplete_whatever_the_cause(conn: connection) -> None:
    ref = open_run(conn, partitions=0)
    with pytest.raises(RunIncomplete, match="its source was never divided into partitions"):
        close_run(conn, ref, ALL_LIVE)
    assert runs.get_report(conn, ref.run_id).status == "incomplete"
