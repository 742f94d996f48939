"""The maintenance DAG: what it closes and forgets, and that it blocks no task."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from psycopg2.extensions import connection
from retrofill.faults import Point, injected
from retrofill.model.calls import EndedCall, Quarantined, Settlement
from retrofill.model.errors import ConfigError, LeaseLost
from retrofill.model.limits import Limits
from retrofill.model.runs import SetRef
from retrofill.pipeline.maintenance import forget_calls, forget_job, forget_results
from retrofill.pipeline.rescue import rescue
from retrofill.state import batches, maintenance, runs
from retrofill.state.connection import connect
from retrofill.state.lease import LEASE_S
from retrofill.state.statements import load

from stack.endpoint import Function, Script, scripted_endpoint
from tests.integration import opened
from tests.integration.opened import (
    ALL_LIVE,
    LIMITS,
    StillAirflow,
    change_limits,
    close,
    enqueue,
    item,
    keys_in,
    open_run,
)
from tests.integration.test_batches import calls_of, open_batch, plan, success, taken
from tests.integration.test_invoke import invoke, keys

ROOT = Path(__file__).parents[2]
_SQL = load("maintenance.sql") | {
    name: text for name, text in load("locks.sql").items() if name == "lock_job_wholly"
}
_MOMENTS = {
    "run": ("opened_at", "closed_at"),
    "run_set": ("opened_at", "planned_at", "closed_at"),
    "batch": ("planned_at", "leased_until", "done_at"),
    "invocation": ("sent_at", "ended_at"),
    "results": ("settled_at",),
}


@pytest.fixture
def conn(state_dsn: str) -> Iterator[connection]:
    with closing(connect(state_dsn)) as opened_:
        yield opened_


def say(conn: connection, statement: str, *values: object) -> list[tuple[Any, ...]]:
    with conn, conn.cursor() as cur:
        cur.execute(statement, values)
        return cur.fetchall() if cur.description else []


def age(conn: connection, interval: str) -> None:
    """Move all events so far back in time by this interval."""
    for table, columns in _MOMENTS.items():
        moved = ", ".join(f"{column} = {column} - interval '{interval}'" for column in columns)
        say(conn, f"UPDATE retrofill.{table} SET {moved}")  # noqa: S608


def over(_: str, __: Sequence[str]) -> bool:
    """Airflow has ended every DAG run."""
    return False


def rescued(conn: connection, is_alive: Callable[[str, Sequence[str]], bool] = over) -> list[int]:
    """Rescue; return the numbers of the closed runs, each of which was reported."""
    airflow = StillAirflow(is_alive)
    closed = [run.run_id for run in rescue(conn, airflow)]
    assert airflow.reported == closed
    return closed


def run_row(conn: connection, run_id: int) -> dict[str, Any]:
    ((row,),) = say(conn, "SELECT row_to_json(v) FROM retrofill.v_run v WHERE run_id = %s", run_id)
    found: dict[str, Any] = row
    return found


def count(conn: connection, table: str) -> int:
    ((rows,),) = say(conn, f"SELECT count(*) FROM retrofill.{table}")  # noqa: S608
    return int(rows)


def closed_run(dsn: str, conn: connection, *wanted: str, dag_run_id: str = "r") -> SetRef:
    """Do a whole run: each item is called alone and succeeds, unless its key begins with z."""
    ref = open_run(conn, dag_run_id)
    enqueue(conn, ref, [item(key) for key in wanted])
    job_id = runs.get_run(conn, ref.run_id).job_id
    for batch in batches.plan(conn, ref, job_id, most_items=10**6, fewest_items=10**6):
        with closing(taken(dsn, batch_id=batch.batch_id)) as lease:
            calls = calls_of(lease)
            lease.settle(Settlement(), calls)
            bad = [call for call in calls if call.entries[0].item.key.startswith("z")]
            done = success(*(call for call in calls if call not in bad))
            failed = [EndedCall(call.number, "failed", "r", "1", "E", "no") for call in bad]
            poison = [
                Quarantined(call.entries[0], end, "no")
                for call, end in zip(bad, failed, strict=True)
            ]
            done.ended.extend(failed)
            done.quarantined.extend(poison)
            lease.settle(done, [])
            lease.release(done=True)
    batches.release_set(conn, ref)
    close(conn, ref.run_id, complete=True)
    return ref


def test_an_abandoned_run_is_closed_and_its_items_go_to_the_next(
    state_dsn: str, conn: connection
) -> None:
    ref = open_batch(conn, 4)
    with closing(taken(state_dsn)) as dead:
        first, second, *_ = calls_of(dead)
        dead.settle(Settlement(), [first, second])
        age(conn, "7 hours")

        assert rescued(conn) == [ref.run_id]

        row = run_row(conn, ref.run_id)
        assert (row["status"], row["items_left"], row["stop_reason"]) == ("incomplete", 4, None)
        assert say(conn, "SELECT outcome::text FROM retrofill.v_call") == [("lost",)] * 2
        assert say(conn, "SELECT item_key FROM retrofill.in_process WHERE unsure ORDER BY 1") == [
            ("a",), ("b",)
        ]  # fmt: skip
        following = open_run(conn, "second")
        assert plan(conn, following, most=10, fewest=10) == [4]
        # A holder that continues after all may record successes, and sends nothing more.
        with pytest.raises(LeaseLost):
            dead.settle(success(first), [second])
    assert keys_in(conn, "results") == ["a"]
    assert rescued(conn, ALL_LIVE.lives) == []


def test_a_run_interrupted_after_its_last_item_is_complete(
    state_dsn: str, conn: connection
) -> None:
    ref = open_batch(conn, 1)
    with closing(taken(state_dsn)) as lease:
        calls = calls_of(lease)
        lease.settle(Settlement(), calls)
        lease.settle(success(*calls), [])
        lease.release(done=True)
    age(conn, "7 hours")
    assert rescued(conn) == [ref.run_id]
    assert run_row(conn, ref.run_id)["status"] == "complete"


def test_a_run_interrupted_before_it_was_divided_is_incomplete(conn: connection) -> None:
    ref = open_run(conn, partitions=0)
    age(conn, "7 hours")
    assert rescued(conn) == [ref.run_id]
    assert run_row(conn, ref.run_id)["status"] == "incomplete"


def test_a_run_with_a_waiting_or_active_dag_run_is_left_alone(conn: connection) -> None:
    """A batch that waits for its task, a paused DAG, a queued next set."""
    ref = open_batch(conn, 4)
    age(conn, "30 days")
    assert rescued(conn, lambda dag_id, ids: (dag_id, list(ids)) == ("d", ["r"])) == []
    runs.open_next_set(conn, ref)
    following = ref.next_dag_run_id("r")
    assert rescued(conn, lambda _, ids: following in ids) == []
    assert run_row(conn, ref.run_id)["status"] == "open"
    assert plan(conn, ref) == [4], "the batch is as it was"


def test_a_live_holder_in_a_paused_run_is_left_alone(state_dsn: str, conn: connection) -> None:
    ref = open_batch(conn, 4)
    with closing(taken(state_dsn)) as lease:
        change_limits(conn, 1, paused=True)
        age(conn, "30 days")
        assert lease.allot(4, 0).concurrency == 0
        assert rescued(conn) == []
        change_limits(conn, 1, paused=False)
        calls = calls_of(lease)
        lease.settle(Settlement(), calls)
        lease.settle(success(*calls), [])
    assert run_row(conn, ref.run_id)["items_left"] == 0


def test_a_run_that_airflow_ended_is_closed_after_its_last_lease(
    state_dsn: str, conn: connection
) -> None:
    """A task that Airflow no longer knows may still be calling."""
    ref = open_batch(conn, 4)
    with closing(taken(state_dsn)):
        assert rescued(conn) == []
        age(conn, f"{LEASE_S - 5:.0f} s")
        assert rescued(conn) == []
        age(conn, "6 s")
        assert rescued(conn) == [ref.run_id]
    assert run_row(conn, ref.run_id)["status"] == "incomplete"


def test_a_holder_that_settles_during_the_check_keeps_its_batch(
    state_dsn: str, conn: connection
) -> None:
    """Its transaction is open; it was silent for a long time because Airflow had paused it."""
    ref = open_batch(conn, 4)
    with closing(taken(state_dsn)) as lease, ThreadPoolExecutor(1) as pool:
        calls = calls_of(lease)
        age(conn, "7 hours")
        rescuing = []

        def act(point: Point) -> None:
            if point is Point.SETTLE_WRITTEN and not rescuing:
                rescuing.append(pool.submit(rescued, conn))
                with closing(connect(state_dsn)) as other:
                    wait_for(lambda: waits(other))

        with injected(act):
            held_back = lease.settle(Settlement(), calls)
        assert rescuing[0].result() == []
        assert lease.settle(Settlement(), held_back) == []
        lease.settle(success(*held_back), [])
    assert run_row(conn, ref.run_id)["items_left"] == 0


def test_old_calls_are_deleted_and_the_counts_of_their_runs_stay(
    state_dsn: str, conn: connection
) -> None:
    old = closed_run(state_dsn, conn, "a", "b", "z")
    age(conn, "91 days")
    young = closed_run(state_dsn, conn, "a", "c", dag_run_id="young")
    open_ = open_run(conn, "open")
    enqueue(conn, open_, [item("d")])
    (batch,) = batches.plan(conn, open_, 1, most_items=9, fewest_items=9)
    with closing(taken(state_dsn, batch_id=batch.batch_id)) as lease:
        lease.settle(Settlement(), calls_of(lease))
        say(conn, "UPDATE retrofill.invocation SET sent_at = now() - interval '99 days'")
        before = [run_row(conn, ref.run_id) for ref in (old, young, open_)]

        assert forget_calls(conn, job=None, days=90) == 3

        assert [run_row(conn, ref.run_id) for ref in (old, young, open_)] == before
        assert before[0]["calls"] == 3
    assert say(conn, "SELECT DISTINCT run_id FROM retrofill.v_call ORDER BY 1") == [(2,), (3,)]
    assert keys_in(conn, "results") == ["a", "b", "c"]
    assert forget_calls(conn, job=None, days=90) == 0


def test_calls_in_flight_of_a_cleared_run_stay(state_dsn: str, conn: connection) -> None:
    ref = open_batch(conn, 2)
    with closing(taken(state_dsn)) as lease:
        lease.settle(Settlement(), calls_of(lease)[:1])
    batches.release_set(conn, ref)
    close(conn, ref.run_id, complete=False)
    age(conn, "99 days")
    with closing(taken(state_dsn)) as lease:  # it takes its batch over and is active again
        lease.settle(Settlement(), calls_of(lease))
        assert forget_calls(conn, job=None, days=1) == 0
    assert count(conn, "invocation") == 3


def test_many_calls_are_deleted_in_portions(
    state_dsn: str, conn: connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed_run(state_dsn, conn, *keys(25))
    age(conn, "2 days")
    monkeypatch.setattr(maintenance, "ROWS", 10)
    assert forget_calls(conn, job="job", days=1) == 25
    assert count(conn, "invocation") == 0


def test_old_results_are_deleted_and_their_items_are_new(
    state_dsn: str, conn: connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintenance, "ROWS", 3)
    strange = ["", "a", "a/b", "ä", "ß", "✓", "{{ 7*7 }}", "\x01", "z-poison", "%s", "'; --"]
    closed_run(state_dsn, conn, *strange)
    age(conn, "31 days")
    closed_run(state_dsn, conn, "young", dag_run_id="young")
    assert forget_results(conn, job="job", days=30) == len(strange) - 1
    assert keys_in(conn, "results") == ["young"]
    assert keys_in(conn, "quarantine") == ["z-poison"]
    again = open_run(conn, "again")
    listed = [item(key) for key in [*strange, "young"]]
    assert enqueue(conn, again, listed) == (len(strange) - 1, 2, False)


def test_results_of_an_open_run_stay(state_dsn: str, conn: connection) -> None:
    closed_run(state_dsn, conn, "a")
    say(conn, "UPDATE retrofill.run SET status = 'open', closed_at = NULL")
    age(conn, "99 days")
    assert forget_results(conn, job=None, days=1) == 0
    close(conn, 1, complete=True)
    assert forget_results(conn, job=None, days=1) == 1


def test_another_jobs_calls_and_results_stay(state_dsn: str, conn: connection) -> None:
    closed_run(state_dsn, conn, "a")
    opened.open_job(conn, "other")
    age(conn, "99 days")
    assert forget_calls(conn, job="other", days=1) == 0
    assert forget_results(conn, job="other", days=1) == 0
    assert (count(conn, "invocation"), count(conn, "results")) == (1, 1)


@pytest.mark.parametrize("forget", [forget_calls, forget_results])
def test_an_unknown_job_is_reported(conn: connection, forget: Callable[..., int]) -> None:
    opened.open_job(conn, "thumbnails")
    with pytest.raises(ConfigError, match="no job 'thumbnail'; did you mean 'thumbnails'"):
        forget(conn, job="thumbnail", days=1)


def tables_with(conn: connection, column: str) -> set[str]:
    asked = (
        "SELECT table_name FROM information_schema.columns JOIN information_schema.tables"
        " USING (table_schema, table_name)"
        " WHERE table_schema = 'retrofill' AND table_type = 'BASE TABLE' AND column_name = %s"
    )
    return {row[0] for row in say(conn, asked, column)}


def test_a_forgotten_job_leaves_nothing(state_dsn: str, conn: connection) -> None:
    closed_run(state_dsn, conn, "a", "b", "z")
    left = open_run(conn, "left")
    enqueue(conn, left, [item("left behind")])
    close(conn, left.run_id, complete=False)
    say(
        conn,
        "INSERT INTO retrofill.redriven SELECT job_id, item_key, identifier, run_id, run_id, 1, 1,"
        " attempts, failures, unsure, request_id, error_type, error, quarantined_at"
        " FROM retrofill.quarantine",
    )
    say(conn, "UPDATE retrofill.job SET name = 'old'")
    closed_run(state_dsn, conn, "a", "z2", dag_run_id="other")
    before, job_id = run_row(conn, 3), maintenance.list_jobs(conn)["job"]

    assert forget_job(conn, "old") == {
        "in_process": 1, "results": 2, "quarantine": 1, "calls": 3, "runs": 2
    }  # fmt: skip

    assert tables_with(conn, "job_id") == {
        "job", "run", "in_process", "extent", "results", "quarantine", "redriven", "batch",
        "waiting",
    }, "forget_job must know every table with data of a job"  # fmt: skip
    for table in tables_with(conn, "job_id"):
        ids = say(conn, f"SELECT DISTINCT job_id FROM retrofill.{table}")  # noqa: S608
        assert ids in ([(job_id,)], []), table
    assert (count(conn, "run_set"), count(conn, "partition"), count(conn, "invocation")) == (
        1,
        1,
        2,
    )
    assert run_row(conn, 3) == before
    assert [row[0] for row in say(conn, "SELECT item_key FROM retrofill.v_item ORDER BY 1")] == [
        "a", "z2"
    ]  # fmt: skip


def test_an_active_job_is_not_forgotten(state_dsn: str, conn: connection) -> None:
    ref = open_batch(conn, 1)
    with pytest.raises(ConfigError, match=r"job: run 1 of it is at work or was not closed"):
        forget_job(conn, "job")
    close(conn, ref.run_id, complete=False)
    with closing(taken(state_dsn)) as lease:  # a task of it was cleared
        with pytest.raises(ConfigError, match=r"run 1 of it is at work"):
            forget_job(conn, "job")
        lease.release(done=False)
    assert forget_job(conn, "job")["in_process"] == 1


def test_no_run_opens_while_its_job_is_being_forgotten(conn: connection) -> None:
    job_id = opened.open_job(conn)
    maintenance.mark_forgotten(conn, job_id)
    with pytest.raises(ConfigError, match="job: it is being forgotten"):
        open_run(conn)
    assert count(conn, "run") == 0
    forget_job(conn, "job")
    assert open_run(conn).run_id


def test_an_opening_run_keeps_its_job(state_dsn: str, conn: connection) -> None:
    """The run is written but not committed when the job is to be forgotten."""
    job_id = opened.open_job(conn)
    key = {"job_id": job_id}
    with (
        closing(connect(state_dsn)) as other,
        closing(connect(state_dsn)) as third,
        other.cursor() as cur,
        ThreadPoolExecutor(1) as pool,
    ):
        cur.execute(load("locks.sql")["keep_job"], key)
        assert cur.fetchone() == (True,)
        forgetting = pool.submit(forget_job, conn, "job")
        wait_for(lambda: waits(third))
        cur.execute(
            "INSERT INTO retrofill.run"
            " (job_id, source, config, delivery, function, function_timeout_s, limits)"
            """ VALUES (%(job_id)s, 's', '{}', '{}',"""
            """ '{"kind": "", "name": "", "version": "", "facts": {}}',"""
            " 1, %(limits)s)",
            {**key, "limits": json.dumps(Limits(**LIMITS).as_json())},
        )
        other.commit()
        with pytest.raises(ConfigError, match="is at work or was not closed"):
            forgetting.result()
    assert count(conn, "run") == 1


_FORGET = """
import sys
from contextlib import closing
from retrofill.pipeline.maintenance import forget_job
from retrofill.state import maintenance
from retrofill.state.connection import connect

maintenance.ROWS = 1
with closing(connect(sys.argv[1])) as conn:
    forget_job(conn, "job")
"""


@pytest.mark.parametrize("table", ["results", "invocation"])
def test_interrupted_forgetting_continues(state_dsn: str, conn: connection, table: str) -> None:
    closed_run(state_dsn, conn, *keys(3_000))
    process = subprocess.Popen(  # noqa: S603  our own interpreter
        [sys.executable, "-c", _FORGET, state_dsn], cwd=ROOT
    )
    try:
        wait_for(lambda: count(conn, table) < 3_000)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    left = count(conn, table)
    assert 0 < left < 3_000, "it was killed in the middle"
    with pytest.raises(ConfigError, match="it is being forgotten"):
        open_run(conn, "second")

    deleted = forget_job(conn, "job")

    assert deleted["runs"] == 1
    assert deleted["calls" if table == "invocation" else "results"] == left
    assert (count(conn, "job"), count(conn, "results"), count(conn, "invocation")) == (0, 0, 0)
    with pytest.raises(ConfigError, match="there is no job 'job'"):
        forget_job(conn, "job")


# Each statement that writes, with values for which it has something to do.
_OLD = {"job_id": 1, "days": 1, "item_key": "", "identifier": "0" * 32, "rows": 100}
_OTHER = {**_OLD, "job_id": 2}
WRITING: dict[str, dict[str, object]] = {
    "delete_calls": {"batch_id": 1, "rows": 100},
    "delete_results": _OLD,
    "delete_quarantined": _OTHER,
    "delete_in_process": _OTHER,
    "delete_redriven": _OTHER,
    "mark_forgotten": _OTHER,
    "lock_job_wholly": _OTHER,
    "delete_batches": {"batch_ids": [2]},
    "delete_run": _OTHER,
    "delete_job": {"job_id": 4},
}


def test_every_statement_that_writes_is_tried() -> None:
    writing = {name for name, text in _SQL.items() if "DELETE" in text or "UPDATE" in text}
    assert writing == set(WRITING)


@pytest.mark.parametrize("statement", WRITING)
def test_a_run_continues_during_maintenance(
    state_dsn: str, conn: connection, statement: str
) -> None:
    """Tasks never wait for an open transaction of the maintenance DAG."""
    closed_run(state_dsn, conn, "a", "b")
    say(conn, "UPDATE retrofill.job SET name = 'active'")
    closed_run(state_dsn, conn, "a", "z", dag_run_id="other")
    left = open_run(conn, "left")
    enqueue(conn, left, [item("left behind")])
    close(conn, left.run_id, complete=False)
    say(conn, "UPDATE retrofill.job SET name = 'other' WHERE name = 'job'")
    say(conn, "UPDATE retrofill.job SET name = 'job' WHERE name = 'active'")
    opened.open_job(conn, "empty")
    assert maintenance.list_jobs(conn) == {"job": 1, "other": 2, "empty": 4}
    say(
        conn,
        "INSERT INTO retrofill.redriven SELECT job_id, item_key, identifier, run_id, run_id, 1, 1,"
        " attempts, failures, unsure, request_id, error_type, error, quarantined_at"
        " FROM retrofill.quarantine",
    )
    age(conn, "9 days")
    with closing(connect(state_dsn)) as held, held.cursor() as cur:
        cur.execute(_SQL[statement], WRITING[statement])
        assert cur.rowcount > 0
        with closing(connect(state_dsn)) as task:
            say(task, "SET lock_timeout TO '30s'")
            ref = open_run(task, "now")
            enqueue(task, ref, [item("a"), item("c"), item("d")])
            (batch,) = batches.plan(task, ref, 1, most_items=9, fewest_items=9)
            with closing(taken(state_dsn, batch_id=batch.batch_id)) as lease:
                assert lease.allot(9, 0).concurrency == 9
                calls = calls_of(lease)
                lease.settle(Settlement(), calls)
                lease.settle(success(*calls), [])
                lease.release(done=True)
            batches.release_set(task, ref)
            close(task, ref.run_id, complete=True)
            row = run_row(task, ref.run_id)
        held.rollback()
    assert (row["new"], row["succeeded"], row["calls"], row["status"]) == (2, 2, 2, "complete")


def test_maintenance_does_not_disturb_a_whole_run(state_dsn: str, conn: connection) -> None:
    """An enqueue and an invoke, while everything else is forgotten repeatedly."""
    script = Script(functions=(Function(name="f"),), latency=0.002)
    closed_run(state_dsn, conn, *keys(300))
    say(
        conn,
        "INSERT INTO retrofill.redriven SELECT job_id, item_key, identifier, run_id, run_id, 1, 1,"
        " attempts, failures, unsure, request_id, error_type, error, quarantined_at"
        " FROM retrofill.quarantine",
    )
    say(conn, "UPDATE retrofill.job SET name = 'old'")
    closed_run(state_dsn, conn, *(f"old {key}" for key in keys(500)), dag_run_id="first")
    age(conn, "99 days")
    ended = Event()

    def keep_up() -> tuple[int, int, dict[str, Any]]:
        calls = results = 0
        with closing(connect(state_dsn)) as maintenance_conn:
            forgotten = forget_job(maintenance_conn, "old")
            while True:
                assert rescue(maintenance_conn, ALL_LIVE) == []
                calls += forget_calls(maintenance_conn, job=None, days=1)
                results += forget_results(maintenance_conn, job="job", days=1)
                if ended.is_set():
                    return calls, results, dict(forgotten)

    with scripted_endpoint(script) as endpoint, ThreadPoolExecutor(1) as pool:
        maintaining = pool.submit(keep_up)
        ref = open_run(conn, "now", max_concurrency=50)
        wanted = keys(4_000)
        for at in range(0, len(wanted), 100):
            listed = [item(key) for key in wanted[at : at + 100]]
            enqueue(conn, ref, listed, done=at + 100 >= len(wanted))
        (batch,) = batches.plan(conn, ref, 2, most_items=10**6, fewest_items=10**6)
        summary = invoke(state_dsn, endpoint, batch_id=batch.batch_id, items_per_call=2)
        ended.set()
        calls, results, forgotten = maintaining.result()
        assert endpoint.items() == dict.fromkeys(wanted, 1)
    assert (summary["succeeded"], summary["duplicates"]) == (4_000, 0)
    assert (calls, results) == (500, 500)
    assert (forgotten["results"], forgotten["calls"]) == (300, 300)
    row = run_row(conn, ref.run_id)
    assert (row["listed"], row["new"], row["succeeded"], row["calls"]) == (
        4_000,
        4_000,
        4_000,
        2_000,
    )


def waits(conn: connection) -> bool:
    """Return whether a session waits for a lock."""
    return say(conn, "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted") == [(True,)]


def wait_for(found: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + 200
    while not found():
        assert time.monotonic() < give_up_at
        time.sleep(0.005)
