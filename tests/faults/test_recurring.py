"""Recurring jobs on a whole Airflow: dates in the past, runs that meet, assets, and notes."""

import re
from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from stack.endpoint import Reply, Rule
from tests.faults.test_scheduled import EACH_DAY, days_of, midnight, objects
from tests.faults.world import World

JOB = """
source: s3
schedule: {schedule}
{fields}
params:
  job: {name}
  bucket: {bucket}
  prefix: data/
  function: {bucket}
  event: s3
  notify_conn_id: notices
  {params}
"""
NARROW = """
from airflow.sdk import DAG
from retrofill.workflow import retrofill_dag

dag = retrofill_dag("retrofill_narrow", source="s3", schedule=None, max_active_runs=2)
"""


def add_job(
    jobs: Path, name: str, schedule: str, *params: str, fields: str = "", bucket: str = ""
) -> str:
    """Write a job file; return the id of its DAG."""
    text = JOB.format(
        name=name,
        bucket=bucket or name,
        schedule=schedule,
        fields=fields,
        params="\n  ".join(params),
    )
    (jobs / f"retrofill_{name}.yaml").write_text(text)
    return f"retrofill_{name}"


def daily(jobs: Path, name: str, since: int, *params: str, catchup: str = "false") -> str:
    fields = f"start_date: {midnight(since).date()}\ncatchup: {catchup}"
    return add_job(jobs, name, '"@daily"', "use_data_interval: true", *params, fields=fields)


def ends(world: World, dag_id: str) -> dict[str, str]:
    """Return how each DAG run of a DAG has ended."""
    return {
        one["dag_run_id"]: world.airflow.await_end(dag_id, one["dag_run_id"])
        for one in world.airflow.dag_runs(dag_id)
    }


def told(world: World, name: str, runs: int, within_s: float = 300) -> None:
    """Wait until so many runs of a job are notified."""
    query = "SELECT FROM retrofill.v_run WHERE job = %s AND notified_at IS NOT NULL OFFSET %s"
    world.await_row(query, name, runs - 1, within_s=within_s)


def runs_of(world: World, name: str) -> list[Any]:
    return world.rows(
        "SELECT run_id, interval_start, run.opened_at, run.closed_at, v_run.status::text AS status,"
        " v_run.sets, v_run.new, v_run.known, v_run.late"
        " FROM retrofill.run JOIN retrofill.v_run USING (run_id) WHERE v_run.job = %s"
        " ORDER BY run.opened_at",
        name,
    )


def one_after_another(runs: list[Any]) -> bool:
    return all(later.opened_at >= earlier.closed_at for earlier, later in pairwise(runs))


@pytest.mark.timeout(900)  # six DAG runs, one after another
def test_catch_up_takes_day_after_day_where_runs_wait(
    world: World, jobs: Path, figures: Callable[[str, Any], None]
) -> None:
    name = "caught-up"
    world.serve(name, objects(range(5)))
    dag_id = daily(
        jobs, name, 3, "reach_back_hours: 0", "max_items_per_set: 20", "overlap: wait",
        catchup="true",
    )  # fmt: skip
    world.airflow.unpause(dag_id, within_s=120)
    told(world, name, 3, within_s=600)
    found, ended = runs_of(world, name), ends(world, dag_id)
    figures("DAG runs", ended)
    figures("runs", [(f"{run.interval_start:%F}", run.sets, run.status) for run in found])
    assert {run.interval_start for run in found} == {midnight(ago) for ago in (3, 2, 1)}
    assert [(run.sets, run.new, run.status) for run in found] == [(2, EACH_DAY, "complete")] * 3
    assert one_after_another(found)
    assert len(ended) == 6
    assert set(ended.values()) == {"success"}
    assert days_of(world.endpoint.items()) == dict.fromkeys((3, 2, 1), EACH_DAY)
    assert world.rows("SELECT FROM retrofill.waiting") == []
    logs = [world.airflow.log(dag_id, dag_run_id, "open_run") for dag_run_id in ended]
    assert any("waiting, as overlap requires, for run" in log for log in logs)


def test_dates_in_the_past_each_take_their_interval(
    world: World, jobs: Path, figures: Callable[[str, Any], None]
) -> None:
    name = "past"
    world.serve(name, objects(range(7)))
    dag_id = daily(jobs, name, 30, "reach_back_hours: 0")
    world.airflow.unpause(dag_id, within_s=120)
    told(world, name, 1)
    world.airflow.trigger_as_of(dag_id, "as-of", midnight(5) + timedelta(hours=7))
    assert world.airflow.await_end(dag_id, "as-of") == "success"
    assert runs_of(world, name)[-1].interval_start == midnight(6)

    world.airflow.backfill(dag_id, midnight(5), midnight(3), backwards=True, at_once=1)
    told(world, name, 5)
    found = runs_of(world, name)
    figures("runs", [(f"{run.interval_start:%F}", run.new, run.status) for run in found])
    assert [run.interval_start for run in found] == [midnight(ago) for ago in (1, 6, 3, 4, 5)]
    assert set(ends(world, dag_id).values()) == {"success"}
    assert days_of(world.endpoint.items()) == dict.fromkeys((1, 6, 3, 4, 5), EACH_DAY)


