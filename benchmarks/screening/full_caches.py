"""The cost of larger caches: the same work with caches of several sizes, in turns.

Each size has its own database on one server, with this many items in each of the two caches. Each
round settles as many items as it screens, so the in-process cache keeps its size. Each size is
compared with the smallest in the same round, so the machine's current speed hardly matters.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, nullcontext
from itertools import product
from statistics import median

from benchmarks import runs
from benchmarks.command import FailedError, say
from benchmarks.measure import Stopwatch, Watch
from benchmarks.server import Database, number
from benchmarks.sources import PAGE_ITEMS, Generated
from benchmarks.table import table
from stack.services import Postgres

ROUND_ITEMS = 50_000
"""Items of each measurement: a batch of the largest size."""
ROUNDS = 15
_MILLION = 1_000_000


class Caches:
    """A database with this many items in each cache.

    :param round_items: the items of one measurement
    """

    def __init__(
        self, database: Database, items: int, round_items: int, source: type[Generated]
    ) -> None:
        self.items = items
        self._database = database
        self.round_items = round_items
        self._source = source
        self._next_item = 0
        self._batches: deque[int] = deque()
        database.create()
        self.conn = database.connect()
        self.screen_new(items, nullcontext())
        self.settle(items, nullcontext())
        self.screen_new(items, nullcontext())
        database.vacuum()

    def close(self) -> None:
        """Count the items in the caches, close the connection, and drop the database.

        :raises FailedError: the counts are wrong
        """
        with closing(self.conn):
            for cache, wanted in {
                "in_process": self.items,
                "results": self._next_item - self.items,
            }.items():
                held = number(self.conn, f"SELECT count(*) FROM retrofill.{cache}")  # noqa: S608
                self._expect(f"in {cache}", held, wanted)
        self._database.drop()

    def screen_new(self, items: int, watch: Watch) -> None:
        """Screen items that the job does not know, and plan them."""
        ref, screened = runs.screen(self.conn, self._source(items, first=self._next_item), watch)
        self._expect("new", screened["new"], items)
        self._next_item += items
        size = self.round_items
        self._batches += runs.plan(self.conn, ref, most_items=size, fewest_items=size)

    def screen_in_process(self, watch: Watch) -> None:
        """Screen waiting items again, from the middle of the cache."""
        back = max(self.items // 2, self.round_items)
        self._screen_known((self._next_item - back) // PAGE_ITEMS * PAGE_ITEMS, watch)

    def screen_results(self, watch: Watch) -> None:
        """Screen processed items again, if possible others each time."""
        self._screen_known((self._next_item - self.items) % self.items, watch)

    def _screen_known(self, first: int, watch: Watch) -> None:
        source = self._source(self.round_items, first=first)
        _, screened = runs.screen(self.conn, source, watch)
        self._expect("known", screened["known"], self.round_items)

    def settle(self, items: int, watch: Watch) -> None:
        """Settle the items that have waited longest, 100 per call."""
        while items:
            settled = runs.settle(self.conn, self._batches[0], watch, most_items=items)
            if settled < items:
                self._batches.popleft()
            items -= settled

    def _expect(self, what: str, items: int, wanted: int) -> None:
        if items != wanted:
            raise FailedError(
                f"with {self.items:,} items in each cache: {items:,} {what}, not {wanted:,}"
            )


WORKS: dict[str, Callable[[Caches, Watch], None]] = {
    "new items": lambda caches, watch: caches.screen_new(caches.round_items, watch),
    "known items, in process": Caches.screen_in_process,
    "settling, 100 items per call": lambda caches, watch: caches.settle(caches.round_items, watch),
    "known items, in results": Caches.screen_results,
}
HEADS = ("what", "items in each cache", "items/s", "÷ fewest", "CPU µs/item")


def measure(server: Postgres, sizes: Sequence[int], source: type[Generated]) -> Iterator[str]:
    """Yield the table's lines.

    :raises FailedError: a number of screened or settled items is wrong
    """
    sizes = sorted(set(sizes))
    round_items = min(ROUND_ITEMS, sizes[0])
    filled = []
    for items in sizes:
        say(f"filling the caches with {items:,} items each")
        database = Database(server, f"caches_{items}")
        filled.append(Caches(database, items, round_items, source))
    watches: dict[tuple[str, int], list[Stopwatch]] = {key: [] for key in product(WORKS, sizes)}
    for done in range(ROUNDS):
        Database(server).checkpoint()
        for name, work in WORKS.items():
            for caches in filled if done % 2 else reversed(filled):
                watch = Stopwatch(caches.conn)
                work(caches, watch)
                watches[name, caches.items].append(watch)
    for caches in filled:
        caches.close()
    rows = []
    for (name, items), measured in watches.items():
        pairs = zip(watches[name, sizes[0]], measured, strict=True)
        ratio = median(fewest.seconds / own.seconds for fewest, own in pairs)
        rows.append(
            [
                name,
                f"{items:,}",
                f"{round_items / median(one.seconds for one in measured):,.0f}",
                f"{ratio:.2f}",
                f"{sum(one.cpu_s for one in measured) / ROUNDS / round_items * _MILLION:.1f}",
            ]
        )
    yield from table(HEADS, rows)
