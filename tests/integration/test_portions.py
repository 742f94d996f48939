"""Batches loaded in portions: nothing is lost, and memory stays flat."""

import json
import threading
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from queue import SimpleQueue

import psycopg2
import pytest
from psycopg2.extensions import connection
from retrofill.config import params_for
from retrofill.engine import portions
from retrofill.engine.identity import identifier_of
from retrofill.engine.portions import Portion
from retrofill.engine.progress import Invoked
from retrofill.events import EventContext, compile_shape
from retrofill.events.form import ROW
from retrofill.faults import InjectedError, Point, injected
from retrofill.functions.client import NoReply, Payload, Reply
from retrofill.model.delivery import Delivery
from retrofill.model.errors import Interrupted, LeaseLost
from retrofill.model.items import Item
from retrofill.model.runs import SetRef
from retrofill.pipeline.invoke import Invoker, take
from retrofill.state import batches, runs
from retrofill.state.connection import connect
from retrofill.state.lease import BatchLease

from tests.integration.opened import enqueue, open_run
from tests.integration.test_batches import calls_of, success

MB = 2**20
_identify = identifier_of("memory://items")


def row(key: str, content: str) -> Item:
    return Item(_identify(key, ""), key, content)


def rows(count: int, size: int) -> list[Item]:
    return [row(f"in/{number:05}", json.dumps("x" * (size - 2))) for number in range(count)]


class Recorder:
    """A client of a function that answers at once and counts the items of its calls.

    :param poison: keys for which it fails
    """

    def __init__(self, poison: frozenset[str] = frozenset()) -> None:
        self.completions: SimpleQueue[Reply | NoReply] = SimpleQueue()
        self.keys: Counter[str] = Counter()
        self.bodies: list[bytes] = []
        self.keeps = False
        self.at_call: Callable[[int], None] = lambda _: None
        self._poison = poison

    def send(self, tag: int, payload: Payload) -> None:
        keys = [item["key"] for item in json.loads(payload.body)["items"]]
        self.keys.update(keys)
        if self.keeps:
            self.bodies.append(payload.body)
        headers = {} if self._poison.isdisjoint(keys) else {"x-amz-function-error": "Unhandled"}
        self.at_call(tag)
        self.completions.put(Reply(tag, 200, headers, b"{}"))


