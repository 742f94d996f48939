"""Notifications by way of Apprise, over HTTP: taken, or the task fails."""

import json

import pytest

from include.retrofill.config import RunConfig
from include.retrofill.model.errors import NotNotified
from include.retrofill.notifier import notify
from tests.faults.notices import noticing

# Of Apprise's own imports.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture
def config() -> RunConfig:
    asked = {"bucket": "bucket", "prefix": "in/", "function": "f", "notify_conn_id": "notices"}
    return RunConfig.from_params(asked)


def test_what_a_service_does_not_take_is_an_error(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    with noticing() as notices, noticing() as others:
        both = [{"path": one.apprise_url, "tag": "all"} for one in (notices, others)]
        connection = {"conn_type": "apprise", "extra": {"config": both}}
        monkeypatch.setenv("AIRFLOW_CONN_NOTICES", json.dumps(connection))
        others.refusals = [500]
        with pytest.raises(NotNotified, match="'notices' did not take"):
            notify(config, None, "retrofill", "run 1")
        notify(config, None, "retrofill", "run 1")
        assert len(others.received) == 1
        assert "did not start" in others.received[0]["title"]
