"""What Airflow, report, page and state say of a run is so, also when it ends in an odd way."""

import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from stack.endpoint import Operation, Reply, Rule, Span
from tests.faults.world import World

OBJECTS = 3_000
PARAMS = {"items_per_call": 3, "max_concurrency": 16}
SOME_DONE = """
SELECT FROM retrofill.v_run WHERE job = %s AND succeeded BETWEEN listed / 10 AND listed / 2
    AND partitions_left = 0 AND listed > 0
"""
CLOSED = "SELECT FROM retrofill.v_run WHERE job = %s AND closed_at IS NOT NULL"
NOTIFIED = "SELECT FROM retrofill.v_run WHERE job = %s AND notified_at IS NOT NULL"

PAUSE = """UPDATE retrofill.run SET limits = limits || '{{"paused": {}}}' WHERE status = 'open'"""


@pytest.mark.parametrize(
    "reply",
    [Reply(error="AccessDenied"), Reply(error="InternalError"), Reply(body="<html>sorry</html>")],
    ids=["403", "500", "HTML"],
)
def test_a_run_whose_listing_fails_for_good_is_red(
    world: World, figures: Callable[[str, Any], None], reply: Reply
) -> None:
    """Only the look of open_run is answered; there are 2,500 objects."""
    name = f"listing-{reply.error or 'html'}".lower()
    params = world.serve(name, 2_500)
    world.break_with(Rule(operation=Operation.LIST_OBJECTS, calls=Span(first=2), reply=reply))
    world.trigger(name, params)
    assert world.airflow.await_end("retrofill_s3", name, within_s=500) == "failed"
    report = world.report(name)
    figures(name, {key: report[key] for key in ("status", "partitions", "listed", "items_left")})
    assert (report["status"], report["partitions"], report["listed"]) == ("incomplete", 0, 0)
    assert world.notices.of(name) == [f"Retrofill: {name} is incomplete"]
    assert "its source was never divided into partitions" in world.page(name)

    world.break_with()
    world.trigger(f"{name}-again", params)
    assert world.airflow.await_end("retrofill_s3", f"{name}-again") == "success"
    assert world.report(name)["succeeded"] == 2_500


@pytest.mark.parametrize("state", ["failed", "success"])
def test_a_run_that_someone_marks_in_mid_run_is_closed_told_and_red(
    world: World, figures: Callable[[str, Any], None], state: str
) -> None:
    name = f"marked-{state}"
    params = world.serve(name, OBJECTS, latency=0.2) | PARAMS
    world.trigger(name, params)
    world.await_row(SOME_DONE, name)
    marked_at = time.monotonic()
    world.airflow.mark("retrofill_s3", name, state)
    assert world.airflow.await_end("retrofill_s3", name) == "failed"
    figures("seconds until the DAG run had ended", f"{time.monotonic() - marked_at:.0f}")

    report = world.report(name)
    figures("left", report["items_left"])
    assert (report["status"], report["partitions_left"]) == ("incomplete", 0)
    assert report["items_left"] == OBJECTS - report["succeeded"] > 0
    assert world.notices.of(name) == [f"Retrofill: {name} is incomplete"]
    (notice,) = [one for one in world.notices.received if f": {name} " in one["title"]]
    assert f"{report['items_left']:,} items left" in notice["message"]
    page = world.page(name)
    assert f"Incomplete: {report['items_left']:,} items left" in page
    assert "calls are in flight" not in page

    world.trigger(f"{name}-again", params)
    assert world.airflow.await_end("retrofill_s3", f"{name}-again") == "success"
    again = world.report(name)
    assert (again["status"], again["new"], again["known"]) == ("complete", 0, OBJECTS)
    assert again["resumed"] == again["succeeded"] == report["items_left"]
    assert set(world.evidence(name, OBJECTS, exact=False).lost) == set()


