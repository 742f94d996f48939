"""Ours: the whole invoke stage of a planned batch."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from benchmarks.contenders.work import Work, contend
from benchmarks.task import invoke_task


@contextmanager
def opened(_: Work) -> Iterator[Callable[[], None]]:
    """Open the data plane; claim, encode, write ahead, sign, send, read and settle come after."""
    with invoke_task(1) as invoke:
        yield lambda: invoke(1)


if __name__ == "__main__":
    contend(opened)
