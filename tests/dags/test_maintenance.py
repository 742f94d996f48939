"""The maintenance DAGs, run in one process on a real Postgres."""

import sqlite3
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest
from retrofill.model.errors import ConfigError
from retrofill.params.maintenance import ForgetParams, MaintenanceParams

from tests.dags.run_dag import run_dag
from tests.dags.world import World

pytestmark = pytest.mark.timeout(400)  # each run of a DAG in one process takes many seconds

MAINTENANCE = ["rescue", "forget_calls", "forget_results"]


def say(world: World, *wanted: str) -> list[tuple[object, ...]]:
    with closing(psycopg2.connect(world.dsn)) as conn, conn, conn.cursor() as cur:
        for statement in wanted:
            cur.execute(statement)
        return cur.fetchall() if cur.description else []


def test_maintenance_closes_what_was_abandoned_and_forgets_what_is_old(world: World) -> None:
    world.put("in/a", "in/b")
    assert world.run()["dag_run"] == "success"
    say(
        world,
        "UPDATE retrofill.run SET closed_at = closed_at - interval '91 days'",
        # An open run of which no DAG run is left, as of a scheduler whose database was restored.
        "INSERT INTO retrofill.run (job_id, source, config, delivery, function,"
        " function_timeout_s, limits, opened_at)"
        " SELECT job_id, source, config, delivery, function, function_timeout_s,"
        " limits, now() - interval '1 day' FROM retrofill.run",
        "INSERT INTO retrofill.run_set (run_id, set_no, dag_id, dag_run_id, max_items, opened_at)"
        " VALUES (2, 1, 'retrofill', 'gone', 1, now() - interval '1 day')",
    )
    states = run_dag(world.environment, {}, "retrofill_maintenance")
    assert [states[name] for name in MAINTENANCE] == ["success", "success", "skipped"]
    assert states["dag_run"] == "success"
    assert "was abandoned, and is now closed as incomplete" in states["log"]
    assert "forgot 2 calls of runs closed more than 90 days ago" in states["log"]
    assert say(world, "SELECT state::text FROM retrofill.v_run ORDER BY run_id") == [
        ("complete",), ("incomplete",)
    ]  # fmt: skip
    assert say(world, "SELECT count(*) FROM retrofill.v_call") == [(0,)]
    assert say(world, "SELECT calls FROM retrofill.v_run WHERE run_id = 1") == [(2,)]
    assert say(world, "SELECT count(*) FROM retrofill.v_item") == [(2,)]


def test_a_run_is_left_alone_while_airflow_has_its_dag_run(world: World) -> None:
    """The run of a DAG run that the scheduler has not ended, though nobody was at work on it."""
    world.put("in/a", "in/b")
    assert world.run(max_items_per_set=1)["dag_run"] == "success"
    for table in ("run", "run_set"):
        say(world, f"UPDATE retrofill.{table} SET opened_at = now() - interval '1 day'")  # noqa: S608
    say(
        world,
        "UPDATE retrofill.batch SET done_at = now() - interval '1 day', leased_until = NULL,"
        " planned_at = now() - interval '1 day'",
    )
    # next_set has asked for the DAG run of the second set: it is queued.
    assert run_dag(world.environment, {}, "retrofill_maintenance")["rescue"] == "success"
    assert world.report()["status"] == "open"
    home = Path(world.environment["AIRFLOW_HOME"])
    with closing(sqlite3.connect(home / "airflow.db")) as conn, conn:
        ended = conn.execute("UPDATE dag_run SET state = 'failed' WHERE state = 'queued'")
        assert ended.rowcount >= 1
    assert run_dag(world.environment, {}, "retrofill_maintenance")["rescue"] == "success"
    assert world.report()["status"] == "incomplete"


def test_a_run_that_waits_for_a_paused_dag_is_told_of_once(world: World) -> None:
    world.put("in/a", "in/b")
    assert world.run(max_items_per_set=1)["dag_run"] == "success"

    def told(*, paused: bool) -> bool:
        home = Path(world.environment["AIRFLOW_HOME"])
        with closing(sqlite3.connect(home / "airflow.db")) as conn, conn:
            switched = conn.execute("UPDATE dag SET is_paused = ?", (paused,))
            assert switched.rowcount >= 1
        states = run_dag(world.environment, {}, "retrofill_maintenance")
        assert states["rescue"] == "success"
        return "because the DAG retrofill_s3 is paused" in states["log"]

    say(world, "UPDATE retrofill.run SET wait_notified_at = NULL")
    assert not told(paused=False)
    assert told(paused=True)
    assert not told(paused=True)


def test_a_job_is_forgotten_and_its_objects_are_new(world: World) -> None:
    world.put("in/a")
    assert world.run(job="thumbnails")["dag_run"] == "success"
    states = run_dag(world.environment, {"job": "thumbnails"}, "retrofill_forget")
    assert states["dag_run"] == "success"
    said = "deleted in this try: in_process 0, results 1, quarantine 0, calls 1, runs 1"
    assert said in states["log"]
    assert say(world, "SELECT count(*) FROM retrofill.job") == [(0,)]
    assert world.run(job="thumbnails")["dag_run"] == "success"
    assert world.report()["new"] == 1
    assert world.outputs() == ["in/a", "in/a"]


@pytest.mark.parametrize(
    ("params", "says"),
    [
        (
            {"keep_calls_days": 0},
            "keep_calls_days: 0 is not allowed; give a whole number from 1 to",
        ),
        ({"keep_calls_days": 9.0}, "keep_calls_days: 9.0 is not allowed; give a whole number"),
        (
            {"keep_results_days": True},
            "keep_results_days: True is not allowed; give a whole number",
        ),
        (
            {"keep_results_days": "30"},
            "keep_results_days: '30' is not allowed; give a whole number",
        ),
        ({"job": 7}, "job: 7 is not allowed; give the exact name of a job"),
        ({"keep": 7}, "keep: there is no such param; see the trigger form for all 3"),
        ({"job": ["json://u:hidden@h/x"]}, "job: ['json://… is not allowed; give the exact name"),
    ],
)
def test_what_cannot_be_meant_is_refused(params: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError) as found:
        MaintenanceParams.from_params(params)
    assert says in str(found.value)


@pytest.mark.parametrize("params", [{}, {"job": None}, {"job": ""}])
def test_nothing_is_forgotten_without_a_name(params: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=r"job: it is missing; give the exact name of a job"):
        ForgetParams.from_params(params)


def test_all_problems_are_reported_at_once() -> None:
    with pytest.raises(ConfigError) as found:
        MaintenanceParams.from_params({"keep_calls_days": 0, "keep_results_days": 0, "jobs": "x"})
    assert len(found.value.problems) == 3


def test_an_empty_form_keeps_results_for_ever() -> None:
    defaults = {name: field["default"] for name, field in MaintenanceParams.form_fields().items()}
    assert defaults == {"job": None, "keep_calls_days": 90, "keep_results_days": None}
    assert MaintenanceParams.from_params({**defaults, "job": ""}).job is None
