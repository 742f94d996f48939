"""The SQL of docs/operations/ and of the views page, run by the roles that it creates."""

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest
from psycopg2.errors import InsufficientPrivilege
from psycopg2.extensions import connection
from retrofill.config import params_for
from retrofill.model.calls import Call, EndedCall, Quarantined, Settlement
from retrofill.model.errors import StateUnfit
from retrofill.model.pulse import Slice
from retrofill.model.runs import DagRun, SetRef
from retrofill.pipeline.maintenance import forget_calls, forget_job, forget_results
from retrofill.pipeline.redrive import redrive_quarantine
from retrofill.pipeline.rescue import rescue
from retrofill.state import batches, limits, pages, runs, waiting
from retrofill.state.connection import connect, require_granted
from retrofill.state.grants import JOBS, RESULTS, RUNTIME
from retrofill.state.lease import BatchLease
from retrofill.state.migrate import migrate, require_current

from stack.services import Postgres
from tests.integration.opened import (
    StillAirflow,
    close,
    enqueue,
    entries_of,
    item,
    keys_in,
    open_next_set,
    open_run,
)

DOCS = Path(__file__).parents[2] / "docs"
PAGES = "\n".join(
    page.read_text()
    for page in [*sorted(DOCS.glob("operations/*.md")), DOCS / "reference/views.md"]
)
ROLES = ("retrofill_owner", "retrofill_runtime", "retrofill_reader")
VIEWS = {
    "v_run": 1, "v_item": 3, "v_call": 4, "v_outcome": 3, "v_quarantine": 1, "v_redriven": 0,
    "v_event": 1, "v_pulse": 1,
}  # fmt: skip
"""The public views, each with the number of rows from one run."""

POISON = EndedCall(3, "failed", "request", "7", "Runtime.HandlerError", "no image")


def blocks(kind: str) -> list[str]:
    return re.findall(rf"<!-- sql: {kind} -->\n```sql\n(.*?)\n```", PAGES, re.DOTALL)


def statements(kind: str) -> list[str]:
    found = [part.strip() for block in blocks(kind) for part in re.split(r";(?:\n|$)", block)]
    assert any(found), f"the page has no SQL for {kind}"
    return [part for part in found if part]


def execute(dsn: str, wanted: list[str]) -> list[list[tuple[object, ...]]]:
    """Run each statement separately, like psql; return the rows that they give."""
    rows = []
    with closing(psycopg2.connect(dsn)) as conn:
        conn.autocommit = True
        with conn.cursor() as cur:
            for statement in wanted:
                cur.execute(statement)
                if cur.description:
                    rows.append(cur.fetchall())
    return rows


@pytest.fixture
def dsns(postgres: Postgres) -> Iterator[dict[str, str]]:
    """A state set up as the page shows; the URI for each role."""
    administrator = postgres.dsn("postgres")
    execute(administrator, statements("roles"))
    try:
        execute(administrator, [f"ALTER ROLE {role} PASSWORD 'test'" for role in ROLES])
        found = {role: postgres.dsn("retrofill", role=role) for role in ROLES}
        migrate(found["retrofill_owner"])
        execute(found["retrofill_owner"], statements("grants"))
        yield found
    finally:
        execute(administrator, ["DROP DATABASE retrofill WITH (FORCE)"])
        execute(administrator, [f"DROP ROLE {role}" for role in ROLES])


@pytest.fixture
def runtime(dsns: dict[str, str]) -> Iterator[connection]:
    with closing(connect(dsns["retrofill_runtime"])) as conn:
        yield conn


