"""Approval on the real stack: what a person does by REST, and what Airflow, page and report say."""

import time
from contextlib import closing
from datetime import UTC, datetime, timedelta

import psycopg2
import pytest
from retrofill.compat import SERIES

from stack.endpoint import S3Object
from tests.faults.world import World

DAG = "retrofill_s3"
OBJECTS = 200
WAITS = {"awaiting_input" if SERIES >= (3, 3) else "deferred"}
PARAMS = {"approve": True, "items_per_call": 10}


def asked(world: World, name: str, objects: int | list[S3Object] = OBJECTS) -> dict[str, object]:
    """Have a run ask for approval; return its params."""
    params = world.serve(name, objects) | PARAMS
    world.trigger(name, params)
    await_question(world, name)
    return params


def await_question(world: World, name: str) -> None:
    """Wait until a task of a run waits for a person."""
    limit = time.monotonic() + 180
    while world.airflow.states(DAG, name).get("approve") != WAITS:
        assert time.monotonic() < limit, world.airflow.states(DAG, name)
        time.sleep(0.5)


def decide(world: World, name: str, option: str) -> str:
    """Answer what a run asks; return the state in which its DAG run ends.

    An answer within a second of the question finds Airflow at work with the end of the process
    that asked: it may take the task for lost, and ask again.
    """
    limit = time.monotonic() + 300
    answered = False
    while (state := world.airflow.run_state(DAG, name)) not in {"success", "failed"}:
        # Before Airflow 3.3 the task waits on until its triggerer has looked.
        asks = not answered or SERIES >= (3, 3)
        if asks and world.airflow.states(DAG, name)["approve"] == WAITS:
            world.airflow.answer(DAG, name, option)
            answered = True
        assert time.monotonic() < limit, world.airflow.states(DAG, name)
        time.sleep(0.5)
    return state


def test_what_is_approved_by_rest_is_called(world: World) -> None:
    name = "approved"
    asked(world, name)
    assert world.endpoint.stats().invocations == 0
    question = world.airflow.question(DAG, name)
    assert "- calls: 20 in 1 batch, exact" in question["body"]
    assert (question["defaults"], question["options"]) == (["Reject"], ["Approve", "Reject"])
    page = world.page(name)
    assert "Waiting for approval: nothing is called until someone approves the plan." in page
    assert "Approve or reject it in Airflow" in page

    assert decide(world, name, "Approve") == "success"
    report = world.report(name)
    assert (report["status"], report["calls"], report["planned"]["calls"]) == ("complete", 20, 20)
    assert report["approval"]["by"] == world.settings.user
    (notice,) = [one for one in world.notices.received if f": {name} is " in one["title"]]
    assert f"approval    approved by {world.settings.user} at 2" in notice["message"]
    assert f"approved by {world.settings.user} at 2" in world.page(name)


@pytest.mark.parametrize("how", ["rejected", "expired"])
def test_what_nobody_approves_leaves_nothing_behind(world: World, how: str) -> None:
    params = asked(world, how)
    if how == "rejected":
        assert decide(world, how, "Reject") == "failed"
    else:
        with closing(psycopg2.connect(world.settings.metadata_dsn)) as conn, conn:
            conn.cursor().execute(
                "UPDATE task_instance SET trigger_timeout = now() WHERE state = 'awaiting_input'"
            )
    assert world.airflow.await_end(DAG, how) == "failed"
    assert world.airflow.states(DAG, how)["invoke"] == {"skipped"}
    report = world.report(how)
    assert (report["status"], report["withdrawn"], report["items_left"]) == (
        "incomplete", OBJECTS, 0,
    )  # fmt: skip
    why = {
        "rejected": f"the plan was rejected by {world.settings.user} at 2",
        "expired": "nobody approved the plan by 2",
    }[how]
    assert report["stop_reason"].startswith(why)
    assert why in world.page(how)
    (notice,) = [one for one in world.notices.received if f": {how} is " in one["title"]]
    assert f"stopped: {why}" in notice["message"]
    assert world.endpoint.stats().invocations == 0

    again = f"{how}-again"
    world.trigger(again, {**params, "approve": False})
    assert world.airflow.await_end(DAG, again) == "success"
    report = world.report(how)
    assert (report["status"], report["new"], report["succeeded"]) == ("complete", OBJECTS, OBJECTS)


def test_what_changed_since_the_plan_is_counted_and_not_called(world: World) -> None:
    name = "changed"
    keys = [f"data/{number}" for number in range(20)]
    asked(world, name, [S3Object(key=key) for key in keys])
    # The endpoint dates what is new from now on; one of them was in the plan.
    now = datetime.now(UTC) + timedelta(seconds=5)
    changed = [S3Object(key=key, modified_at=now) for key in ("data/0", "data/new-1", "data/new-2")]
    kept = [S3Object(key=key) for key in keys[1:]]
    world.serve(name, [*kept, *changed])
    assert decide(world, name, "Approve") == "success"
    report = world.report(name)
    assert (report["listed"], report["succeeded"], report["calls"]) == (20, 20, 2)
    assert report["approval"]["changed"] == 3
    assert "3 changed since the plan, not called" in world.page(name)


def test_a_run_marked_as_failed_while_it_waits_leaves_nothing_behind(world: World) -> None:
    name = "marked-waiting"
    asked(world, name)
    world.airflow.mark(DAG, name, "failed")
    assert world.airflow.await_end(DAG, name) == "failed"
    world.await_row(
        "SELECT FROM retrofill.v_run WHERE job = %s AND withdrawn = %s AND notified_at IS NOT NULL",
        name,
        OBJECTS,
    )
    report = world.report(name)
    assert report["stop_reason"] == "the run ended before anybody approved its plan"
    assert world.endpoint.stats().invocations == 0


def test_who_clears_the_task_is_asked_again(world: World) -> None:
    """As after somebody has marked the DAG run as failed in the middle of its calls."""
    name = "cleared"
    world.trigger(name, world.serve(name, 3_000, latency=0.2) | PARAMS | {"max_concurrency": 4})
    await_question(world, name)
    while not world.report(name)["succeeded"]:
        if world.airflow.states(DAG, name)["approve"] == WAITS:
            world.airflow.answer(DAG, name, "Approve")
        time.sleep(0.2)
    world.airflow.mark(DAG, name, "failed")
    assert world.airflow.await_end(DAG, name) == "failed"
    done = world.report(name)["succeeded"]
    assert 0 < done < 3_000
    world.airflow.clear(DAG, name, "approve")
    await_question(world, name)
    # The form keeps its first text; the page tells what was called since.
    assert "- calls:" in world.airflow.question(DAG, name)["body"]
    assert "Waiting for approval" in world.page(name)
    assert world.report(name)["succeeded"] == done, "it called before it was approved again"
    assert decide(world, name, "Approve") == "success"
    assert world.report(name)["succeeded"] == 3_000
