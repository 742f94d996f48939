"""F6, and F12, F19 and F20 as Airflow has them: its own processes die, tasks are cleared."""

import os
import signal
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import psycopg2
import pytest

from stack.airflow import healthy
from stack.supervise import Supervisor
from tests.faults.fault_table import FaultTable
from tests.faults.world import World

OBJECTS = 3_000
PARAMS = {"items_per_call": 3, "max_concurrency": 16}
DOWN_S = 60
SOME_DONE = """
SELECT FROM retrofill.v_run WHERE job = %s AND succeeded BETWEEN listed / 10 AND listed / 2
    AND partitions_left = 0 AND listed > 0
"""


def supervisor_of(world: World) -> Callable[..., Any]:
    """Return what asks the supervisor of Airflow's processes."""
    return Supervisor(world.settings.directory)._call  # noqa: SLF001  tests alone steer so


def await_health(world: World) -> None:
    limit = time.monotonic() + 240
    while not healthy(world.settings):
        assert time.monotonic() < limit, "Airflow does not recover"
        time.sleep(0.5)


def assert_done(world: World, name: str) -> dict[str, Any]:
    assert world.airflow.await_end("retrofill_s3", name, within_s=400) == "success"
    report = world.report(name)
    assert (report["status"], report["succeeded"], report["items_left"]) == ("complete", OBJECTS, 0)
    assert world.notices.of(name) == [f"Retrofill: {name} is complete"]
    return report


@pytest.mark.parametrize("program", ["scheduler", "dag-processor", "triggerer"])
def test_f6_a_component_that_is_killed_is_started_again_and_the_run_goes_on(
    world: World, fault_table: FaultTable, program: str
) -> None:
    name = f"killed-{program}"
    world.trigger(name, world.serve(name, OBJECTS, latency=0.2) | PARAMS)
    world.await_row(SOME_DONE, name)
    ask = supervisor_of(world)
    before = ask("getProcessInfo", f"airflow:{program}")["pid"]
    os.kill(before, signal.SIGKILL)
    assert_done(world, name)
    assert ask("getProcessInfo", f"airflow:{program}")["pid"] != before
    evidence = world.evidence(name, OBJECTS, exact=False)
    what = "scheduler, DAG processor, triggerer killed with SIGKILL"
    # A try that was not adopted by the new scheduler leaves what it had in flight in doubt.
    in_flight = PARAMS["items_per_call"] * PARAMS["max_concurrency"]
    fault_table.hold("F6", what, evidence, bound=in_flight)
    await_health(world)


def test_f6_an_api_server_that_is_away_for_a_minute_delays_the_run(
    world: World, fault_table: FaultTable
) -> None:
    name = "api-server-away"
    world.trigger(name, world.serve(name, OBJECTS, latency=0.2) | PARAMS)
    world.await_row(SOME_DONE, name)
    ask = supervisor_of(world)
    ask("stopProcess", "airflow-api:api-server")
    time.sleep(DOWN_S)
    ask("startProcess", "airflow-api:api-server", False)  # noqa: FBT003  XML-RPC has no keywords
    await_health(world)
    assert_done(world, name)
    evidence = world.evidence(name, OBJECTS, exact=False)
    in_flight = 4 * PARAMS["items_per_call"] * PARAMS["max_concurrency"]
    fault_table.hold("F6", f"API server away for {DOWN_S} s", evidence, bound=in_flight)


def test_f12_two_dag_runs_of_one_job_at_once_and_one_that_is_cleared(
    world: World, fault_table: FaultTable
) -> None:
    name = "two-at-once"
    params = world.serve(name, OBJECTS, latency=0.05) | PARAMS
    for dag_run_id in ("two-1", "two-2"):
        world.trigger(dag_run_id, params)
    ends = [world.airflow.await_end("retrofill_s3", one) for one in ("two-1", "two-2")]
    reports = world.rows("SELECT * FROM retrofill.v_run WHERE job = %s", name)
    assert ends == ["success", "success"]
    assert [row.listed for row in reports] == [OBJECTS, OBJECTS]
    assert sum(row.new for row in reports) == sum(row.succeeded for row in reports) == OBJECTS
    what = "two DAG runs of one job; cleared from its first task on"
    calls = world.endpoint.stats().invocations
    world.airflow.clear("retrofill_s3", "two-1", "open_run")
    assert world.airflow.await_end("retrofill_s3", "two-1") == "success"
    again = world.airflow.task_instances("retrofill_s3", "two-1")
    assert {one["try_number"] for one in again if one["task_id"] == "open_run"} == {2}
    assert world.endpoint.stats().invocations == calls
    fault_table.hold("F12", what, world.evidence(name, OBJECTS), bound=0)


def test_f19_f20_a_notification_that_is_refused_is_sent_by_a_later_try_and_xcom_is_small(
    world: World, fault_table: FaultTable
) -> None:
    name = "refused-notice"
    world.notices.refusals[:] = [500, 503]
    world.trigger(name, world.serve(name, OBJECTS, latency=0.01) | PARAMS)
    world.await_row("SELECT FROM retrofill.v_run WHERE job = %s AND notified_at IS NOT NULL", name,
                    within_s=240)  # fmt: skip
    assert_done(world, name)
    tries = {one["task_id"]: one["try_number"]
             for one in world.airflow.task_instances("retrofill_s3", name)}  # fmt: skip
    assert tries["notify"] == 3
    evidence = world.evidence(name, OBJECTS)
    fault_table.hold("F19", "refused twice, in a DAG run", evidence, bound=0)
    with closing(psycopg2.connect(world.settings.metadata_dsn)) as conn, conn.cursor() as cur:
        cur.execute(
            "SELECT max(length(value::text)), count(*) FROM xcom WHERE run_id = %s", (name,)
        )
        longest, count = cur.fetchone()
        cur.execute("SELECT count(*) FROM task_instance WHERE run_id = %s", (name,))
        (instances,) = cur.fetchone()
    assert 0 < longest < 5_000
    fault_table.hold("F20", "XCom and tasks of a DAG run", evidence, bound=0)
    note = f"{instances} task instances, {count} XComs, the longest {longest:,} B"
    fault_table.note("F20", "XCom and tasks of a DAG run", note)
