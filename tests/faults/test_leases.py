"""F11 and F13: clocks that jump, and leases that expire while their holder is alive."""

import ast
from contextlib import closing
from pathlib import Path
from threading import Event, Thread, current_thread

import pytest
from retrofill import faults
from retrofill.faults import Point
from retrofill.model.errors import LeaseLost, RetrofillError
from retrofill.state.lease import BatchLease, Busy

from stack.endpoint import ScriptedEndpoint
from tests.faults.fault_table import FaultTable
from tests.faults.pipeline_run import Backfill

OBJECTS = 300
PER_CALL = 5
MAX_CONCURRENCY = 10
IN_FLIGHT = PER_CALL * MAX_CONCURRENCY
PRODUCT = Path(__file__).resolve().parents[2] / "include/retrofill"

WALL_CLOCK = {
    "time": {"time", "time_ns", "localtime", "gmtime", "ctime", "asctime", "strftime"},
    "datetime": {"now", "utcnow", "today", "fromtimestamp", "utcfromtimestamp"},
    "date": {"today", "fromtimestamp"},
}


@pytest.fixture
def backfill(state_dsn: str, endpoint: ScriptedEndpoint) -> Backfill:
    params = {"items_per_call": PER_CALL, "max_concurrency": MAX_CONCURRENCY}
    return Backfill(dsn=state_dsn, endpoint=endpoint, params=params)


def enqueued(backfill: Backfill, objects: int = OBJECTS, **script: float) -> int:
    """Enqueue and plan; return the number of the one batch."""
    backfill.params["items_per_call"] = PER_CALL
    backfill.serve(objects, **script)
    ref = backfill.open("run 1")
    for part in backfill.list_partitions(ref):
        backfill.enqueue(ref, part["part_no"])
    first, *_ = backfill.plan(ref)
    return first["batch_id"]


def jump(backfill: Backfill, by: str) -> None:
    """Let the database clock jump: every deadline is that much nearer."""
    moved = """
        UPDATE retrofill.batch SET leased_until = leased_until - %(by)s::interval,
            planned_at = planned_at - %(by)s::interval, done_at = done_at - %(by)s::interval;
        UPDATE retrofill.in_process SET not_before = not_before - %(by)s::interval;
        UPDATE retrofill.run SET opened_at = opened_at - %(by)s::interval;
    """
    with closing(backfill.connection()) as conn, conn, conn.cursor() as cur:
        cur.execute(moved, {"by": by})


class Paused:
    """Stops a thread at a fault point, the first time it gets there, until released."""

    def __init__(self, point: Point, thread: str, nth: int = 1) -> None:
        self.there, self.go = Event(), Event()
        self._point, self._thread, self._left = point, thread, nth

    def __call__(self, point: Point) -> None:
        if point is not self._point or current_thread().name != self._thread or not self._left:
            return
        self._left -= 1
        if self._left:
            return
        self.there.set()
        self.go.wait()


class Holder(Thread):
    """A separate invoke task."""

    def __init__(self, backfill: Backfill, batch_id: int, name: str) -> None:
        super().__init__(name=name)
        self.error: RetrofillError | None = None
        self._backfill, self._batch_id = backfill, batch_id

    def run(self) -> None:
        try:
            self._backfill.invoke(self._batch_id, holder=self.name)
        except RetrofillError as error:
            self.error = error


@pytest.mark.parametrize(
    ("point", "bound"),
    [
        # Recorded and not sent: both holders send these calls. No fence in the database can prevent
        # this one case.
        (Point.SETTLE_COMMITTED, IN_FLIGHT),
        # In flight, or answered and not settled: the new holder repeats calls that it cannot know
        # of.
        (Point.CALLS_SENT, IN_FLIGHT),
        (Point.CALL_ANSWERED, IN_FLIGHT),
        # Nothing was sent.
        (Point.BATCH_TAKEN, 0),
    ],
)
def test_f13_a_holder_asleep_past_its_lease_is_fenced_and_costs_its_calls_in_flight(
    backfill: Backfill, fault_table: FaultTable, point: Point, bound: int
) -> None:
    batch_id = enqueued(backfill, latency=0.05)
    paused = Paused(point, "sleeper", nth=1 if point is Point.BATCH_TAKEN else 2)
    with faults.injected(paused):
        sleeper = Holder(backfill, batch_id, "sleeper")
        sleeper.start()
        assert paused.there.wait(60)
        jump(backfill, "10 minutes")
        with closing(BatchLease(backfill.dsn, batch_id, "another")) as lease:
            assert lease.take(holder_is_dead=lambda _: False), "its lease has ended"
        jump(backfill, "10 minutes")
        ended = backfill.run("run 1")
        paused.go.set()
        sleeper.join()
    # One that wakes up when no item is left has nothing to lose.
    assert isinstance(sleeper.error, LeaseLost) or (point is Point.BATCH_TAKEN)
    evidence = backfill.evidence()
    fault_table.hold("F13", "a holder asleep past its lease, at 4 points", evidence, bound=bound)
    assert (ended.errors, ended.report.status) == ([], "complete")
    assert evidence.in_doubt <= bound