def test_backwards_what_is_late_is_taken_once_by_the_first_run_that_lists_it(
    world: World, jobs: Path, figures: Callable[[str, Any], None]
) -> None:
    name = "backwards"
    world.serve(name, objects(range(6)))
    dag_id = daily(jobs, name, 30, "overlap: wait")
    world.airflow.unpause(dag_id, within_s=120)
    told(world, name, 1)
    world.airflow.backfill(dag_id, midnight(5), midnight(3), backwards=True, at_once=3)
    told(world, name, 4)
    found = runs_of(world, name)
    figures("runs", [(f"{run.interval_start:%F}", run.new, run.known, run.late) for run in found])
    assert one_after_another(found)
    assert set(ends(world, dag_id).values()) == {"success"}
    assert days_of(world.endpoint.items()) == dict.fromkeys((5, 4, 3, 2, 1), EACH_DAY)
    assert sum(run.new for run in found) == 5 * EACH_DAY


def test_runs_that_wait_do_not_keep_the_run_they_wait_for_from_going_on(
    world: World, jobs: Path, figures: Callable[[str, Any], None]
) -> None:
    """Two places: the run's next set stands behind a DAG run that takes its place, and waits."""
    name, dag_id = "narrow", "retrofill_narrow"
    (jobs.parent / "narrow.py").write_text(NARROW)
    asked = world.serve(name, 50, latency=0.2)
    asked |= {"max_items_per_set": 20, "overlap": "wait", "max_concurrency": 2}
    world.airflow.unpause(dag_id, within_s=120)
    world.airflow.trigger(dag_id, "first", asked)
    world.await_row("SELECT FROM retrofill.v_run WHERE job = %s", name)
    for number in range(2):
        world.airflow.trigger_as_of(dag_id, f"later-{number}", midnight(1), asked)
    told(world, name, 3)
    ended = ends(world, dag_id)
    tries = {
        dag_run_id: [
            one["try_number"]
            for one in world.airflow.task_instances(dag_id, dag_run_id)
            if one["task_id"] == "open_run"
        ]
        for dag_run_id in ended
    }
    figures("DAG runs", (ended, tries))
    assert set(ended.values()) == {"success"}
    assert len(runs_of(world, name)) == 3
    assert len(world.attempts(name)) == 50
    log = "".join(world.airflow.log(dag_id, f"later-{number}", "open_run") for number in range(2))
    assert ", which needs the slot of this DAG run" in log


def test_a_job_runs_after_another_is_complete_and_only_then(
    world: World, jobs: Path, figures: Callable[[str, Any], None]
) -> None:
    name, dag_id = "before", "retrofill_before"
    add_job(jobs, name, "none", "max_items_per_set: 20", "max_failure_percent: 10")
    after = add_job(jobs, "after", "{assets: [retrofill://jobs/before]}", bucket=name)
    world.serve(name, 50)
    for each in (dag_id, after):
        world.airflow.unpause(each, within_s=120)

    world.break_with(Rule(reply=Reply(function_error="ValueError", message="no")))
    world.airflow.trigger(dag_id, "stopped", {})
    assert world.airflow.await_end(dag_id, "stopped") == "failed"
    assert world.airflow.asset_events(dag_id) == []
    note = world.airflow.note(dag_id, "stopped")
    figures("note of a run that was stopped", note)
    assert "incomplete: 0 succeeded, 20 left" in note
    assert re.search(r"stopped: the first \d+ items all failed alike: ValueError", note)

    world.break_with()
    world.airflow.trigger(dag_id, "whole", {})
    told(world, name, 2)
    assert set(ends(world, dag_id).values()) == {"success", "failed"}
    (event,) = world.airflow.asset_events(dag_id)
    figures("event", event["extra"])
    report = world.report(name)
    assert event["uri"] == "retrofill://jobs/before"
    assert event["extra"]["run_id"] == report["run_id"]
    assert event["extra"]["succeeded"] == report["succeeded"] == 50
    assert report["sets"] == 2
    first, second = [
        world.airflow.note(dag_id, one["dag_run_id"])
        for one in world.airflow.dag_runs(dag_id)
        if one["dag_run_id"] != "stopped"
    ]
    figures("notes of its two sets", [first, second])
    assert f"run {report['run_id']} of before: s3://before/data/ → " in first
    assert "complete: 50 succeeded" in second

    told(world, "after", 1)
    (following,) = world.airflow.dag_runs(after)
    assert following["run_type"] == "asset_triggered"
    assert world.airflow.await_end(after, following["dag_run_id"]) == "success"
    assert world.report("after")["succeeded"] == 50

    last = event["source_run_id"]
    world.airflow.clear(dag_id, last, "notify")
    assert world.airflow.await_end(dag_id, last) == "success"
    assert len(world.airflow.asset_events(dag_id)) == 1, "it was sent before"