def test_a_run_marked_as_failed_before_its_listing_is_closed_and_told(world: World) -> None:
    name = "marked-early"
    params = world.serve(name, OBJECTS)
    world.break_with(
        Rule(operation=Operation.LIST_OBJECTS, calls=Span(first=2), reply=Reply(delay=60.0))
    )
    world.trigger(name, params)
    world.await_row("SELECT FROM retrofill.v_run WHERE job = %s", name)
    world.airflow.mark("retrofill_s3", name, "failed")
    assert world.airflow.await_end("retrofill_s3", name) == "failed"
    assert world.report(name)["status"] == "incomplete"
    assert world.notices.of(name) == [f"Retrofill: {name} is incomplete"]


def test_what_a_lost_dag_run_left_behind_is_taken_over_within_minutes(
    world: World, figures: Callable[[str, Any], None]
) -> None:
    """Airflow's database was restored: none of its tasks comes back, not even notify."""
    name = "lost"
    params = world.serve(name, OBJECTS, latency=0.2) | PARAMS
    world.trigger(name, params)
    world.await_row(SOME_DONE, name)
    with closing(psycopg2.connect(world.settings.metadata_dsn)) as conn, conn, conn.cursor() as cur:
        cur.execute("DELETE FROM dag_run WHERE run_id = %s", (name,))
    deleted_at = time.monotonic()
    world.trigger(f"{name}-again", params)
    assert world.airflow.await_end("retrofill_s3", f"{name}-again") == "success"
    figures("seconds until all was processed", f"{time.monotonic() - deleted_at:.0f}")
    first, second = world.rows("SELECT * FROM retrofill.v_run WHERE job = %s ORDER BY run_id", name)
    assert (first.status, second.status) == ("incomplete", "complete")
    assert first.items_left == second.resumed > 0
    assert first.succeeded + second.succeeded == OBJECTS
    assert sorted(world.notices.of(name)) == [
        f"Retrofill: {name} is complete", f"Retrofill: {name} is incomplete",
    ]  # fmt: skip


def test_a_run_beside_one_that_stands_still_says_whose_items_are_missing(
    world: World, figures: Callable[[str, Any], None]
) -> None:
    name = "beside"
    # Two batches: a paused run's tasks keep their slots, and Airflow has four.
    few = 400
    params = world.serve(name, few, latency=0.2) | {"max_concurrency": 4}
    world.trigger(name, params)
    world.await_row(SOME_DONE, name)
    world.change(PAUSE.format("true"))
    try:
        world.trigger(f"{name}-2", params)
        began = time.monotonic()
        assert world.airflow.await_end("retrofill_s3", f"{name}-2", within_s=400) == "failed"
        figures("seconds", f"{time.monotonic() - began:.0f}")
        first, second = world.rows(
            "SELECT * FROM retrofill.v_run WHERE job = %s ORDER BY run_id", name
        )
        figures("others", second.others)
        assert (first.status, second.status) == ("open", "incomplete")
        assert (second.listed, second.new, second.items_left) == (few, 0, 0)
        held = {"run_id": first.run_id, "status": "open", "items": first.items_left}
        assert (second.with_others, second.others) == (first.items_left, [held])
        said = f"run {first.run_id} (open) has {first.items_left:,} items in process"
        (notice,) = [one for one in world.notices.received if f": {name} " in one["title"]]
        assert said in notice["message"]
        assert said in world.page(f"{name}-2")
    finally:  # else its tasks keep their slots from all other tests
        world.change(PAUSE.format("false"))
    assert world.airflow.await_end("retrofill_s3", name) == "success"
    world.trigger(f"{name}-3", params)
    assert world.airflow.await_end("retrofill_s3", f"{name}-3") == "success"
    assert world.report(name)["with_others"] == 0


def test_a_run_refused_for_its_params_is_told(world: World) -> None:
    name = "refused-for-params"
    params = world.serve(name, 10) | {"min_size": 9, "max_size": 8}
    world.trigger(name, params)
    assert world.airflow.await_end("retrofill_s3", name) == "failed"
    (notice,) = [one for one in world.notices.received if f": {name} " in one["title"]]
    assert notice["title"] == f"Retrofill: {name} did not start"
    assert "min_size: 9 bytes is more than max_size, 8 bytes" in notice["message"]
    assert world.rows("SELECT FROM retrofill.v_run WHERE job = %s", name) == []


