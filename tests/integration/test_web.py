"""The page of a run on a real Postgres, behind Airflow's real permissions."""

import re
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from retrofill.config import RunConfig
from retrofill.model.approval import ApprovalStatus
from retrofill.model.errors import StateError
from retrofill.model.report import Report
from retrofill.model.runs import SetRef
from retrofill.pipeline import approve
from retrofill.pipeline.admission import Slots
from retrofill.pipeline.deliver import shape_of
from retrofill.pipeline.show_plan import show_plan
from retrofill.sources.memory import MemorySource
from retrofill.state import approvals, batches, limits, pages, runs
from retrofill.state.connection import Connection, connect
from retrofill.state.statements import load
from retrofill.web import shared

from tests.integration.opened import close, enqueue, item, open_next_set, open_run
from tests.integration.web import OWN, POISON, Web, run_in_the_middle

# Airflow imports a test client via another library; that client wants a newer httpx.
pytestmark = pytest.mark.filterwarnings("ignore:Using `httpx` with `starlette.testclient`")

PATH = "/retrofill/dags/d/runs/r"


@pytest.fixture
def conn(state_dsn: str) -> Iterator[Connection]:
    with closing(connect(state_dsn)) as opened:
        yield opened


def controls_of(conn: Connection) -> tuple[Any, ...]:
    with conn, conn.cursor() as cur:
        cur.execute(
            "SELECT limits->'max_concurrency', limits->'max_calls_per_second', limits->'paused',"
            " stop_reason FROM retrofill.run"
        )
        return cur.fetchall()[0]


def test_the_page_has_the_counts_of_the_report(state_dsn: str, conn: Connection) -> None:
    ref = run_in_the_middle(conn, state_dsn)
    shown = pages.get_page(conn, ref.run_id)
    assert shown.report == runs.get_report(conn, ref.run_id)
    assert (shown.report.succeeded, shown.report.quarantined, shown.report.items_left) == (2, 1, 3)


def test_the_calls_by_outcome_add_up_to_the_calls(state_dsn: str, conn: Connection) -> None:
    ref = run_in_the_middle(conn, state_dsn)
    shown = pages.get_page(conn, ref.run_id)
    counted = {ended.outcome: (ended.calls, ended.items) for ended in shown.calls.ended}
    assert counted == {"succeeded": (2, 2), "failed": (1, 1), "throttled": (1, 1), None: (1, None)}
    assert sum(ended.calls for ended in shown.calls.ended) == shown.report.calls
    assert [(call.call_no, call.outcome, call.request_id) for call in shown.calls.failed] == [
        (4, "throttled", "request-4"),
        (2, "failed", "request-2"),
    ]
    assert [len(call.error or "") for call in shown.calls.failed] == [9, pages.ERROR_CHARS]


def test_the_slowest_calls_are_the_longest_so_far(state_dsn: str, conn: Connection) -> None:
    ref = run_in_the_middle(conn, state_dsn)
    with conn, conn.cursor() as cur:
        cur.execute("UPDATE retrofill.batch SET slowest = '{3,5}', slowest_ms = '{3600000,60000}'")
        cur.execute(
            "UPDATE retrofill.invocation SET sent_at = sent_at - interval '1 min' WHERE call_no = 5"
        )
        cur.execute(
            "UPDATE retrofill.invocation SET sent_at = sent_at - interval '1 h' WHERE call_no = 3"
        )
    shown = pages.get_page(conn, ref.run_id).calls
    slowest = [(call.call_no, call.outcome) for call in shown.slowest[:2]]
    assert slowest == [(3, "succeeded"), (5, None)]
    assert 3_600 < shown.slowest[0].took_s < 3_700


def test_only_facts_of_this_run_are_shown(state_dsn: str, conn: Connection) -> None:
    run_in_the_middle(conn, state_dsn)
    other = pages.get_page(conn, open_run(conn, "other").run_id)
    assert other.calls == pages.Calls([], [], [])
    assert (other.quarantined, len(other.partitions), len(other.sets)) == ([], 1, 1)


