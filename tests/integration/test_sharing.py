"""The cap that runs of one function share, with tasks of several jobs, on a real Postgres."""

import random
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace

import pytest
from psycopg2.extensions import connection
from retrofill.model.calls import Settlement
from retrofill.model.runs import SetRef
from retrofill.state import batches, pages, runs
from retrofill.state.connection import connect
from retrofill.state.lease import BatchLease

from stack.endpoint import ScriptedEndpoint, scripted_endpoint
from tests.integration.opened import (
    FUNCTION,
    change_limits,
    close,
    enqueue,
    item,
    new_run,
    open_job,
)
from tests.integration.test_batches import calls_of, taken
from tests.integration.test_invoke import PLAIN, invoke

CAP = 12


@pytest.fixture
def conn(state_dsn: str) -> Iterator[connection]:
    with closing(connect(state_dsn)) as opened:
        yield opened


@pytest.fixture
def leases() -> Iterator[list[BatchLease]]:
    held: list[BatchLease] = []
    yield held
    for lease in held:
        lease.close()


def execute(conn: connection, statement: str) -> None:
    with conn, conn.cursor() as cur:
        cur.execute(statement)


def open_runs(conn: connection, *caps: int | None, items: int = 30, tasks: int = 3) -> list[SetRef]:
    """Open a run of its own job for each cap, with `tasks` batches; all call one function."""
    opened = []
    for number, cap in enumerate(caps, 1):
        job = open_job(conn, f"job {number}")
        new = new_run(job, f"r{number}", max_concurrency=100, function_concurrency=cap)
        ref = runs.open_run(conn, new, FUNCTION)
        runs.add_partitions(conn, ref.run_id, [(0, "all", {})])
        enqueue(conn, ref, [item(f"k{number}-{n:05}") for n in range(items)])
        each = items // tasks
        planned = batches.plan(conn, ref, job, most_items=each, fewest_items=each)
        assert [batch.items for batch in planned] == [each] * tasks
        opened.append(ref)
    return opened


def take(leases: list[BatchLease], dsn: str, *numbers: int) -> None:
    leases += [taken(dsn, f"holder {number}", number) for number in numbers]


def asked(leases: list[BatchLease], in_flight: list[int], times: int = 6) -> list[int]:
    """Let each task ask `times` times and send as many calls as it may."""
    for _ in range(times):
        for at, lease in enumerate(leases):
            in_flight[at] = lease.allot(50, in_flight[at]).concurrency
            assert sum(in_flight) <= CAP
    return in_flight


def test_tasks_of_two_jobs_divide_the_cap_by_priority(
    state_dsn: str, conn: connection, leases: list[BatchLease]
) -> None:
    open_runs(conn, CAP, CAP)
    change_limits(conn, 2, priority=20)
    take(leases, state_dsn, 1, 2, 3, 4, 5, 6)
    first = leases[0].allot(50, 0)
    assert first.concurrency == CAP
    assert (
        first.part == "function_concurrency: up to 12 of 12 calls in flight at priority 10, "
        "shared with run 2"
    )
    held = asked(leases, [CAP, 0, 0, 0, 0, 0])
    assert (sum(held[:3]), sum(held[3:])) == (4, 8)
    assert "up to 8 of 12 calls in flight at priority 20" in (pages.get_page(conn, 2).part or "")
    for lease in leases[3:]:
        lease.release(done=True)
    assert sum(asked(leases[:3], held[:3])) == CAP, "the other run has nothing left"


def test_the_lowest_cap_applies_as_soon_as_it_is_set(
    state_dsn: str, conn: connection, leases: list[BatchLease]
) -> None:
    open_runs(conn, 40, 40, None)
    take(leases, state_dsn, 1, 4, 7)
    assert leases[0].allot(50, 0).concurrency == 40
    change_limits(conn, 2, function_concurrency=CAP)
    lowered = leases[0].allot(50, 40)
    assert lowered.concurrency == CAP
    assert "12 is the lowest, set by run 2" in (lowered.part or "")
    assert leases[1].allot(50, 0).concurrency == 0
    assert leases[2].allot(50, 0).concurrency == 50, "it has no such limit"
    assert leases[2].allot(5, 5).part is None
    assert pages.get_page(conn, 3).part is None
    free = asked(leases[:2], [0, 0])
    assert sum(free) == CAP - 5, "what it has in flight counts"
    close(conn, 2, complete=False)
    leases[2].release(done=True)
    assert leases[0].allot(50, free[0]).concurrency == 40 - free[1], "the second run is closed"


