"""Approvals on a real Postgres: what is withdrawn and what stays; nothing is called twice."""

from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import replace
from typing import Any

import pytest
from psycopg2.extensions import connection
from retrofill.config import RunConfig
from retrofill.faults import InjectedError, Point, injected
from retrofill.model.approval import ApprovalStatus
from retrofill.model.calls import EndedCall, Settlement
from retrofill.model.errors import ConfigError, RunIncomplete
from retrofill.model.report import Report
from retrofill.model.runs import Run, SetRef
from retrofill.pipeline import approve
from retrofill.pipeline import close_run as closing_run
from retrofill.pipeline.close_run import close_run, conclude
from retrofill.pipeline.plan_batches import plan_batches
from retrofill.pipeline.redrive import redrive_quarantine
from retrofill.pipeline.rescue import rescue
from retrofill.state import approvals, limits, others, plans, runs
from retrofill.state.connection import connect

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
from tests.integration.test_redrive import KEYS as BAD
from tests.integration.test_redrive import asked as redriving
from tests.integration.test_redrive import quarantined
from tests.invariants import check_now
from tests.unit.test_stored_plan import PLAN

KEYS = list("abcdefgh")
GONE = StillAirflow(lambda _dag_id, _dag_run_ids: False)
ASKED = {"approve": True}


@pytest.fixture
def conn(state_dsn: str) -> Iterator[connection]:
    with closing(connect(state_dsn)) as opened:
        yield opened


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(closing_run, "WAIT_S", 0.0)


def config_of(run: Run) -> RunConfig:
    return RunConfig.from_stored(run.config)


def waiting(conn: connection, dag_run_id: str = "r", keys: list[str] = KEYS) -> SetRef:
    """Open a run that lists some items, plans those of no other run, and waits for approval."""
    ref = open_run(conn, dag_run_id, config=ASKED)
    enqueue(conn, ref, [item(key) for key in keys])
    plan_batches(conn, ref, ALL_LIVE)
    run = runs.get_run(conn, ref.run_id)
    approve.request_approval(conn, run, config_of(run), PLAN, "0")
    return ref


def reject(conn: connection, ref: SetRef, by: str = "Ada") -> None:
    answer = ApprovalStatus.REJECTED if by else ApprovalStatus.EXPIRED
    approve.record_answer(conn, runs.get_run(conn, ref.run_id), answer, by)


def closed(conn: connection, ref: SetRef) -> Report:
    with suppress(RunIncomplete):
        close_run(conn, ref, ALL_LIVE)
    return runs.get_report(conn, ref.run_id)


def extents(conn: connection) -> list[tuple[Any, ...]]:
    with conn, conn.cursor() as cur:
        cur.execute("SELECT first_seq, last_seq, run_id, whole FROM retrofill.extent ORDER BY 1")
        return cur.fetchall()


@pytest.mark.parametrize(
    ("by", "why"),
    [("Ada", "the plan was rejected by Ada at 2"), ("", "nobody approved the plan by 2")],
)
def test_a_rejected_or_expired_plan_leaves_nothing_behind_and_is_reported(
    state_dsn: str, conn: connection, by: str, why: str
) -> None:
    ref = waiting(conn)
    reject(conn, ref, by)
    assert keys_in(conn, "in_process") == []
    report = closed(conn, ref)
    assert (report.status, report.new, report.withdrawn, report.items_left) == (
        "incomplete", 8, 8, 0,
    )  # fmt: skip
    assert (report.stop_reason or "").startswith(why)
    text = report.as_text({})
    assert f"stopped: {why}" in text
    assert "withdrawn, new again: 8" in text
    assert check_now(state_dsn, "job") == []

    again = open_run(conn, "again")
    assert enqueue(conn, again, [item(key) for key in KEYS]).new == 8
    (batch,) = plan_batches(conn, again, ALL_LIVE)
    assert batch["label"] == "1 of 1: 8 items"
    assert [(first, last) for first, last, *_ in extents(conn)] == [(9, 16)]
    assert check_now(state_dsn, "job") == []


