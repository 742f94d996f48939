"""F9: other sessions on the state's tables: locks, deadlocks, snapshots that are held for long."""

from collections.abc import Iterator
from contextlib import closing
from threading import Event, Thread

import psycopg2
import pytest
from psycopg2.extensions import ISOLATION_LEVEL_REPEATABLE_READ, connection
from retrofill.model.errors import StateUnavailable
from retrofill.state.connection import connect

from stack.endpoint import ScriptedEndpoint
from stack.services import Postgres
from tests.faults.fault_table import FaultTable
from tests.faults.pipeline_run import Backfill, Ending

OBJECTS = 600
WAITS_FOR_US = """
SELECT FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'retrofill'
    AND pg_blocking_pids(pid) @> ARRAY[%s]
"""


@pytest.fixture
def backfill(state_dsn: str, endpoint: ScriptedEndpoint) -> Backfill:
    params = {"items_per_call": 5, "max_concurrency": 10}
    return Backfill(dsn=state_dsn, endpoint=endpoint, params=params, tries=12)


@pytest.fixture
def other(state_dsn: str) -> Iterator[connection]:
    """Another session on the state."""
    with closing(psycopg2.connect(state_dsn)) as conn:
        yield conn


def setting(postgres: Postgres, dsn: str, name: str, value: str) -> None:
    """Set what all sessions that begin from now on have."""
    database = dsn.rpartition("/")[2]
    with closing(psycopg2.connect(postgres.dsn("postgres"))) as conn:
        conn.autocommit = True
        with conn.cursor() as cur:
            cur.execute(f"ALTER DATABASE {database} SET {name} = '{value}'")


def lock(session: connection, query: str) -> None:
    with session.cursor() as cur:
        cur.execute(query)


def released_once(backfill: Backfill, session: connection, is_met: str) -> Thread:
    """Start what ends a session's transaction once a query has a row."""

    def release() -> None:
        while not backfill.rows(is_met):
            Event().wait(0.02)
        session.rollback()

    thread = Thread(target=release)
    thread.start()
    return thread


def enqueued(backfill: Backfill) -> None:
    ref = backfill.open("run 1")
    for part in backfill.list_partitions(ref):
        backfill.enqueue(ref, part["part_no"])
    backfill.plan(ref)


def assert_complete(ended: Ending) -> None:
    assert (ended.errors, ended.report.status) == ([], "complete")
    assert ended.report.succeeded == OBJECTS


def test_f9_a_lock_timeout_while_screening_is_told_and_tried_again(
    backfill: Backfill, other: connection, postgres: Postgres, fault_table: FaultTable
) -> None:
    setting(postgres, backfill.dsn, "lock_timeout", "200ms")
    backfill.serve(OBJECTS)
    ref = backfill.open("run 1")
    backfill.list_partitions(ref)
    lock(other, "SELECT FROM retrofill.job FOR UPDATE")
    with pytest.raises(StateUnavailable, match="lock timeout"):
        backfill.enqueue(ref, 0)
    other.rollback()
    ended = backfill.run("run 1")
    fault_table.hold("F9", "lock timeout, screening", backfill.evidence(), bound=0)
    assert_complete(ended)


def test_f9_a_lock_timeout_while_settling_is_waited_out(
    backfill: Backfill, other: connection, postgres: Postgres, fault_table: FaultTable
) -> None:
    setting(postgres, backfill.dsn, "lock_timeout", "200ms")
    backfill.serve(OBJECTS)
    enqueued(backfill)
    lock(other, "SELECT FROM retrofill.in_process ORDER BY seq LIMIT 20 FOR UPDATE")
    calls = "SELECT FROM retrofill.v_call HAVING count(*) >= 4"
    releasing = released_once(backfill, other, calls)
    ended = backfill.run("run 1")
    releasing.join()
    fault_table.hold("F9", "lock timeout, settling", backfill.evidence(), bound=0)
    assert_complete(ended)


def test_f9_a_deadlock_costs_a_transaction_and_nothing_else(
    backfill: Backfill, other: connection, postgres: Postgres, fault_table: FaultTable
) -> None:
    # The session that looks first is the one that gives way: ours.
    setting(postgres, backfill.dsn, "deadlock_timeout", "1s")
    backfill.serve(OBJECTS)
    enqueued(backfill)
    setting(postgres, backfill.dsn, "log_lock_waits", "on")
    lock(other, "SELECT FROM retrofill.in_process ORDER BY seq FOR UPDATE")
    pid = other.info.backend_pid
    met = []

    def cross() -> None:
        while not backfill.rows(WAITS_FOR_US, pid):
            Event().wait(0.01)
        # Settling holds the batch and waits for the items; this one holds the items.
        try:
            lock(other, "SELECT FROM retrofill.batch ORDER BY batch_id FOR UPDATE")
        except psycopg2.errors.DeadlockDetected:
            met.append("the other")
        other.rollback()

    thread = Thread(target=cross)
    thread.start()
    ended = backfill.run("run 1")
    thread.join()
    fault_table.hold("F9", "deadlock", backfill.evidence(), bound=0)
    assert_complete(ended)
    (deadlocks,) = backfill.rows(
        "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    )
    assert deadlocks[0] + len(met) > 0


def test_f9_a_snapshot_that_is_held_neither_stops_a_run_nor_sees_it(
    backfill: Backfill, other: connection, fault_table: FaultTable
) -> None:
    other.set_session(isolation_level=ISOLATION_LEVEL_REPEATABLE_READ, readonly=True)
    lock(other, "SELECT * FROM retrofill.v_run, retrofill.v_item")
    backfill.serve(OBJECTS)
    ended = backfill.run()
    what = "a snapshot held, a reader idle in its transaction"
    fault_table.hold("F9", what, backfill.evidence(), bound=0)
    assert_complete(ended)
    with other.cursor() as cur:
        cur.execute("SELECT count(*) FROM retrofill.v_item")
        assert cur.fetchone() == (0,)


def test_f9_our_own_sessions_hold_no_snapshot_for_long(state_dsn: str) -> None:
    with closing(connect(state_dsn)) as conn, conn, conn.cursor() as cur:
        for name in ("idle_in_transaction_session_timeout", "statement_timeout"):
            cur.execute("SELECT setting::integer FROM pg_settings WHERE name = %s", (name,))
            assert 0 < cur.fetchone()[0] <= 300_000
