"""The history of a run: what happened, by whom, and when."""

import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from retrofill.engine.ramp import Ramp
from retrofill.model.approval import ApprovalStatus
from retrofill.model.errors import ConfigError
from retrofill.pipeline.controls import STOP_REASON, change
from retrofill.state import approvals, events, limits
from retrofill.state.connection import Connection, connect, transaction

from tests.integration.opened import close, enqueue, item, open_run


@pytest.fixture
def conn(state_dsn: str) -> Iterator[Connection]:
    with closing(connect(state_dsn)) as opened:
        yield opened


RAMP = Ramp(level=5, rose_from=2, since_s=0, looked_s=30)


def history(conn: Connection, run_id: int) -> list[tuple[str, ...]]:
    """Return a run's events, oldest first, without times."""
    with transaction(conn) as cur:
        return [tuple(one[1:]) for one in reversed(events.list_events(cur, run_id, 100))]


def limits_of(conn: Connection, run_id: int) -> dict[str, Any]:
    return limits.get_limits(conn, run_id).as_json()


def test_every_change_is_recorded_with_its_user(conn: Connection) -> None:
    run_id = open_run(conn).run_id
    for action, text in (
        ("pause", ""), ("resume", ""), ("max_concurrency", "77"), ("max_cost", "2.5"),
        ("max_calls", "9"), ("max_calls", ""), ("max_percent_by_cause", '{"timed_out": 5}'),
        ("stop", ""),
    ):  # fmt: skip
        assert change(conn, run_id, action, text, "Ada")
    assert history(conn, run_id) == [
        ("Ada", "paused", "", ""),
        ("Ada", "resumed", "", ""),
        ("Ada", "max_concurrency", "77", "10"),
        ("Ada", "max_cost", "2.5", ""),
        ("Ada", "max_calls", "9", ""),
        ("Ada", "max_calls", "", "9"),
        ("Ada", "max_percent_by_cause", '{"timed_out": 5.0}', ""),
        ("Ada", "stopped", STOP_REASON, ""),
    ]
    now = limits_of(conn, run_id)
    assert (now["max_concurrency"], now["max_cost"], now["max_calls"]) == (77, 2.5, None)
    assert now["max_percent_by_cause"] == {"timed_out": 5}


def test_a_request_without_effect_is_not_recorded(conn: Connection) -> None:
    run_id = open_run(conn).run_id
    assert change(conn, run_id, "resume", "", "Ada")
    assert change(conn, run_id, "max_concurrency", "10", "Ada")
    with pytest.raises(ConfigError, match=r"max_percent_by_cause: .*there is no cause"):
        change(conn, run_id, "max_percent_by_cause", '{"slow": 5}', "Ada")
    limits.stop(conn, run_id, "max_calls: 5 of 5 calls were made")
    assert change(conn, run_id, "stop", "", "Ada")
    assert history(conn, run_id) == [("", "stopped", "max_calls: 5 of 5 calls were made", "")]
    close(conn, run_id, complete=False)
    for action, text in (("pause", ""), ("stop", ""), ("max_minutes", "5")):
        assert not change(conn, run_id, action, text, "Ada")
    assert len(history(conn, run_id)) == 1


def test_new_minutes_restart_the_ramp(conn: Connection) -> None:
    run_id = open_run(conn, ramp_minutes=10).run_id
    with conn, conn.cursor() as cur:
        cur.execute("UPDATE retrofill.run SET ramp = %s", [json.dumps(RAMP.as_json())])
    assert change(conn, run_id, "max_concurrency", "5", "Ada")
    with conn, conn.cursor() as cur:
        cur.execute("SELECT ramp FROM retrofill.run")
        assert cur.fetchall() != [(None,)]
    assert change(conn, run_id, "ramp_minutes", "", "Ada")
    assert limits_of(conn, run_id)["ramp_minutes"] is None
    with conn, conn.cursor() as cur:
        cur.execute("SELECT ramp FROM retrofill.run")
        assert cur.fetchall() == [(None,)]


def test_the_answer_to_a_plan_is_recorded(conn: Connection) -> None:
    first, second = open_run(conn), open_run(conn, "second")
    enqueue(conn, first, [item("a")])
    for ref in (first, second):
        assert approvals.ask(conn, ref.run_id, "1", hours=1)
        with pytest.raises(
            ConfigError, match="limits cannot change while the plan waits for approval"
        ):
            change(conn, ref.run_id, "max_concurrency", "5", "Ada")
    approvals.answer(conn, first.run_id, ApprovalStatus.REJECTED, "Ada")
    approvals.answer(conn, first.run_id, ApprovalStatus.APPROVED, "Bob")
    *asked, (who, what, why, _) = history(conn, first.run_id)
    assert asked == [("", "waiting", "", ""), ("Ada", "rejected", "", "")]
    assert (who, what) == ("", "stopped")
    assert why.startswith("the plan was rejected by Ada at ")
    approvals.answer(conn, second.run_id, ApprovalStatus.APPROVED, "Bob")
    approvals.avoid(conn, second.run_id, "the function has changed")
    assert history(conn, second.run_id) == [
        ("", "waiting", "", ""),
        ("Bob", "approved", "", ""),
        ("", "void", "", ""),
        ("", "stopped", "the function has changed", ""),
    ]


def test_events_are_deleted_with_their_run(conn: Connection) -> None:
    run_id = open_run(conn).run_id
    change(conn, run_id, "pause", "", "Ada")
    with conn, conn.cursor() as cur:
        cur.execute("SELECT job, run_id, who, what FROM retrofill.v_event")
        assert cur.fetchall() == [("job", run_id, "Ada", "paused")]
        cur.execute("DELETE FROM retrofill.run")
        cur.execute("SELECT count(*) FROM retrofill.event")
        assert cur.fetchall() == [(0,)]
