"""The pages of quarantine and redrive, on a real Postgres behind Airflow's permissions."""

import html
import re
from collections.abc import Iterator
from contextlib import closing

import pytest
from psycopg2.extensions import connection
from retrofill.engine.fit import Range
from retrofill.model.selection import Selection
from retrofill.state import redrives, runs, triage
from retrofill.state.connection import connect
from retrofill.workflow import retrofill_dag

from tests.integration.opened import FUNCTION, close, new_run
from tests.integration.test_redrive import quarantined
from tests.integration.web import OWN, Web, run_in_the_middle

pytestmark = pytest.mark.filterwarnings("ignore:Using `httpx` with `starlette.testclient`")

QUARANTINE = "/retrofill/jobs/1/quarantine"
REDRIVE = "/retrofill/jobs/1/redrive"
ASKED = {"place": "quarantine", "error": "Odd.Error", "note": "version 2 fixes it"}


@pytest.fixture
def conn(state_dsn: str) -> Iterator[connection]:
    with closing(connect(state_dsn)) as opened:
        yield opened


@pytest.fixture
def _quarantined(state_dsn: str, conn: connection) -> None:
    quarantined(state_dsn, conn)


def asks(web: Web, role: str, headers: dict[str, str] = OWN, **form: str) -> tuple[int, str]:
    """Post the form of a redrive; return the code and the text, or the redirect."""
    cookie = web.as_role(role) if role else {}
    answer = web.client.post(REDRIVE, data=ASKED | form, headers={**cookie, **headers})
    return answer.status_code, answer.headers.get("location", answer.text)


def test_items_are_grouped_by_error_with_examples_and_a_link_to_redrive(
    web: Web, state_dsn: str, conn: connection
) -> None:
    quarantined(state_dsn, conn)
    page = web.get(QUARANTINE, "USER").text
    assert re.findall(r"<h3><code>(.*?)</code></h3>\s*<span><b>(.*?)</b>", page) == [
        ("Even.Error", "5 items"), ("Odd.Error", "5 items"),
    ]  # fmt: skip
    assert page.count("Redrive these…") == 2
    assert re.search(r'items/[0-9a-f-]{36}\?key=in%2F0\d"', page)
    (link,) = re.findall(r'href="([^"]*)" aria-label="Redrive these: Odd.Error"', page)
    counted = web.get(html.unescape(link), "USER").text
    assert "<dt>items</dt><dd>5</dd>" in counted
    assert "<dt>cost</dt><dd>unknown</dd>" in counted
    assert 'name="error" value="Odd.Error"' in counted
    assert ">Redrive 5 items</button>" in counted
    all_of_it = html.unescape(re.findall(r'class="button" href="([^"]*)">Redrive all', page)[0])
    assert "<dt>items</dt><dd>10</dd>" in web.get(all_of_it, "USER").text


@pytest.mark.parametrize(
    ("query", "shown", "hidden"),
    [
        ("error=Odd*", "Odd.Error", "Even.Error"),
        ("key=in/00", "1 item</b>", "Even.Error"),
        ("version=1&unsure=without", "5 items</b>", "No quarantined item"),
        ("version=2", "No quarantined item matches.", "5 items</b>"),
        ("unsure=only", "No quarantined item matches.", "5 items</b>"),
        ("before=2026-01-01T00:00:00Z", "No quarantined item matches.", "5 items</b>"),
    ],
)
@pytest.mark.usefixtures("_quarantined")
def test_filters_narrow_the_groups(web: Web, query: str, shown: str, hidden: str) -> None:
    page = web.get(f"{QUARANTINE}?{query}", "VIEWER").text
    assert shown in page
    assert hidden not in page


@pytest.mark.parametrize("path", [QUARANTINE, REDRIVE])
def test_bad_input_is_reported(web: Web, state_dsn: str, conn: connection, path: str) -> None:
    quarantined(state_dsn, conn)
    answer = web.get(f"{path}?after=yesterday", "USER")
    assert answer.status_code == 422
    assert (
        "after: &#39;yesterday&#39; is not allowed; give a date and time with its zone"
        in answer.text
    )
    assert 'name="after" value="yesterday"' in answer.text


def test_without_permission_to_start_dag_runs_there_are_no_actions(
    web: Web, state_dsn: str, conn: connection
) -> None:
    quarantined(state_dsn, conn)
    for path in (QUARANTINE, REDRIVE):
        assert web.client.get(path).status_code == 401
        assert web.get(path, "ADMIN@other").status_code == 403
        page = web.get(path, "VIEWER").text
        assert "Redrive these" not in page
        assert 'method="post"' not in page
    assert "you need permission to start DAG runs of d" in web.get(REDRIVE, "VIEWER").text
    assert asks(web, "")[0] == 401
    assert asks(web, "VIEWER")[0] == 403
    assert asks(web, "ADMIN@other")[0] == 403
    assert web.airflow.confs_of("d") == []


@pytest.mark.parametrize(
    "headers",
    [{}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "http://testserver:81"}, {"Origin": "null"}],
)
def test_another_site_cannot_start_a_redrive(
    web: Web, state_dsn: str, conn: connection, headers: dict[str, str]
) -> None:
    quarantined(state_dsn, conn)
    assert asks(web, "ADMIN", headers)[0] == 403


