"""The pages of jobs, a job and its items, on a real Postgres behind Airflow's permissions."""

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import pytest
from airflow.utils.state import DagRunState
from retrofill.model.limits import Limits
from retrofill.model.needs import LEAST_URGENT, urgency
from retrofill.model.runs import DagRun
from retrofill.state import limits, runs, waiting
from retrofill.state.connection import Connection, connect
from retrofill.state.jobs import Dags, list_jobs
from retrofill.web.airflow_facts import NO_DAG
from retrofill.web.jobs import shown

from tests.integration.opened import FUNCTION, close, new_run, open_job, open_run
from tests.integration.web import POISON, Web, run_in_the_middle

pytestmark = pytest.mark.filterwarnings("ignore:Using `httpx` with `starlette.testclient`")

LIMITS = Limits(max_concurrency=10, max_items_per_set=10)
FUNCTION_FIELDS = {"kind": "k", "name": "f", "version": "1", "facts": {}}
JOBS = "/retrofill/jobs"
JOB = "/retrofill/jobs/1"
PAGES = (JOBS, JOB, f"{JOB}/items", f"{JOB}/items/{'0' * 32}?key=a", "/retrofill/runs/1")


@pytest.fixture
def conn(state_dsn: str) -> Iterator[Connection]:
    with closing(connect(state_dsn)) as opened:
        yield opened


def unfinished_run(conn: Connection, job: str, dag_id: str, **changed: Any) -> int:
    """Open a run of a job, for a DAG run of a DAG named like the job."""
    new = new_run(open_job(conn, job), f"{job}-1", dag_id=dag_id, **changed)
    return runs.open_run(conn, new, FUNCTION).run_id


def order_of(text: str, *names: str) -> list[str]:
    """Return the names of the jobs on a page, in its order."""
    places = {name: text.find(f">{name}</a></h2>") for name in names}
    return sorted((name for name in names if places[name] >= 0), key=places.__getitem__)


def test_nobody_sees_a_page_of_jobs_without_signing_in(
    web: Web, state_dsn: str, conn: Connection
) -> None:
    run_in_the_middle(conn, state_dsn)
    for path in PAGES:
        for headers, code in (({}, 401), ({"Cookie": "_token=synthetic"}, 403)):
            answer = web.client.get(path, headers=headers)
            assert answer.status_code == code, path
            assert "s3://bucket" not in answer.text
        assert web.get(path, "VIEWER").status_code in {200, 303}, path


def test_without_permission_for_a_dag_its_jobs_are_hidden(
    web: Web, state_dsn: str, conn: Connection
) -> None:
    run_in_the_middle(conn, state_dsn)
    unfinished_run(conn, "theirs", "theirs")
    unfinished_run(conn, "both", "d")
    runs.open_run(conn, new_run(open_job(conn, "both"), "x", dag_id="theirs"), FUNCTION)
    names = ("job", "theirs", "both")
    for role in ("VIEWER", "USER", "ADMIN"):
        assert set(order_of(web.get(JOBS, role).text, *names)) == set(names)
        assert order_of(web.get(JOBS, f"{role}@d").text, *names) == ["job"]
        assert order_of(web.get(JOBS, f"{role}@theirs").text, *names) == ["theirs"]
        assert order_of(web.get(JOBS, f"{role}@other").text, *names) == []
    for path in PAGES[1:]:
        answer = web.get(path, "ADMIN@theirs")
        assert answer.status_code == 403
        assert "s3://bucket" not in answer.text
        assert web.get(path, "VIEWER@d").status_code in {200, 303}
    assert web.get("/retrofill/jobs/3", "ADMIN@d").status_code == 403
    assert web.get("/retrofill/jobs/3", "ADMIN@d,theirs").status_code == 200


def test_a_missing_job_or_run_is_reported(web: Web, conn: Connection) -> None:
    open_run(conn)
    for path in ("/retrofill/jobs/99", "/retrofill/runs/99"):
        answer = web.get(path, "VIEWER")
        assert answer.status_code == 404
        assert "99" in answer.text
    assert "There is no job yet that you may see" in web.get(JOBS, "VIEWER@other").text


