"""Migrations: each is applied once, next to tasks that run the previous code."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import psycopg2
import pytest
from psycopg2.extensions import connection
from retrofill.faults import Point, injected
from retrofill.model.errors import SchemaMismatch, StateLocked
from retrofill.state import batches, runs
from retrofill.state.connection import connect
from retrofill.state.lease import BatchLease
from retrofill.state.migrate import Migration, migrate, migrations, require_current

from stack.endpoint import Function, Script, ScriptedEndpoint, scripted_endpoint
from tests.integration.opened import enqueue, item, open_run
from tests.integration.test_invoke import invoke, keys, planned

OWN = migrations()[-1].number
# What an update may contain while tasks with the previous code are active: only additions.
NEXT = Migration(
    OWN + 1,
    f"{OWN + 1:04}_next.sql",
    f"""
    -- oldest code: {OWN:04}
    CREATE TABLE retrofill.added (batch_id bigint REFERENCES retrofill.batch);
    ALTER TABLE retrofill.batch ADD COLUMN added integer NOT NULL DEFAULT 0;
    ALTER TABLE retrofill.invocation ADD COLUMN added text;
    ALTER TABLE retrofill.in_process ADD COLUMN added text;
    ALTER TABLE retrofill.results ADD COLUMN added boolean NOT NULL DEFAULT false;
    ALTER TABLE retrofill.run ADD COLUMN added text;
    """.replace("\n    ", "\n"),
)


@pytest.fixture
def endpoint() -> Iterator[ScriptedEndpoint]:
    with scripted_endpoint(Script(functions=(Function(name="f"),), latency=0.01)) as running:
        yield running


@pytest.fixture
def conn(state_dsn: str) -> Iterator[connection]:
    with closing(connect(state_dsn)) as opened:
        yield opened


def applied(dsn: str) -> list[tuple[int, int | None]]:
    with closing(psycopg2.connect(dsn)) as conn, conn.cursor() as cur:
        cur.execute("SELECT number, oldest_code FROM retrofill.migration ORDER BY number")
        return cur.fetchall()


def test_a_migration_names_the_code_it_is_compatible_with() -> None:
    assert NEXT.oldest_code == OWN
    assert Migration(9, "0009_x.sql", "SELECT").oldest_code == 9


def test_each_migration_is_applied_once(state_dsn: str) -> None:
    assert migrate(state_dsn) == []
    assert [number for number, _ in applied(state_dsn)] == [one.number for one in migrations()]
    assert migrate(state_dsn, [*migrations(), NEXT]) == [NEXT.name]
    assert migrate(state_dsn, [*migrations(), NEXT]) == []
    assert applied(state_dsn)[-1] == (OWN + 1, OWN)


def test_a_failed_migration_leaves_nothing(state_dsn: str) -> None:
    before = applied(state_dsn)
    broken = Migration(OWN + 2, "broken.sql", "CREATE TABLE retrofill.half (); SELECT 1 / 0")
    with pytest.raises(Exception, match="division by zero"):
        migrate(state_dsn, [*migrations(), NEXT, broken])
    assert applied(state_dsn) == before


@pytest.mark.parametrize("point", [Point.SETTLE_COMMITTED, Point.CALLS_SENT, Point.CALL_ANSWERED])
def test_a_task_with_the_previous_code_continues_during_a_migration(
    state_dsn: str, conn: connection, endpoint: ScriptedEndpoint, point: Point
) -> None:
    ref = planned(conn, keys(300), max_concurrency=20)
    reached = 0

    def act(at: Point) -> None:
        nonlocal reached
        reached += at is point
        if at is point and reached == 3:
            assert migrate(state_dsn, [*migrations(), NEXT]) == [NEXT.name]

    with injected(act):
        summary = invoke(state_dsn, endpoint, items_per_call=5)
    assert applied(state_dsn)[-1] == (OWN + 1, OWN), "it was applied in the middle"
    assert (summary["succeeded"], summary["calls"], summary["duplicates"]) == (300, 60, 0)
    assert endpoint.items() == dict.fromkeys(keys(300), 1)
    # Tasks that start now have the previous code as well.
    require_current(conn)
    again = open_run(conn, "again")
    assert enqueue(conn, again, [item("k00000"), item("new")]) == (1, 1, False)
    batches.plan(conn, again, 1, most_items=9, fewest_items=9)
    assert invoke(state_dsn, endpoint, batch_id=2)["succeeded"] == 1
    assert runs.get_report(conn, ref.run_id).succeeded == 300


def test_a_migration_waits_for_the_transaction_of_a_task(
    state_dsn: str, conn: connection, endpoint: ScriptedEndpoint
) -> None:
    planned(conn, keys(100))
    with ThreadPoolExecutor(1) as pool:
        migrating = []

        def act(at: Point) -> None:
            if at is Point.SETTLE_WRITTEN and not migrating:
                migrating.append(pool.submit(migrate, state_dsn, [*migrations(), NEXT]))
                wait_for(lambda: waits_for_a_lock(state_dsn))

        with injected(act):
            assert invoke(state_dsn, endpoint, items_per_call=5)["succeeded"] == 100
        assert migrating[0].result() == [NEXT.name]
    assert endpoint.items() == dict.fromkeys(keys(100), 1)


def test_tasks_do_not_queue_behind_a_waiting_migration(state_dsn: str, conn: connection) -> None:
    ref = planned(conn, keys(10))
    with closing(connect(state_dsn)) as dump, ThreadPoolExecutor(1) as pool:
        with dump, dump.cursor() as cur:
            cur.execute("SELECT FROM retrofill.batch")
            migrating = pool.submit(migrate, state_dsn, [*migrations(), NEXT])
            with closing(BatchLease(state_dsn, 1, "holder")) as lease:
                assert lease.take(holder_is_dead=lambda _: False)
                for _ in range(3):
                    wait_for(lambda: waits_for_a_lock(state_dsn))
                    lease.allot(5, 0)
            assert not migrating.done()
            assert runs.get_report(conn, ref.run_id).items_left == 10
        assert migrating.result() == [NEXT.name]


def test_a_migration_without_a_lock_gives_up_with_the_reason(
    state_dsn: str, conn: connection
) -> None:
    before = applied(state_dsn)
    with conn, conn.cursor() as cur:
        cur.execute("SELECT FROM retrofill.batch")
        with pytest.raises(StateLocked, match="a transaction open for long"):
            migrate(state_dsn, [*migrations(), NEXT], patience_s=0)
    assert applied(state_dsn) == before


def test_old_code_is_refused_at_its_next_start(state_dsn: str, conn: connection) -> None:
    contract = Migration(OWN + 2, "contract.sql", f"-- oldest code: {OWN + 1:04}\nSELECT")
    migrate(state_dsn, [*migrations(), NEXT])
    require_current(conn)
    migrate(state_dsn, [*migrations(), NEXT, contract])
    with pytest.raises(SchemaMismatch, match=f"code of version {OWN + 1} or newer"):
        require_current(conn)


def waits_for_a_lock(dsn: str) -> bool:
    with closing(psycopg2.connect(dsn)) as conn, conn.cursor() as cur:
        cur.execute(
            "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND locktype = 'relation')"
        )
        return cur.fetchone() == (True,)


def wait_for(found: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + 60
    while not found():
        assert time.monotonic() < give_up_at
        time.sleep(0.01)