@pytest.fixture
def conn(state_dsn: str) -> Iterator[connection]:
    with closing(connect(state_dsn)) as opened:
        yield opened


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Portions of four items of a kilobyte."""
    monkeypatch.setattr(portions, "PORTION_BYTES", 4_000)


def planned(conn: connection, items: list[Item], *, ordered: bool = True) -> SetRef:
    ref = open_run(conn, max_concurrency=4)
    enqueue(conn, ref, items, ordered=ordered)
    batches.plan(conn, ref, 1, most_items=10**6, fewest_items=10**6)
    return ref


@contextmanager
def invoker(
    dsn: str,
    client: Recorder,
    *,
    batch_id: int = 1,
    per_call: int = 1,
    stop: threading.Event | None = None,
) -> Iterator[Invoker]:
    config = params_for("memory").config({"function": "f", "max_attempts": 1})
    with closing(BatchLease(dsn, batch_id, "task")) as lease:
        assert take(lease, holder_is_dead=lambda _: True)
        with closing(connect(dsn)) as conn:
            run = runs.get_run(conn, lease.run_id)
        delivery = Delivery(event="items", items_per_call=per_call, answer="return")
        context = EventContext(
            form=ROW, place={}, function=run.function, job=run.job, run_id=run.run_id
        )
        yield Invoker(
            lease=lease,
            client=client,  # type: ignore[arg-type]  it is not closed
            shape=compile_shape("items", context),
            run=run._replace(delivery=delivery),
            config=config,
            stop_asked=(stop or threading.Event()).is_set,
        )


def invoke(dsn: str, client: Recorder, **more: int) -> Invoked:
    with invoker(dsn, client, **more) as task:  # type: ignore[arg-type]
        return task.run()


def is_done(conn: connection) -> bool:
    with conn, conn.cursor() as cur:
        cur.execute("SELECT done_at IS NOT NULL FROM retrofill.batch")
        ((done,),) = cur.fetchall()
    return bool(done)


def loads(at: Callable[[int], None]) -> Callable[[Point], None]:
    """Call `at` with the number of each loaded portion."""
    numbers = iter(range(1, 10**6))

    def act(point: Point) -> None:
        if point is Point.PORTION_LOADED:
            at(next(numbers))

    return act


def test_a_batch_of_little_content_is_one_portion(state_dsn: str, conn: connection) -> None:
    """Its items are not read: the portion is the batch, whatever is left of it."""
    planned(conn, rows(5, 1_000))
    with closing(BatchLease(state_dsn, 1, "h")) as lease:
        take(lease, holder_is_dead=lambda _: True)
        assert lease.portions(2) == [Portion(1, 5, 5)]
        calls = calls_of(lease)[:2]
        lease.settle(success(), calls)
        lease.settle(success(*calls), [])
        assert lease.portions(2) == [Portion(1, 5, 5)]


@pytest.mark.usefixtures("small")
def test_every_item_of_every_portion_is_called_once(state_dsn: str, conn: connection) -> None:
    ref = planned(conn, rows(31, 1_000))
    loaded: list[int] = []
    client = Recorder()
    with injected(loads(loaded.append)):
        summary = invoke(state_dsn, client, per_call=3)
    assert len(loaded) == 10, "each but the last has three items, as a call does"
    assert (summary["items"], summary["calls"], summary["succeeded"]) == (31, 11, 31)
    assert client.keys == Counter(item.key for item in rows(31, 1_000))
    assert is_done(conn)
    assert runs.get_report(conn, ref.run_id).items_left == 0


@pytest.mark.usefixtures("small")
def test_a_portion_is_loaded_when_few_calls_are_left(state_dsn: str, conn: connection) -> None:
    """Four calls may be in flight: loaded, unsent items are fewer than theirs plus a portion."""
    planned(conn, rows(40, 1_000))
    client = Recorder()
    loaded: list[int] = []
    ahead: list[int] = []
    client.at_call = lambda number: ahead.append(4 * len(loaded) - number)
    with injected(loads(loaded.append)):
        invoke(state_dsn, client)
    assert len(loaded) == 10
    assert max(ahead) < 4 + 4


@pytest.mark.usefixtures("small")
def test_a_terminated_task_leaves_unloaded_items(state_dsn: str, conn: connection) -> None:
    ref = planned(conn, rows(40, 1_000))
    stop = threading.Event()
    client = Recorder()
    client.at_call = lambda _: stop.set()
    with (
        invoker(state_dsn, client, stop=stop) as task,
        pytest.raises(Interrupted, match="calls of this batch are left"),
    ):
        task.run()
    assert 0 < len(client.keys) <= 8
    assert not is_done(conn)
    left = runs.get_report(conn, ref.run_id).items_left
    assert left >= 32
    client.at_call = lambda _: None
    assert invoke(state_dsn, client)["items"] == left
    assert set(client.keys.values()) == {1}
    assert len(client.keys) == 40
    assert is_done(conn)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("nth", [1, 2, 7, 10])
def test_a_crash_between_portions_loses_nothing(state_dsn: str, conn: connection, nth: int) -> None:
    ref = planned(conn, rows(40, 1_000))

    def crash(number: int) -> None:
        if number == nth:
            raise InjectedError("crash")

    client = Recorder()
    with injected(loads(crash)), pytest.raises(InjectedError):
        invoke(state_dsn, client)
    assert not is_done(conn)
    invoke(state_dsn, client)
    assert len(client.keys) == 40
    report = runs.get_report(conn, ref.run_id)
    assert (report.succeeded, report.items_left) == (40, 0)
    assert sum(client.keys.values()) - 40 <= report.duplicates <= 4
    assert is_done(conn)


@pytest.mark.usefixtures("small")
def test_a_task_whose_batch_is_taken_over_sends_nothing_it_loads(
    state_dsn: str, conn: connection
) -> None:
    ref = planned(conn, rows(40, 1_000))
    zombie, client = Recorder(), Recorder()
    sent: list[int] = []

    def take_over(number: int) -> None:
        if number == 3:
            sent.append(sum(zombie.keys.values()))
            invoke(state_dsn, client)

    with injected(loads(take_over)), pytest.raises(LeaseLost):
        invoke(state_dsn, zombie)
    assert sent == [sum(zombie.keys.values())]
    assert zombie.keys.keys() | client.keys.keys() == {item.key for item in rows(40, 1_000)}
    report = runs.get_report(conn, ref.run_id)
    assert (report.succeeded, report.items_left) == (40, 0)


@pytest.mark.usefixtures("small")
def test_a_task_waits_for_a_server_that_went_away(state_dsn: str, conn: connection) -> None:
    planned(conn, rows(8, 1_000))

    def break_connections() -> None:
        with closing(psycopg2.connect(state_dsn)) as own, own, own.cursor() as cur:
            cur.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                " AND backend_type = 'client backend'"
            )

    with closing(BatchLease(state_dsn, 1, "h")) as lease:
        take(lease, holder_is_dead=lambda _: True)
        break_connections()
        first, second = lease.portions(1)
        lease.load(first)
        break_connections()
        assert list(lease.load(second).items) == rows(8, 1_000)[4:]


def peak_of(dsn: str, batch_id: int) -> int:
    """Return the peak memory of an invoke task, in bytes."""
    client = Recorder()
    tracemalloc.start()
    try:
        invoke(dsn, client, batch_id=batch_id)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_the_memory_of_a_task_does_not_grow_with_the_batch(
    state_dsn: str, conn: connection
) -> None:
    few, many = rows(20, MB), rows(80, MB)[20:]
    for number, items in enumerate((few, many)):
        ref = open_run(conn, f"{number}", max_concurrency=4)
        enqueue(conn, ref, items)
        (batch,) = batches.plan(conn, ref, 1, most_items=10**6, fewest_items=10**6)
        assert (batch.batch_id, batch.items) == (number + 1, len(items))
    smaller, larger = peak_of(state_dsn, 1), peak_of(state_dsn, 2)
    assert larger < smaller + 2 * MB
    assert larger < 45 * MB, "less than the batch"
