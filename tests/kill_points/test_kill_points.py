"""Whole runs in real processes, each killed once with SIGKILL and continued by the next one.

A few kill points are in every test run; ``make faults`` has all of them.
"""

import json
from collections import Counter
from fnmatch import fnmatch
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

import psycopg2
import pytest
from retrofill.faults import Point

from stack.endpoint import Bucket, Function, Reply, Rule, Script, ScriptedEndpoint
from tests.invariants import Sampler, Seen, check
from tests.kill_points.conftest import COLUMNS, Nursery, table
from tests.kill_points.passage import Passage

OBJECTS = 240
ITEMS_PER_CALL = 4
CANARY = 20
MAX_CONCURRENCY = 8
MOST_TWICE = MAX_CONCURRENCY * ITEMS_PER_CALL
"""The items that one process has in flight, so that they may be processed again after a kill."""

MOST_OURS = MOST_TWICE + 4 + 2 + 1
"""The same by our count: also those in further calls of the poison, if that was in flight."""

POISON = "data/000000123.json"
AGAIN = "*[02468].json"
KEYS = [f"data/{number:09}.json" for number in range(OBJECTS)]
SCRIPT = Script(
    buckets=(Bucket(name="bucket", generated=OBJECTS),),
    functions=(Function(name="f", timeout_seconds=1),),
    rules=(Rule(keys=frozenset({POISON}), reply=Reply(function_error="ValueError")),),
    latency=0.02,
    record_calls=True,
)

TIMES = {
    Point.RUN_OPENED: 1,
    Point.PARTITIONS_WRITTEN: 1,
    Point.CHUNK_COPIED: 12,
    Point.CHUNK_COMMITTED: 12,
    Point.CANARY_MOVED: 1,
    Point.CANARY_CHOSEN: 1,
    Point.BATCHES_PLANNED: 1,
    Point.BATCH_TAKEN: 6,
    Point.PORTION_LOADED: 6,
    Point.SETTLE_WRITTEN: 16,
    Point.SETTLE_COMMITTED: 16,
    Point.CALL_SENT: 60,
    Point.CALLS_SENT: 12,
    Point.CALL_ANSWERED: 60,
    Point.BATCH_RELEASED: 6,
    Point.RUN_CLOSING: 1,
    Point.SET_CLOSED: 1,
    Point.RUN_CLOSED: 1,
    Point.NOTIFIED: 1,
}
"""How often each point is reached at least, however calls coincide."""

OF_APPROVAL = {
    Point.PLAN_STORED,
    Point.APPROVAL_ASKED,
    Point.APPROVAL_ANSWERED,
    Point.WITHDRAWING,
}
"""Reached by runs that ask for approval; tests/integration/test_approvals.py interrupts each."""

