"""The limits of a run over all its tasks, on a real Postgres."""

from collections.abc import Iterator
from contextlib import closing

import pytest
from psycopg2.extensions import connection

from include.retrofill.model.calls import Settlement
from include.retrofill.model.errors import LeaseLost
from include.retrofill.state.batches import BatchLease
from include.retrofill.state.connection import connect
from tests.integration.opened import enqueue, item, open_run
from tests.integration.test_batches import calls_of, plan, success, taken


@pytest.fixture
def conn(state_dsn: str) -> Iterator[connection]:
    with closing(connect(state_dsn)) as opened:
        yield opened


def execute(conn: connection, statement: str) -> list[tuple[object, ...]]:
    with conn, conn.cursor() as cur:
        cur.execute(statement)
        return cur.fetchall() if cur.description else []


def four_batches(conn: connection, **opening: int) -> None:
    ref = open_run(conn, **opening)
    enqueue(conn, ref, [item(f"{number:02}") for number in range(40)])
    assert plan(conn, ref) == [10, 10, 10, 10]


@pytest.fixture
def leases() -> Iterator[list[BatchLease]]:
    held: list[BatchLease] = []
    yield held
    for lease in held:
        lease.close()


def take(leases: list[BatchLease], dsn: str, *numbers: int) -> None:
    leases += [taken(dsn, f"holder {number}", number) for number in numbers]


def test_a_silent_holder_keeps_its_share_until_its_calls_must_have_ended(
    state_dsn: str, conn: connection, leases: list[BatchLease]
) -> None:
    four_batches(conn, max_concurrency=10)
    take(leases, state_dsn, 1, 2)
    assert leases[0].allot(10, 0).concurrency == 10
    execute(
        conn, "UPDATE retrofill.batch SET leased_until = now() - interval '1 s' WHERE batch_id = 1"
    )
    assert leases[1].allot(10, 0).concurrency == 0, "its calls may take 3 s, the function's timeout"
    execute(
        conn, "UPDATE retrofill.batch SET leased_until = now() - interval '4 s' WHERE batch_id = 1"
    )
    assert leases[1].allot(10, 0).concurrency == 10


def test_calls_of_a_holder_that_was_taken_over_count_until_they_must_have_ended(
    state_dsn: str, conn: connection, leases: list[BatchLease]
) -> None:
    four_batches(conn, max_concurrency=10)
    take(leases, state_dsn, 1, 2)
    zombie, other = leases
    zombie.allot(10, 0)
    calls = calls_of(zombie)[:6]
    zombie.settle(Settlement(), calls)
    take(leases, state_dsn, 1)
    heir = leases[2]
    assert other.allot(10, 0).concurrency == 4
    assert heir.allot(10, 0).concurrency == 0, "they count for the heir, too"
    with pytest.raises(LeaseLost):
        zombie.settle(success(*calls[:5]), [])
    assert heir.allot(10, 0).concurrency == 5, "five of them were seen to end"
    execute(conn, "UPDATE retrofill.batch SET orphans_until = now() WHERE batch_id = 1")
    assert other.allot(10, 2).concurrency == 5


def test_max_calls_is_set_aside_before_it_is_used(
    state_dsn: str, conn: connection, leases: list[BatchLease]
) -> None:
    four_batches(conn, max_concurrency=100, max_calls=7)
    take(leases, state_dsn, 1)
    assert leases[0].allot(10, 0).calls == 7
    take(leases, state_dsn, 2)
    waits = leases[1].allot(10, 0)
    assert (waits.calls, waits.stop_reason) == (0, None), "the first may give some back"
    assert leases[0].allot(10, 0).calls == 4, "the half, now that another is there"
    made, reason = [0, 0], None
    while not reason:
        for at, lease in enumerate(leases):
            allotment = lease.allot(10, 0)
            reason = allotment.stop_reason
            assert allotment.calls is not None
            calls = calls_of(lease)[made[at] : made[at] + allotment.calls]
            lease.settle(Settlement(), calls)
            made[at] += len(calls)
    assert sum(made) == 7
    assert reason == "max_calls: 7 of 7 calls were made"
    assert execute(conn, "SELECT stop_reason, sum(calls) FROM retrofill.v_run GROUP BY 1") == [
        (reason, 7)
    ]


def test_what_a_dead_task_had_set_aside_is_with_its_next_holder(
    state_dsn: str, conn: connection, leases: list[BatchLease]
) -> None:
    four_batches(conn, max_concurrency=100, max_calls=8)
    take(leases, state_dsn, 1)
    leases[0].allot(8, 0)
    leases[0].settle(Settlement(), calls_of(leases[0])[:3])
    take(leases, state_dsn, 1, 2)
    assert leases[2].allot(10, 0).calls == 3
    assert leases[1].allot(10, 0).calls == 1
    assert execute(conn, "SELECT sum(calls) FROM retrofill.batch") == [(3,)]


def test_a_run_that_fails_too_much_is_stopped(
    state_dsn: str, conn: connection, leases: list[BatchLease]
) -> None:
    four_batches(conn, max_failure_percent=50, min_items_judged=4)
    take(leases, state_dsn, 1, 2)
    for lease, blamed in zip(leases, (3, 0), strict=True):
        call = calls_of(lease)[0]
        lease.settle(Settlement(), [call])
        told = success(call)
        told.blamed = blamed
        lease.settle(told, [])
    assert leases[0].allot(9, 0).stop_reason == (
        "max_failure_percent: 3 of 5 items failed, more than 50 %"
    )


def test_a_run_that_is_late_is_stopped(
    state_dsn: str, conn: connection, leases: list[BatchLease]
) -> None:
    four_batches(conn, max_minutes=5)
    take(leases, state_dsn, 1)
    assert leases[0].allot(9, 0).stop_reason is None
    execute(conn, "UPDATE retrofill.run SET opened_at = now() - interval '5 min'")
    assert "max_minutes: 5 minutes have passed" in (leases[0].allot(9, 0).stop_reason or "")


def test_the_reserve_holds_whatever_max_concurrency_is_set_to(
    state_dsn: str, conn: connection, leases: list[BatchLease]
) -> None:
    four_batches(conn, max_concurrency=50, concurrency_ceiling=7)
    take(leases, state_dsn, 1)
    assert leases[0].allot(99, 0).concurrency == 7
    execute(conn, "UPDATE retrofill.run SET max_concurrency = 5000")
    assert leases[0].allot(99, 0).concurrency == 7
    execute(conn, "UPDATE retrofill.run SET max_concurrency = 3")
    assert leases[0].allot(99, 0).concurrency == 3


def test_what_was_found_of_the_endpoint_is_divided(
    state_dsn: str, conn: connection, leases: list[BatchLease]
) -> None:
    four_batches(conn, max_concurrency=100)
    take(leases, state_dsn, 1, 2)
    assert leases[0].allot(99, 30, 30).width == 30
    assert leases[1].allot(99, 0).width == 1, "the first still fills it"
    assert leases[0].allot(99, 30, 30).width == 15
    assert leases[0].allot(99, 15, 15).width == 15
    assert leases[1].allot(99, 1, 1).width == 15
    leases[0].release(done=True)
    assert leases[1].allot(99, 15, 15).width == 30
    assert leases[1].allot(4, 4, 30).width is None, "it needs less"
    assert leases[1].allot(4, 4, 30).run_width == 30