def test_a_run_that_nobody_hears_of_is_red(world: World) -> None:
    """Whoever is to be told takes no notification, however often it is sent."""
    name = "untold"
    world.notices.refusals[:] = [503] * 50
    try:
        world.trigger(name, world.serve(name, 10))
        assert world.airflow.await_end("retrofill_s3", name, within_s=500) == "failed"
    finally:
        world.notices.refusals.clear()
    report = world.report(name)
    assert (report["status"], report["notified_at"]) == ("complete", None)
    assert "never notified" in world.page(name) or "not notified yet" in world.page(name)


def test_the_report_of_close_run_says_how_the_run_ended(world: World) -> None:
    name = "says-how"
    world.trigger(name, world.serve(name, 10))
    assert world.airflow.await_end("retrofill_s3", name) == "success"
    log = world.airflow.log("retrofill_s3", name, "close_run")
    assert f"Retrofill: job {name}, run {world.report(name)['run_id']} is complete in" in log
    assert "is open" not in log


def test_a_job_file_that_is_spoilt_in_mid_run_ends_no_run_and_opens_none(
    world: World, jobs: Path
) -> None:
    name = "spoilt"
    file = jobs / f"retrofill_{name}.yaml"
    text = (
        'source: s3\nschedule: "@yearly"\nstart_date: 2026-01-01\nparams:\n'
        f"  job: {name}\n  bucket: {name}\n  prefix: data/\n  function: {name}\n  event: s3\n"
        "  items_per_call: 3\n  max_concurrency: 16\n  max_items_per_set: 2000\n"
        "  notify_conn_id: notices\n"
    )
    world.serve(name, OBJECTS, latency=0.2)
    file.write_text(text)
    world.airflow.unpause(f"retrofill_{name}", within_s=120)
    world.airflow.trigger(f"retrofill_{name}", name, {})
    # In the middle of the first of two sets.
    some = "SELECT FROM retrofill.v_run WHERE job = %s AND succeeded BETWEEN 100 AND 1500"
    world.await_row(some, name)
    file.write_text(text.replace("items_per_call: 3", "items_per_call: three"))
    try:
        world.await_row(NOTIFIED, name, within_s=300)
        report = world.report(name)
        assert (report["status"], report["sets"], report["succeeded"]) == ("complete", 2, OBJECTS)
        world.airflow.trigger(f"retrofill_{name}", f"{name}-again", {})
        assert world.airflow.await_end(f"retrofill_{name}", f"{name}-again") == "failed"
        assert world.notices.of(name)[-1] == f"Retrofill: {name} did not start"
    finally:
        file.unlink()


def test_a_cleared_run_is_open_while_its_tasks_work_and_closed_when_it_is_marked_again(
    world: World,
) -> None:
    name = "cleared"
    world.trigger(name, world.serve(name, OBJECTS, latency=0.2) | PARAMS)
    world.await_row(SOME_DONE, name)
    world.airflow.mark("retrofill_s3", name, "failed")
    assert world.airflow.await_end("retrofill_s3", name) == "failed"
    left = world.report(name)["items_left"]
    world.airflow.clear("retrofill_s3", name, "invoke")
    world.await_row("SELECT FROM retrofill.v_run WHERE job = %s AND status = 'open'", name)
    more = "SELECT FROM retrofill.v_run WHERE job = %s AND items_left < %s"
    world.await_row(more, name, left)
    world.airflow.mark("retrofill_s3", name, "failed")
    assert world.airflow.await_end("retrofill_s3", name) == "failed"
    assert world.report(name)["status"] == "incomplete"
    assert len(world.notices.of(name)) == 2
    world.airflow.clear("retrofill_s3", name, "plan_batches")
    assert world.airflow.await_end("retrofill_s3", name) == "success"
    report = world.report(name)
    assert (report["status"], report["items_left"], report["succeeded"]) == ("complete", 0, OBJECTS)
