"""Threads that take turns: one runs at a time, chosen at random, and time is simulated.

A task of the simulation is a thread that runs the product's own code. It lets others run while it
waits (for a response, for time to pass) and at fault points; in between nothing else happens. So a
seed determines everything, and an hour passes at once.
"""

import heapq
from collections.abc import Callable
from itertools import count
from random import Random
from threading import Semaphore, Thread

STUCK_AFTER_S = 60.0
"""Real seconds that a task may work without letting others run."""

TICK_S = 0.001
"""Simulated seconds that each turn takes."""


class Killed(BaseException):  # not an Exception: nothing in the product may catch it
    """The process that ran this task is gone."""


class Stuck(Exception):
    """A task does not let others run: it waits for something that only they could do."""


class Task:
    """A simulated process."""

    def __init__(self, name: str, work: Callable[[], object]) -> None:
        self.name = name
        self.result: object = None
        self.error: BaseException | None = None
        self.ended = False
        self.wake_at = 0.0
        self.ready: Callable[[], bool] | None = None
        self.go_on = Semaphore(0)
        self.work = work


class Scheduler:
    """Runs tasks in turns until all have ended.

    :param seed: the source of all randomness
    :param between: called before each turn
    """

    def __init__(self, seed: int, between: Callable[[], None]) -> None:
        self.random = Random(seed)  # noqa: S311  a repeatable seed is the point
        self.now = 1_000.0
        self.current: Task | None = None
        self.turns = 0
        self._between = between
        self._tasks: list[Task] = []
        self._yielded = Semaphore(0)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()

    def start(self, name: str, work: Callable[[], object]) -> Task:
        """Start a task; it gets its first turn later."""
        task = Task(name, work)
        self._tasks.append(task)
        Thread(target=self._live, args=(task,), name=name, daemon=True).start()
        return task

    def at(self, moment: float, event: Callable[[], None]) -> None:
        """Let something happen at a simulated time."""
        heapq.heappush(self._events, (moment, next(self._order), event))

    def pause(self, seconds: float = 0.0, ready: Callable[[], bool] | None = None) -> None:
        """Let others run until the time has passed or `ready` is true."""
        task = self.current
        assert task is not None, "only a task can pause"
        task.wake_at, task.ready = self.now + seconds, ready
        self._yielded.release()
        task.go_on.acquire()

    def run(self) -> None:
        """Give turns until every task has ended.

        :raises Stuck: a task waits for another
        """
        while alive := [task for task in self._tasks if not task.ended]:
            able = [task for task in alive if self._able(task)]
            if not able:
                moments = [task.wake_at for task in alive if task.wake_at < float("inf")]
                moments += [moment for moment, _, _ in self._events[:1]]
                if not moments:
                    names = ", ".join(task.name for task in alive)
                    raise Stuck(f"all wait for each other: {names}")
                self.now = max(self.now, min(moments))
                self._happen()
                continue
            self._turn(self.random.choice(able))

    def _able(self, task: Task) -> bool:
        return task.wake_at <= self.now or (task.ready is not None and task.ready())

    def _turn(self, task: Task) -> None:
        self.turns += 1
        self.now += TICK_S
        self._happen()
        self._between()
        self.current = task
        task.go_on.release()
        if not self._yielded.acquire(timeout=STUCK_AFTER_S):
            raise Stuck(f"{task.name} has worked for {STUCK_AFTER_S:g} s")
        self.current = None

    def _happen(self) -> None:
        while self._events and self._events[0][0] <= self.now:
            heapq.heappop(self._events)[2]()

    def _live(self, task: Task) -> None:
        task.go_on.acquire()
        try:
            task.result = task.work()
        except BaseException as error:  # noqa: BLE001  the scheduler raises it
            task.error = error
        task.ended = True
        self._yielded.release()