def test_an_approved_plan_stays_and_waiting_does_not_count_as_its_minutes(
    conn: connection,
) -> None:
    ref = waiting(conn)
    with conn, conn.cursor() as cur:
        cur.execute(
            "UPDATE retrofill.run SET opened_at = opened_at - interval '3 days',"
            " limits = limits || '{\"max_minutes\": 5}', approval = approval ||"
            " jsonb_build_object('asked_at', clock_timestamp() - interval '3 days')"
        )
    run = runs.get_run(conn, ref.run_id)
    assert approve.record_answer(conn, run, ApprovalStatus.APPROVED, "Ada")
    approval = runs.get_run(conn, ref.run_id).approval
    assert approval is not None
    assert (approval.status, approval.by) == (ApprovalStatus.APPROVED, "Ada")
    assert keys_in(conn, "in_process") == KEYS
    assert limits.stop_if_late(conn, ref.run_id) is None
    report = runs.get_report(conn, ref.run_id)
    assert (report.status, report.stop_reason, report.withdrawn) == ("open", None, 0)


def test_items_that_another_open_run_waits_for_are_left_to_it(
    state_dsn: str, conn: connection
) -> None:
    ref = waiting(conn)
    other = open_run(conn, "other")
    assert enqueue(conn, other, [item(key) for key in ("c", "d", "x")]).new == 1
    reject(conn, ref)
    assert keys_in(conn, "in_process") == ["c", "d", "x"]
    report = closed(conn, ref)
    assert (report.withdrawn, report.items_left) == (6, 2)
    assert check_now(state_dsn, "job") == []
    # The other run takes these over, like all items of a closed run.
    planned = plan_batches(conn, other, ALL_LIVE)
    assert sum(int(batch["label"].split()[3]) for batch in planned) == 3
    assert runs.get_report(conn, other.run_id).resumed == 2


def test_items_that_earlier_runs_left_stay_with_them(state_dsn: str, conn: connection) -> None:
    first = open_run(conn, "first")
    enqueue(conn, first, [item(key) for key in "ab"])
    close(conn, first.run_id, complete=False)
    ref = waiting(conn)
    assert runs.get_report(conn, ref.run_id).resumed == 2
    reject(conn, ref)
    assert keys_in(conn, "in_process") == ["a", "b"]
    report = closed(conn, ref)
    assert (report.resumed, report.withdrawn, report.items_left) == (0, 6, 0)
    assert check_now(state_dsn, "job") == []
    following = open_run(conn, "following")
    assert enqueue(conn, following, [item(key) for key in KEYS]).new == 6
    plan_batches(conn, following, ALL_LIVE)
    assert runs.get_report(conn, following.run_id).resumed == 2


def test_calls_stay_recorded(state_dsn: str, conn: connection) -> None:
    ref = waiting(conn)
    with closing(taken(state_dsn)) as lease:
        good, bad, *_ = calls = calls_of(lease)
        lease.settle(Settlement(), calls[:3])
        lease.settle(success(good), [])
        failed = EndedCall(bad.number, "failed", "r", "1", "E", "no")
        bad.entries[0].attempts += 1
        lease.settle(Settlement(ended=[failed], retried=[(bad.entries[0], 0.0)]), [])
        # The third was sent, and its task died.
        reject(conn, ref)
    assert keys_in(conn, "results") == ["a"]
    assert keys_in(conn, "in_process") == ["b", "c"]
    report = closed(conn, ref)
    assert (report.succeeded, report.withdrawn, report.items_left, report.lost) == (1, 5, 2, 1)
    assert check_now(state_dsn, "job") == []


def test_redriven_items_return_to_quarantine_unchanged(state_dsn: str, conn: connection) -> None:
    quarantined(state_dsn, conn)
    with conn, conn.cursor() as cur:
        cur.execute("SELECT * FROM retrofill.quarantine ORDER BY item_key")
        before = [row[:6] + row[7:] for row in cur.fetchall()]
    ref = open_run(conn, "again", config=ASKED | {"redrive": "quarantine"})
    assert redrive_quarantine(conn, ref, 0, redriving()) == {"redriven": 10}
    plan_batches(conn, ref, ALL_LIVE)
    run = runs.get_run(conn, ref.run_id)
    approve.request_approval(conn, run, config_of(run), PLAN, "0")
    reject(conn, ref)
    assert (keys_in(conn, "in_process"), keys_in(conn, "quarantine")) == ([], BAD)
    with conn, conn.cursor() as cur:
        cur.execute("SELECT * FROM retrofill.quarantine ORDER BY item_key")
        # All but its number, which comes from its last time in process.
        assert [row[:6] + row[7:] for row in cur.fetchall()] == before
        cur.execute("SELECT count(*) FROM retrofill.redriven")
        assert cur.fetchone() == (0,)
    report = closed(conn, ref)
    assert (report.redriven, report.withdrawn, report.items_left) == (10, 10, 0)
    assert check_now(state_dsn, "job") == []


