"""Notifications by way of Apprise, over HTTP: taken, or the task fails; and who can take none."""

import json
from typing import Any

import pytest
from retrofill.config import RunConfig, params_for
from retrofill.model.errors import ConfigError, NotNotified
from retrofill.notifier import check_targets, notify_briefly, subject_of

from tests.faults.notices import noticing

# Of Apprise's own imports.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture
def config() -> RunConfig:
    asked = {"bucket": "bucket", "prefix": "in/", "function": "f", "notify_conn_id": "notices"}
    return params_for("s3").config(asked)


def test_what_a_service_does_not_take_is_an_error(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    with noticing() as notices, noticing() as others:
        both = [{"path": one.apprise_url, "tag": "all"} for one in (notices, others)]
        connection = {"conn_type": "apprise", "extra": {"config": both}}
        monkeypatch.setenv("AIRFLOW_CONN_NOTICES", json.dumps(connection))
        others.refusals = [500]
        with pytest.raises(NotNotified, match="'notices' did not take"):
            notify_briefly(config, "did not start", "no bucket", "retrofill", "run 1")
        notify_briefly(config, "did not start", "no bucket", "retrofill", "run 1")
        assert len(others.received) == 1
        assert others.received[0]["title"] == "Retrofill: retrofill did not start"
        assert "no bucket\nrun /dags/retrofill/runs/" in others.received[0]["message"]


@pytest.mark.parametrize(
    "extra",
    [
        {},
        {"config": "http://127.0.0.1"},
        {"config": {"path": "", "tag": "all"}},
        {"config": [{"path": "nobody knows this", "tag": "all"}]},
        {"config": 1},
    ],
    ids=str,
)
def test_a_connection_that_names_no_service_is_refused(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch, extra: dict[str, Any]
) -> None:
    connection = {"conn_type": "apprise", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_NOTICES", json.dumps(connection))
    with pytest.raises(ConfigError, match="'notices' names no service that Apprise knows"):
        check_targets(config)


def test_a_connection_that_names_a_service_passes_and_gets_nothing(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    with noticing() as notices:
        extra = {"config": {"path": notices.apprise_url, "tag": "all"}}
        connection = {"conn_type": "apprise", "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_NOTICES", json.dumps(connection))
        check_targets(config)
        assert notices.received == []


@pytest.mark.parametrize(
    ("title", "subject"),
    [
        ("Retrofill: s3://b/in/ → f is complete", "Retrofill: s3://b/in/ -> f is complete"),
        ("Retrofill: a\nb\x7f is complete", "Retrofill: a b  is complete"),
        ("Retrofill: größer", "Retrofill: gr??er"),
        ("x" * 200, "x" * 99),
    ],
)
def test_a_subject_is_what_sns_takes(title: str, subject: str) -> None:
    assert subject_of(title) == subject
