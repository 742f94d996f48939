"""Two Celery workers, one of which is killed; and a broker and a scheduler that are."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.celery.conftest import Cluster, Worker

ITEMS = 20_000
LATENCY_S = 0.3
MOST_IN_FLIGHT = 40
PARAMS = {"items_per_call": 1, "max_concurrency": MOST_IN_FLIGHT}
WITHIN_S = 1_500
SUCCEEDED = "SELECT succeeded FROM retrofill.v_run WHERE job = %s AND succeeded >= %s"
HELD = """
SELECT batch_id, (
    SELECT count(*) FROM retrofill.invocation
    WHERE invocation.batch_id = batch.batch_id AND outcome IS NULL
) AS in_flight
FROM retrofill.batch JOIN retrofill.job USING (job_id)
WHERE job.name = %s AND position(%s IN holder) > 0 AND done_at IS NULL
"""
HOLDERS = """
SELECT batch_id, epoch FROM retrofill.batch JOIN retrofill.job USING (job_id)
WHERE job.name = %s ORDER BY batch_id
"""

Start = Callable[[str, str], Worker]
Say = Callable[[str], None]


def run(cluster: Cluster, name: str) -> float:
    """Trigger a run; return when."""
    params = cluster.serve(name, ITEMS, latency=LATENCY_S, timeout_seconds=30) | PARAMS
    began = time.monotonic()
    cluster.trigger(name, params)
    return began


def assert_all_done(cluster: Cluster, name: str, began: float, say: Say) -> dict[str, Any]:
    """Wait for the end of the run, and compare our counts with the endpoint's."""
    assert cluster.airflow.await_end("retrofill_s3", name, within_s=WITHIN_S) == "success"
    wall_s = time.monotonic() - began
    stats, deliveries, report = (
        cluster.endpoint.stats(),
        cluster.endpoint.items(),
        cluster.report(name),
    )
    twice = sum(deliveries.values()) - len(deliveries)
    say(f"{wall_s:.0f} s from the trigger to the end")
    say(
        f"endpoint: {stats.executions} calls, {len(deliveries)} items, {twice} of them again,"
        f" at most {stats.max_in_flight} in flight"
    )
    counts = ("calls", "succeeded", "retries", "lost", "duplicates", "lost_tasks")
    say("ours: " + ", ".join(f"{report[count]} {count}" for count in counts))
    assert (report["status"], report["succeeded"], report["items_left"]) == ("complete", ITEMS, 0)
    assert len(deliveries) == ITEMS
    assert stats.max_in_flight <= MOST_IN_FLIGHT
    assert twice <= report["duplicates"] == report["lost"]
    # A call that is written down and was not sent yet is lost, too.
    assert 0 <= report["calls"] - stats.executions <= report["lost"]
    assert cluster.notices.of(name) == [f"Retrofill: {name} is complete"]
    return report


@pytest.mark.parametrize(
    "hostnames", [("worker-1", "worker-2"), ("worker", "worker")], ids=["two-hosts", "one-host"]
)
def test_a_worker_that_is_killed_loses_what_it_had_in_flight_and_no_more(
    cluster: Cluster, start: Start, say: Say, hostnames: tuple[str, str]
) -> None:
    name = f"killed-of-{len(set(hostnames))}"
    workers = [start(f"w{number}", hostname) for number, hostname in enumerate(hostnames, 1)]
    began = run(cluster, name)
    cluster.await_row(SUCCEEDED, name, ITEMS // 5, within_s=600)
    held = cluster.rows(HELD, name, workers[1].place)
    assert held, "both have tasks at work"
    assert cluster.rows(HELD, name, workers[0].place)
    in_flight = sum(batch.in_flight for batch in held)
    processes = workers[1].kill()
    (at,) = cluster.rows(SUCCEEDED, name, 0)
    say(
        f"killed {processes} processes after {time.monotonic() - began:.0f} s, {at.succeeded}"
        f" items and with {in_flight} calls in flight of {len(held)} batches"
    )
    report = assert_all_done(cluster, name, began, say)
    assert 0 < report["lost"] <= MOST_IN_FLIGHT
    taken_over = {batch.batch_id for batch in cluster.rows(HOLDERS, name) if batch.epoch > 1}
    assert taken_over == {batch.batch_id for batch in held}, "nobody else's batch"
    assert report["lost_tasks"] == len(held)


def test_a_broker_and_a_scheduler_that_are_killed_delay_the_run(
    cluster: Cluster, start: Start, say: Say
) -> None:
    name = "killed-middle"
    for number in (1, 2):
        start(f"w{number}", f"worker-{number}")
    began = run(cluster, name)
    for program, done in (("broker:redis", ITEMS // 5), ("airflow:scheduler", ITEMS * 2 // 5)):
        cluster.await_row(SUCCEEDED, name, done, within_s=600)
        cluster.kill(program)
        say(f"killed {program} after {time.monotonic() - began:.0f} s and {done} items")
    report = assert_all_done(cluster, name, began, say)
    assert report["lost"] <= 2 * MOST_IN_FLIGHT