@pytest.mark.parametrize("point", [Point.APPROVAL_ANSWERED, Point.WITHDRAWING])
def test_a_withdrawal_continues_after_its_task_died(
    state_dsn: str, conn: connection, monkeypatch: pytest.MonkeyPatch, point: Point
) -> None:
    monkeypatch.setattr(approvals, "EXTENTS", 1)
    ref = waiting(conn, keys=[f"{number:05}" for number in range(10_010)])

    def die(reached: Point) -> None:
        if reached is point:
            raise InjectedError(reached)

    with injected(die), pytest.raises(InjectedError):
        reject(conn, ref)
    assert keys_in(conn, "in_process"), "all is withdrawn already: nothing was interrupted"
    assert check_now(state_dsn, "job") == []
    with pytest.raises(RunIncomplete, match="rejected by Ada"):
        approve.plan_to_approve(conn, runs.get_run(conn, ref.run_id))
    assert keys_in(conn, "in_process") == []
    assert closed(conn, ref).withdrawn == 10_010


@pytest.mark.parametrize("point", [Point.APPROVAL_ANSWERED, Point.WITHDRAWING])
def test_closing_continues_a_withdrawal_that_no_try_continues(
    conn: connection, point: Point
) -> None:
    ref = waiting(conn)

    def die(reached: Point) -> None:
        if reached is point:
            raise InjectedError(reached)

    with injected(die), suppress(InjectedError):
        reject(conn, ref)
    report = closed(conn, ref)
    assert (report.withdrawn, report.items_left, keys_in(conn, "in_process")) == (8, 0, [])


def test_a_run_whose_dag_run_ends_while_it_waits_leaves_nothing_behind(
    conn: connection,
) -> None:
    """As when someone marks it as failed: Airflow still runs `notify`."""
    ref = waiting(conn)
    reports: list[Report] = []
    with pytest.raises(RunIncomplete, match="before anybody approved"):
        conclude(conn, ref, ALL_LIVE, reports.append)
    (report,) = reports
    assert (report.status, report.withdrawn, report.items_left) == ("incomplete", 8, 0)
    assert report.stop_reason == "the run ended before anybody approved its plan"
    with pytest.raises(RunIncomplete):
        approve.plan_to_approve(conn, runs.get_run(conn, ref.run_id))


def test_a_run_may_wait_for_days_while_its_dag_run_is_active(
    conn: connection,
) -> None:
    ref = waiting(conn)
    assert rescue(conn, ALL_LIVE) == []
    assert keys_in(conn, "in_process") == KEYS
    assert [run.run_id for run in rescue(conn, GONE)] == [ref.run_id]
    assert keys_in(conn, "in_process") == []
    report = runs.get_report(conn, ref.run_id)
    assert (report.status, report.withdrawn, report.items_left) == ("incomplete", 8, 0)


def test_two_waiting_runs_of_a_job_do_not_mix(state_dsn: str, conn: connection) -> None:
    first = waiting(conn, "first", list("abcd"))
    second = waiting(conn, "second", KEYS)
    assert runs.get_report(conn, second.run_id).new == 4
    reject(conn, first)
    # The second run has listed all items of the first.
    assert keys_in(conn, "in_process") == KEYS
    reject(conn, second, "")
    assert closed(conn, second).withdrawn == 4
    assert closed(conn, first).withdrawn == 0
    assert keys_in(conn, "in_process") == list("abcd")
    assert check_now(state_dsn, "job") == []
    third = open_run(conn, "third")
    assert enqueue(conn, third, [item(key) for key in KEYS]).new == 4
    plan_batches(conn, third, ALL_LIVE)
    assert runs.get_report(conn, third.run_id).resumed == 4