def test_a_run_is_found_by_its_number(web: Web, conn: Connection) -> None:
    open_run(conn, "manual/a b")
    answer = web.get("/retrofill/runs/1", "VIEWER")
    assert answer.headers["location"] == "/retrofill/dags/d/runs/manual%2Fa%20b"
    assert web.get(answer.headers["location"], "VIEWER").status_code == 200


def test_jobs_that_need_attention_come_first(web: Web, state_dsn: str, conn: Connection) -> None:
    run_in_the_middle(conn, state_dsn)
    close(conn, 1, complete=True)
    numbers = {
        name: unfinished_run(conn, name, name)
        for name in ("fine", "waits", "gone", "left", "off", "paused")
    }
    for name in ("fine", "waits", "paused", "off"):
        web.airflow.add_dag_run(name, f"{name}-1", DagRunState.RUNNING)
    web.airflow.add_dag_run("gone", "gone-1", DagRunState.FAILED)
    close(conn, numbers["left"], complete=False)
    limits.change_limits(conn, numbers["paused"], paused=True)
    with conn, conn.cursor() as cur:
        cur.execute(
            """UPDATE retrofill.run SET approval = '{"status": "waiting"}' WHERE run_id = %s""",
            (numbers["waits"],),
        )
    web.airflow.add_dag("off", is_paused=True)
    text = web.get(JOBS, "VIEWER").text
    names = ("job", *numbers)
    assert order_of(text, *names) == ["waits", "gone", "off", "paused", "left", "job", "fine"]
    for said in (
        "Its plan waits for approval",
        "It was abandoned",
        "Its DAG is paused in Airflow",
        "It is paused",
        "It ended incomplete",
        "Items wait in quarantine",
    ):
        assert text.count(said) == 1, said
    assert "7 jobs; 6 need attention." in text
    assert order_of(web.get(f"{JOBS}?show=needs", "VIEWER").text, *names)[-1] == "job"
    assert order_of(web.get(f"{JOBS}?show=complete", "VIEWER").text, *names) == ["job"]
    assert order_of(web.get(f"{JOBS}?show=quarantine", "VIEWER").text, *names) == ["job"]
    assert order_of(web.get(f"{JOBS}?show=incomplete", "VIEWER").text, *names) == ["left"]
    assert len(order_of(web.get(f"{JOBS}?show=open", "VIEWER").text, *names)) == 5


SITUATIONS = """
INSERT INTO retrofill.job (name, fingerprint, source, function_name, event)
SELECT concat_ws(' ', status, dag, answer, reason, paused, held), 'f', dag, 'f', 's3'
FROM unnest(ARRAY['never', 'open', 'complete', 'incomplete']) AS status,
    unnest(ARRAY['fine', 'paused', 'off']) AS dag, unnest(ARRAY['waiting', 'approved']) AS answer,
    unnest(ARRAY['enough', NULL]) AS reason, unnest(ARRAY['true', 'false']) AS paused,
    unnest(ARRAY['held', 'alive', 'dead']) AS held;
INSERT INTO retrofill.run (
    job_id, source, config, delivery, function, function_timeout_s, limits, status, closed_at,
    approval, stop_reason
)
SELECT
    job_id, 's', '{}', '{}', %(function)s, 3,
    %(limits)s::jsonb || jsonb_build_object('paused', name LIKE '%% true %%'), status,
    CASE WHEN status <> 'open' THEN now() END,
    jsonb_build_object(
        'status', CASE WHEN name LIKE '%% waiting %%' THEN 'waiting' ELSE 'void' END
    ),
    CASE WHEN name LIKE '%% enough %%' THEN 'enough' END
FROM retrofill.job CROSS JOIN LATERAL (
    SELECT split_part(name, ' ', 1)::retrofill.run_status AS status
) AS how
WHERE name NOT LIKE 'never %%';
INSERT INTO retrofill.run_set (run_id, set_no, dag_id, dag_run_id, max_items)
SELECT run_id, 1, job.source, name, 9 FROM retrofill.run JOIN retrofill.job USING (job_id);
INSERT INTO retrofill.batch (job_id, run_id, set_no, first_seq, last_seq, items, leased_until)
SELECT job_id, run_id, 1, 1, 1, 1, now() + interval '1 h'
FROM retrofill.run JOIN retrofill.job USING (job_id) WHERE name LIKE '%% held';
INSERT INTO retrofill.quarantine (
    job_id, item_key, identifier, run_id, batch_id, call_no, attempts, failures, unsure, request_id,
    error_type, error, quarantined_at
)
SELECT job_id, 'k', md5('k')::uuid, 1, 1, 1, 1, 1, false, '', '', '', now()
FROM retrofill.job WHERE job_id %% 2 = 0;
"""
"""A job in each situation, with a run of a DAG that is active, paused, or paused and scheduled."""


