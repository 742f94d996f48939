"""The setup page: by itself, instead of other pages, and via REST."""

from datetime import UTC, datetime, timedelta

import pytest
from psycopg2.extensions import parse_dsn

from tests.integration.test_clear_failures import say
from tests.integration.web import Web

pytestmark = pytest.mark.filterwarnings("ignore:Using `httpx` with `starlette.testclient`")

PAGES = ("/retrofill/jobs", "/retrofill/dags/d/runs/r", "/retrofill/jobs/1", "/retrofill/runs/1")
SETUP, REST = "/retrofill/setup", "/retrofill/api/v1/setup"
VARIABLE = "AIRFLOW_CONN_RETROFILL_STATE"


def test_missing_setup_is_shown_instead_of_the_page(web: Web, state_dsn: str) -> None:
    say(state_dsn, "DROP SCHEMA retrofill CASCADE")
    parsed = parse_dsn(state_dsn)
    for path in PAGES:
        answer = web.get(path, "VIEWER")
        assert answer.status_code == 503, path
        for said in (
            "<h1>Set-up</h1>",
            "The state&#39;s schema is at version 0, this code needs 1",
            "python -m retrofill db migrate",
            f"database {parsed['dbname']}, role {parsed['user']}",
            "No run can be opened until you fix this.",
        ):
            assert said in answer.text, (path, said)
    for path in (*PAGES, SETUP, REST):
        stranger = web.client.get(path)
        assert stranger.status_code == 401
        assert parsed["dbname"] not in stranger.text


def test_the_setup_page_works_with_any_state(
    web: Web, state_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready = web.get(SETUP, "VIEWER")
    assert ready.status_code == 200
    assert '<span class="badge complete">ready</span>' in ready.text
    assert f"<dd>{parse_dsn(state_dsn)['dbname']}</dd>" in ready.text
    assert "How to begin" in ready.text
    monkeypatch.delenv(VARIABLE)
    missing = web.get(SETUP, "VIEWER")
    assert missing.status_code == 200
    assert "not ready" in missing.text
    assert f"{VARIABLE}=&#39;postgresql://ROLE:PASSWORD@HOST:5432/DATABASE" in missing.text
    assert "How to begin" not in missing.text
    body = web.get(REST, "VIEWER").json()
    assert (body["ready"], body["state"], body["findings"][0]["blocks"]) == (False, None, True)


def test_rest_returns_the_same(web: Web, state_dsn: str) -> None:
    body = web.get(REST, "VIEWER").json()
    assert (body["ready"], body["state"]["database"]) == (True, parse_dsn(state_dsn)["dbname"])
    where = {one["where"] for one in body["findings"]}
    assert "the DAGs folder" in where
    assert "Airflow's triggerer" in where


def test_a_page_without_jobs_shows_how_to_begin(web: Web) -> None:
    empty = web.get("/retrofill/jobs", "VIEWER").text
    assert "There is no job yet that you may see" in empty
    assert "Airflow shows you no Retrofill DAG that opens runs" in empty
    web.airflow.add_dag("photos", tags=["retrofill"], is_paused=True)
    web.airflow.add_dag("keep", tags=["retrofill", "maintenance"])
    web.airflow.add_dag("gone", tags=["retrofill"], is_stale=True)
    web.airflow.add_dag("theirs", tags=[])
    for path in ("/retrofill/jobs", SETUP):
        page = web.get(path, "VIEWER").text
        beginning = page[page.index('<ul class="begin">') :].partition("</ul>")[0]
        assert 'dags/photos" target="_top">photos</a>' in beginning
        assert "paused" in beginning
        for other in ("keep", "gone", "theirs"):
            assert other not in beginning
        assert "dags/photos" not in web.get(path, "VIEWER@other").text
    assert f'href="{SETUP}"' in empty


def test_airflows_problems_are_found(web: Web) -> None:
    web.airflow.add_dag("photos", tags=["retrofill"])
    web.airflow.add_dag("keep", tags=["retrofill", "maintenance"], is_paused=True)
    web.airflow.break_file("retrofill_photos.py", "Traceback\n  of it\nImportError: <no>")
    web.airflow.break_file("other.py", "ImportError: theirs")
    web.airflow.add_triggerer(datetime.now(UTC) - timedelta(hours=1))

    def found(role: str = "ADMIN") -> dict[str, str]:
        body = web.get(REST, role).raise_for_status().json()
        return {one["where"]: one["what"] for one in body["findings"]}

    first = found()
    broken = "Airflow cannot import retrofill_photos.py: ImportError: <no>"
    assert first["the DAG processor"] == broken
    assert "is paused" in first["the DAG keep"]
    assert "Airflow's triggerer" in first
    web.airflow.add_triggerer(datetime.now(UTC))
    assert "Airflow's triggerer" not in found()
    page = web.get(SETUP, "ADMIN").text
    assert "ImportError: &lt;no&gt;" in page
    assert "the DAGs folder" in found("ADMIN@none")


def test_a_missing_schema_links_to_the_dag(web: Web, state_dsn: str) -> None:
    web.airflow.add_dag("raise_it", tags=["retrofill", "migration"])
    say(state_dsn, "DROP SCHEMA retrofill CASCADE")
    assert 'dags/raise_it" target="_top">raise_it in Airflow</a>' in web.get(SETUP, "VIEWER").text
