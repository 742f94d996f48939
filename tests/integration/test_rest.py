"""Every route of pages and REST: who may use it, and what REST returns."""

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

import pytest
from openapi_spec_validator import validate
from retrofill.model.records import as_json
from retrofill.state import limits, pages, runs
from retrofill.state.connection import Connection, connect

from tests.integration.opened import close, enqueue, item, open_run
from tests.integration.test_redrive import KEYS, quarantined
from tests.integration.web import Web

if TYPE_CHECKING:
    from httpx import Response
    from starlette.testclient import TestClient

# Airflow imports a test client via another library; that client wants a newer httpx.
pytestmark = pytest.mark.filterwarnings("ignore:Using `httpx` with `starlette.testclient`")

ROOT = "/retrofill"
REST = f"{ROOT}/api/v1"
OWN = {"Sec-Fetch-Site": "same-origin"}
FOREIGN = (
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Origin": "https://evil.example"},
    {},
)
VALUES = {
    "dag_id": "d",
    "dag_run_id": "r",
    "run_id": "1",
    "job_id": "1",
    "identifier": str(UUID(int=1)),
}


class Asked(NamedTuple):
    """How to request a route, and its response to an authorized user."""

    code: int = 200
    query: str = ""
    content: dict[str, Any] = {}  # noqa: RUF012  nobody changes it
    """Further arguments of the httpx request: json or data."""


ROUTES: dict[tuple[str, str], Asked] = {
    ("GET", "/jobs"): Asked(),
    ("GET", "/jobs/{job_id}"): Asked(),
    ("GET", "/jobs/{job_id}/quarantine"): Asked(),
    ("GET", "/jobs/{job_id}/redrive"): Asked(),
    # An authorized user learns that there is nothing to redrive.
    ("POST", "/jobs/{job_id}/redrive"): Asked(422, content={"data": {"note": "why"}}),
    ("GET", "/jobs/{job_id}/items"): Asked(query="?key=a"),
    ("GET", "/jobs/{job_id}/items/{identifier}"): Asked(query="?key=a"),
    ("GET", "/runs/{run_id}"): Asked(303),
    ("GET", "/dags/{dag_id}/runs/{dag_run_id:path}"): Asked(),
    ("POST", "/dags/{dag_id}/runs/{dag_run_id:path}"): Asked(
        303, content={"data": {"action": "pause"}}
    ),
    ("GET", "/setup"): Asked(),
    ("GET", "/api/v1/setup"): Asked(),
    ("GET", "/api/v1/openapi.json"): Asked(),
    ("GET", "/api/v1/docs"): Asked(),
    ("GET", "/api/v1/jobs"): Asked(),
    ("GET", "/api/v1/jobs/{job_id}"): Asked(),
    ("GET", "/api/v1/jobs/{job_id}/quarantine"): Asked(query="?error=Odd*&unsure=any"),
    ("GET", "/api/v1/jobs/{job_id}/items"): Asked(query="?key=a"),
    ("GET", "/api/v1/jobs/{job_id}/items/{identifier}"): Asked(query="?key=a"),
    ("GET", "/api/v1/jobs/{job_id}/redrives"): Asked(),
    ("GET", "/api/v1/jobs/{job_id}/redrives/count"): Asked(query="?place=quarantine"),
    ("POST", "/api/v1/jobs/{job_id}/redrives"): Asked(422, content={"json": {"note": "why"}}),
    ("GET", "/api/v1/runs"): Asked(),
    ("GET", "/api/v1/runs/{run_id}"): Asked(),
    ("POST", "/api/v1/runs/{run_id}/pause"): Asked(),
    ("POST", "/api/v1/runs/{run_id}/resume"): Asked(),
    ("POST", "/api/v1/runs/{run_id}/stop"): Asked(content={"json": {"reason": "for a test"}}),
    ("PATCH", "/api/v1/runs/{run_id}/limits"): Asked(content={"json": {"max_concurrency": 7}}),
}
"""All routes: add new ones here."""


class Rest(NamedTuple):
    """Pages and REST behind Airflow's permissions, over a state with one open run."""

    client: "TestClient"
    as_role: Callable[[str], dict[str, str]]
    dsn: str

    def ask(self, method: str, path: str, headers: dict[str, str], **content: Any) -> "Response":
        address = ROOT + path.replace(":path", "").format(**VALUES)
        return self.client.request(method, address, headers=headers, **content)

    def as_bearer(self, role: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.as_role(role)['Cookie'].partition('=')[2]}"}


