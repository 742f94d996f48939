"""The cost of screening and settling: by the size of the set, and with full caches.

Run ``make bench-screening``. It starts a separate Postgres with the settings of the embedded stack.
Prints tables in Markdown; the exit code is 1 if a count is wrong.
"""

import sys
from collections.abc import Iterator

from benchmarks.command import exit_code, sizes_asked
from benchmarks.screening import full_caches, whole_sets
from benchmarks.server import Database, fill_log
from benchmarks.sources import PAGE_ITEMS, Generated, Shuffled
from stack.services import temporary_postgres


def measure(sizes: list[int]) -> Iterator[str]:
    """Yield the lines of all tables."""
    with temporary_postgres(durable=True) as server:
        fill_log(server)
        yield from whole_sets.measure(Database(server), sizes, whole_sets.ITEMS)
        yield ""
        yield from full_caches.measure(server, sizes, Generated)
        yield "\nWith an unordered source:\n"
        yield from full_caches.measure(server, sizes, Shuffled)
        yield "\nWith items of 1 kB:\n"
        yield from whole_sets.measure(Database(server), sizes, whole_sets.ROWS)


if __name__ == "__main__":
    defaults = [100_000, 1_000_000]
    asked = sizes_asked("benchmarks.screening", __doc__, defaults, multiples_of=PAGE_ITEMS)
    sys.exit(exit_code(measure(asked)))