def test_jobs_are_ordered_by_need_for_attention(conn: Connection) -> None:
    facts = {
        "fine": NO_DAG,
        "paused": NO_DAG._replace(is_paused=True),
        "off": NO_DAG._replace(is_paused=True, schedule="daily"),
    }
    with conn, conn.cursor() as cur:
        fields = {"function": json.dumps(FUNCTION_FIELDS), "limits": json.dumps(LIMITS.as_json())}
        cur.execute(SITUATIONS, fields)
        cur.execute("SELECT source, name FROM retrofill.job WHERE name LIKE '%% alive'")
        alive = frozenset(cur.fetchall())
    known = Dags(alive=alive, paused=["paused", "off"], off=["off"])
    found = list_jobs(conn, dags=known)
    needs = [
        shown(line, facts[line.dag_id] if line.dag_id else NO_DAG, alive).needs
        for line in found.lines
    ]
    ranks = [urgency(need) for need in needs]
    assert ranks == sorted(ranks)
    assert set(ranks) == set(range(LEAST_URGENT + 1))
    assert (found.in_all, found.of, found.needing) == (288, 288, sum(map(bool, needs)))
    pages = [list_jobs(conn, dags=known, most=100, offset=offset) for offset in (0, 100, 200, 300)]
    assert [line.job_id for page in pages for line in page.lines] == [
        line.job_id for line in found.lines
    ]
    needy = list_jobs(conn, dags=known, show="needs")
    assert [line.job_id for line in needy.lines] == [
        line.job_id for line, need in zip(found.lines, needs, strict=True) if need
    ]


def test_jobs_are_found_by_part_of_their_name_in_pages(web: Web, conn: Connection) -> None:
    names = [f"job-{number:02}" for number in range(30)]
    for name in names:
        open_job(conn, name)
    first, second = web.get(JOBS, "VIEWER").text, web.get(f"{JOBS}?page=2", "VIEWER").text
    assert (len(order_of(first, *names)), len(order_of(second, *names))) == (25, 5)
    assert "Page 1 of 2." in first
    assert "?q=&amp;show=&amp;page=2" in first
    found = order_of(web.get(f"{JOBS}?q=JOB-2", "VIEWER").text, *names)
    assert sorted(found) == names[20:]
    assert "No job matches" in web.get(f"{JOBS}?q=%25", "VIEWER").text


def test_a_job_shows_when_its_dag_runs_next(web: Web, conn: Connection) -> None:
    unfinished_run(conn, "nightly", "nightly")
    unfinished_run(conn, "off", "off")
    following = datetime(2026, 5, 6, 7, 8, tzinfo=UTC)
    schedule = {"timetable_summary": "0 3 * * *", "next_dagrun_create_after": following}
    web.airflow.add_dag("nightly", **schedule)
    web.airflow.add_dag("off", is_paused=True, **schedule)
    text = web.get(JOBS, "VIEWER").text
    assert text.count("2026-05-06T07:08:00+00:00") == 1
    assert "its DAG is paused</dd>" in text
    assert "2026-05-06T07:08:00+00:00" in web.get(JOB, "VIEWER").text
    assert "schedule 0 3 * * *, paused" in web.get("/retrofill/jobs/2", "VIEWER").text