def test_exactly_the_counted_items_are_redriven_and_recorded(
    web: Web, state_dsn: str, conn: connection
) -> None:
    quarantined(state_dsn, conn)
    web.airflow.write_dag(retrofill_dag("d", source="s3", schedule=None))
    code, page = asks(web, "USER")
    ((dag_run_id, who, conf),) = web.airflow.confs_of("d")
    assert code == 303
    assert page.startswith("/retrofill/dags/d/runs/manual")
    wanted = {
        "redrive": "quarantine", "redrive_error": "Odd.Error", "redrive_key": None,
        "redrive_note": "version 2 fixes it", "job": "job", "bucket": "bucket", "prefix": "",
    }  # fmt: skip
    assert {name: conf[name] for name in wanted} == wanted
    assert (who, web.get(page, "USER").status_code) == ("the-USER", 200)
    *_, entry = web.audit_log("d")
    assert entry == (
        "retrofill_redrive", "the-USER", "quarantine: error Odd.Error: version 2 fixes it",
    )  # fmt: skip
    assert dag_run_id


def test_redriving_needs_permission_to_start_the_dag_of_the_source(
    web: Web, state_dsn: str, conn: connection
) -> None:
    quarantined(state_dsn, conn)
    asked = redrives.NewRedrive(Selection(error="Odd*"), "fixed", "ada", None, None)
    new = new_run(1, "again", dag_id="last", config={"redrive": "quarantine"})
    close(conn, runs.open_run(conn, new, FUNCTION, asked).run_id, complete=True)
    web.airflow.write_dag(retrofill_dag("d", source="s3", schedule=None))

    def begun(role: str) -> int:
        headers, path = {**web.as_role(role), **OWN}, "/retrofill/api/v1/jobs/1/redrives"
        return web.client.post(path, headers=headers, json={"note": "again"}).status_code

    of_the_last = "USER@last,d:GET"
    assert "Redrive these" not in web.get(QUARANTINE, of_the_last).text
    assert 'method="post"' not in web.get(REDRIVE, of_the_last).text
    assert (asks(web, of_the_last)[0], begun(of_the_last)) == (403, 403)
    assert web.airflow.confs_of("d") == []

    of_the_listing = "USER@d,last:GET"
    assert "Redrive these" in web.get(QUARANTINE, of_the_listing).text
    assert 'method="post"' in web.get(REDRIVE, of_the_listing).text
    assert (asks(web, of_the_listing)[0], begun(of_the_listing)) == (303, 201)
    assert len(web.airflow.confs_of("d")) == 2


@pytest.mark.parametrize(
    ("form", "says"),
    [
        ({"note": " "}, "note: it is empty"),
        ({"error": "Other"}, "no item matches any more (quarantine: error Other)"),
        ({"place": "successes"}, "allowed only with redrive"),
        ({}, "dag: &#39;d&#39;; Dag id d not found"),
    ],
)
def test_a_redrive_that_cannot_start_is_reported_and_the_form_kept(
    web: Web, state_dsn: str, conn: connection, form: dict[str, str], says: str
) -> None:
    quarantined(state_dsn, conn)
    code, text = asks(web, "USER", **form)
    assert (code, "Nothing was started." in text) == (422, True)
    assert says in text


def test_a_paused_dag_is_shown_before_the_redrive(
    web: Web, state_dsn: str, conn: connection
) -> None:
    quarantined(state_dsn, conn)
    web.airflow.add_dag("d", is_paused=True)
    page = web.get(REDRIVE, "USER").text
    assert "The DAG is paused in Airflow" in page
    assert 'method="post"' not in page


def test_successes_are_counted_once_a_selection_is_given(
    web: Web, state_dsn: str, conn: connection
) -> None:
    run_in_the_middle(conn, state_dsn)
    with conn, conn.cursor() as cur:
        cur.execute(
            "UPDATE retrofill.run SET config = config - 'prefix' || '{\"whole_bucket\": true}'"
        )
    page = web.get(f"{REDRIVE}?place=successes", "USER")
    assert page.status_code == 200
    assert "Select by key, version or time" in page.text
    assert 'name="error"' not in page.text
    page = web.get(f"{REDRIVE}?place=successes&version=1&key=*", "USER")
    assert "<dt>items</dt><dd>2</dd>" in page.text
    assert ">Redrive 2 items</button>" in page.text


def test_earlier_redrives_are_listed_with_user_reason_and_result(
    web: Web, state_dsn: str, conn: connection
) -> None:
    quarantined(state_dsn, conn)
    assert "Nothing has been redriven yet." in web.get(QUARANTINE, "VIEWER").text
    asked = redrives.NewRedrive(
        Selection(error="Odd*"), "fixed <b>", "ada", None, Range(0.5, 0.75, 1.0)
    )
    new = new_run(1, "again", config={"redrive": "quarantine"})
    ref = runs.open_run(conn, new, FUNCTION, asked)
    page = web.get(QUARANTINE, "VIEWER").text
    assert 'data-refresh-s="10"' in page
    close(conn, ref.run_id, complete=True)
    page = web.get(QUARANTINE, "VIEWER").text
    assert 'data-refresh-s="0"' in page
    for said in ("quarantine: error Odd*", "fixed &lt;b&gt;", "by ada", "unknown", "complete",
                 "$0.75 ($0.50 to $1.00)", "/retrofill/dags/d/runs/again"):  # fmt: skip
        assert said in page


def test_groups_that_take_too_long_are_left_out(
    web: Web, state_dsn: str, conn: connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    quarantined(state_dsn, conn)
    monkeypatch.setattr(triage, "groups", lambda *_: None)
    page = web.get(QUARANTINE, "VIEWER")
    assert page.status_code == 200
    assert "Reading the groups took longer than 5 seconds" in page.text
    assert "Redrives" in page.text