@pytest.mark.parametrize("hours", [1, 7])
def test_f11_a_database_clock_that_jumps_ahead_expires_leases_and_loses_nothing(
    backfill: Backfill, fault_table: FaultTable, hours: int
) -> None:
    batch_id = enqueued(backfill, latency=0.1)
    first = Holder(backfill, batch_id, "first")
    first.start()
    while not backfill.rows("SELECT FROM retrofill.results LIMIT 1"):
        Event().wait(0.02)
    jump(backfill, f"{hours} hours")
    ended = backfill.run("run 1", watched=False)
    first.join()
    # The holder renews its lease at once; or another has it, and the first one is fenced.
    assert first.error is None or isinstance(first.error, LeaseLost)
    backfill.run("run 1", watched=False)
    evidence = backfill.evidence()
    what = "the database's clock jumps ahead, 1 h and 7 h"
    fault_table.hold("F11", what, evidence, bound=IN_FLIGHT)
    assert ended.report.status in {"complete", "incomplete"}


def test_f11_after_a_clock_jump_back_other_machines_wait_and_the_same_one_continues(
    backfill: Backfill, fault_table: FaultTable
) -> None:
    batch_id = enqueued(backfill)
    with closing(BatchLease(backfill.dsn, batch_id, "dead")) as lease:
        assert lease.take(holder_is_dead=lambda _: False)
    jump(backfill, "-1 hour")
    with closing(BatchLease(backfill.dsn, batch_id, "elsewhere")) as lease:
        with pytest.raises(Busy) as busy:
            lease.take(holder_is_dead=lambda _: False)
        assert busy.value.leased_s > 3_000
        assert lease.take(holder_is_dead=lambda holder: holder == "dead")
    ended = backfill.run("run 1")
    fault_table.hold("F11", "the database's clock jumps back 1 h", backfill.evidence(), bound=0)
    assert ended.report.status == "complete"


SHOWN_ONLY = {
    "export/report.py": "the date in a manifest",
    "functions/http/logs.py": "the end of the time range of a link",
    "web/rendering.py": "the time at which a page was read",
}
"""Modules whose clock is only shown, and what for."""


def test_f11_no_worker_reads_its_wall_clock() -> None:
    modules = sorted(PRODUCT.rglob("*.py"))
    assert modules
    found = {str(one.relative_to(PRODUCT)): wall_clocks(one.read_text()) for one in modules}
    assert {name for name, clocks in found.items() if clocks} == SHOWN_ONLY.keys()


def test_f11_the_search_for_wall_clocks_can_find_one() -> None:
    assert wall_clocks("import time\nx = time.time()") == ["time.time"]
    assert wall_clocks("from datetime import datetime\ndatetime.now()") == ["datetime.now"]
    assert wall_clocks("import datetime as d\nd.datetime.now()") == ["datetime.now"]
    assert wall_clocks("from time import time as now\nnow()") == ["time.time"]
    assert wall_clocks("import time\ntime.monotonic()") == []


def wall_clocks(source: str) -> list[str]:
    """Return the names by which a module reads the wall clock."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute):
            owner = node.value
            name = owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", "")
            if node.attr in WALL_CLOCK.get(name, ()):
                found.append(f"{name}.{node.attr}")
        elif isinstance(node, ast.ImportFrom) and node.module == "time":
            found += [f"time.{one.name}" for one in node.names if one.name in WALL_CLOCK["time"]]
    return found
