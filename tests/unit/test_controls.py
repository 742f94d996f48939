"""What you may type for a limit, and how anything else is refused."""

import pytest
from retrofill.model.errors import ConfigError
from retrofill.pipeline.controls import ACTIONS, LIMITS, change

CONCURRENCY = LIMITS["max_concurrency"]


@pytest.mark.parametrize("text", ["1", " 50 ", "10000", "0010"])
def test_whole_numbers_within_the_bounds_are_taken(text: str) -> None:
    assert CONCURRENCY.parse(text) == int(text)


@pytest.mark.parametrize(
    "text",
    ["", "0", "-1", "10001", "1.5", "1e3", "ten", "\u0661", "9" * 5_000, "1_0", "0x10"],
)
def test_other_numbers_are_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(ConfigError) as refused:
        CONCURRENCY.parse(text)
    message = str(refused.value)
    assert message.startswith("max_concurrency: '")
    assert message.endswith("give a whole number from 1 to 10,000")
    assert len(message) < 140


@pytest.mark.parametrize(("text", "dollars"), [("25", 25.0), ("0.5", 0.5), ("1234.56", 1_234.56)])
def test_dollars_have_cents(text: str, dollars: float) -> None:
    assert LIMITS["max_cost"].parse(text) == dollars


@pytest.mark.parametrize("text", ["0", "-1", "1e3", "nan", "inf", "0.5.5", ".5", "5.", "$5"])
def test_other_amounts_are_refused(text: str) -> None:
    with pytest.raises(
        ConfigError, match=r"max_cost: .* is not allowed; give a number from 0\.0001 to"
    ):
        LIMITS["max_cost"].parse(text)


def test_an_optional_limit_says_so() -> None:
    assert LIMITS["max_calls_per_second"].parse(" ") is None
    with pytest.raises(ConfigError, match="or nothing for no limit"):
        LIMITS["max_calls_per_second"].parse("0")


def test_the_limits_are_those_of_the_trigger_form() -> None:
    bounds = {name: (one.minimum, one.maximum, one.may_be_empty) for name, one in LIMITS.items()}
    assert bounds["max_concurrency"] == (1, 10_000, False)
    assert bounds["max_calls_per_second"] == (1, 100_000, True)
    assert bounds["max_failure_percent"] == (0, 100, False)
    assert LIMITS["max_cost"].title == "Cost in all"
    assert {"pause", "resume", "stop", "max_percent_by_cause", *LIMITS} == set(ACTIONS)


def test_an_unknown_action_changes_nothing() -> None:
    with pytest.raises(
        ConfigError, match="action: 'drop' is not allowed; give one of pause, resume, stop"
    ):
        change(None, 1, "drop", "", "Ada")  # type: ignore[arg-type]
