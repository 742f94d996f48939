"""A task whose calls are all refused: since when, why, and when that stops its run."""

import pytest
from retrofill.engine.outcomes import Ending, Outcome
from retrofill.engine.refusals import REFUSED_S, Refusals
from retrofill.engine.shares import Share, Standing, Totals, allot
from retrofill.model.calls import Refused
from retrofill.model.limits import Limits

TIMEOUT_S = 60
PATIENCE_S = REFUSED_S + TIMEOUT_S


def heard(*ended: tuple[float, Outcome]) -> Refusals:
    refusals = Refusals(TIMEOUT_S)
    for now, kind in ended:
        refusals.ended(Ending(kind, "E", str(now)), now=now)
    return refusals


def test_a_series_of_refusals_starts_at_the_first_and_has_the_last_reason() -> None:
    refusals = heard((1, Outcome.THROTTLED), (2, Outcome.STARTING), (5, Outcome.THROTTLED))
    assert refusals.report(11) == Refused(10, "E: 5", PATIENCE_S)
    assert not refusals.take_answered()


def test_the_wait_that_a_refusal_asks_for_comes_on_top() -> None:
    refusals = heard((1, Outcome.THROTTLED))
    refusals.ended(Ending(Outcome.THROTTLED, retry_after_s=400.0), now=2)
    refused = refusals.report(3)
    assert refused is not None
    assert refused.patience_s == PATIENCE_S + 400


@pytest.mark.parametrize("kind", sorted(set(Outcome) - {Outcome.THROTTLED, Outcome.STARTING}))
def test_a_call_that_ends_in_any_other_way_was_let_through(kind: Outcome) -> None:
    refusals = heard((1, Outcome.THROTTLED), (2, kind))
    assert refusals.report(3) is None
    assert [refusals.take_answered(), refusals.take_answered()] == [True, False]


def test_refusals_do_not_count_while_nothing_may_be_sent() -> None:
    refusals = heard((1, Outcome.THROTTLED))
    refusals.forget()
    assert refusals.report(900) is None


def stop_reason(for_s: float, answered_s: float | None = None) -> str | None:
    refused = Refused(for_s, "E: why", PATIENCE_S)
    own = Share(True, True, 0, 0, 0, None, batch_id=1)  # noqa: FBT003
    standing = Standing(Limits(max_concurrency=10, max_items_per_set=1))
    totals = Totals(0, 0, 0, answered_s=answered_s)
    return allot(standing, [own], totals, wanted=5, in_flight=0, refused=refused).stop_reason


def test_a_run_whose_calls_are_all_refused_for_too_long_stops() -> None:
    said = "every call was refused for 6 minutes: E: why"
    assert stop_reason(PATIENCE_S) is None
    assert stop_reason(PATIENCE_S + 1) == said
    assert stop_reason(PATIENCE_S + 1, answered_s=PATIENCE_S + 1) == said


def test_a_refused_task_continues_while_others_get_through() -> None:
    assert stop_reason(10 * PATIENCE_S, answered_s=PATIENCE_S) is None
