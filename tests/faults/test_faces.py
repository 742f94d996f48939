"""Plan, approve, watch, find failures and redrive: only from the command line, and only via REST.

The output is compared with the counts of the function's own server.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from stack.endpoint import Reply, Rule
from stack.scripted import clean_environment
from tests.faults.world import World

DAG = "retrofill_s3"
OBJECTS = 200
PER_CALL = 10
KEYS = [f"data/{number:09}.json" for number in range(OBJECTS)]
POISON = frozenset(KEYS[number] for number in (7, 70, 71, 150, 199))
ERROR = "Runtime.BadImage"
WITHIN_S = 240


class Ending(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def output(self) -> Any:
        """Return its JSON output: one value, or the last of several lines."""
        try:
            return json.loads(self.out)
        except ValueError:
            return json.loads(self.out.splitlines()[-1])


@dataclass
class Shell:
    """A shell in which the command is set up as in the docs."""

    environ: Mapping[str, str]

    def __call__(self, *words: object, **environ: str) -> Ending:
        done = subprocess.run(  # noqa: S603
            [sys.executable, "-m", "retrofill", *map(str, words)],
            env={**self.environ, **environ},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        return Ending(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def shell(world: World) -> Shell:
    settings = world.settings
    return Shell(
        {
            **clean_environment(),
            "PYTHONPATH": os.environ["PYTHONPATH"],
            "AIRFLOW_CONN_RETROFILL_STATE": settings.state_dsn,
            "RETROFILL_AIRFLOW_URL": settings.airflow_url,
            "RETROFILL_AIRFLOW_USERNAME": settings.user,
            "RETROFILL_AIRFLOW_PASSWORD": settings.password,
        }
    )


def serve(world: World, name: str) -> dict[str, Any]:
    """Make a function fail for some objects; return the params of a run over all."""
    params = world.serve(name, OBJECTS)
    world.break_with(Rule(keys=POISON, reply=Reply(function_error=ERROR)))
    return {**params, "items_per_call": PER_CALL, "max_attempts": 1}


def fix(world: World) -> None:
    """Fix the function, and restart its counts."""
    world.break_with()
    world.endpoint.reset()


def _pairs(params: Mapping[str, Any]) -> list[str]:
    return [f"{param}={value}" for param, value in params.items()]


def test_a_job_can_be_done_from_the_command_line_alone(
    world: World, shell: Shell, tmp_path: Path
) -> None:
    name = "by-command"
    params = serve(world, name)
    pairs = _pairs(params)

    wrong = shell("plan", DAG, *pairs, "items_per_cal=3")
    assert (wrong.code, wrong.err) == (
        2, "items_per_cal: there is no such param; did you mean items_per_call?\n",
    )  # fmt: skip
    stranger = shell("plan", DAG, *pairs, RETROFILL_AIRFLOW_PASSWORD="a guess")  # noqa: S106
    assert stranger.code == 4, stranger.err
    missing = shell("run", DAG, *_pairs({**params, "function": "no-such", "job": "none"}), "--json")
    assert missing.code == 1, missing.err
    assert "no-such" in missing.err

    planned = shell("plan", DAG, *pairs, "--json")
    assert planned.code == 0, planned.err
    run_id, counts = planned.output["run_id"], planned.output["plan"]["counts"]
    assert (counts["listed"], counts["calls"]) == (OBJECTS, OBJECTS // PER_CALL)
    assert world.endpoint.stats().invocations == 0, "it was called before it was approved"
    assert shell("status", run_id).code == 1, "it is open"

    assert shell("approve", run_id).code == 0
    watched = shell("status", run_id, "--watch", "--json")
    assert watched.code == 0, watched.err
    report = watched.output
    assert (report["status"], report["succeeded"], report["quarantined"]) == (
        "complete", OBJECTS - len(POISON), len(POISON),
    )  # fmt: skip
    assert report["calls"] == world.endpoint.stats().invocations
    assert set(world.endpoint.items()) == set(KEYS)
    again = shell("approve", run_id)
    assert again.code == 2
    assert "approved by" in again.err

    (group,) = shell("quarantine", name, "--json").output
    assert (group["error_type"], group["items"]) == (ERROR, len(POISON))
    fix(world)
    counted = shell("redrive", name, "--error", ERROR, "--count", "--json").output
    assert counted["items"] == len(POISON)
    assert world.endpoint.stats().invocations == 0, (
        "it was called although it should only be counted"
    )
    redriven = shell(
        "redrive", name, "--error", ERROR, "--note", "version 2", "--yes", "--watch", "--json"
    )
    assert redriven.code == 0, redriven.err
    assert (redriven.output["redriven"], redriven.output["succeeded"]) == (len(POISON),) * 2
    assert world.endpoint.items() == dict.fromkeys(POISON, 1)

    (item,) = shell("item", name, min(POISON), "--json").output
    assert item["placed"]["place"] == "results"
    assert [call["outcome"] for call in item["calls"]][-1] == "succeeded"
    assert ERROR in {life["error_type"] for life in item["redriven"]}
    written = shell("export", tmp_path, "--job", name, "--json").output
    assert written["counts"] == {"failed": 0, "pending": 0, "succeeded": OBJECTS}

    fix(world)
    nothing_new = shell("run", DAG, *pairs, "--watch", "--json")
    assert nothing_new.code == 0, nothing_new.err
    assert (nothing_new.output["known"], nothing_new.output["calls"]) == (OBJECTS, 0)
    assert world.endpoint.stats().invocations == 0
    (job,) = [one for one in shell("jobs", name, "--json").output if one["job"]["job"] == name]
    assert (job["job"]["status"], job["counts"]["in_quarantine"]) == ("complete", 0)
    assert [run["run_id"] for run in shell("runs", name, "--json").output][-1] == run_id


@dataclass
class Rest:
    """A client of Airflow's REST API, and of ours below it."""

    http: httpx.Client

    def __call__(self, method: str, path: str, **content: Any) -> Any:
        answer = self.http.request(method, path, **content)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json()

    def ours(self, method: str, path: str, **content: Any) -> Any:
        return self(method, f"/retrofill/api/v1{path}", **content)


