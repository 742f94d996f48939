"""The counters count."""

from stack.endpoint.counts import Counts


def test_items_add_up_over_spellings_and_outcomes() -> None:
    counts = Counts()
    counts.note_items(["a+b", "c"], encoded=True, executed=True)
    counts.note_items(["a%20b"], encoded=True, executed=True)
    counts.note_items(["a b", "a+b"], encoded=False, executed=True)
    counts.note_items(["c"], encoded=True, executed=False)
    assert counts.items() == {"a b": 3, "a+b": 1, "c": 1}
    assert counts.items("received") == {"a b": 3, "a+b": 1, "c": 2}
    assert counts.items(above=1) == {"a b": 3}
    assert counts.deliveries == 5


def test_the_most_in_flight_begins_anew_at_a_reset() -> None:
    counts = Counts()
    for runs in (True, True, False):
        counts.enter(runs=runs)
    counts.leave(ran=True)
    counts.leave(ran=False)
    counts.reset()
    counts.enter(runs=True)
    stats = counts.stats()
    assert stats["max_in_flight_ever"] == 3
    assert stats["in_flight"] == stats["max_in_flight"] == 2
    assert stats["running"] == stats["max_running"] == 2
    assert stats["executions"] == 1


def test_invocation_ids_that_come_again_are_counted() -> None:
    counts = Counts()
    for identifier in (b"a", b"b", b"a", b"a"):
        counts.note_invocation_id(identifier)
    assert counts.repeated_invocation_ids == 2


def test_an_invocation_id_is_remembered_over_the_next_50_000_and_no_memory_grows() -> None:
    counts = Counts()
    counts.note_invocation_id(b"kept")
    for number in range(60_000):
        counts.note_invocation_id(b"%d" % number)
    counts.note_invocation_id(b"kept")
    assert counts.repeated_invocation_ids == 1
    for number in range(60_000, 200_000):
        counts.note_invocation_id(b"%d" % number)
    counts.note_invocation_id(b"kept")
    assert counts.repeated_invocation_ids == 1
