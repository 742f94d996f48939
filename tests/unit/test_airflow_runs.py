"""Airflow's limits on tasks are checked before a run opens."""

import logging
from datetime import timedelta

import pytest
from retrofill.airflow_runs import grace_s, require_time
from retrofill.model.errors import ConfigError

_GRACE = "AIRFLOW__RETROFILL__GRACE_PERIOD"


def test_a_task_that_ends_before_a_call_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"after 0:15:00 .*execution_timeout.* may take 900 s"):
        require_time(timedelta(minutes=15), 900)


@pytest.mark.parametrize("timeout", [None, timedelta(minutes=16)])
def test_a_refusal_shows_what_airflow_allows(
    timeout: timedelta | None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    require_time(timeout, 900)
    said = f"(max_map_length), {timeout or 'any time'} for each task (execution timeout)"
    assert said in caplog.text


@pytest.mark.parametrize(("given", "seconds"), [(None, 5.0), ("30", 30.0), ("0", 0.0)])
def test_the_grace_period_is_airflows_unless_it_is_set(
    given: str | None, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    if given is not None:
        monkeypatch.setenv(_GRACE, given)
    assert grace_s() == seconds


@pytest.mark.parametrize("given", ["soon", "-1", "nan", "inf"])
def test_a_grace_period_must_be_a_number_of_seconds(
    given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(_GRACE, given)
    with pytest.raises(ConfigError, match=rf"grace_period: .{given}. is not allowed; give a"):
        grace_s()
