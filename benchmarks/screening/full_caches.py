"""The same work beside caches of several sizes, in turns: what more of them costs.

Each size is a database of its own on one server: so many items of the job are results, and as many
are in process. In each round, and in each database, as many items are settled as are screened anew,
so the in-process cache keeps its size. What one size takes is compared with what the smallest takes
in the same round, next to it: so it matters little how fast the machine is just then.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext
from itertools import product
from statistics import median

from retrofill.model.runs import SetRef
from retrofill.state import batches

from benchmarks.screening.server import Database, WrongCountError
from benchmarks.screening.work import (
    JOB_ID,
    PAGE_ITEMS,
    Generated,
    Stopwatch,
    Watch,
    count,
    screen,
    settle_batch,
)
from benchmarks.table import table
from stack.services import Postgres

ROUND_ITEMS = 50_000
"""Items of each measurement: a batch of the largest size."""

ROUNDS = 15
_MILLION = 1_000_000


class Caches:
    """A database in which so many items are results, and as many are in process.

    :param round_items: how many items are handled at a time
    :param source: what lists them
    """

    def __init__(
        self, database: Database, items: int, round_items: int, source: type[Generated]
    ) -> None:
        self._source = source
        self.items = items
        self._database = database
        self._round_items = round_items
        database.fresh()
        self._conn = database.connect()
        self._next_item = 0
        self._unplanned: list[SetRef] = []
        self._batches: list[int] = []
        self._fill()

    def close(self) -> None:
        """Count what is in the caches, close the connection, and drop the database.

        :raises WrongCountError: they do not hold what they must
        """
        with closing(self._conn) as conn:
            waiting = count(conn, "SELECT count(*) FROM retrofill.in_process")
            self._expect("in process", waiting, self.items)
            results = count(conn, "SELECT count(*) FROM retrofill.results")
            self._expect("in results", results, self._next_item - self.items)
        self._database.drop()

    def stopwatch(self) -> Stopwatch:
        """Return what takes the time of its work."""
        return Stopwatch(self._conn)

    def checkpoint(self) -> None:
        """Have the server write out what has been done, in all its databases."""
        self._database.checkpoint()

    def screen_new(self, watch: Watch) -> None:
        """Screen items that the job does not know."""
        self._screen_next(self._round_items, watch)

    def screen_in_process(self, watch: Watch) -> None:
        """Screen items again that wait, from the middle of the cache."""
        back = max(self.items // 2, self._round_items)
        self._screen_known((self._next_item - back) // PAGE_ITEMS * PAGE_ITEMS, watch)

    def screen_results(self, watch: Watch) -> None:
        """Screen items again that are results: others each time, as far as there are others."""
        done = self._next_item - self.items
        self._screen_known(done % self.items, watch)

    def settle(self, watch: Watch) -> None:
        """Settle the items that have waited longest, with 100 items a call."""
        self._settle(self._round_items, watch)

    def _fill(self) -> None:
        self._screen_next(self.items, nullcontext())
        self._settle(self.items, nullcontext())
        self._screen_next(self.items, nullcontext())
        self._plan()
        self._database.vacuum()

    def _screen_next(self, items: int, watch: Watch) -> None:
        source = self._source(items, first=self._next_item)
        ref, screened = screen(self._conn, source, items, watch)
        self._expect("new", screened["new"], items)
        self._next_item += items
        self._unplanned.append(ref)

    def _screen_known(self, first: int, watch: Watch) -> None:
        source = self._source(self._round_items, first=first)
        _, screened = screen(self._conn, source, self._round_items, watch)
        self._expect("known", screened["known"], self._round_items)

    def _settle(self, items: int, watch: Watch) -> None:
        """Settle so many items, be they in one batch, in a part of it or in several."""
        while items:
            if not self._batches:
                self._plan()
            settled = settle_batch(self._conn, self._batches[0], watch, most_items=items)
            if settled < items:
                self._batches.pop(0)
            items -= settled

    def _plan(self) -> None:
        planned = batches.plan(
            self._conn,
            self._unplanned.pop(0),
            JOB_ID,
            most_items=self._round_items,
            fewest_items=self._round_items,
        )
        self._batches = [batch.batch_id for batch in planned]

    def _expect(self, what: str, items: int, wanted: int) -> None:
        if items != wanted:
            message = f"beside {self.items:,} items: {items:,} {what}, not {wanted:,}"
            raise WrongCountError(message)


WORKS: dict[str, Callable[[Caches, Watch], None]] = {
    "new items": Caches.screen_new,
    "known items, in process": Caches.screen_in_process,
    "settling, 100 items a call": Caches.settle,
    "known items, in results": Caches.screen_results,
}
HEADS = ("what", "items in each cache", "items/s", "÷ fewest", "CPU µs/item")


def measure(
    server: Postgres, sizes: list[int], source: type[Generated] = Generated
) -> Iterator[str]:
    """Yield the table's lines.

    :raises WrongCountError: something was screened or settled that should not, or was not
    """
    sizes = sorted(set(sizes))
    round_items = min(ROUND_ITEMS, sizes[0])
    seconds: dict[tuple[str, int], list[float]] = {key: [] for key in product(WORKS, sizes)}
    cpu_s = dict.fromkeys(seconds, 0.0)
    filled = []
    for items in sizes:
        print(f"filling the caches with {items:,} items each", file=sys.stderr)
        database = Database(server, f"caches_{items}")
        filled.append(Caches(database, items, round_items, source))
    for number in range(ROUNDS):
        filled[0].checkpoint()
        for name, work in WORKS.items():
            for caches in filled if number % 2 else reversed(filled):
                watch = caches.stopwatch()
                work(caches, watch)
                seconds[name, caches.items].append(watch.seconds)
                cpu_s[name, caches.items] += watch.cpu_s
    for caches in filled:
        caches.close()
    rows = []
    for (name, items), measured in seconds.items():
        # Beside the smallest of the same round.
        ratio = median(
            fewest / own for fewest, own in zip(seconds[name, sizes[0]], measured, strict=True)
        )
        rows.append(
            [
                name,
                f"{items:,}",
                f"{round_items / median(measured):,.0f}",
                f"{ratio:.2f}",
                f"{cpu_s[name, items] / ROUNDS / round_items * _MILLION:.1f}",
            ]
        )
    yield from table(HEADS, rows)