@pytest.fixture
def rest(world: World) -> Iterator[Rest]:
    settings = world.settings
    with httpx.Client(base_url=settings.airflow_url, timeout=60) as http:
        signed_in = Rest(http)
        who = {"username": settings.user, "password": settings.password}
        token = signed_in("POST", "/auth/token", json=who)["access_token"]
        http.headers["Authorization"] = f"Bearer {token}"
        yield signed_in


def awaited(look: Callable[[], Any]) -> Any:
    """Look every second until something is found."""
    limit = time.monotonic() + WITHIN_S
    while not (found := look()):
        assert time.monotonic() < limit
        time.sleep(1)
    return found


@dataclass
class Job:
    """A job, as REST shows it."""

    rest: Rest
    job_id: int

    def newest(self) -> dict[str, Any]:
        """Return the report of its newest run; empty without one."""
        asked = {"job_id": self.job_id, "limit": 1}
        runs: list[dict[str, Any]] = self.rest.ours("GET", "/runs", params=asked)["runs"]
        return runs[0] if runs else {}

    def get(self, path: str, **params: Any) -> Any:
        return self.rest.ours("GET", f"/jobs/{self.job_id}{path}", params=params)

    def ended(self, behind: int = 0) -> dict[str, Any]:
        """Return the report of the first run after a given one, once it is reported."""

        def reported() -> Any:
            run_id = self.newest().get("run_id", 0)
            report = self.rest.ours("GET", f"/runs/{run_id}")["report"] if run_id > behind else {}
            return report if report.get("notified_at") else None

        found: dict[str, Any] = awaited(reported)
        return found

    def answer(self, dag_run_id: str, option: str) -> None:
        """Answer the question of a DAG run, until its run has recorded the answer."""
        task = f"/api/v2/dags/{DAG}/dagRuns/{dag_run_id}/taskInstances/approve"
        chosen = {"chosen_options": [option], "params_input": {}}

        def taken() -> bool:
            if self.rest("GET", task)["state"] == "awaiting_input":
                self.rest("PATCH", f"{task}/-1/hitlDetails", json=chosen)
            return bool(self.newest()["approval"]["status"] != "waiting")

        awaited(taken)


def planned(rest: Rest, params: dict[str, Any]) -> Job:
    """Start a run that asks for approval; return its job once the plan is stored."""
    name = params["job"]
    asked = {"dag_run_id": name, "logical_date": None, "conf": {**params, "approve": True}}
    rest("POST", f"/api/v2/dags/{DAG}/dagRuns", json=asked)

    def found() -> Any:
        jobs = rest.ours("GET", "/jobs", params={"search": name})["jobs"]
        return next((one["job"]["job_id"] for one in jobs if one["job"]["job"] == name), None)

    job = Job(rest, awaited(found))
    awaited(lambda: job.newest().get("approval", {}).get("status") == "waiting")
    return job


def test_a_job_can_be_done_via_rest_alone(world: World, rest: Rest) -> None:
    name = "by-rest"
    job = planned(rest, serve(world, name))
    run_id = job.newest()["run_id"]
    run = rest.ours("GET", f"/runs/{run_id}")
    assert run["controls"]["plan"]["counts"]["calls"] == OBJECTS // PER_CALL
    assert world.endpoint.stats().invocations == 0, "it was called before it was approved"

    job.answer(name, "Approve")
    paused = rest.ours("POST", f"/runs/{run_id}/pause")["paused"]
    limits = rest.ours("PATCH", f"/runs/{run_id}/limits", json={"max_concurrency": 5})
    assert (paused, limits["max_concurrency"]) == (True, 5)
    assert not rest.ours("POST", f"/runs/{run_id}/resume")["paused"]
    report = job.ended()
    assert (report["status"], report["succeeded"], report["quarantined"]) == (
        "complete", OBJECTS - len(POISON), len(POISON),
    )  # fmt: skip
    assert report["calls"] == world.endpoint.stats().invocations
    assert set(world.endpoint.items()) == set(KEYS)

    (group,) = job.get("/quarantine")["groups"]
    assert (group["error_type"], group["items"]) == (ERROR, len(POISON))
    fix(world)
    assert job.get("/redrives/count", error=ERROR)["items"] == len(POISON)
    body = {"error": ERROR, "note": "version 2"}
    begun = rest.ours("POST", f"/jobs/{job.job_id}/redrives", json=body)
    assert (begun["dag_id"], begun["items"]) == (DAG, len(POISON))
    report = job.ended(behind=run_id)
    assert (report["status"], report["redriven"], report["succeeded"]) == (
        "complete", len(POISON), len(POISON),
    )  # fmt: skip
    assert world.endpoint.items() == dict.fromkeys(POISON, 1)
    (redrive,) = job.get("/redrives")["redrives"]
    assert (redrive["note"], redrive["succeeded"]) == ("version 2", len(POISON))
    assert redrive["asked_by"] == world.settings.user

    key = min(POISON)
    (found,) = job.get("/items", key=key, exact=True)["items"]
    history = job.get(f"/items/{found['identifier']}", key=key)
    assert history["placed"]["place"] == "results"
    assert [call["outcome"] for call in history["calls"]][-1] == "succeeded"
    assert job.get("")["totals"]["succeeded"] == OBJECTS