def test_quarantined_items_partitions_and_sets_are_shown(state_dsn: str, conn: Connection) -> None:
    ref = run_in_the_middle(conn, state_dsn)
    open_next_set(conn, ref, max_items=9)
    shown = pages.get_page(conn, ref.run_id)
    (poison,) = shown.quarantined
    assert (poison.key, poison.request_id, poison.of) == (POISON, "request-2", 1)
    assert [(line.part_no, line.done, line.of) for line in shown.partitions] == [
        (1, False, 2),
        (0, True, 2),
    ]
    assert shown.partitions[1].listed == 6
    assert [(line.dag_run_id, line.items, line.succeeded, line.batches) for line in shown.sets] == [
        ("r", 6, 2, 1),
        (ref.next_dag_run_id("r"), 0, 0, 0),
    ]


def test_long_lists_are_cut_and_marked(
    state_dsn: str, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = run_in_the_middle(conn, state_dsn)
    with conn, conn.cursor() as cur:
        cur.execute("UPDATE retrofill.batch SET slowest = '{1,2}', slowest_ms = '{2,1}'")
    monkeypatch.setattr(pages, "PARTITIONS_SHOWN", 1)
    monkeypatch.setattr(pages, "CALLS_SHOWN", 1)
    shown = pages.get_page(conn, ref.run_id)
    assert [line.of for line in shown.partitions] == [2]
    assert (len(shown.calls.failed), len(shown.calls.slowest)) == (1, 1)


def test_the_page_is_one_snapshot(
    state_dsn: str, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Changes committed while the page is read appear only on the next one, in all its parts."""
    ref = run_in_the_middle(conn, state_dsn)

    def and_meanwhile(**values: Any) -> Report:
        with closing(connect(state_dsn)) as other, other, other.cursor() as cur:
            cur.execute("UPDATE retrofill.batch SET succeeded = 5")
            cur.execute("DELETE FROM retrofill.invocation WHERE call_no = 1")
        return Report(**values)

    monkeypatch.setattr(pages, "Report", and_meanwhile)
    shown = pages.get_page(conn, ref.run_id)
    assert sum(ended.calls for ended in shown.calls.ended) == shown.report.calls == 5
    assert shown.sets[0].succeeded == shown.report.succeeded == 2


def test_nobody_sees_anything_without_signing_in(
    web: Web, state_dsn: str, conn: Connection
) -> None:
    run_in_the_middle(conn, state_dsn)
    client, synthetic = web.client, {"Cookie": "_token=synthetic"}
    for answer, code in (
        (client.get(PATH), 401),
        (client.get(PATH, headers=synthetic), 403),
        (client.post(PATH, data={"action": "stop"}, headers=OWN), 401),
        (client.post(PATH, data={"action": "stop"}, headers={**OWN, **synthetic}), 403),
    ):
        assert answer.status_code == code
        assert "s3://bucket" not in answer.text
    assert controls_of(conn)[3] is None


def test_no_other_path_is_served(web: Web) -> None:
    for path in ("/retrofill/", "/retrofill/docs", "/retrofill/openapi.json"):
        assert web.get(path, "ADMIN").status_code == 404


def test_a_viewer_sees_the_run_and_may_not_change_it(
    web: Web, state_dsn: str, conn: Connection
) -> None:
    run_in_the_middle(conn, state_dsn)
    answer = web.get(PATH, "VIEWER")
    assert answer.status_code == 200
    assert "<strong>50 %</strong>" in answer.text
    assert r"b/&lt;b&gt;\n\u202e" in answer.text
    assert "<form" not in answer.text
    assert web.post(PATH, "VIEWER", action="stop").status_code == 403
    assert controls_of(conn)[3] is None


def test_the_page_runs_no_foreign_code_and_is_not_cached(
    web: Web, state_dsn: str, conn: Connection
) -> None:
    run_in_the_middle(conn, state_dsn)
    answer = web.get(PATH, "USER")
    policy = answer.headers["content-security-policy"]
    (nonce,) = set(re.findall("nonce-([^']+)'", policy))
    assert f'<script nonce="{nonce}">' in answer.text
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'self'" in policy
    assert answer.headers["cache-control"] == "no-store"
    assert nonce not in web.get(PATH, "USER").text


@pytest.mark.parametrize(
    ("form", "controls"),
    [
        ({"action": "pause"}, (10, None, True, None)),
        ({"action": "stop"}, (10, None, False, "stopped by a user")),
        ({"action": "max_concurrency", "text": " 77 "}, (77, None, False, None)),
        ({"action": "max_calls_per_second", "text": "5"}, (10, 5.0, False, None)),
    ],
)
def test_changes_by_an_editor_reach_running_tasks(
    web: Web,
    conn: Connection,
    form: dict[str, str],
    controls: tuple[Any, ...],
) -> None:
    open_run(conn)
    before = len(web.audit_log("d"))
    answer = web.post(PATH, "USER", **form)
    assert (answer.status_code, answer.headers["location"]) == (303, "?")
    assert controls_of(conn) == controls
    value = form.get("text", "").strip()
    assert web.audit_log("d")[before:] == [(f"retrofill_{form['action']}", "the-USER", value)]


def test_a_pause_and_a_rate_can_be_undone_and_the_first_reason_stays(
    web: Web, conn: Connection
) -> None:
    ref = open_run(conn)
    for action, text in (("pause", ""), ("max_calls_per_second", "9")):
        web.post(PATH, "USER", action=action, text=text)
    assert controls_of(conn) == (10, 9.0, True, None)
    for action in ("resume", "max_calls_per_second"):
        web.post(PATH, "USER", action=action)
    assert controls_of(conn) == (10, None, False, None)
    limits.stop(conn, ref.run_id, "no such function")
    web.post(PATH, "USER", action="stop")
    assert controls_of(conn)[3] == "no such function"


@pytest.mark.parametrize(
    ("form", "said"),
    [
        (
            {"action": "max_concurrency", "text": "0"},
            "max_concurrency: &#39;0&#39; is not allowed; give",
        ),
        ({"action": "max_concurrency"}, "max_concurrency: &#39;&#39; is not allowed; give"),
        ({"action": "<b>"}, "action: &#39;&lt;b&gt;&#39; is not allowed; give one of pause,"),
        ({"action": ""}, "action: &#39;&#39; is not allowed; give one of pause,"),
    ],
)
def test_a_bad_value_changes_nothing_and_is_explained(
    web: Web, conn: Connection, form: dict[str, str], said: str
) -> None:
    open_run(conn)
    before = web.audit_log("d")
    answer = web.post(PATH, "USER", **form)
    assert answer.status_code == 422
    assert f"Nothing was changed. {said}" in answer.text
    assert controls_of(conn) == (10, None, False, None)
    assert web.audit_log("d") == before


@pytest.mark.parametrize(
    "headers",
    [{}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "http://testserver:81"}, {"Origin": "null"}],
)
def test_a_form_of_another_page_is_refused(
    web: Web, conn: Connection, headers: dict[str, str]
) -> None:
    open_run(conn)
    headers = {**web.as_role("ADMIN"), **headers}
    answer = web.client.post(PATH, data={"action": "stop"}, headers=headers)
    assert answer.status_code == 403
    assert "another site" in answer.text
    assert "[api] base_url" in answer.text
    assert controls_of(conn)[3] is None


def test_a_closed_run_cannot_be_changed(web: Web, conn: Connection) -> None:
    ref = open_run(conn)
    close(conn, ref.run_id, complete=True)
    for action, text in (("pause", ""), ("stop", ""), ("max_concurrency", "5")):
        answer = web.post(PATH, "USER", action=action, text=text)
        assert answer.status_code == 409
        assert "Nothing was changed: run 1 is closed." in answer.text
    assert controls_of(conn) == (10, None, False, None)


@pytest.mark.parametrize("path", ["/retrofill/dags/d/runs/none", "/retrofill/dags/other/runs/r"])
def test_a_dag_run_without_a_run_gets_a_friendly_page(
    web: Web, conn: Connection, path: str
) -> None:
    open_run(conn)
    answer = web.get(path, "VIEWER")
    assert answer.status_code == 200
    assert "This DAG run has no Retrofill run" in answer.text
    assert web.post(path, "USER", action="stop").status_code == 404


def test_a_dag_run_of_any_name_is_found(web: Web, conn: Connection) -> None:
    open_run(conn, "manual__2026-01-01T00:00:00+00:00/a b?#%2F")
    path = "/retrofill/dags/d/runs/manual__2026-01-01T00%3A00%3A00%2B00%3A00%2Fa%20b%3F%23%252F"
    assert "this one" in web.get(path, "VIEWER").text


def test_an_unreachable_state_is_shown_without_its_password(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    dsn = "postgresql://keeper:a-secret-word@127.0.0.1:1/state"
    monkeypatch.setenv("AIRFLOW_CONN_RETROFILL_STATE", dsn)
    answer = web.get(PATH, "VIEWER")
    assert answer.status_code == 503
    assert "The state&#39;s Postgres cannot be reached" in answer.text
    assert "host 127.0.0.1, port 1, database state, role keeper" in answer.text
    for secret in ("a-secret-word", "Traceback"):
        assert secret not in answer.text
    monkeypatch.delenv("AIRFLOW_CONN_RETROFILL_STATE")
    assert web.get(PATH, "VIEWER").status_code == 503
    assert "postgresql" not in web.client.get(PATH).text, "the visitor has not signed in"


def test_an_incompatible_schema_is_shown_with_what_to_do(web: Web, conn: Connection) -> None:
    with conn, conn.cursor() as cur:
        cur.execute("DROP SCHEMA retrofill CASCADE")
    answer = web.get(PATH, "VIEWER")
    assert answer.status_code == 503
    assert "python -m retrofill db migrate" in answer.text
    assert "Traceback" not in answer.text


def test_reading_a_page_changes_nothing(
    state_dsn: str, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = run_in_the_middle(conn, state_dsn)
    writing = {**load("pages.sql"), "list_sets": "UPDATE retrofill.run SET stop_reason = 'x'"}
    monkeypatch.setattr("retrofill.state.pages._SQL", writing)
    with pytest.raises(StateError, match="read-only transaction"):
        pages.get_page(conn, ref.run_id)
    assert controls_of(conn)[3] is None


def test_the_tab_of_a_refused_dag_run_shows_why(web: Web) -> None:
    web.airflow.leave_xcom(
        "d", "refused", "open_run", "refused", "bucket: <b> is missing\nprefix: no"
    )
    answer = web.get("/retrofill/dags/d/runs/refused", "USER")
    assert "This DAG run was refused" in answer.text
    assert "bucket: &lt;b&gt; is missing\nprefix: no" in answer.text


def waiting(conn: Connection) -> SetRef:
    """Open a run that waits for approval, with its plan."""
    ref = open_run(conn, config={"approve": True}, max_items=3)
    enqueue(conn, ref, [item(key) for key in ("a", POISON, "c", "d")])
    batches.plan(conn, ref, 1, most_items=6, fewest_items=6)
    run = runs.get_run(conn, ref.run_id)
    config = RunConfig.from_stored(run.config)
    plan = show_plan(
        conn,
        run,
        config,
        shape=shape_of(config, run),
        source=MemorySource.of([]),
        slots=Slots(32, 16, "default_pool"),
        capacity=None,
    )
    approve.request_approval(conn, run, config, plan, "0")
    return ref


def test_the_limits_of_a_run_awaiting_approval_are_fixed(
    web: Web, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared, "FRESH_S", 0.0)
    ref = waiting(conn)
    page = web.get(PATH, "viewer").text
    assert "waits for approval until" in page
    assert "3 in 1 batch, in this first set, exact" in page
    assert "<b>" not in page[page.index('class="payload"') :].split("</code>")[0]
    # The approved limits are the visible ones.
    answer = web.post(PATH, "admin", action="max_concurrency", text="7")
    assert answer.status_code == 422
    assert "limits cannot change while the plan waits for approval" in answer.text
    run = runs.get_run(conn, ref.run_id)
    approve.record_answer(conn, run, ApprovalStatus.APPROVED, "Ada")
    approvals.note_changes(conn, ref.run_id, 12, more=False)
    page = web.get(PATH, "admin").text
    assert "approved by Ada at 2" in page
    assert "12 changed since the plan, not called" in page
    assert web.post(PATH, "admin", action="max_concurrency", text="7").status_code == 303


def test_a_rejected_run_shows_who_rejected_it(web: Web, conn: Connection) -> None:
    ref = waiting(conn)
    approve.record_answer(conn, runs.get_run(conn, ref.run_id), ApprovalStatus.REJECTED, "<Ada>")
    runs.close_run(conn, ref.run_id)
    page = web.get(PATH, "viewer").text
    assert "rejected by &lt;Ada&gt; at 2" in page
    assert re.search(r"<dt>withdrawn</dt><dd>3</dd>", page)