def run_to_its_end(dsn: str, conn: connection) -> SetRef:
    """Do all that a run does with its state: of a, b and c, one fails and one is retried."""
    require_current(conn)
    ref = open_run(conn, partitions=2)
    assert runs.find_set(conn, "d", "r") == ref
    assert [part_no for part_no, _ in runs.partitions_left(conn, ref.run_id)] == [0, 1]
    enqueue(conn, ref, [item("a"), item("b"), item("c")])
    enqueue(conn, ref, [item("a")], part_no=1)
    job_id = runs.get_run(conn, ref.run_id).job_id
    (batch,) = batches.plan(conn, ref, job_id, most_items=9, fewest_items=9)
    with closing(BatchLease(dsn, batch.batch_id, "holder")) as lease:
        assert lease.take(holder_is_dead=lambda _: False)
        assert lease.allot(3, 0).concurrency == 3
        assert limits.change_limits(conn, ref.run_id, who="Ada", max_concurrency=9)
        first, second, third = (Call.of([entry]) for entry in entries_of(lease))
        lease.settle(Settlement(), [first, second, third])
        answered = Settlement(
            ended=[EndedCall(1, "succeeded"), EndedCall(2, "unknown", error="reset"), POISON],
            succeeded=[(span, 1) for span in first.spans],
            retried=[(entry, 0.0) for entry in second.entries],
            quarantined=[Quarantined(entry, POISON, POISON.error) for entry in third.entries],
        )
        again = Call.of(second.entries, attempt=2)
        lease.settle(answered, [again])
        done = [(span, again.number) for span in again.spans]
        lease.settle(Settlement(ended=[EndedCall(4, "succeeded")], succeeded=done), [])
        lease.release(done=True, pulse=[Slice(0, 5, 4, 2, 1, {"unknown": 1}, 0.5, 9, [4])])
    batches.release_set(conn, ref)
    assert not runs.close_set(conn, ref).full
    close(conn, ref.run_id, complete=True)
    runs.mark_notified(conn, ref.run_id)
    return ref


def keys_in_as_owner(dsns: dict[str, str], table: str) -> list[str]:
    with closing(connect(dsns["retrofill_owner"])) as conn:
        return keys_in(conn, table)


def rename_job(dsns: dict[str, str]) -> None:
    """Give the job of these tests the name in the page's examples."""
    execute(dsns["retrofill_owner"], ["UPDATE retrofill.job SET name = 'thumbnails'"])


def test_the_runtime_role_can_run_a_whole_run(dsns: dict[str, str], runtime: connection) -> None:
    ref = run_to_its_end(dsns["retrofill_runtime"], runtime)
    report = runs.get_report(runtime, ref.run_id)
    assert (report.listed, report.succeeded, report.quarantined) == (4, 2, 1)
    assert pages.get_page(runtime, ref.run_id).report == report


def test_the_runtime_role_can_control_a_run(dsns: dict[str, str], runtime: connection) -> None:
    ref = open_run(runtime)
    enqueue(runtime, ref, [item("a")])
    assert limits.change_limits(runtime, ref.run_id, max_concurrency=5)
    assert limits.change_limits(runtime, ref.run_id, paused=True)
    batches.plan(runtime, ref, 1, most_items=9, fewest_items=9)
    lost = BatchLease(dsns["retrofill_runtime"], 1, "dies")
    with closing(lost):
        lost.take(holder_is_dead=lambda _: False)
        lost.settle(Settlement(), [Call.of(entries_of(lost)[:1])])
    batches.release_set(runtime, ref)
    limits.stop(runtime, ref.run_id, "enough")
    close(runtime, ref.run_id, complete=False)
    second = open_run(runtime, "second")
    (batch,) = batches.plan(runtime, second, 1, most_items=9, fewest_items=9)
    assert batch.items == 1
    following = open_next_set(runtime, second, max_items=1)
    assert following == (second.run_id, 2)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM retrofill.results",
        "UPDATE retrofill.results SET run_id = 9",
        "DELETE FROM retrofill.run",
        "TRUNCATE retrofill.in_process",
        "DROP TABLE retrofill.results",
        "CREATE TABLE retrofill.other ()",
        "CREATE TABLE public.other ()",
        "CREATE TEMPORARY TABLE other ()",
        "INSERT INTO retrofill.migration (number, name, oldest_code) VALUES (99, 'x', 99)",
        "ALTER TABLE retrofill.run ADD COLUMN x text",
        "CREATE INDEX ON retrofill.run (state)",
        "CREATE OR REPLACE VIEW retrofill.v_run AS SELECT 1",
        "CREATE FUNCTION retrofill.x() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE SCHEMA other",
        "COPY retrofill.job TO PROGRAM 'true'",
        "SELECT pg_read_file('/etc/passwd')",
        "ALTER ROLE retrofill_reader SUPERUSER",
        "DELETE FROM retrofill.job",
        "DELETE FROM retrofill.batch",
    ],
)
def test_the_runtime_role_cannot_forget_nor_change_the_schema(
    dsns: dict[str, str], statement: str
) -> None:
    with pytest.raises(InsufficientPrivilege):
        execute(dsns["retrofill_runtime"], [statement])


