"""Notifications via Apprise, over HTTP: accepted, or the task fails; and bad connections."""

import json
from contextlib import closing
from typing import Any

import pytest
from retrofill.config import RunConfig, params_for
from retrofill.model.errors import ConfigError, NotNotified
from retrofill.notifier import check_targets, notify, notify_briefly
from retrofill.state import runs
from retrofill.state.connection import connect
from retrofill.state.triage import list_worst
from retrofill.targets import subject_of

from tests.faults.notices import noticing
from tests.integration.test_export import half_done

# From Apprise's own imports.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture
def config() -> RunConfig:
    asked = {"bucket": "bucket", "prefix": "in/", "function": "f", "notify_conn_id": "notices"}
    return params_for("s3").config(asked)


def test_a_notification_that_a_service_refuses_is_an_error(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    with noticing() as notices, noticing() as others:
        both = [{"path": one.apprise_url, "tag": "all"} for one in (notices, others)]
        connection = {"conn_type": "apprise", "extra": {"config": both}}
        monkeypatch.setenv("AIRFLOW_CONN_NOTICES", json.dumps(connection))
        others.refusals = [500]
        with pytest.raises(NotNotified, match="'notices' did not accept"):
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


def test_a_connection_with_a_service_passes_the_check_without_a_message(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    with noticing() as notices:
        extra = {"config": {"path": notices.apprise_url, "tag": "all"}}
        connection = {"conn_type": "apprise", "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_NOTICES", json.dumps(connection))
        check_targets(config)
        assert notices.received == []


def named(monkeypatch: pytest.MonkeyPatch, **extra: Any) -> None:
    """Return a function that defines the connection of a notifier."""
    connection = {"conn_type": "generic", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_NOTICES", json.dumps(connection))


def test_any_airflow_notifier_is_used_as_its_connection_defines(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    with noticing() as notices:
        monkeypatch.setenv("AIRFLOW_CONN_HOOK", notices.apprise_url.replace("json://", "http://"))
        said = {
            "title": "{{ title }}",
            "message": "{{ text }}",
            "type": "{{ report.status }} at {{ link }}, charts at {{ page }}",
        }
        named(
            monkeypatch,
            notifier="airflow.providers.http.notifications.http.HttpNotifier",
            kwargs={"http_conn_id": "hook", "json": said},
        )
        check_targets(config)
        assert notices.received == []
        # Texts of functions and users are not templates.
        notify_briefly(config, "did not start", "no {{ title }} {% x", "retrofill", "run 1")
        [received] = notices.received
        notices.refusals = [500]
        with pytest.raises(NotNotified, match="500"):
            notify_briefly(config, "did not start", "", "retrofill", "run 1")
    assert received == {
        "title": "Retrofill: retrofill did not start",
        "message": "Retrofill: retrofill did not start.\nno {{ title }} {% x\n"
        "run /dags/retrofill/runs/run%201\ncharts /retrofill/dags/retrofill/runs/run%201",
        "type": "did not start at /dags/retrofill/runs/run%201, charts at"
        " /retrofill/dags/retrofill/runs/run%201",
    }


@pytest.mark.parametrize(
    ("extra", "why"),
    [
        ({"notifier": "Class"}, "its extra must be"),
        ({"notifier": 1}, "its extra must be"),
        ({"notifier": "no.such.Class"}, "No module named 'no'"),
        ({"notifier": "os.path.join"}, "not a subclass of airflow.sdk.BaseNotifier"),
        ({"notifier": "builtins.dict"}, "not a subclass of airflow.sdk.BaseNotifier"),
        (
            {"notifier": "airflow.providers.http.notifications.http.HttpNotifier",
             "kwargs": {"nobody": "knows"}},
            "unexpected keyword argument 'nobody'",
        ),
    ],
)  # fmt: skip
def test_a_connection_that_names_no_notifier_is_refused(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch, extra: dict[str, Any], why: str
) -> None:
    named(monkeypatch, **extra)
    with pytest.raises(ConfigError, match="'notices' cannot notify: ") as refused:
        check_targets(config)
    assert why in str(refused.value)


def test_a_report_shows_failures_and_the_next_step(
    config: RunConfig, state_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(connect(state_dsn)) as conn, noticing() as notices:
        ref = half_done(state_dsn, conn)
        run = runs.get_run(conn, ref.run_id)
        report = runs.close_run(conn, ref.run_id)
        to = {"config": {"path": notices.apprise_url, "tag": "all"}}
        monkeypatch.setenv(
            "AIRFLOW_CONN_NOTICES", json.dumps({"conn_type": "apprise", "extra": to})
        )
        notify(config, report, "d", "r", worst=list_worst(conn, run.job_id, run.run_id))
    [received] = notices.received
    lines = received["message"].splitlines()
    assert lines[-4:] == [
        "failed: 3 items by 'Runtime.HandlerError', such as 'a\\nb'",
        "to do: clear the failed tasks, or start another run of the job, to continue",
        "run /dags/d/runs/r",
        "charts /retrofill/dags/d/runs/r",
    ]


@pytest.mark.parametrize(
    ("title", "subject"),
    [
        ("Retrofill: s3://b/in/ → f is complete", "Retrofill: s3://b/in/ -> f is complete"),
        ("Retrofill: a\nb\x7f is complete", "Retrofill: a b  is complete"),
        ("Retrofill: größer", "Retrofill: gr??er"),
        ("x" * 200, "x" * 99),
    ],
)
def test_a_subject_is_valid_for_sns(title: str, subject: str) -> None:
    assert subject_of(title) == subject
