"""What Airflow lets tasks do is looked at before a run is opened."""

import logging
from datetime import timedelta

import pytest
from retrofill.airflow_runs import require_time
from retrofill.model.errors import ConfigError


def test_a_task_that_ends_before_a_call_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"after 0:15:00 .*execution_timeout.* may take 900 s"):
        require_time(timedelta(minutes=15), 900)


@pytest.mark.parametrize("timeout", [None, timedelta(minutes=16)])
def test_what_airflow_allows_is_said(
    timeout: timedelta | None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    require_time(timeout, 900)
    said = f"(max_map_length), {timeout or 'any time'} for each task (execution timeout)"
    assert said in caplog.text
