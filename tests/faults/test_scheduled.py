"""Recurring backfills: by the scheduler, and by Airflow's own Backfill over a range of dates."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from stack.endpoint import S3Object
from tests.faults.world import World

EACH_DAY = 30
JOB = """
source: s3
schedule: "@daily"
start_date: {start}
params:
  job: {name}
  bucket: {name}
  prefix: data/
  function: {name}
  event: s3
  use_data_interval: true
  reach_back_hours: 0
  max_items_per_set: {set_items}
  notify_conn_id: notices
"""


def midnight(days_ago: int) -> datetime:
    now = datetime.now(UTC)
    return now.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=days_ago)


def objects(days: range) -> list[S3Object]:
    """Make objects of the last days: one at the first moment of each, others later."""
    step = timedelta(days=1) / EACH_DAY
    return [
        S3Object(key=f"data/{ago}/{number}", modified_at=_whole(midnight(ago) + number * step))
        for ago in days
        for number in range(EACH_DAY)
    ]


def _whole(moment: datetime) -> datetime:
    return moment.replace(microsecond=0)


def add_job(jobs: Path, name: str, set_items: int) -> None:
    text = JOB.format(name=name, start=midnight(30).date(), set_items=set_items)
    (jobs / f"retrofill_{name}.yaml").write_text(text)


def days_of(items: dict[str, int]) -> dict[int, int]:
    """Return how many items came of each day, each of them once."""
    assert set(items.values()) <= {1}
    found: dict[int, int] = {}
    for key in items:
        ago = int(key.split("/")[1])
        found[ago] = found.get(ago, 0) + 1
    return found


def test_the_scheduler_and_a_backfill_take_the_objects_of_their_days(
    world: World, jobs: Path, figures: Callable[[str, Any], None]
) -> None:
    name, dag_id = "daily", "retrofill_daily"
    world.serve(name, objects(range(7)))
    add_job(jobs, name, 1000)
    world.airflow.unpause(dag_id, within_s=120)
    done = "SELECT FROM retrofill.v_run WHERE job = %s AND notified_at IS NOT NULL"
    world.await_row(done, name)
    (scheduled,) = world.airflow.dag_runs(dag_id)
    assert world.airflow.await_end(dag_id, scheduled["dag_run_id"]) == "success"
    figures("by the scheduler", f"{scheduled['dag_run_id']}: {days_of(world.endpoint.items())}")
    assert scheduled["run_type"] == "scheduled"
    assert days_of(world.endpoint.items()) == {1: EACH_DAY}

    world.endpoint.reset()
    world.airflow.backfill(dag_id, midnight(5), midnight(3))
    world.await_row(f"{done} OFFSET 3", name, within_s=240)
    backfilled = [one for one in world.airflow.dag_runs(dag_id) if one["run_type"] == "backfill"]
    ends = {one["dag_run_id"]: world.airflow.await_end(dag_id, one["dag_run_id"])
            for one in backfilled}  # fmt: skip
    windows = world.rows(
        "SELECT run.modified_after, run.modified_before, v_run.succeeded"
        " FROM retrofill.run JOIN retrofill.v_run USING (run_id)"
        " WHERE v_run.job = %s ORDER BY 1",
        name,
    )
    figures("by the backfill", f"{ends}: {days_of(world.endpoint.items())}")
    figures("windows", [(f"{row[0]:%F %T}", f"{row[1]:%F %T}", row[2]) for row in windows])
    assert set(ends.values()) == {"success"}
    assert days_of(world.endpoint.items()) == dict.fromkeys((5, 4, 3), EACH_DAY)
    assert [tuple(row) for row in windows] == [
        (midnight(ago), midnight(ago - 1), EACH_DAY) for ago in (5, 4, 3, 1)
    ]
    assert len(world.attempts(name)) == 4 * EACH_DAY
    assert world.notices.of(name) == [f"Retrofill: {name} is complete"] * 4


def test_a_day_larger_than_a_set_is_taken_whole(
    world: World, jobs: Path, figures: Callable[[str, Any], None]
) -> None:
    name, dag_id = "large-days", "retrofill_large-days"
    world.serve(name, objects(range(3)))
    add_job(jobs, name, 20)
    world.airflow.unpause(dag_id, within_s=120)
    query = "SELECT FROM retrofill.v_run WHERE job = %s AND notified_at IS NOT NULL"
    world.await_row(query, name)
    ends = {one["dag_run_id"]: world.airflow.await_end(dag_id, one["dag_run_id"])
            for one in world.airflow.dag_runs(dag_id)}  # fmt: skip
    figures("DAG runs", ends)
    report = world.report(name)
    assert set(ends.values()) == {"success"}
    assert (report["sets"], report["succeeded"], report["status"]) == (2, EACH_DAY, "complete")
    assert days_of(world.endpoint.items()) == {1: EACH_DAY}
    assert world.notices.of(name) == [f"Retrofill: {name} is complete"]
