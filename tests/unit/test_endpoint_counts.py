"""The endpoint's counters."""

from stack.endpoint.counts import Counts


def test_items_add_up_over_outcomes() -> None:
    counts = Counts()
    counts.enter(["a", "b"], runs=True)
    counts.enter(["a"], runs=True)
    counts.enter(["a", "c"], runs=False)
    assert counts.items("executed", 0) == {"a": 2, "b": 1}
    assert counts.items("received", 0) == {"a": 3, "b": 1, "c": 1}
    assert counts.items("executed", 1) == {"a": 2}
    assert counts.stats.deliveries == 3


def test_a_reset_restarts_the_maximum_in_flight() -> None:
    counts = Counts()
    for runs in (True, True, False):
        counts.enter((), runs=runs)
    for _ in range(2):
        counts.leave()
    counts.reset()
    counts.enter((), runs=True)
    stats = counts.stats
    assert stats.max_in_flight_ever == 3
    assert stats.in_flight == stats.max_in_flight == 2
    assert stats.executions == 1
