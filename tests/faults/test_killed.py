"""Processes that die in mid-batch: nothing is lost, and what is called twice is counted."""

import os
import signal
from collections.abc import Callable
from typing import Any

import psutil
import pytest

from tests.faults.fault_table import FaultTable
from tests.faults.world import World

OBJECTS = 3000
PARAMS = {"items_per_call": 3, "max_concurrency": 16}
HALF_DONE = """
    SELECT batch_id, holder, batch.epoch, batch.items, batch.succeeded, count(*) AS in_flight,
        sum(item_count)::integer AS items_in_flight
    FROM retrofill.batch
    JOIN retrofill.job USING (job_id)
    JOIN retrofill.invocation USING (batch_id)
    WHERE job.name = %s AND holder IS NOT NULL AND done_at IS NULL AND outcome IS NULL
        AND batch.succeeded BETWEEN batch.items / 5 AND batch.items / 2
    GROUP BY batch_id
    LIMIT 1
"""


def kill_task(task: psutil.Process, supervisor: psutil.Process) -> None:
    del supervisor
    task.kill()


def kill_supervisor(task: psutil.Process, supervisor: psutil.Process) -> None:
    del task
    supervisor.kill()


def kill_both(task: psutil.Process, supervisor: psutil.Process) -> None:
    for process in (supervisor, task):
        os.kill(process.pid, signal.SIGKILL)


@pytest.mark.parametrize("kill", [kill_task, kill_supervisor, kill_both])
def test_every_item_is_settled_once_and_each_second_call_is_counted(
    world: World,
    figures: Callable[[str, Any], None],
    fault_table: FaultTable,
    kill: Callable[[psutil.Process, psutil.Process], None],
) -> None:
    name = kill.__name__.replace("_", "-")
    params = world.serve(name, OBJECTS, latency=0.15) | PARAMS
    world.trigger(name, params)
    batch = world.await_row(HALF_DONE, name)
    task, supervisor = _processes(batch.holder)
    kill(task, supervisor)

    assert world.airflow.await_end("retrofill_s3", name) == "success"

    deliveries = world.endpoint.items()
    attempts = world.attempts(name)
    report = world.report(name)
    (lost,) = world.rows(
        "SELECT count(*) AS calls, coalesce(sum(item_count), 0)::integer AS items"
        " FROM retrofill.v_call WHERE job = %s AND outcome = 'lost'",
        name,
    )
    extra = sum(deliveries.values()) - len(deliveries)
    figures("killed at", f"{batch.succeeded} of {batch.items} items of a batch succeeded")
    figures("in flight when last looked", f"{batch.in_flight} calls, {batch.items_in_flight} items")
    figures("lost", f"{lost.calls} calls, {lost.items} items")
    figures("duplicates, counted by us", report["duplicates"])
    figures("duplicates, counted by the endpoint", extra)
    figures("calls", report["calls"])
    figures("most attempts of an item", max(attempts.values()))
    figures("seconds", f"{(report['closed_at'] - report['opened_at']).total_seconds():.1f}")

    assert len(attempts) == report["listed"] == report["succeeded"] == OBJECTS
    assert (report["status"], report["items_left"], report["quarantined"]) == ("complete", 0, 0)
    assert set(deliveries) == set(attempts)
    assert {key for key, count in deliveries.items() if count > attempts[key]} == set()
    assert extra <= report["duplicates"] <= lost.items
    assert 0 < lost.calls <= PARAMS["max_concurrency"]
    assert world.notices.of(name) == [f"Retrofill: {name} is complete"]
    tries = _tries(world, name)
    assert tries == [1] * (len(tries) - 1) + [2]
    (settled,) = world.rows(
        "SELECT epoch, items, succeeded FROM retrofill.batch WHERE batch_id = %s", batch.batch_id
    )
    assert settled == (batch.epoch + 1, batch.items, batch.items)
    what = "task, supervisor or both killed with SIGKILL"
    evidence = world.evidence(name, OBJECTS, exact=False)
    fault_table.hold("F5", what, evidence, bound=lost.items)


