"""How an invoke task's log and the report show calls that did not succeed."""

from retrofill.engine.progress import Progress
from retrofill.model.calls import EndedCall, Settlement, Span
from retrofill.model.report import troubles_text


def test_the_money_spent_is_shown() -> None:
    progress = Progress(2, now=0.0)
    assert "spent" not in progress.line(1.0, 0)
    progress.settled(Settlement(ended=[EndedCall(1, "succeeded", cost=0.25)]))
    assert ", $0.25 spent" in progress.line(2.0, 0)


def test_a_progress_line_shows_how_calls_ended_and_why() -> None:
    progress = Progress(10, now=0.0)
    ended = [
        EndedCall(1, "failed", cause="timed_out"),
        EndedCall(2, "failed", cause="out_of_memory"),
        EndedCall(3, "failed", cause="timed_out"),
        EndedCall(4, "too_large"),
        EndedCall(5, "succeeded"),
    ]
    progress.settled(Settlement(ended=ended))
    assert "3 failed (2 timed out, 1 out of memory), 1 too large" in progress.line(1.0, 0)


def test_outcomes_without_calls_are_left_out() -> None:
    assert troubles_text({"failed": 0, "lost": 0}, {"crashed": 0}) == ""
    assert troubles_text({"failed": 0, "lost": 1_000}, {}) == "1,000 lost"


def test_the_time_left_is_that_of_the_slowest_items() -> None:
    progress = Progress(1_000, now=0.0)
    progress.settled(Settlement(ended=[EndedCall(1, "succeeded")], succeeded=[(Span(1, 990), 1)]))
    assert progress.line(10.0, 0).endswith("about 0 s to go")
    # The last ten fail and wait between attempts.
    assert "to go" not in progress.line(15.0, 0)
    progress.settled(Settlement(ended=[EndedCall(2, "succeeded")], succeeded=[(Span(991, 991), 2)]))
    assert progress.line(25.0, 0).endswith("about 90 s to go")