@pytest.mark.parametrize("way", ["taken over", "silent", "stopped", "closed"])
def test_calls_of_a_task_that_is_gone_count_for_other_runs(
    state_dsn: str, conn: connection, leases: list[BatchLease], way: str
) -> None:
    first, _ = open_runs(conn, CAP, CAP)
    take(leases, state_dsn, 1, 4)
    gone, other = leases
    gone.allot(10, 0)
    calls = calls_of(gone)[:8]
    gone.settle(Settlement(), calls)
    execute(conn, "UPDATE retrofill.run SET function_timeout_s = 900")
    match way:
        case "taken over":
            take(leases, state_dsn, 1)
        case "silent":
            execute(conn, "UPDATE retrofill.batch SET leased_until = now() WHERE batch_id = 1")
        case "stopped":
            gone.release(done=False)
        case "closed":
            batches.release_run(conn, first.run_id)
            close(conn, first.run_id, complete=False)
    # The silent task may have sent all that it was granted.
    assert other.allot(50, 0).concurrency == CAP - (10 if way == "silent" else 8)
    execute(conn, "UPDATE retrofill.batch SET orphans_until = now(), allotted = 0")
    assert other.allot(50, 0).concurrency == CAP


def test_a_run_without_the_cap_takes_no_further_locks(
    state_dsn: str, conn: connection, leases: list[BatchLease]
) -> None:
    open_runs(conn, None, CAP)
    take(leases, state_dsn, 1, 4)
    with closing(connect(state_dsn)) as held, held.cursor() as cur:
        cur.execute(
            "SELECT pg_advisory_xact_lock(hashtext('retrofill function'), hashtext(%s))",
            (f"{FUNCTION.kind} {FUNCTION.name}",),
        )
        assert leases[0].allot(50, 0).concurrency == 50
        with ThreadPoolExecutor(1) as executor:
            waits = executor.submit(leases[1].allot, 50, 0)
            while not _is_waited_for(conn):
                assert not waits.done()
            held.rollback()
            assert waits.result().concurrency == 0


def _is_waited_for(conn: connection) -> bool:
    with conn, conn.cursor() as cur:
        cur.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
        return cur.fetchone() == (1,)


def test_tasks_that_ask_together_never_exceed_the_cap(state_dsn: str, conn: connection) -> None:
    open_runs(conn, CAP, CAP)
    in_flight: Counter[int] = Counter()
    together = threading.Lock()

    def work(number: int) -> None:
        rng = random.Random(number)  # noqa: S311  a test
        with closing(taken(state_dsn, f"holder {number}", number)) as lease:
            for _ in range(40):
                with together:
                    in_flight[number] = rng.randint(0, in_flight[number])
                share = lease.allot(rng.randint(0, 20), in_flight[number]).concurrency
                with together:
                    in_flight[number] = max(in_flight[number], share)
                    assert in_flight.total() <= CAP
            in_flight[number] = 0

    with ThreadPoolExecutor(6) as executor:
        list(executor.map(work, range(1, 7)))


@pytest.fixture
def endpoint() -> Iterator[ScriptedEndpoint]:
    with scripted_endpoint(replace(PLAIN, latency=0.05, record_calls=True)) as running:
        yield running


@pytest.mark.faults
def test_the_function_sees_that_the_cap_is_kept_and_used(
    state_dsn: str, conn: connection, endpoint: ScriptedEndpoint
) -> None:
    """Two jobs with two tasks each; the one with twice the priority ends first."""
    open_runs(conn, CAP, CAP, items=1_200, tasks=2)
    change_limits(conn, 1, priority=20)
    with ThreadPoolExecutor(4) as executor:
        work = [
            executor.submit(invoke, state_dsn, endpoint, batch_id=number, timeout_s=3)
            for number in range(1, 5)
        ]
        assert sum(task.result()["succeeded"] for task in work) == 2_400
    assert endpoint.stats().max_in_flight <= CAP
    calls = sorted(endpoint.calls(), key=lambda call: call.arrived_at)
    last_of_first = max(at for at, call in enumerate(calls) if call.keys[0].startswith("k1-"))
    # Tasks need some turns to find their parts, and to learn at the end that others are gone.
    both = Counter(call.keys[0][:2] for call in calls[600 : last_of_first - 300])
    assert 1.6 < both["k1"] / both["k2"] < 2.4
    alone = calls[last_of_first + 150 : -150]
    worked = sum(call.ran_until - call.arrived_at for call in alone)
    assert worked / (alone[-1].ran_until - alone[0].arrived_at) > 0.7 * CAP