def test_the_reader_role_sees_only_the_views(dsns: dict[str, str], runtime: connection) -> None:
    run_to_its_end(dsns["retrofill_runtime"], runtime)
    for view, count in VIEWS.items():
        rows = execute(dsns["retrofill_reader"], [f"SELECT count(*) FROM retrofill.{view}"])  # noqa: S608
        assert rows == [[(count,)]]
    for table in ("results", "run", "migration"):
        with pytest.raises(InsufficientPrivilege):
            execute(dsns["retrofill_reader"], [f"SELECT FROM retrofill.{table}"])


def test_each_example_query_finds_rows(dsns: dict[str, str], runtime: connection) -> None:
    run_to_its_end(dsns["retrofill_runtime"], runtime)
    rename_job(dsns)
    asked_for = "UPDATE retrofill.results SET item_key = 'incoming/2025/04/11/IMG_0040.jpg'"
    execute(dsns["retrofill_owner"], [f"{asked_for} WHERE item_key = 'a'"])
    queries = statements("reader")
    for query, rows in zip(queries, execute(dsns["retrofill_reader"], queries), strict=True):
        assert rows, query


def test_each_example_of_control_changes_a_run(dsns: dict[str, str], runtime: connection) -> None:
    ref = open_run(runtime)
    enqueue(runtime, ref, [item("a")])
    batches.plan(runtime, ref, 1, most_items=9, fewest_items=9)
    with closing(BatchLease(dsns["retrofill_runtime"], 1, "me")) as lease:
        lease.take(holder_is_dead=lambda _: False)
        with closing(psycopg2.connect(dsns["retrofill_runtime"])) as conn, conn.cursor() as cur:
            waiting.wait(runtime, 1, DagRun("d", "waits"))
            for statement in statements("runtime"):
                cur.execute(statement)
                assert cur.rowcount == 1, statement


def test_redriven_items_are_in_process_again(dsns: dict[str, str], runtime: connection) -> None:
    ref = run_to_its_end(dsns["retrofill_runtime"], runtime)
    second = open_run(runtime, "second")
    config = params_for("s3").config(
        {"bucket": "bucket", "function": "f", "event": "s3", "job": "job", "redrive": "quarantine"}
    )
    assert redrive_quarantine(runtime, second, 0, config) == {"redriven": 1}
    assert keys_in_as_owner(dsns, "quarantine") == []
    assert keys_in_as_owner(dsns, "in_process") == ["c"]
    (batch,) = batches.plan(runtime, second, 1, most_items=9, fewest_items=9)
    report = runs.get_report(runtime, second.run_id)
    assert (batch.items, report.redriven, report.resumed, report.items_left) == (1, 1, 0, 1)
    assert runs.get_report(runtime, ref.run_id).quarantined == 1