def test_a_job_has_its_counts_by_place_and_its_runs(
    web: Web, state_dsn: str, conn: Connection
) -> None:
    run_in_the_middle(conn, state_dsn)
    limits.stop(conn, 1, "max_calls: all 5 are <used> up")
    close(conn, 1, complete=False)
    text = web.get(JOB, "VIEWER").text
    for name, number in (
        ("in process", 3), ("succeeded", 2), ("in quarantine", 1), ("listed", 6), ("calls", 5),
    ):  # fmt: skip
        assert f"<dt>{name}</dt><dd>{number}</dd>" in text
    assert "ended incomplete: max_calls: all 5 are &lt;used&gt; up. 3 items of the job" in text
    assert '<a href="/dags/d/runs/r" target="_top">' in text
    assert '<a href="/retrofill/dags/d/runs/r">' in text


def test_the_in_process_count_of_a_job_equals_the_tables(
    web: Web, state_dsn: str, conn: Connection
) -> None:
    run_in_the_middle(conn, state_dsn)
    with conn, conn.cursor() as cur:
        cur.execute("SELECT count(*) FROM retrofill.in_process")
        ((held,),) = cur.fetchall()
    assert f"<dt>in process</dt><dd>{held}</dd>" in web.get(JOB, "VIEWER").text


def test_a_waiting_run_shows_which_run_it_waits_for(web: Web, conn: Connection) -> None:
    open_run(conn)
    second = open_run(conn, "r2")
    with conn, conn.cursor() as cur:
        cur.execute(
            "INSERT INTO retrofill.awaited (run_id, holder, items) VALUES (%s, 1, 7)",
            (second.run_id,),
        )
    for name in ("r", "r2"):
        web.airflow.add_dag_run("d", name, DagRunState.RUNNING)
    text = web.get(JOB, "VIEWER").text
    assert "waits for 7 of its listed items, which are in process with" in text
    assert "Nothing is waiting" not in text


def test_a_dag_run_without_a_run_shows_what_it_waits_for(web: Web, conn: Connection) -> None:
    open_run(conn)
    for name in ("r2", "r3", "gone"):
        waiting.wait(conn, 1, DagRun("d", name))
    waiting.note_ahead(conn, DagRun("d", "r2"), [1], [])
    waiting.note_ahead(conn, DagRun("d", "r3"), [], [DagRun("d", "r2")])
    for name in ("r", "r2", "r3"):
        web.airflow.add_dag_run("d", name, DagRunState.RUNNING)
    text = web.get(JOB, "VIEWER").text
    assert "Because of overlap: wait, the DAG run r2 opens its run only after" in text
    assert "Because of overlap: wait, the DAG run r3 opens its run only after that of r2." in text
    assert "gone" not in text


def test_runs_of_a_job_are_shown_in_pages(web: Web, conn: Connection) -> None:
    for number in range(30):
        open_run(conn, f"r{number}")
    first = web.get(JOB, "VIEWER").text
    assert "?before=6" in first
    second = web.get(f"{JOB}?before=6", "VIEWER").text
    assert second.count('<td class="item">') == 5
    assert "Earlier runs" not in second


@pytest.mark.parametrize(
    ("key", "found"),
    [("", 6), ("b/", 1), ("e", 1), ("x", 0)],
)
def test_items_are_found_by_key_prefix_in_every_place(
    web: Web, state_dsn: str, conn: Connection, key: str, found: int
) -> None:
    run_in_the_middle(conn, state_dsn)
    answer = web.client.get(f"{JOB}/items", params={"key": key}, headers=web.as_role("VIEWER"))
    assert answer.status_code == 200
    assert answer.text.count("/retrofill/jobs/1/items/") == found
    assert "<b>" not in answer.text
    assert ("No item of this job has the key" in answer.text) == (key in {"b/", "x"})


