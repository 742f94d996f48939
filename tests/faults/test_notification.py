"""F19: notifications that fail, get no answer, or are called for twice."""

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import psycopg2
import pytest
from airflow.sdk import AssetAlias
from retrofill import faults
from retrofill.faults import InjectedError, Point, armed
from retrofill.model.errors import NotNotified
from retrofill.notifying import NotifyOperator

from stack.endpoint import ScriptedEndpoint
from stack.services import free_port
from tests.faults.fault_table import FaultTable
from tests.faults.notices import Notices, noticing
from tests.faults.pipeline_run import Backfill, Ending
from tests.invariants import check

# Of Apprise's own imports.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

OBJECTS = 50


@dataclass
class World:
    backfill: Backfill
    ended: Ending
    notices: Notices

    def notify(self, **params: Any) -> None:
        """Do what the task does, for a run that was opened with these params."""
        with closing(psycopg2.connect(self.backfill.dsn)) as conn, conn, conn.cursor() as cur:
            cur.execute("UPDATE retrofill.run SET config = config || %s", (json.dumps(params),))
        alias = AssetAlias(self.backfill.job)
        context = {
            "params": {},
            "dag_run": SimpleNamespace(dag_id=self.backfill.job, run_id="run 1"),
            "ti": SimpleNamespace(get_dr_count=lambda **_: 0, get_dag=None),
            "inlet_events": {alias: SimpleNamespace(after=lambda _: [])},
            "outlet_events": {alias: SimpleNamespace(add=lambda *_: None)},
        }
        NotifyOperator(task_id="notify", source="s3", alias=alias).execute(context)  # type: ignore[arg-type]

    def is_notified(self) -> bool:
        ((notified_at, state),) = self.backfill.rows(
            "SELECT notified_at, state FROM retrofill.v_run"
        )
        assert state == "complete", "what becomes of the notification changes no run"
        return notified_at is not None

    def hold(self, table: FaultTable, what: str, times_sent: int) -> None:
        texts = [one["message"] for one in self.notices.received]
        assert len(texts) == times_sent
        assert len(set(texts)) <= 1
        table.hold("F19", what, self.backfill.evidence(), bound=0)
        assert check(self.backfill.dsn, "job", notices=texts) == []


@pytest.fixture
def world(
    state_dsn: str, endpoint: ScriptedEndpoint, monkeypatch: pytest.MonkeyPatch
) -> Iterator[World]:
    backfill = Backfill(dsn=state_dsn, endpoint=endpoint)
    backfill.serve(OBJECTS)
    monkeypatch.setenv("AIRFLOW_CONN_RETROFILL_STATE", state_dsn)
    with noticing() as notices:
        to = {"path": notices.apprise_url, "tag": "all"}
        connection = {"conn_type": "apprise", "extra": {"config": to}}
        monkeypatch.setenv("AIRFLOW_CONN_NOTICES", json.dumps(connection))
        yield World(backfill, backfill.run(), notices)


@pytest.mark.parametrize("status", [500, 503, 404, 0])
def test_f19_a_notification_that_is_not_taken_fails_the_task_and_is_sent_by_the_next_try(
    world: World, fault_table: FaultTable, status: int
) -> None:
    world.notices.refusals = [status]
    with pytest.raises(NotNotified, match="'notices' did not accept the notification"):
        world.notify(notify_conn_id="notices")
    assert not world.is_notified()
    world.notify(notify_conn_id="notices")
    assert world.is_notified()
    world.hold(fault_table, "refused or without an answer, then taken", times_sent=1)


def test_f19_a_notification_that_finds_nobody_fails_the_task(
    world: World, fault_table: FaultTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    to = {"path": f"json://127.0.0.1:{free_port()}", "tag": "all"}
    nobody = {"conn_type": "apprise", "extra": {"config": to}}
    monkeypatch.setenv("AIRFLOW_CONN_NOBODY", json.dumps(nobody))
    with pytest.raises(NotNotified):
        world.notify(notify_conn_id="nobody")
    assert not world.is_notified()
    world.hold(fault_table, "nobody listens", times_sent=0)


@pytest.fixture
def refusing_sns(world: World, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Return the param that names a topic which takes nothing: the scripted endpoint has no SNS."""
    aws = {
        "conn_type": "aws",
        "login": "key",
        "password": "secret",
        "extra": {"region_name": "us-east-1", "endpoint_url": world.backfill.endpoint.url},
    }
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps(aws))
    return {"notify_sns_topic_arn": "arn:aws:sns:us-east-1:000000000000:told"}


def test_f19_a_topic_that_is_not_taken_fails_the_task(
    world: World, fault_table: FaultTable, refusing_sns: dict[str, str]
) -> None:
    with pytest.raises(Exception, match="Publish"):
        world.notify(**refusing_sns)
    assert not world.is_notified()
    world.hold(fault_table, "SNS refuses", times_sent=0)


def test_f19_who_can_be_reached_is_told_although_another_target_refuses(
    world: World, fault_table: FaultTable, refusing_sns: dict[str, str]
) -> None:
    with pytest.raises(NotNotified, match="Publish"):
        world.notify(**refusing_sns, notify_conn_id="notices")
    assert not world.is_notified()
    world.hold(fault_table, "SNS refuses, the other target does not", times_sent=1)


def test_f19_a_task_that_is_called_again_after_it_has_sent_sends_nothing(
    world: World, fault_table: FaultTable
) -> None:
    for _ in range(3):
        world.notify(notify_conn_id="notices")
    world.hold(fault_table, "called three times", times_sent=1)


def test_f19_a_task_that_dies_between_sending_and_writing_so_sends_the_same_again(
    world: World, fault_table: FaultTable
) -> None:
    with faults.injected(armed(f"{Point.NOTIFIED}:1:raise")):
        with pytest.raises(InjectedError):
            world.notify(notify_conn_id="notices")
        assert not world.is_notified()
        world.notify(notify_conn_id="notices")
    assert world.is_notified()
    world.hold(fault_table, "sent, and not written down", times_sent=2)
