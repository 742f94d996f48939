"""Bad input: you see what is wrong, and nothing is called."""

from collections.abc import Callable
from typing import Any

import pytest

from stack.airflow_api import ApiError
from tests.faults.world import World

REFUSED: dict[str, tuple[dict[str, Any], list[str]]] = {
    "no such bucket": ({"bucket": "missing"}, ["there is no bucket 'missing'"]),
    "no such function": ({"function": "missing"}, ["there is no 'missing'"]),
    "no such alias": ({"qualifier": "prod"}, ["there is no 'bad-input:prod'"]),
    "unknown param": (
        {"items_per_cal": 5},
        ["items_per_cal: there is no such param; did you mean items_per_call?"],
    ),
    "name of a bucket": (
        {"bucket": "Bad!Bucket"},
        ["bucket: 'Bad!Bucket' is not allowed; give the bare name of a bucket"],
    ),
    "address of another prefix": (
        {"bucket": "s3://photos/in"},
        ["bucket: 's3://photos/in' is not allowed: it is an address with another prefix"],
    ),
    "empty prefix": ({"prefix": ""}, ["prefix: it is empty, which means every object"]),
    "several at once": (
        {"min_size": 9, "max_size": 8, "prefix": ""},
        ["min_size: 9 bytes is more than max_size, 8 bytes", "prefix: it is empty"],
    ),
    "run to continue": ({"continue_run": 1}, ["continue_run: there is no such param"]),
    "no such connection to notify": (
        {"notify_conn_id": "nobody"},
        ["notify_conn_id: Airflow has no connection 'nobody'"],
    ),
}


def test_an_impossible_run_is_logged_and_calls_nothing(
    world: World, figures: Callable[[str, Any], None]
) -> None:
    params = world.serve("bad-input", 10)
    for name, (wrong, _) in REFUSED.items():
        world.trigger(_slug(name), params | wrong | {"job": f"bad input: {name}"})
    states = {name: world.airflow.await_end("retrofill_s3", _slug(name)) for name in REFUSED}
    logs = {name: list(world.airflow.failures("retrofill_s3", _slug(name))) for name in REFUSED}

    for name, lines in logs.items():
        figures(name, "\n    " + "\n    ".join(lines))
    assert set(states.values()) == {"failed"}
    missing = [
        (name, text)
        for name, (_, texts) in REFUSED.items()
        for text in texts
        if text not in "\n".join(logs[name])
    ]
    assert missing == []
    assert world.endpoint.stats().invocations == 0
    assert world.rows("SELECT FROM retrofill.v_run WHERE job LIKE 'bad input%%'") == []
    tries = {
        one["try_number"]
        for name in REFUSED
        for one in world.airflow.task_instances("retrofill_s3", _slug(name))
        if one["task_id"] == "open_run"
    }
    assert tries == {1}


def _slug(name: str) -> str:
    return f"bad-input-{name.replace(' ', '-')}"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"items_per_call": "many"}, "items_per_call"),
        ({"items_per_call": 0}, "items_per_call"),
        ({"event": "sqs"}, "event"),
        ({"bucket": None}, "bucket"),
        # If rfc3339-validator is installed; otherwise open_run refuses it.
        ({"modified_after": "yesterday"}, "modified_after"),
    ],
)
def test_a_wrong_type_is_refused_by_the_form(
    world: World, figures: Callable[[str, Any], None], wrong: dict[str, Any], message: str
) -> None:
    params = world.serve("wrong-type", 10)
    before = len(world.airflow.dag_runs("retrofill_s3"))
    with pytest.raises(ApiError, match="returned 400") as refused:
        world.trigger("wrong-type", params | wrong)
    figures(str(wrong), str(refused.value))
    assert message in str(refused.value)
    assert len(world.airflow.dag_runs("retrofill_s3")) == before


def test_a_jobs_name_is_not_reused(world: World, figures: Callable[[str, Any], None]) -> None:
    params = world.serve("mine", 10)
    world.trigger("mine-first", params)
    assert world.airflow.await_end("retrofill_s3", "mine-first") == "success"
    world.trigger("mine-second", params | {"event": "items"})
    assert world.airflow.await_end("retrofill_s3", "mine-second") == "failed"
    lines = list(world.airflow.failures("retrofill_s3", "mine-second"))
    figures("job name reused", "\n    " + "\n    ".join(lines))
    assert "job: 'mine' belongs to" in "\n".join(lines)
    assert world.endpoint.stats().invocations == 10


def test_a_prefix_that_matches_nothing_is_success_and_notified(
    world: World, figures: Callable[[str, Any], None]
) -> None:
    params = world.serve("nothing-there", 10) | {"prefix": "elsewhere/"}
    world.trigger("nothing-there", params)
    assert world.airflow.await_end("retrofill_s3", "nothing-there") == "success"
    report = world.report("nothing-there")
    figures("notified", world.notices.of("nothing-there"))
    assert (report["status"], report["listed"], report["calls"]) == ("complete", 0, 0)
    assert report["notified_at"] is not None
    assert world.notices.of("nothing-there") == ["Retrofill: nothing-there is complete"]
