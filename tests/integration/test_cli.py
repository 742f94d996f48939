"""The command line on a real Postgres, without Airflow."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest
from retrofill.cli.exits import Exit
from retrofill.config import params_for
from retrofill.model.records import as_json
from retrofill.state import limits, pages, runs
from retrofill.state.connection import Connection, connect

from stack.services import Postgres
from tests.cli import Command, command
from tests.integration.opened import close, enqueue, item, open_run
from tests.integration.test_redrive import quarantined


@pytest.fixture
def conn(state_dsn: str) -> Iterator[Connection]:
    with closing(connect(state_dsn)) as opened:
        yield opened


@pytest.fixture
def cli(
    state_dsn: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    monkeypatch.setenv("AIRFLOW_CONN_RETROFILL_STATE", state_dsn)
    return command(monkeypatch, capsys)


def test_runs_are_listed_newest_first(conn: Connection, cli: Command) -> None:
    first = open_run(conn)
    enqueue(conn, first, [item("a"), item("\x1b[31mb")])
    close(conn, first.run_id, complete=False)
    second = open_run(conn, "second")
    shown = json.loads(cli("runs", "--json").out)
    assert [run["run_id"] for run in shown] == [second.run_id, first.run_id]
    assert shown[1] == as_json(runs.get_report(conn, first.run_id))
    assert [run["run_id"] for run in json.loads(cli("runs", "--json", "--most", 1).out)] == [2]
    older = json.loads(cli("runs", "--json", "--before", second.run_id).out)
    assert [run["run_id"] for run in older] == [first.run_id]
    assert len(json.loads(cli("runs", "job", "--json").out)) == 2
    assert cli("runs", "no such job").code == Exit.BAD_INPUT
    text = cli("runs").out
    assert "incomplete" in text
    assert [line.split()[0] for line in text.splitlines()[1:]] == ["2", "1"]


def test_the_status_of_a_run_equals_its_notification(conn: Connection, cli: Command) -> None:
    ref = open_run(conn)
    enqueue(conn, ref, [item("a")])
    done = cli("status", ref.run_id)
    assert done.code == Exit.INCOMPLETE
    assert "listed      1 (1 new, 0 known)" in done.out
    shown = json.loads(cli("status", ref.run_id, "--json").out)
    page = pages.get_page(conn, ref.run_id)
    assert shown["report"] == as_json(page.report)
    assert shown["controls"]["limits"] == page.controls.limits.as_json()


def test_watching_ends_with_the_run(conn: Connection, cli: Command) -> None:
    ref = open_run(conn)
    close(conn, ref.run_id, complete=False)
    done = cli("status", ref.run_id, "--watch")
    assert f"run {ref.run_id} (" in done.err
    assert "incomplete" in done.out
    lines = cli("status", ref.run_id, "--watch", "--json").out.splitlines()
    assert [json.loads(line)["status"] for line in lines] == ["incomplete"]


def test_an_unknown_run_is_bad_input(cli: Command) -> None:
    done = cli("status", 7)
    assert (done.code, done.err) == (Exit.BAD_INPUT, "run 7 is not in the state\n")


def test_a_bad_text_or_folder_is_bad_input(cli: Command) -> None:
    for words in (("runs", "\udcff"), ("stop", "1", "--reason", "\udcff")):
        assert cli(*words) == (
            Exit.BAD_INPUT,
            "",
            "'\\\\udcff' is not allowed; give text in UTF-8\n",
        )
    ended = cli("check-jobs", "/is/not/there")
    assert ended == (
        Exit.BAD_INPUT, "", "folder: '/is/not/there' is not allowed; give an existing directory\n",
    )  # fmt: skip


def test_output_cannot_control_the_terminal(conn: Connection, cli: Command) -> None:
    ref = open_run(conn)
    limits.stop(conn, ref.run_id, "\x1b[31mred")
    done = cli("status", ref.run_id)
    assert "\\x1b[31mred" in done.out
    assert "\x1b" not in done.out + cli("runs").out


def test_schema_and_role_are_checked(cli: Command, state_dsn: str) -> None:
    assert cli("db", "migrate").out == "the schema is up to date\n"
    done = cli("db", "check", "--json")
    shown = json.loads(done.out)
    assert (done.code, shown["ready"], shown["state"]["schema_version"]) == (0, True, 1)
    with closing(psycopg2.connect(state_dsn)) as conn, conn, conn.cursor() as cur:
        cur.execute("DROP SCHEMA retrofill CASCADE")
    done = cli("db", "check")
    assert done.code == Exit.UNREACHABLE
    assert "missing: the state's schema is at version 0, this code needs 1" in done.out
    assert "python -m retrofill db migrate" in done.out
    assert cli("db", "migrate").out == "applied 0001_initial.sql\n"


def test_a_state_that_does_not_answer_is_unreachable(
    cli: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_RETROFILL_STATE", "postgresql://nobody@127.0.0.1:1/none")
    assert cli("runs").code == Exit.UNREACHABLE


def test_a_role_with_the_printed_grants_passes_the_check(
    cli: Command, state_dsn: str, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = state_dsn.rpartition("/")[2]
    with closing(psycopg2.connect(postgres.dsn("postgres"))) as admin:
        admin.autocommit = True
        with admin.cursor() as cur:
            for role in ("Run It", "look"):
                cur.execute(f"CREATE ROLE \"{role}\" LOGIN PASSWORD 'test'")
    try:
        printed = cli("db", "grants", "--runtime", "Run It", "--reader", "look", "--forget").out
        with closing(psycopg2.connect(state_dsn)) as owner, owner, owner.cursor() as cur:
            cur.execute(printed)
        monkeypatch.setenv("AIRFLOW_CONN_RETROFILL_STATE", postgres.dsn(database, role="Run%20It"))
        assert json.loads(cli("db", "check", "--json").out)["state"]["role"] == "Run It"
        with closing(psycopg2.connect(postgres.dsn(database, role="look"))) as reader:
            with reader.cursor() as cur:
                cur.execute("SELECT count(*) FROM retrofill.v_run")
                with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                    cur.execute("SELECT count(*) FROM retrofill.run")
            reader.rollback()
    finally:
        with closing(psycopg2.connect(postgres.dsn(database))) as owner:
            owner.autocommit = True
            with owner.cursor() as cur:
                cur.execute('DROP OWNED BY "Run It", look')
        with closing(psycopg2.connect(postgres.dsn("postgres"))) as admin:
            admin.autocommit = True
            with admin.cursor() as cur:
                cur.execute('DROP ROLE "Run It", look')


def test_a_job_is_forgotten_only_after_confirmation(conn: Connection, cli: Command) -> None:
    ref = open_run(conn)
    enqueue(conn, ref, [item("a")])
    job = runs.get_run(conn, ref.run_id).job
    assert cli("forget", job).code == Exit.INCOMPLETE, "nobody has said yes"
    refused = cli("forget", job, "--yes")
    assert refused.code == Exit.BAD_INPUT
    assert "is at work or was not closed" in refused.err
    close(conn, ref.run_id, complete=False)
    done = cli("forget", job, "--yes", "--json")
    assert (done.code, json.loads(done.out)["in_process"]) == (0, 1)
    assert json.loads(cli("runs", "--json").out) == []
    assert cli("forget", "no such job", "--yes").code == Exit.BAD_INPUT


def test_a_run_can_be_paused_resumed_changed_and_stopped(conn: Connection, cli: Command) -> None:
    ref = open_run(conn)
    assert cli("pause", ref.run_id).code == Exit.DONE
    assert limits.get_limits(conn, ref.run_id).paused
    assert cli("resume", ref.run_id).code == Exit.DONE
    done = cli("set", ref.run_id, "max_concurrency=7", "max_cost=2.5", "max_calls=")
    assert done.code == Exit.DONE
    assert "max_concurrency is now 7" in done.err
    assert "max_calls is now without limit" in done.err
    now = limits.get_limits(conn, ref.run_id)
    assert (now.paused, now.max_concurrency, now.max_cost, now.max_calls) == (False, 7, 2.5, None)
    wrong = cli("set", ref.run_id, "max_concurrency=0")
    assert wrong.code == Exit.BAD_INPUT
    assert wrong.err == (
        "max_concurrency: '0' is not allowed; give a whole number from 1 to 10,000\n"
    )
    twice = cli("set", ref.run_id, "max_calls=5", "max_calls=6")
    assert (twice.code, twice.err) == (2, "max_calls: '5' and '6'; give only one value\n")
    both = cli("set", ref.run_id, "max_calls=9", "speed=1")
    assert both.code == Exit.BAD_INPUT
    assert both.err.startswith("speed: there is no such limit; give one of max_concurrency, ")
    assert limits.get_limits(conn, ref.run_id).max_calls is None
    assert cli("pause", 99).code == Exit.BAD_INPUT
    assert cli("stop", ref.run_id, "--reason", "for the night").code == Exit.DONE
    assert runs.get_report(conn, ref.run_id).stop_reason == "for the night"
    close(conn, ref.run_id, complete=False)
    closed = cli("pause", ref.run_id)
    assert closed.code == Exit.BAD_INPUT
    assert "is closed" in closed.err


def test_jobs_are_listed_with_their_counts(conn: Connection, cli: Command) -> None:
    ref = open_run(conn)
    enqueue(conn, ref, [item("a"), item("b")])
    (job,) = json.loads(cli("jobs", "--json").out)
    line, counts = job["job"], job["counts"]
    assert (line["job"], line["run_id"], line["status"]) == ("job", ref.run_id, "open")
    assert (counts["total"], counts["succeeded"], counts["in_quarantine"]) == (2, 0, 0)
    assert "0 of 2" in cli("jobs").out
    assert cli("pause", ref.run_id).code == Exit.DONE
    assert cli("jobs").out.rstrip().endswith("it is paused")
    assert json.loads(cli("jobs", "no such job", "--json").out) == []


def test_report_files_are_written_to_a_folder(
    conn: Connection, cli: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = params_for("memory").config({"http_conn_id": "h", "function_kind": "http"})
    ref = open_run(conn, config=config.as_json())
    enqueue(conn, ref, [item("a"), item("b")])
    monkeypatch.chdir(tmp_path)
    done = cli("export", "reports", "--run", ref.run_id, "--json")
    shown = json.loads(done.out)
    assert shown["counts"] == {"failed": 0, "pending": 2, "succeeded": 0}
    assert json.loads(Path(shown["manifest"]).read_text())["Run"] == ref.run_id
    assert Path(shown["manifest"]).is_relative_to(tmp_path / "reports")
    done = cli("export", tmp_path / "reports", "--job", "job", "--items", "failures")
    assert done.out.splitlines()[1:] == ["0 failed"]
    assert cli("export", "reports").code == Exit.BAD_INPUT
    assert cli("export", "nowhere://x", "--run", ref.run_id).code == Exit.BAD_INPUT


def test_failures_are_listed_and_counted(conn: Connection, cli: Command, state_dsn: str) -> None:
    quarantined(state_dsn, conn)
    shown = json.loads(cli("quarantine", "job", "--json").out)
    assert [(group["error_type"], group["items"]) for group in shown] == [
        ("Even.Error", 5), ("Odd.Error", 5),
    ]  # fmt: skip
    text = cli("quarantine", "job", "--error", "Odd*").out
    assert "in/" in text
    assert "Even.Error" not in text
    (history,) = json.loads(cli("item", "job", "in/00", "--json").out)
    assert (history["placed"]["place"], history["placed"]["error_type"]) == (
        "quarantine", "Odd.Error",
    )  # fmt: skip
    assert "quarantine, run 1" in cli("item", "job", "in/00").out
    assert len(json.loads(cli("item", "job", "in/", "--prefix", "--json").out)["items"]) == 10
    unknown = cli("item", "job", "in/99")
    assert (unknown.code, unknown.err) == (Exit.INCOMPLETE, "job job has no item in/99\n")
    counted = json.loads(cli("redrive", "job", "--error", "Odd*", "--count", "--json").out)
    assert (counted["items"], counted["dag_id"], counted["selection"]["error"]) == (5, "d", "Odd*")
    said = cli("redrive", "job", "--error", "Odd*", "--count").out
    assert said.startswith("5 items of quarantine: error Odd*; cost ")
    why = ("--note", "fixed")
    nothing = cli("redrive", "job", "--error", "Other", "--yes", *why)
    assert nothing.code == Exit.INCOMPLETE
    silent = cli("redrive", "job", "--error", "Odd*", "--yes")
    assert (silent.code, silent.err.partition(":")[0]) == (Exit.BAD_INPUT, "note")
    wrong = cli("redrive", "job", "--after", "yesterday")
    assert wrong.code == Exit.BAD_INPUT
    assert wrong.err.startswith(
        "after: 'yesterday' is not allowed; give a date and time with its zone"
    )
    assert cli("redrive", "job", "--error", "Odd*", *why).code == Exit.INCOMPLETE, (
        "nobody has said yes"
    )
    where = cli("redrive", "job", "--error", "Odd*", "--yes", *why)
    assert (where.code, "RETROFILL_AIRFLOW_URL" in where.err) == (Exit.BAD_INPUT, True)


def test_reading_and_controlling_runs_needs_no_airflow(conn: Connection, state_dsn: str) -> None:
    ref = open_run(conn)
    code = f"""
import sys

class NotInstalled:
    def find_spec(self, name, *_):
        if name.partition(".")[0] == "airflow":
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, NotInstalled())
from retrofill.cli import main

for words in (
    "jobs", "runs", "status {ref.run_id} --json", "quarantine job", "item job a --prefix",
    "redrive job --count", "pause {ref.run_id}", "set {ref.run_id} max_calls=9", "db check",
    "check-jobs",
):
    sys.argv = ["retrofill", *words.split()]
    try:
        main()
    except SystemExit as ended:
        print(words, "ends with", ended.code, file=sys.stderr)
"""
    environ = {**os.environ, "AIRFLOW_CONN_RETROFILL_STATE": state_dsn}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environ)  # noqa: S603
    ends = dict(re.findall(r"^(\S+).* ends with (\d+|None)$", done.stderr, re.MULTILINE))
    assert {words for words, code in ends.items() if code not in {"0", "None"}} == {
        "status", "item",
    }, done.stderr  # fmt: skip
    assert limits.get_limits(conn, ref.run_id).max_calls == 9