def test_only_approved_items_are_called(conn: connection) -> None:
    ref = open_run(conn, config=ASKED)
    run = runs.get_run(conn, ref.run_id)
    with pytest.raises(ConfigError, match="nobody was asked to approve the plan"):
        approve.require_approved(config_of(run), run)
    enqueue(conn, ref, [item(key) for key in KEYS])
    plan_batches(conn, ref, ALL_LIVE)
    approve.request_approval(conn, run, config_of(run), PLAN, "0")
    run = runs.get_run(conn, ref.run_id)
    with pytest.raises(ConfigError, match="the plan waits for approval"):
        approve.require_approved(config_of(run), run)
    approve.record_answer(conn, run, ApprovalStatus.APPROVED, "Ada")
    run = runs.get_run(conn, ref.run_id)
    approve.require_approved(config_of(run), run)
    # After the task is cleared it asks again, and until then nothing more is called.
    approve.request_approval(conn, run, config_of(run), PLAN, "3")
    run = runs.get_run(conn, ref.run_id)
    with pytest.raises(ConfigError, match="the plan waits for approval"):
        approve.require_approved(config_of(run), run)
    never = config_of(run)
    approve.require_approved(replace(never, approval=type(never.approval)()), run)


def test_the_first_answer_counts(conn: connection) -> None:
    ref = waiting(conn)
    reject(conn, ref)
    with pytest.raises(RunIncomplete, match="rejected by Ada"):
        approve.record_answer(conn, runs.get_run(conn, ref.run_id), ApprovalStatus.APPROVED, "Bob")
    run = runs.get_run(conn, ref.run_id)
    with pytest.raises(RunIncomplete, match="is closed"):
        approve.request_approval(conn, run, config_of(run), PLAN, "3")


def test_an_approval_becomes_void_if_the_plan_changed(conn: connection) -> None:
    ref = waiting(conn)
    run = runs.get_run(conn, ref.run_id)
    approve.record_answer(conn, run, ApprovalStatus.APPROVED, "Ada")
    approve.void_approval(conn, run, "function: version was 1, and is now 2")
    report = closed(conn, ref)
    assert (report.status, report.withdrawn, keys_in(conn, "in_process")) == ("incomplete", 8, [])
    assert report.stop_reason == "function: version was 1, and is now 2"
    assert report.approval["status"] == "void"


def test_a_run_without_approval_closes_normally(conn: connection) -> None:
    ref = open_run(conn)
    enqueue(conn, ref, [item(key) for key in KEYS])
    plan_batches(conn, ref, ALL_LIVE)
    report = closed(conn, ref)
    assert (report.withdrawn, report.items_left, report.approval) == (0, 8, {})
    assert keys_in(conn, "in_process") == KEYS


@pytest.mark.parametrize("point", [Point.APPROVAL_ASKED, Point.PLAN_STORED])
def test_a_task_that_dies_while_asking_asks_again(conn: connection, point: Point) -> None:
    ref = open_run(conn, config=ASKED)
    enqueue(conn, ref, [item(key) for key in KEYS])
    plan_batches(conn, ref, ALL_LIVE)
    run = runs.get_run(conn, ref.run_id)

    def die(reached: Point) -> None:
        if reached is point:
            raise InjectedError(reached)

    with injected(die), pytest.raises(InjectedError):
        approve.request_approval(conn, run, config_of(run), PLAN, "0")
    assert approve.request_approval(conn, run, config_of(run), PLAN, "0")
    assert approve.record_answer(conn, run, ApprovalStatus.APPROVED, "Ada")
    assert approve.was_approved(runs.get_run(conn, ref.run_id), "0")
    assert not approve.was_approved(runs.get_run(conn, ref.run_id), "3")
    assert keys_in(conn, "in_process") == KEYS


def test_the_shown_limits_are_those_that_apply(conn: connection) -> None:
    ref = open_run(conn, config=ASKED, max_concurrency=7)
    run = runs.get_run(conn, ref.run_id)
    assert "- limits: 7 calls in flight" in approve.request_approval(
        conn, run, config_of(run), PLAN, "0"
    )
    stored = runs.get_run(conn, ref.run_id).plan
    assert stored is not None
    assert stored["limits"]["max_concurrency"] == 7