@pytest.fixture
def rest(web: Web, state_dsn: str) -> Rest:
    with closing(connect(state_dsn)) as conn:
        enqueue(conn, open_run(conn), [item("a"), item("b")])
    return Rest(web.client, web.as_role, state_dsn)


@pytest.fixture
def conn(rest: Rest) -> Iterator[Connection]:
    with closing(connect(rest.dsn)) as opened:
        yield opened


def test_every_route_requires_a_login(rest: Rest) -> None:
    from tests.integration import api_server  # noqa: PLC0415  it warns, see there

    assert api_server.routes() == ROUTES.keys()
    for (method, path), asked in ROUTES.items():
        acts, said = method != "GET", f"{method} {path}"
        address = f"{path}{asked.query}"
        anonymous = rest.ask(method, address, OWN, **asked.content)
        assert anonymous.status_code == 401, said
        nobody = rest.ask(method, address, {"Authorization": "Bearer none"}, **asked.content)
        assert nobody.status_code in {401, 403}, said
        viewer = rest.ask(method, address, rest.as_role("viewer") | OWN, **asked.content)
        assert viewer.status_code == (403 if acts else asked.code), f"{said}: {viewer.text}"
        editor = rest.ask(method, address, rest.as_role("user") | OWN, **asked.content)
        assert editor.status_code == asked.code, f"{said}: {editor.text}"
        script = rest.ask(method, address, rest.as_bearer("user"), **asked.content)
        assert script.status_code == asked.code, f"{said}: {script.text}"
        for origin in FOREIGN if acts else ():
            foreign = rest.ask(method, address, rest.as_role("user") | origin, **asked.content)
            assert foreign.status_code == 403, f"{said}: {origin}"


def test_problems_are_reported_as_problem_documents(rest: Rest, conn: Connection) -> None:
    headers = rest.as_bearer("user")

    def problem_of(method: str, path: str, code: int, **content: Any) -> dict[str, Any]:
        answer = rest.client.request(method, REST + path, headers=headers, **content)
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["cache-control"] == "no-store"
        problem: dict[str, Any] = answer.json()
        assert answer.status_code == problem["status"] == code, problem
        return problem

    assert problem_of("GET", "/nothing", 404)["title"] == "Not Found"
    assert problem_of("DELETE", "/runs/1", 405)["title"] == "Method Not Allowed"
    assert problem_of("GET", "/runs/9", 404)["detail"] == "there is no run 9"
    assert problem_of("GET", "/jobs/9", 404)["detail"] == "there is no job 9"
    assert problem_of("GET", "/runs?limit=0", 422)["errors"] == [
        {"field": "limit", "detail": "'0' is not allowed; it must be greater than or equal to 1"}
    ]
    assert problem_of("GET", "/runs/first", 422)["errors"][0]["field"] == "run_id"
    wrong = {"max_concurrency": 0, "speed": 1}
    problem = problem_of("PATCH", "/runs/1/limits", 422, json=wrong)
    assert [error["field"] for error in problem["errors"]] == ["max_concurrency", "speed"]
    assert problem["detail"].splitlines() == [
        "max_concurrency: 0 is not allowed; it must be greater than or equal to 1",
        "speed: there is no such field",
    ]
    causes = {"max_calls": 9, "max_percent_by_cause": {"tired": 5}}
    problem = problem_of("PATCH", "/runs/1/limits", 422, json=causes)
    assert problem["errors"][0]["field"] == "max_percent_by_cause"
    assert limits.get_limits(conn, 1).max_calls is None, "all or none"
    close(conn, 1, complete=False)
    assert (
        problem_of("POST", "/runs/1/pause", 409)["detail"]
        == "run 1 is closed, so nothing was changed"
    )


