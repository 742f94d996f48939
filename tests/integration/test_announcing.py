"""The note of a DAG run, written via Airflow's REST API as its connection defines."""

import json
from types import SimpleNamespace
from typing import Any

import pytest
from retrofill.announcing import MOST_CHARACTERS, asset_of, note

from tests.integration.raw_server import RawServer, Request, http_answer


def airflow(status: str = "200 OK", before: str | None = None) -> RawServer:
    """Return a server that gives anyone a token and has a DAG run with a note."""

    def answer(request: Request) -> bytes:
        if "/auth/token" in request.line:
            return http_answer(b'{"access_token": "of-ada"}')
        return http_answer(json.dumps({"note": before}).encode(), status=status)

    return RawServer(answer)


def written(monkeypatch: pytest.MonkeyPatch, server: RawServer, *lines: str, **more: str) -> None:
    connection = {"conn_type": "http", "host": server.url, "login": "ada", "password": "secret"}
    monkeypatch.setenv("AIRFLOW_CONN_RETROFILL_AIRFLOW", json.dumps(connection | more))
    dag_run = SimpleNamespace(dag_id="d", run_id="scheduled__2026-01-01T00:00:00+00:00")
    context: Any = {"dag_run": dag_run}
    note(context, *lines)


def test_a_note_is_written_as_the_user_of_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    with airflow() as server:
        written(monkeypatch, server, "run 1 of j", "complete: 5 succeeded")
        asked, got, put = server.requests
    assert json.loads(asked.body) == {"username": "ada", "password": "secret"}
    path = "/api/v2/dags/d/dagRuns/scheduled__2026-01-01T00%3A00%3A00%2B00%3A00"
    assert (got.line, put.line) == (f"GET {path} HTTP/1.1", f"PATCH {path} HTTP/1.1")
    assert got.headers["authorization"] == put.headers["authorization"] == "Bearer of-ada"
    assert json.loads(put.body) == {"note": "Retrofill: run 1 of j\ncomplete: 5 succeeded"}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("for the audit", "for the audit\n\nRetrofill: r"),
        ("for the audit\n\nRetrofill: an older one", "for the audit\n\nRetrofill: r"),
        ("Retrofill: an older one", "Retrofill: r"),
    ],
)
def test_an_existing_note_is_kept(monkeypatch: pytest.MonkeyPatch, before: str, after: str) -> None:
    with airflow(before=before) as server:
        written(monkeypatch, server, "r", login="", password="token")  # noqa: S106
        _, put = server.requests
    assert put.headers["authorization"] == "Bearer token"
    assert json.loads(put.body) == {"note": after}


def test_a_note_is_cut_to_airflows_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    with airflow() as server:
        written(monkeypatch, server, "r" * 2_000, login="")
        _, put = server.requests
    assert len(json.loads(put.body)["note"]) == MOST_CHARACTERS


@pytest.mark.parametrize("status", ["401 Unauthorized", "403 Forbidden", "500 Oh"])
def test_a_note_that_is_refused_is_only_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, status: str
) -> None:
    with airflow(status) as server:
        written(monkeypatch, server, "r")
    assert "the note of the DAG run could not be written" in caplog.text
    assert status[:3] in caplog.text
    assert "secret" not in caplog.text


def test_a_connection_without_a_url_is_only_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with airflow() as server:
        written(monkeypatch, server, "r", host="http://[::1")
        assert server.requests == []
    assert "written: the connection retrofill_airflow: 'http://…'" in caplog.text


def test_a_server_that_is_not_airflow_is_only_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with RawServer(lambda _: http_answer(b"[]")) as server:
        written(monkeypatch, server, "r")
    assert "is not Airflow" in caplog.text


def test_without_a_connection_no_note_is_written(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    context: Any = {"dag_run": SimpleNamespace(dag_id="d", run_id="r")}
    note(context, "r")
    assert "no note is written: there is no connection retrofill_airflow" in caplog.text


def test_the_asset_of_any_job_is_a_uri() -> None:
    assert asset_of("thumbnails").uri == "retrofill://jobs/thumbnails"
    assert asset_of("s3://b/ → f").uri == "retrofill://jobs/s3%3A%2F%2Fb%2F%20%E2%86%92%20f"
