"""The stored plan: its texts, histograms and checks."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from retrofill.engine.histogram import Histograms
from retrofill.functions.kind import Capacity
from retrofill.model.amounts import in_bytes, in_range, in_time
from retrofill.model.approval import Approval, ApprovalStatus
from retrofill.model.cost import dollars
from retrofill.model.items import Measure
from retrofill.model.limits import Limits
from retrofill.model.plan import Check, Counts, FirstPayload, RunPlan
from retrofill.pipeline.admission import Slots, admission

NOW = datetime(2026, 1, 2, tzinfo=UTC)
COUNTS = Counts(
    listed=10, known=2, new=8, late=0, left_out={"filtered": 3}, resumed=0, redriven=0,
    with_others=0, items=8, calls=4, batches=1, payload_bytes=2_048, item_bytes=None,
    partitions_left=0,
)  # fmt: skip
LIMITS = Limits(max_concurrency=50, max_items_per_set=1_000)
PLAN = RunPlan(
    counts=COUNTS,
    sizes=[],
    ages=[],
    payload=None,
    target=[("source", "s3://bucket/a_b*c")],
    limits=LIMITS.as_json(),
)
SLOTS = Slots(parallelism=32, max_active_tasks=16, pool="default_pool")


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, "0 bytes"), (999, "999 bytes"), (1_234, "1.2 kB"), (5_000_000_000, "5.0 GB")],
)
def test_bytes_are_shown_in_decimal_units(count: int, words: str) -> None:
    assert in_bytes(count) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.04, "0.0 s"), (9.94, "9.9 s"), (27.5, "28 s"), (59.7, "1 min 0 s"), (146, "2 min 26 s"),
        (3_660, "1 h 1 min"), (90_000, "1 d 1 h"),
    ],
)  # fmt: skip
def test_durations_are_shown_in_at_most_two_units(seconds: float, words: str) -> None:
    assert in_time(seconds) == words


@pytest.mark.parametrize(
    ("amount", "words"),
    [
        (None, "unknown"),
        ((2, 2, 2), "$2.00"),
        ((0, None, 0.5), "$0.00 to $0.50"),
        ((1, 1.5, 2_000), "$1.50 ($1.00 to $2,000.00)"),
    ],
)
def test_a_range_shows_its_known_bounds(amount: tuple[float, ...] | None, words: str) -> None:
    assert in_range(amount, dollars) == words


def test_a_stored_plan_reads_the_same() -> None:
    made = replace(
        PLAN,
        payload=FirstPayload.of(b'{"a":1}', 2),
        checks=[Check("concurrency", "50 calls in flight", None)],
    )
    assert RunPlan.from_json(made.as_json()) == made
    text = made.markdown({"filtered": "left out by filters"})
    assert "- source: s3://bucket/a\\_b\\*c" in text
    assert "- listed: 10 (8 new, 2 known)" in text
    assert "- left out by filters: 3" in text
    assert "- calls: 4 in 1 batch, exact" in text
    assert "| concurrency | **unknown** | 50 calls in flight |" in text
    assert '```\n{"a":1}\n```' in text


def test_unknown_values_are_shown_as_unknown() -> None:
    assert "their size is unknown" in PLAN.markdown({})
    more = replace(COUNTS, partitions_left=2)
    text = replace(PLAN, counts=more).markdown({})
    assert "items to call: 8, in this first set" in text
    assert "the number of their items and calls is unknown" in text
    guessed = replace(more, items_after=90, calls_after=45, batches_after=12)
    text = replace(PLAN, counts=guessed).markdown({})
    assert "estimated: up to about 90 items in about 45 calls and 12 batches" in text


def test_all_approved_limits_are_shown() -> None:
    limits = replace(
        LIMITS, ramp_minutes=10, max_calls_per_second=100, max_calls=1, max_cost=25,
        max_minutes=480, max_failure_percent=50, max_percent_by_cause={"timed_out": 2.5},
    )  # fmt: skip
    assert replace(PLAN, limits=limits.as_json()).words_of_limits == (
        "50 calls in flight, after a ramp of 10 min, 100 calls per second, 1 call in all,"
        " $25.00 in all, 480 min in all, at most 50 % failures, at most 2.5 % timed out"
    )


@pytest.mark.parametrize(
    ("dollars", "result"),
    [
        (None, "**unknown** | the forecast is unknown; the run stops at $25.00 |"),
        ((1, None, 30), "**unknown** | the forecast is $1.00 to $30.00; the run stops at $25.00 |"),
        (
            (1, 2, 25),
            "**fits** | the forecast is $2.00 ($1.00 to $25.00); the run stops at $25.00 |",
        ),
        (
            (26, 27, 28),
            "**too much** | the forecast is $27.00 ($26.00 to $28.00); the run stops at",
        ),
    ],
)
def test_the_cost_is_compared_with_the_limit(
    dollars: tuple[float, ...] | None, result: str
) -> None:
    limited = replace(PLAN, limits=replace(LIMITS, max_cost=25).as_json())
    text = replace(limited, forecast={"dollars": dollars}).markdown({})
    assert f"| max_cost | {result}" in text
    assert "max_cost" not in PLAN.markdown({})


def test_no_payload_ends_its_own_block() -> None:
    made = replace(PLAN, payload=FirstPayload.of(b"a ``` b ```` c", 1))
    assert made.markdown({}).endswith("`````\na ``` b ```` c\n`````")


def test_a_payload_is_cut_between_characters() -> None:
    payload = FirstPayload.of("é".encode() * 3_000, 1)
    assert (payload.length, payload.is_cut, payload.text) == (6_000, True, "é" * 2_000)


def test_histograms_hold_each_item_once() -> None:
    found = Histograms(NOW)
    found.add(
        [
            Measure(0, NOW),
            Measure(999, NOW - timedelta(hours=23)),
            Measure(1_000, NOW - timedelta(days=2)),
            Measure(5_000_000_000, NOW - timedelta(days=9_999)),
            Measure(None, None),
        ]
    )
    assert found.size == 5_000_001_999
    sizes = [(one.words, one.items, one.size) for one in found.sizes]
    assert sizes[:2] == [("below 1 kB", 2, 999), ("1 to 10 kB", 1, 1_000)]
    assert sizes[-2:] == [("1 GB and more", 1, 5_000_000_000), ("unknown", 1, None)]
    ages = [(one.words, one.items) for one in found.ages]
    assert ages[:2] == [("within a day", 2), ("1 to 7 days ago", 1)]
    assert ages[-2:] == [("more than 3 years ago", 1), ("unknown", 1)]
    for bins in (found.sizes, found.ages):
        assert sum(one.items for one in bins) == 5


def test_without_data_there_is_no_histogram() -> None:
    found = Histograms(NOW)
    found.add([Measure(None, None)])
    assert (found.sizes, found.ages, found.size) == ([], [], None)


def checked(limits: Limits = LIMITS, counts: Counts = COUNTS, **asked: Any) -> dict[str, Check]:
    usual = {"timeout_s": 60, "slots": SLOTS, "capacity": None, "database_bytes": 1}
    found = admission(counts, limits, **{**usual, **asked})
    return {check.name: check for check in found}


@pytest.mark.parametrize(("calls", "passed"), [(49, False), (50, True), (1_000, True)])
def test_concurrency_above_the_functions_limit_does_not_fit(calls: int, passed: bool) -> None:  # noqa: FBT001  of a case
    check = checked(capacity=Capacity(calls, "at once"))["concurrency"]
    assert check.passed is passed
    assert f"{calls:,} at once" in check.text


def test_an_unknown_limit_does_not_pass_the_check() -> None:
    assert checked()["concurrency"].passed is None
    assert checked()["disk of the state"].passed is None


def test_the_duration_is_estimated_from_the_functions_timeout() -> None:
    ten = replace(COUNTS, calls=1_000)
    says = "if each call took its timeout, 60 s, this set would take 20 min"
    assert says in checked(counts=ten)["time"].text
    enough = replace(LIMITS, max_minutes=20)
    assert checked(enough, ten)["time"].passed is True
    assert checked(replace(enough, max_minutes=19), ten)["time"].passed is None


def test_calls_above_the_limit_do_not_fit() -> None:
    assert "max_calls" not in checked()
    assert checked(replace(LIMITS, max_calls=4))["max_calls"].passed is True
    assert checked(replace(LIMITS, max_calls=3))["max_calls"].passed is False
    more = replace(COUNTS, partitions_left=1)
    assert checked(replace(LIMITS, max_calls=4), more)["max_calls"].passed is None


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (ApprovalStatus.WAITING, "waits for approval until 2026-01-03 00:00 UTC"),
        (ApprovalStatus.APPROVED, "approved by Ada at 2026-01-02 00:00 UTC"),
        (ApprovalStatus.REJECTED, "rejected by Ada at 2026-01-02 00:00 UTC"),
        (ApprovalStatus.EXPIRED, "expired at 2026-01-02 00:00 UTC: nobody answered"),
        (ApprovalStatus.ENDED, "not answered: the run ended at 2026-01-02 00:00 UTC"),
        (ApprovalStatus.VOID, "approved by Ada at 2026-01-02 00:00 UTC, but void now"),
    ],
)
def test_the_answer_to_a_plan_is_shown_with_user_and_time(state: ApprovalStatus, said: str) -> None:
    stored = {
        "status": state, "by": "Ada", "at": NOW.isoformat(),
        "until": (NOW + timedelta(days=1)).isoformat(),
    }  # fmt: skip
    approval = Approval.from_json_if_any(stored)
    assert approval is not None
    assert approval.text == said
    assert approval.is_negative is (state not in {ApprovalStatus.WAITING, ApprovalStatus.APPROVED})
    assert bool(approval.why) is (state is not ApprovalStatus.APPROVED)


@pytest.mark.parametrize(
    ("changed", "more", "said"),
    [
        (None, False, ""),
        (0, False, "0 changed since the plan, not called"),
        (12, False, "12 changed since the plan, not called"),
        (1_200, True, "at least 1,200 changed since the plan, not called"),
    ],
)
def test_changes_since_the_plan_are_shown(changed: int | None, more: bool, said: str) -> None:  # noqa: FBT001  of a case
    approval = Approval(status=ApprovalStatus.APPROVED, changed=changed, changed_more=more)
    assert approval.changes_text == said
