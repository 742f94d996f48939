"""A task that hears nothing but refusals: since when, why, and when that stops its run."""

from datetime import UTC, datetime, timedelta

import pytest
from retrofill.engine.outcomes import Ended, Outcome
from retrofill.engine.refusals import REFUSED_S, Refusals
from retrofill.engine.shares import Share, Standing, Totals, allot
from retrofill.model.calls import Refused
from retrofill.model.limits import Limits

NOON = datetime(2026, 1, 2, 12, 0, 0, tzinfo=UTC)
TIMEOUT_S = 60
PATIENCE_S = REFUSED_S + TIMEOUT_S


def heard(*ended: tuple[float, Outcome]) -> Refusals:
    refusals = Refusals(TIMEOUT_S)
    for now, kind in ended:
        refusals.ended(Ended(kind, "E", str(now)), now=now)
    return refusals


def at(refusals: Refusals, now: float) -> Refused | None:
    return refusals.standing(now, NOON + timedelta(seconds=now))


def test_refusals_in_a_row_count_from_the_first_and_the_last_says_why() -> None:
    refusals = heard((1, Outcome.THROTTLED), (2, Outcome.STARTING), (5, Outcome.THROTTLED))
    since = NOON + timedelta(seconds=1)
    assert at(refusals, 11) == Refused(since, 10, "E: 5", PATIENCE_S)
    assert not refusals.take_answered()


def test_the_wait_that_a_refusal_asks_for_comes_on_top() -> None:
    refusals = heard((1, Outcome.THROTTLED))
    refusals.ended(Ended(Outcome.THROTTLED, retry_after_s=400.0), now=2)
    refused = at(refusals, 3)
    assert refused is not None
    assert refused.patience_s == PATIENCE_S + 400


@pytest.mark.parametrize("kind", sorted(set(Outcome) - {Outcome.THROTTLED, Outcome.STARTING}))
def test_whatever_else_a_call_ends_with_it_was_let_through(kind: Outcome) -> None:
    refusals = heard((1, Outcome.THROTTLED), (2, kind))
    assert at(refusals, 3) is None
    assert [refusals.take_answered(), refusals.take_answered()] == [True, False]


def test_while_nothing_may_be_sent_nothing_is_refused() -> None:
    refusals = heard((1, Outcome.THROTTLED))
    refusals.forget()
    assert at(refusals, 900) is None


def stop_reason(for_s: float, answered_s: float | None = None) -> str | None:
    refused = Refused(NOON, for_s, "E: why", PATIENCE_S)
    own = Share(True, True, 0, 0, 0, None, batch_id=1)  # noqa: FBT003
    standing = Standing(Limits(max_concurrency=10, max_items_per_set=1))
    totals = Totals(0, 0, 0, answered_s=answered_s)
    return allot(standing, [own], totals, wanted=5, in_flight=0, refused=refused).stop_reason


def test_a_run_of_which_every_call_is_refused_for_too_long_is_stopped() -> None:
    said = "every call was refused since 2026-01-02 12:00:00 UTC: E: why"
    assert stop_reason(PATIENCE_S) is None
    assert stop_reason(PATIENCE_S + 1) == said
    assert stop_reason(PATIENCE_S + 1, answered_s=PATIENCE_S + 1) == said


def test_a_task_that_is_refused_while_others_get_through_goes_on() -> None:
    assert stop_reason(10 * PATIENCE_S, answered_s=PATIENCE_S) is None