def test_a_second_question_shows_the_calls_made_since(state_dsn: str, conn: connection) -> None:
    ref = waiting(conn)
    run = runs.get_run(conn, ref.run_id)
    approve.record_answer(conn, run, ApprovalStatus.APPROVED, "Ada")
    with closing(taken(state_dsn)) as lease:
        calls = calls_of(lease)[:2]
        lease.settle(Settlement(), calls)
        lease.settle(success(*calls), [])
        lease.release(done=False)
    text = approve.request_approval(conn, run, config_of(run), PLAN, "3")
    deadline, called, *_ = text.splitlines()
    assert deadline.startswith("- answer until: 2")
    assert called == "- called so far: 2 items in 2 calls"


def test_a_stopped_run_asks_for_no_approval(conn: connection) -> None:
    ref = open_run(conn, config=ASKED)
    limits.stop(conn, ref.run_id, "stopped by a user")
    with pytest.raises(RunIncomplete, match="stopped by a user"):
        approve.plan_to_approve(conn, runs.get_run(conn, ref.run_id))


def test_approval_is_asked_for_while_any_call_is_possible(state_dsn: str, conn: connection) -> None:
    ref = open_run(conn, config=ASKED, partitions=2)

    def is_asked() -> bool:
        plans.store_plan(conn, ref.run_id, PLAN)
        others.look(conn, ref.run_id)
        return approve.plan_to_approve(conn, runs.get_run(conn, ref.run_id)) is not None

    enqueue(conn, ref, [item("a")], 0)
    plan_batches(conn, ref, ALL_LIVE)
    assert is_asked(), "a partition is not listed yet"
    enqueue(conn, ref, [item("b")], 1)
    plan_batches(conn, ref, ALL_LIVE)
    assert is_asked(), "two items are left"
    for batch_id in (1, 2):
        with closing(taken(state_dsn, batch_id=batch_id)) as lease:
            calls = calls_of(lease)
            lease.settle(Settlement(), calls)
            lease.settle(success(*calls), [])
            lease.release(done=True)
    assert not is_asked()
    other = open_run(conn, "other")
    enqueue(conn, other, [item("c")])
    with conn, conn.cursor() as cur:
        cur.execute(
            "INSERT INTO retrofill.elsewhere"
            " SELECT %s, 0, 9, int8multirange(int8range(seq, seq + 1)) FROM retrofill.in_process",
            (ref.run_id,),
        )
    assert is_asked(), "another run has this run's items in process"


def test_items_that_a_closed_run_waits_for_are_left_until_it_is_cleared(
    state_dsn: str, conn: connection
) -> None:
    """Otherwise it would find no waiting item and be complete without these items."""
    ref = waiting(conn)
    other = open_run(conn, "other")
    assert enqueue(conn, other, [item(key) for key in ("c", "d")]).new == 0
    plan_batches(conn, other, ALL_LIVE)
    assert closed(conn, other).with_others == 2
    reject(conn, ref)
    closed(conn, ref)
    runs.reopen(conn, other.run_id)
    assert close_run(conn, other, ALL_LIVE), "the next set takes over the first run's items"
    assert keys_in(conn, "in_process") == ["c", "d"]
    assert check_now(state_dsn, "job") == []


def test_items_planned_twice_are_given_back_once(state_dsn: str, conn: connection) -> None:
    first = open_run(conn, "first")
    enqueue(conn, first, [item(key) for key in "abcd"])
    close(conn, first.run_id, complete=False)
    ref = waiting(conn)
    run = runs.get_run(conn, ref.run_id)
    approve.record_answer(conn, run, ApprovalStatus.APPROVED, "Ada")
    with closing(taken(state_dsn)) as lease:
        calls = calls_of(lease)[:2]
        lease.settle(Settlement(), calls)
        lease.settle(success(*calls), [])
        lease.release(done=False)
    assert closed(conn, ref).items_left == 6
    # Someone clears plan_batches and its downstream tasks.
    runs.reopen(conn, ref.run_id)
    plan_batches(conn, ref, ALL_LIVE)
    assert approve.request_approval(conn, run, config_of(run), PLAN, "3")
    reject(conn, ref)
    report = closed(conn, ref)
    assert (report.resumed, report.succeeded, report.withdrawn, report.items_left) == (2, 2, 4, 0)
    assert check_now(state_dsn, "job") == []
