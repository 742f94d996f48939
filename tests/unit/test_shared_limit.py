"""Several windows under one limit, in a model of the endpoint and of the loops that call it."""

import heapq
import random
from dataclasses import dataclass, field

import pytest
from retrofill.engine.concurrency import ConcurrencyWindow
from retrofill.engine.shares import Share, Standing, Totals, allot
from retrofill.model.limits import Limits

LIMIT = 30
REFUSAL_S = 0.003
LOOK_S = 0.005
ASK_S = 1.0
NOTHING_SAID = Share(False, False, 0, 0, 0, None)  # noqa: FBT003


@dataclass
class Task:
    """An invoke task: its window, the calls it has left, and its last report."""

    number: int
    left: int
    looks_at: float
    window: ConcurrencyWindow
    asks_at: float = 0.0
    in_flight: int = 0
    under_way: list[tuple[float, bool, float]] = field(default_factory=list)
    said: Share = NOTHING_SAID


@dataclass
class Run:
    """Tasks that call an endpoint, which throttles above LIMIT."""

    tasks: list[Task]
    service_s: float
    rng: random.Random
    busy_until: list[float] = field(default_factory=list)
    width: int | None = None
    refused: int = 0
    now: float = 0.0

    def work(self) -> None:
        """Work until every call has been made."""
        while active := [task for task in self.tasks if task.left]:
            task = min(active, key=lambda task: task.looks_at)
            self.now = task.looks_at
            if self.now >= task.asks_at:
                self.ask(task)
            self.look(task)
            task.looks_at = self.now + LOOK_S * self.rng.random()

    def ask(self, task: Task) -> None:
        """Do what the state and the task do each second."""
        shares = [
            other.said._replace(own=other is task, active=bool(other.left)) for other in self.tasks
        ]
        standing = Standing(Limits(max_concurrency=10**6, max_items_per_set=1), width=self.width)
        width = task.window.width
        found = allot(
            standing,
            shares,
            Totals(0, 0, 0),
            wanted=task.left,
            in_flight=task.in_flight,
            width=width,
        )
        task.window.agree(found.width, found.tasks)
        self.width = found.run_width
        task.said = task.said._replace(
            wanted=task.left,
            width=width if found.width is None else found.width,
            in_flight=task.in_flight,
        )
        task.asks_at = self.now + ASK_S

    def look(self, task: Task) -> None:
        """End calls that are over, and send as many as there is room for."""
        while task.under_way and task.under_way[0][0] <= self.now:
            _, refused, sent_at = heapq.heappop(task.under_way)
            task.window.ended(throttled=refused, sent_at=sent_at, now=self.now)
            task.in_flight -= 1
            task.left -= not refused
            self.refused += refused
        while self.busy_until and self.busy_until[0] <= self.now:
            heapq.heappop(self.busy_until)
        for _ in range(min(task.window.room(self.now), task.left - task.in_flight)):
            task.window.sent()
            task.in_flight += 1
            refused = len(self.busy_until) >= LIMIT
            takes_s = REFUSAL_S if refused else self.service_s * self.rng.uniform(0.7, 1.3)
            if not refused:
                heapq.heappush(self.busy_until, self.now + takes_s)
            heapq.heappush(task.under_way, (self.now + takes_s, refused, self.now))


@pytest.mark.parametrize("tasks", [2, 4, 16])
@pytest.mark.parametrize("service_s", [0.05, 0.2, 1.0])
def test_together_they_reach_the_limit_and_few_calls_are_refused(
    tasks: int, service_s: float
) -> None:
    calls = round(6_000 / tasks)
    rng = random.Random(1)  # noqa: S311  a model
    run = Run(
        [
            Task(number, calls, rng.random(), ConcurrencyWindow(200, now=0.0))
            for number in range(tasks)
        ],
        service_s,
        rng,
    )
    for task in run.tasks:
        task.said = task.said._replace(batch_id=task.number)
    run.work()
    best = LIMIT / (service_s + LOOK_S / 4)
    assert run.refused / (run.refused + calls * tasks) < 0.03
    assert calls * tasks / run.now > 0.8 * best