def item_page(web: Web, key: str) -> str:
    """Search for an item and follow its link."""
    found = web.client.get(f"{JOB}/items", params={"key": key}, headers=web.as_role("VIEWER"))
    at = found.text.index("/retrofill/jobs/1/items/")
    path = found.text[at : found.text.index('"', at)]
    answer = web.get(path.replace("&amp;", "&"), "VIEWER")
    assert answer.status_code == 200
    return answer.text


def test_a_processed_item_shows_time_version_and_request(
    web: Web, state_dsn: str, conn: Connection
) -> None:
    run_in_the_middle(conn, state_dsn)
    text = item_page(web, "a")
    assert "processed</span>" in text
    assert "<dt>version</dt><dd>1</dd>" in text
    assert "<dt>request id</dt><dd><code>request-1</code></dd>" in text
    assert text.count("request-2") == 0
    assert "/dags/d/runs/r/tasks/invoke/mapped/0" in text
    assert "https://us-east-1.console.aws.amazon.com/cloudwatch/" in text
    assert text.index("Called:") < text.index("Processed by")


def test_items_show_why_they_failed_or_what_was_tried(
    web: Web, state_dsn: str, conn: Connection
) -> None:
    run_in_the_middle(conn, state_dsn)
    text = item_page(web, POISON)
    assert "in quarantine: it waits for you</span>" in text
    assert "<dt>request id</dt><dd><code>request-2</code></dd>" in text
    assert "<b>ValueError</b>" in text
    text = item_page(web, "d")
    assert "in process: not processed yet</span>" in text
    assert "<b>TooMany</b>: slow down" in text
    assert "no call has carried it" in item_page(web, "f")


def test_the_history_of_an_item_includes_earlier_redrives(
    web: Web, state_dsn: str, conn: Connection
) -> None:
    run_in_the_middle(conn, state_dsn)
    with conn, conn.cursor() as cur:
        cur.execute(
            """
            INSERT INTO retrofill.redriven (
                job_id, item_key, identifier, run_id, quarantined_by, batch_id, call_no, attempts,
                request_id, error_type, error, quarantined_at, settled_by, settled_at
            )
            SELECT job_id, item_key, identifier, 8, 7, 99, 1, 3, 'before', 'KeyError', 'x',
                now() - interval '1 day', NULL, NULL
            FROM retrofill.results WHERE item_key = 'a'
            UNION ALL
            SELECT job_id, item_key, identifier, 9, NULL, 99, 2, 1, '', '', '', NULL, 8,
                now() - interval '1 hour'
            FROM retrofill.results WHERE item_key = 'a'
            """
        )
    text = item_page(web, "a")
    texts = ["run 7</a> after 3 attempts", "<b>KeyError</b>", "Redriven by", "Processed by"]
    assert [text.count(one) for one in texts] == [1, 1, 2, 2]
    assert 'Processed by <a href="/retrofill/runs/8">run 8</a>' in text


def test_an_item_shows_that_its_calls_are_forgotten(
    web: Web, state_dsn: str, conn: Connection
) -> None:
    run_in_the_middle(conn, state_dsn)
    with conn, conn.cursor() as cur:
        cur.execute("DELETE FROM retrofill.invocation")
    text = item_page(web, "a")
    assert "processed</span>" in text
    assert "deleted: the maintenance DAG deletes" in text
    assert "It was call 1 / 1." in text


def test_an_item_unknown_to_the_job_is_reported_as_unknown(web: Web, conn: Connection) -> None:
    open_run(conn)
    answer = web.get(f"{JOB}/items/{'0' * 32}?key=a", "VIEWER")
    assert answer.status_code == 200
    assert "This job does not know the item" in answer.text