OF_REDRIVE = [
    (point, nth)
    for point, times in {
        Point.RUN_OPENED: 1,
        Point.CHUNK_COPIED: 12,
        Point.CHUNK_COMMITTED: 12,
        Point.BATCHES_PLANNED: 1,
        Point.SETTLE_COMMITTED: 6,
        Point.CALL_ANSWERED: 20,
        Point.RUN_CLOSED: 1,
    }.items()
    for nth in sorted({1, times // 2 + 1, times})
]
"""Where a run that redrives successes is killed."""

OF_REPORTS = {Point.PART_WRITTEN}
"""Reached by runs that write report files; tests/integration/test_export.py interrupts them."""

MOST_OF_A_POINT = 16
ALL = [
    (point, nth)
    for point, times in TIMES.items()
    for nth in sorted({1 + at * times // MOST_OF_A_POINT for at in range(MOST_OF_A_POINT)})
]
SOME = [
    (Point.CHUNK_COPIED, 3),
    (Point.CANARY_CHOSEN, 1),
    (Point.SETTLE_COMMITTED, 4),
    (Point.CALL_SENT, 15),
    (Point.CALL_ANSWERED, 30),
    (Point.SET_CLOSED, 1),
]


class Runs:
    """Makes runs and collects their results."""

    def __init__(
        self, dsn: str, endpoint: ScriptedEndpoint, nursery: Nursery, directory: Path
    ) -> None:
        self._dsn = dsn
        self._endpoint = endpoint
        self._nursery = nursery
        self._directory = directory
        self.reached = directory / "reached"

    def make(self, job: str, fault: str = "") -> tuple[list[int], Sampler]:
        """Make a run of a job, in as many processes as needed; return their exit codes."""
        self._endpoint.script(SCRIPT)
        self._endpoint.reset()
        return self._make(job, fault, "run", {"canary": CANARY})

    def redrive(self, job: str, fault: str = "") -> tuple[list[int], Sampler]:
        """Make another run of the job, which redrives some of its successes."""
        return self._make(job, fault, "again", {"redrive": "successes", "redrive_key": AGAIN})

    def _make(
        self, job: str, fault: str, name: str, params: dict[str, Any]
    ) -> tuple[list[int], Sampler]:
        codes: list[int] = []
        with Sampler(self._dsn, job, self._seen, every_s=0.2) as sampler:
            while codes in ([], [-9]):
                codes.append(
                    self._nursery.make(self._passage(job, "" if codes else fault, name, params))
                )
        return codes, sampler

    def _passage(self, job: str, fault: str, name: str, params: dict[str, Any]) -> Passage:
        return Passage(
            dsn=self._dsn,
            endpoint_url=self._endpoint.url,
            params={
                "bucket": "bucket",
                "prefix": "data/",
                "function": "f",
                "event": "s3",
                "job": job,
                "items_per_call": ITEMS_PER_CALL,
                "max_concurrency": MAX_CONCURRENCY,
                "max_attempts": 2,
                **params,
            },
            dag_run_id=f"{job} {name}",
            journal=str(self._directory / f"journal {name}"),
            notices=str(self._directory / "notices"),
            fault=fault,
            reached=str(self.reached),
        )

    def _seen(self) -> Seen:
        stats = self._endpoint.stats()
        return Seen(stats.invocations, stats.deliveries)

    def violations(self, job: str) -> list[str]:
        notices = (self._directory / "notices").read_text().splitlines()
        executed = self._endpoint.items()
        return check(
            self._dsn,
            job,
            listed=KEYS,
            executed=executed,
            succeeded=self.succeeded(),
            poison={POISON},
            most_duplicates=MOST_OURS,
            notices=[json.loads(notice) for notice in notices],
        )

    def succeeded(self) -> Counter[str]:
        """Return the function's successes by item, as the endpoint counts them."""
        calls = [call for call in self._endpoint.calls() if call.executed]
        keys = [[unquote_plus(key) for key in call.keys] for call in calls]
        return Counter(key for call in keys if POISON not in call for key in call)

    def redriven(self, job: str) -> int:
        """Return how many items the runs of a job have redriven."""
        with psycopg2.connect(self._dsn) as conn, conn.cursor() as cur:
            cur.execute("SELECT sum(redriven)::int FROM retrofill.v_run WHERE job = %s", (job,))
            ((count,),) = cur.fetchall()
        conn.close()
        return int(count)

    def figures(self, job: str) -> dict[str, int]:
        """Return the results of a job, for the table."""
        with psycopg2.connect(self._dsn) as conn, conn.cursor() as cur:
            cur.execute("SELECT item_key FROM retrofill.v_item WHERE job = %s", (job,))
            places = Counter(row[0] for row in cur)
            cur.execute("SELECT retries, duplicates FROM retrofill.v_run WHERE job = %s", (job,))
            ((retries, ours),) = cur.fetchall()
        conn.close()
        # Without the poison and its neighbours, whose calls it made fail.
        succeeded = self.succeeded()
        theirs = sum(succeeded.values()) - len(succeeded)
        row = (
            1, len(places), OBJECTS - len(places), sum(count > 1 for count in places.values()),
            retries, ours, theirs, MOST_OURS,
        )  # fmt: skip
        return dict(zip(COLUMNS, row, strict=True))


@pytest.fixture
def made(dsn: str, endpoint: ScriptedEndpoint, nursery: Nursery, tmp_path: Path) -> Runs:
    return Runs(dsn, endpoint, nursery, tmp_path)


def test_a_run_without_a_kill_reaches_every_point(made: Runs) -> None:
    codes, sampler = made.make("whole")
    assert codes == [0]
    assert sampler.violations + made.violations("whole") == []
    reached = Counter(made.reached.read_text().split())
    assert {point: reached[point] for point in TIMES if reached[point] < TIMES[point]} == {}
    assert TIMES.keys() | OF_APPROVAL | OF_REPORTS == set(Point)


def kill(made: Runs, config: pytest.Config, point: Point, nth: int) -> None:
    job = f"{point} {nth}"
    codes, sampler = made.make(job, f"{point}:{nth}:kill")
    assert codes == [-9, 0]
    assert sampler.samples > 0
    assert sampler.violations + made.violations(job) == []
    figures = made.figures(job)
    assert figures["theirs"] <= MOST_TWICE
    row = config.stash[table].setdefault(point, dict.fromkeys(COLUMNS, 0))
    for name, figure in figures.items():
        row[name] += figure


@pytest.mark.parametrize(("point", "nth"), SOME)
def test_a_killed_run_continues(
    made: Runs, pytestconfig: pytest.Config, point: Point, nth: int
) -> None:
    kill(made, pytestconfig, point, nth)


@pytest.mark.faults
@pytest.mark.parametrize(("point", "nth"), [one for one in ALL if one not in SOME])
def test_a_run_killed_anywhere_continues(
    made: Runs, pytestconfig: pytest.Config, point: Point, nth: int
) -> None:
    kill(made, pytestconfig, point, nth)


def kill_redrive(made: Runs, point: Point, nth: int) -> None:
    job = f"again {point} {nth}"
    assert made.make(job)[0] == [0]
    codes, sampler = made.redrive(job, f"{point}:{nth}:kill")
    assert codes == [-9, 0]
    assert sampler.violations + made.violations(job) == []
    # An independent count: each was processed twice, except items in flight at the kill.
    succeeded = made.succeeded()
    again = {key for key in KEYS if fnmatch(key, AGAIN)}
    once = {key: 2 if key in again else 1 for key in KEYS if key != POISON}
    assert succeeded.keys() == once.keys()
    assert all(succeeded[key] >= times for key, times in once.items())
    assert sum(succeeded.values()) - sum(once.values()) <= MOST_TWICE
    assert made.redriven(job) == len(again)


def test_a_killed_redrive_of_successes_redrives_none_twice(made: Runs) -> None:
    kill_redrive(made, Point.CHUNK_COMMITTED, 3)


@pytest.mark.faults
@pytest.mark.parametrize(("point", "nth"), OF_REDRIVE)
def test_a_redrive_of_successes_killed_anywhere_continues(
    made: Runs, point: Point, nth: int
) -> None:
    kill_redrive(made, point, nth)