def test_maintenance_forgets_what_the_page_says(dsns: dict[str, str], runtime: connection) -> None:
    run_to_its_end(dsns["retrofill_runtime"], runtime)
    owner = dsns["retrofill_owner"]
    execute(owner, ["UPDATE retrofill.run SET closed_at = now() - interval '91 days'"])
    assert rescue(runtime, StillAirflow(lambda _, __: False)) == []
    assert forget_calls(runtime, job=None, days=90) == 4
    assert execute(owner, ["SELECT count(*) FROM retrofill.invocation"]) == [[(0,)]]
    assert keys_in_as_owner(dsns, "results") == ["a", "b"]
    assert enqueue(runtime, open_run(runtime, "again"), [item("a")]) == (0, 1, False)
    close(runtime, 2, complete=True)
    execute(owner, ["UPDATE retrofill.results SET settled_at = now() - interval '91 days'"])
    with pytest.raises(StateUnfit, match="permission denied for table results"):
        forget_results(runtime, job=None, days=90)
    with pytest.raises(StateUnfit, match=r'retrofill\.job.* TO "retrofill_runtime";'):
        require_granted(runtime, JOBS)
    assert keys_in_as_owner(dsns, "results") == ["a", "b"]
    execute(owner, statements("forget"))
    require_granted(runtime, {**RUNTIME, **RESULTS, **JOBS})
    assert forget_results(runtime, job=None, days=90) == 2
    assert forget_job(runtime, "job")["quarantine"] == 1
    counts = [f"SELECT count(*) FROM retrofill.{name}" for name in ("v_item", "run", "job")]  # noqa: S608
    assert execute(owner, counts) == [[(0,)]] * 3


def granted(dsns: dict[str, str], role: str) -> dict[str, set[str]]:
    """Return a role's privileges on each table and view, from any grantor."""
    asked = (
        "SELECT table_name, privilege_type FROM information_schema.role_table_grants"  # noqa: S608
        f" WHERE table_schema = 'retrofill' AND grantee = '{role}'"
    )
    found: dict[str, set[str]] = {}
    for name, privilege in execute(dsns["retrofill_owner"], [asked])[0]:
        found.setdefault(f"retrofill.{name}", set()).add(str(privilege))
    return found


def test_the_grants_of_the_page_equal_those_of_the_code(dsns: dict[str, str]) -> None:
    needed = {name: set(some.split(", ")) for name, some in RUNTIME.items()}
    assert granted(dsns, "retrofill_runtime") == needed
    execute(dsns["retrofill_owner"], statements("forget"))
    for name, some in [*RESULTS.items(), *JOBS.items()]:
        needed[name] |= set(some.split(", "))
    assert granted(dsns, "retrofill_runtime") == needed


def test_every_table_and_view_is_granted_and_the_reader_has_the_views(
    dsns: dict[str, str],
) -> None:
    asked = (
        "SELECT table_name, table_type FROM information_schema.tables"
        " WHERE table_schema = 'retrofill'"
    )
    there = {
        f"retrofill.{name}": kind for name, kind in execute(dsns["retrofill_owner"], [asked])[0]
    }
    views = {name for name, kind in there.items() if kind == "VIEW"}
    assert set(granted(dsns, "retrofill_runtime")) == set(there)
    assert granted(dsns, "retrofill_reader") == {name: {"SELECT"} for name in views}
    for name in set(there) - views:
        with pytest.raises(InsufficientPrivilege):
            execute(dsns["retrofill_reader"], [f"SELECT FROM {name}"])


def test_the_page_names_every_column_of_the_views(dsns: dict[str, str]) -> None:
    for view in VIEWS:
        _, _, rest = PAGES.partition(f"\n## `{view}`: ")
        table = rest.partition("\n| --- ")[2].partition("\n\n")[0]
        named = [name for line in table.splitlines()[1:]
                 for name in re.findall(r"`(\w+)`", line.split("|")[1])]  # fmt: skip
        with closing(psycopg2.connect(dsns["retrofill_reader"])) as conn, conn.cursor() as cur:
            cur.execute(f"SELECT * FROM retrofill.{view} LIMIT 0")  # noqa: S608
            columns = [column.name for column in cur.description or ()]
        assert sorted(named) == sorted(columns)
