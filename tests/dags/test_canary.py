"""The canary in the DAG: it is called first, it counts, and nothing follows upon one that fails."""

import pytest

from tests.dags.world import TASKS, World

KEYS = [f"in/{number:02}" for number in range(20)]


def test_a_canary_is_called_first_and_the_rest_after_it(world: World) -> None:
    world.put(*KEYS)
    states = world.run(canary=5)
    assert {name: states[name] for name in [*TASKS, "canary"]} == {
        **dict.fromkeys([*TASKS, "canary"], "success"), "next_set": "skipped"
    }  # fmt: skip
    assert states["approve"] == "skipped"
    assert states["dag_run"] == "success"
    assert world.outputs() == KEYS, "each once"
    report = world.report()
    assert (report["status"], report["succeeded"], report["calls"]) == ("complete", 20, 20)
    log = states["log"]
    assert "5 called in 5 calls, 5 succeeded, 0 failed (0.0 %), 0 in quarantine" in log
    assert "calls from now on: 15" in log
    assert "time to the end: " in log


def test_nothing_is_called_upon_a_canary_that_fails(world: World) -> None:
    world.put(*(f"in/poison {number:02}" for number in range(9)), "in/good")
    states = world.run(canary=8, max_attempts=1, max_failure_percent=50)
    assert (states["canary"], states["invoke"]) == ("failed", "upstream_failed")
    assert (states["close_run"], states["notify"], states["dag_run"]) == ("failed",) * 3
    report = world.report()
    assert (report["status"], report["items_left"]) == ("incomplete", 2)
    assert report["calls"] == 8
    assert report["stop_reason"].startswith("canary: ")
    assert "of 8 items failed, more than 50 % (max_failure_percent)" in report["stop_reason"]
    assert "unhandled" in report["stop_reason"]


@pytest.mark.faults  # a run more beside its likes
def test_without_a_canary_its_task_costs_no_process(world: World) -> None:
    world.put(*KEYS[:2])
    states = world.run()
    assert (states["canary"], states["approve"]) == ("skipped", "skipped")
    assert states["write_report"] == "skipped"
    assert states["dag_run"] == "success"


@pytest.mark.faults  # a run more beside its likes
def test_where_there_is_nothing_to_call_there_is_no_canary(world: World) -> None:
    states = world.run(canary=5)
    assert (states["canary"], states["dag_run"]) == ("success", "success")
    assert "there is no item to be a canary" in states["log"]