def test_input_that_postgres_cannot_store_is_not_an_error_of_the_state(rest: Rest) -> None:
    headers = rest.as_bearer("user")
    for path in (
        f"{REST}/jobs?search=%00",
        f"{REST}/jobs/1/items/{UUID(int=1)}?key=%00",
        f"{REST}/runs?job_id={2**31}",
        f"{ROOT}/jobs/1/items/{UUID(int=1)}?key=%00",
        f"{ROOT}/dags/d/runs/%00",
    ):
        assert rest.client.get(path, headers=headers).status_code == 422, path
    stop = rest.client.post(f"{REST}/runs/1/stop", headers=headers, json={"reason": "a\0b"})
    assert (stop.status_code, stop.json()["errors"][0]["field"]) == (422, "reason")
    deep = {"action": "max_percent_by_cause", "text": "[" * 100_000}
    page = rest.client.post(f"{ROOT}/dags/d/runs/r", headers=headers, data=deep)
    assert page.status_code == 422


def test_an_unusable_state_is_reported_without_its_address(
    rest: Rest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_RETROFILL_STATE", "postgresql://nobody@127.0.0.1:1/none")
    answer = rest.client.get(f"{REST}/runs", headers=rest.as_bearer("viewer"))
    assert answer.status_code == 503
    assert "127.0.0.1" not in answer.text


def test_rest_and_command_line_return_the_same(rest: Rest, conn: Connection) -> None:
    headers = rest.as_bearer("viewer")

    def get(path: str) -> Any:
        return rest.client.get(REST + path, headers=headers).raise_for_status().json()

    assert get("/runs") == {
        "runs": [as_json(runs.get_report(conn, 1))], "next_before": None
    }  # fmt: skip
    assert get("/runs/1")["report"] == as_json(pages.get_page(conn, 1).report)
    assert get("/jobs")["total_entries"] == 1
    (job,) = get("/jobs")["jobs"]
    assert (job["job"]["job"], job["counts"]["total"]) == ("job", 2)
    assert get("/jobs?search=nothing") == {"jobs": [], "total_entries": 0}
    assert get("/jobs/1")["totals"]["runs"] == 1
    assert get("/jobs/1")["dag_ids"] == ["d"]


def test_lists_are_read_page_by_page(rest: Rest, conn: Connection) -> None:
    for number in (2, 3):
        open_run(conn, str(number))
    headers, found, before = rest.as_bearer("viewer"), [], ""
    while True:
        page = rest.client.get(f"{REST}/runs?limit=2{before}", headers=headers).json()
        found += [run["run_id"] for run in page["runs"]]
        if page["next_before"] is None:
            break
        before = f"&before={page['next_before']}"
    assert found == [3, 2, 1]
    page = rest.client.get(f"{REST}/jobs?limit=1&offset=1", headers=headers).json()
    assert page == {"jobs": [], "total_entries": 1}


def test_actions_change_the_run_and_are_in_airflows_audit_log(rest: Rest) -> None:
    from tests.integration import api_server  # noqa: PLC0415  it warns, see there

    headers = rest.as_bearer("user")

    def act(method: str, path: str, **content: Any) -> Any:
        answer = rest.client.request(method, f"{REST}/runs/1{path}", headers=headers, **content)
        return answer.raise_for_status().json()

    before = len(api_server.audit_log("d"))
    assert act("POST", "/pause")["paused"]
    assert not act("POST", "/resume")["paused"]
    changed = act("PATCH", "/limits", json={"max_calls": 9, "max_cost": 2.5})
    assert (changed["max_calls"], changed["max_cost"]) == (9, 2.5)
    assert act("PATCH", "/limits", json={"max_calls": None})["max_calls"] is None
    assert act("PATCH", "/limits", json={})["max_cost"] == 2.5
    assert act("POST", "/stop", json={"reason": "for the night"})["stop_reason"] == "for the night"
    assert act("POST", "/stop")["stop_reason"] == "for the night", "the first reason stays"
    assert api_server.audit_log("d")[before:] == [
        ("retrofill_pause", "the-user", ""),
        ("retrofill_resume", "the-user", ""),
        ("retrofill_max_calls", "the-user", "9"),
        ("retrofill_max_cost", "the-user", "2.5"),
        ("retrofill_max_calls", "the-user", ""),
        ("retrofill_stop", "the-user", "for the night"),
        ("retrofill_stop", "the-user", ""),
    ]


def test_the_openapi_description_is_valid_and_complete(rest: Rest) -> None:
    headers = rest.as_bearer("viewer")
    description = rest.client.get(f"{REST}/openapi.json", headers=headers).json()
    validate(description)
    described = {
        (method.upper(), f"/api/v1{path}")
        for path, methods in description["paths"].items()
        for method in methods
    }
    undescribed = {("GET", "/api/v1/openapi.json"), ("GET", "/api/v1/docs")}
    assert described == {route for route in ROUTES if route[1].startswith("/api/")} - undescribed
    assert description["servers"] == [{"url": REST}]
    report = description["components"]["schemas"]["Report"]["properties"]
    assert report["late"]["description"] == "New items that are older than the run's interval."
    page = rest.client.get(f"{REST}/docs", headers=headers).text
    for method, path in described:
        assert f"{method} {ROOT}{path}" in page
    assert "max_concurrency" in page


def test_failures_are_listed_and_counted(rest: Rest, conn: Connection) -> None:
    quarantined(rest.dsn, conn, "failing")
    headers = rest.as_bearer("user")

    def get(path: str) -> Any:
        answer = rest.client.get(f"{REST}/jobs/1{path}", headers=headers)
        return answer.raise_for_status().json()

    assert [(g["error_type"], g["items"]) for g in get("/quarantine")["groups"]] == [
        ("Even.Error", 5), ("Odd.Error", 5),
    ]  # fmt: skip
    (group,) = get("/quarantine?error=Odd*&key=in/00")["groups"]
    (example,) = group["examples"]
    (found,) = get("/items?key=in/00&exact=true")["items"]
    assert (found["place"], found["identifier"]) == ("quarantine", example["identifier"])
    history = get(f"/items/{example['identifier']}?key=in/00")
    assert history["placed"]["error_type"] == "Odd.Error"
    first = get("/items?key=in/&limit=4")
    assert (len(first["items"]), first["more"]) == (4, True)
    last = first["items"][-1]
    behind = f"&after={last['key']}&after_identifier={last['identifier']}"
    assert [one["key"] for one in get(f"/items?key=in/{behind}")["items"]] == KEYS[4:]
    counted = get("/redrives/count?error=Odd*")
    assert (counted["items"], counted["dag_id"]) == (5, "d")
    assert counted["params"]["redrive_error"] == "Odd*"
    assert get("/redrives")["redrives"] == []


@pytest.mark.parametrize(
    ("body", "field", "detail"),
    [
        (
            {"after": "yesterday"},
            "after",
            "'yesterday' is not allowed; give a date and time with its zone",
        ),
        (
            {"place": "elsewhere"},
            "place",
            "'elsewhere' is not allowed; it must be 'quarantine' or 'successes'",
        ),
        ({"error": "e" * 201}, "error", "'eee"),
        ({"eror": "x"}, "eror", "there is no such field"),
        ({"place": "successes"}, "redrive", "'successes' needs redrive_key"),
        ({"error": "Other"}, "redrive", "no item matches any more (quarantine: error Other)"),
        ({"note": " "}, "note", "it is empty; give the reason for the redrive in one line"),
    ],
)
def test_a_bad_redrive_is_reported_by_field(
    rest: Rest, body: dict[str, str], field: str, detail: str
) -> None:
    answer = rest.client.post(
        f"{REST}/jobs/1/redrives", headers=rest.as_bearer("user"), json={"note": "why", **body}
    )
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["field"] == field
    assert error["detail"].startswith(detail)


def test_runs_of_hidden_dags_can_be_neither_seen_nor_changed(rest: Rest, conn: Connection) -> None:
    open_run(conn, "hidden", dag_id="other")
    headers = rest.as_bearer("user@d")

    def ask(method: str, path: str) -> "Response":
        return rest.client.request(method, REST + path, headers=headers)

    assert [run["run_id"] for run in ask("GET", "/runs").json()["runs"]] == [1]
    assert ask("GET", "/runs/1").status_code == 200
    assert ask("GET", "/jobs").json()["jobs"] == [], "a hidden DAG did a part of this job"
    refused = [
        ("GET", "/runs/2"),
        ("POST", "/runs/2/stop"),
        ("GET", "/jobs/1"),
        ("GET", "/jobs/1/quarantine"),
        ("GET", "/jobs/1/items?key=a"),
        ("GET", "/jobs/1/redrives/count"),
    ]
    assert {ask(*one).status_code for one in refused} == {403}
