"""Values that are read once for all who ask at the same time."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from retrofill.web.shared import FRESH_S, MOST_KEPT, Shared


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def shared(clock: Clock) -> Shared[int]:
    return Shared(clock=clock)


def test_a_fresh_value_is_not_read_again(shared: Shared[int], clock: Clock) -> None:
    reads = iter(range(100))
    assert shared.get("a", lambda: next(reads)) == 0
    clock.now = FRESH_S
    assert shared.get("a", lambda: next(reads)) == 0
    assert shared.get("b", lambda: next(reads)) == 1
    clock.now += 0.1
    assert shared.get("a", lambda: next(reads)) == 2
    shared.forget("a")
    assert shared.get("a", lambda: next(reads)) == 3
    assert shared.get("a", lambda: next(reads)) == 3


def test_a_second_reader_waits_for_the_first_ones_value(shared: Shared[int]) -> None:
    reads: list[int] = []
    began, go_on = threading.Event(), threading.Event()

    def read() -> int:
        began.set()
        go_on.wait(60)
        reads.append(1)
        return len(reads)

    with ThreadPoolExecutor(8) as viewers:
        found = [viewers.submit(shared.get, "a", read) for _ in range(8)]
        began.wait(60)
        go_on.set()
        assert {one.result(60) for one in found} == {1}
    assert reads == [1]


def test_an_error_reaches_only_its_reader(shared: Shared[int]) -> None:
    def fail() -> int:
        raise OSError

    with pytest.raises(OSError):  # noqa: PT011  it says nothing
        shared.get("a", fail)
    assert shared.get("a", lambda: 5) == 5


def test_the_number_of_kept_values_is_limited(shared: Shared[int]) -> None:
    for key in range(MOST_KEPT + 1):
        shared.get(key, lambda: 1)
    assert shared.get(MOST_KEPT, lambda: 2) == 1
    assert shared.get(0, lambda: 2) == 2