KILLS = 6
AT_WORK = """
    SELECT batch_id, holder, succeeded FROM retrofill.batch JOIN retrofill.job USING (job_id)
    WHERE job.name = %s AND batch_id = coalesce(%s, batch_id) AND epoch = %s AND succeeded >= %s
    LIMIT 1
"""


def test_a_task_that_is_killed_again_and_again_goes_on_while_it_makes_progress(
    world: World, figures: Callable[[str, Any], None], fault_table: FaultTable
) -> None:
    """More often than a task may be tried in vain."""
    name = "killed-again-and-again"
    params = world.serve(name, OBJECTS, latency=0.15) | PARAMS | {"items_per_call": 1}
    world.trigger(name, {**params, "max_concurrency": 8})
    batch_id, succeeded = None, 0
    for kill in range(1, KILLS + 1):
        batch = world.await_row(AT_WORK, name, batch_id, kill, succeeded + 50, within_s=150)
        _processes(batch.holder)[0].kill()
        batch_id, succeeded = batch.batch_id, batch.succeeded

    assert world.airflow.await_end("retrofill_s3", name, within_s=400) == "success"
    report = world.report(name)
    figures("seconds", f"{(report['closed_at'] - report['opened_at']).total_seconds():.1f}")
    assert (report["status"], report["succeeded"], report["items_left"]) == ("complete", OBJECTS, 0)
    assert report["lost_tasks"] == KILLS
    assert max(_tries(world, name)) == KILLS + 1
    bound = KILLS * 8
    evidence = world.evidence(name, OBJECTS, exact=False)
    fault_table.hold("F5", f"one task killed {KILLS} times", evidence, bound=bound)


def test_a_supervisor_that_stands_still_has_its_task_go_on_alone(
    world: World, figures: Callable[[str, Any], None], fault_table: FaultTable
) -> None:
    name = "stopped-supervisor"
    # So long that Airflow starts another try while the first one is at work.
    params = world.serve(name, OBJECTS, latency=0.5) | PARAMS | {"items_per_call": 1}
    world.trigger(name, params)
    batch = world.await_row(HALF_DONE, name)
    task, supervisor = _processes(batch.holder)
    supervisor.suspend()
    try:
        state = world.airflow.await_end("retrofill_s3", name)
    finally:
        supervisor.resume()

    deliveries = world.endpoint.items()
    attempts = world.attempts(name)
    report = world.report(name)
    extra = sum(deliveries.values()) - len(deliveries)
    figures("stopped at", f"{batch.succeeded} of {batch.items} items of a batch succeeded")
    figures("duplicates, counted by us", report["duplicates"])
    figures("duplicates, counted by the endpoint", extra)
    figures("seconds", f"{(report['closed_at'] - report['opened_at']).total_seconds():.1f}")
    assert state == "success"
    assert len(attempts) == report["succeeded"] == OBJECTS
    assert extra == report["duplicates"] == 0
    assert _tries(world, name)[-1] == 2, "Airflow has not noticed it"
    fault_table.hold(
        "F5", "supervisor stopped with SIGSTOP", world.evidence(name, OBJECTS), bound=0
    )
    _, left = psutil.wait_procs([task], timeout=60)
    assert left == []


def _tries(world: World, dag_run_id: str) -> list[int]:
    """Return how often each invoke task was tried, the fewest first."""
    instances = world.airflow.task_instances("retrofill_s3", dag_run_id)
    return sorted(one["try_number"] for one in instances if one["task_id"] == "invoke")


def _processes(holder: str) -> tuple[psutil.Process, psutil.Process]:
    """Return the process that holds a batch, and its supervisor."""
    _, pid, _ = holder.rsplit(":", 2)
    task = psutil.Process(int(pid))
    supervisor = task.parent()
    assert supervisor is not None
    assert "LocalExecutor" in " ".join(supervisor.cmdline())
    return task, supervisor
