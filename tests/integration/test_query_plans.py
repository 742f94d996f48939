"""Every statement of the state has one good plan at 100,000 rows, whatever the statistics say.

The tests check what a plan does, not which index it uses: the rows that it reads from large tables,
and the rows of all its nodes together, so also repeated reads of a nested loop. Statements really
run, via EXPLAIN ANALYZE, in a transaction that is rolled back. Statistics are those of tables
that nobody has analysed, or that were empty, nearly empty, emptied or full at that time, or they
are wrong by a factor of a thousand or more.
"""

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import closing
from hashlib import md5
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple
from uuid import UUID

import psycopg2
import pytest
from psycopg2.extensions import connection
from retrofill import state
from retrofill.model.limits import Limits
from retrofill.model.pulse import Slice
from retrofill.state.statements import load

from stack.services import Postgres

ROWS = 100_000
LIMITS = json.dumps(Limits(max_concurrency=100, max_items_per_set=1_000_000).as_json())
FUNCTION = json.dumps({"kind": "k", "name": "f", "version": "1", "facts": {}})
BATCHES = 20
BATCH_ITEMS = ROWS // BATCHES
OLD_RUNS = 50
TABLES = (
    "job", "run", "run_set", "partition", "batch", "in_process", "results", "quarantine",
    "redriven", "invocation", "call_count", "pulse"
)  # fmt: skip
LARGE = frozenset({"in_process", "results", "quarantine", "redriven", "invocation"})

TABLE = "RETROFILL_PLANS_TABLE"
"""The variable that names a file for each statement's reads: rows of large tables, all rows, ms."""

# ruff: noqa: S608  all text is ours


def fill(rows: int) -> str:
    """Return SQL that fills the tables. Statements ask for job 1 and may not read rows of job 2."""
    each = rows // BATCHES
    return f"""
INSERT INTO retrofill.job (name, fingerprint, source, function_name, event, next_seq)
SELECT name, 'f', 's', 'f', 's3', {rows} + 1 FROM unnest(ARRAY['one', 'two']) AS name;

INSERT INTO retrofill.run (
    job_id, source, config, delivery, function, function_timeout_s, limits, status, closed_at
)
SELECT
    job, 's', '{{}}', '{{}}', '{FUNCTION}', 3, '{LIMITS}',
    CASE WHEN n = 0 THEN 'open' ELSE 'complete' END::retrofill.run_status,
    CASE WHEN n > 0 THEN now() - interval '100 days' END
FROM generate_series(0, {OLD_RUNS}) AS n, generate_series(1, 2) AS job ORDER BY n, job;

INSERT INTO retrofill.run_set (run_id, set_no, dag_id, dag_run_id, max_items, items_taken)
SELECT run_id, 1, 'd', run_id::text, 1000000, {rows} FROM retrofill.run;

INSERT INTO retrofill.partition (run_id, part_no, label, description, chunk_no)
SELECT run_id, n, 'label', '{{}}', 7 FROM retrofill.run, generate_series(0, 31) AS n;

INSERT INTO retrofill.batch (
    job_id, run_id, set_no, first_seq, last_seq, items, epoch, next_call, leased_until, done_at,
    planned_at
)
SELECT
    job_id, run_id, 1, 1 + {each} * n - {rows} * (run_id > 2)::integer,
    {each} * (n + 1) - {rows} * (run_id > 2)::integer, {each}, 1, {each} + 1,
    CASE WHEN run_id <= 2 THEN now() + interval '1 h' END,
    CASE WHEN run_id > 2 THEN now() - interval '100 days' END, run.opened_at
FROM retrofill.run, generate_series(0, {BATCHES} - 1) AS n ORDER BY run_id, n;

INSERT INTO retrofill.in_process (
    job_id, seq, run_id, identifier, item_key, content
)
SELECT job, n, job, md5(job || ' new ' || n)::uuid, 'data/b/' || lpad(n::text, 9, '0'), '1'
FROM generate_series(1, 2) AS job, generate_series(1, {rows}) AS n;

INSERT INTO retrofill.results (
    job_id, item_key, identifier, run_id, batch_id, call_no, attempts, settled_at
)
SELECT job, 'data/a/' || lpad(n::text, 9, '0'), md5(job || ' old ' || n)::uuid, job + 2, 1, 1, 1,
    now() - interval '100 days'
FROM generate_series(1, 2) AS job, generate_series(1, {rows}) AS n;

INSERT INTO retrofill.quarantine (
    job_id, item_key, identifier, run_id, batch_id, call_no, content,
    attempts, failures, unsure, request_id, error_type, error, quarantined_at, seq
)
SELECT job, 'data/c/' || lpad(n::text, 9, '0'), md5(job || ' bad ' || n)::uuid, job, 1, 1, '1',
    3, 3, false, 'r', 't', 'e', now() - interval '1 day', -n
FROM generate_series(1, 2) AS job, generate_series(1, {rows}) AS n;

INSERT INTO retrofill.redriven (
    job_id, item_key, identifier, run_id, quarantined_by, batch_id, call_no, attempts, failures,
    unsure, request_id, error_type, error, quarantined_at
)
SELECT job_id, item_key, identifier, run_id + 2, run_id + 4, 1, 1, 3, 3, false, 'r', 't', 'e', now()
FROM retrofill.quarantine;

INSERT INTO retrofill.invocation (
    batch_id, call_no, epoch, items, item_count, attempt, duplicates, ended_at, outcome
)
SELECT batch_id, n, 1, int8multirange(int8range(first_seq + n - 1, first_seq + n)), 1, 1, 0,
    CASE WHEN n <= {each} - 50 THEN now() END,
    CASE WHEN n <= {each} - 50 THEN 'succeeded'::retrofill.outcome END
FROM retrofill.batch, generate_series(1, CASE WHEN run_id <= 2 THEN {each} ELSE 1 END) AS n;

INSERT INTO retrofill.pulse (
    run_id, second, seconds, at, calls, succeeded, quarantined, troubles, call_seconds,
    most_in_flight, latency
)
SELECT run_id, 5 * n, 5, now(), 1, 1, 0, '{{"lost": 1}}', 1, 1, '{{1}}'
FROM retrofill.run, generate_series(0, {min(rows, 200) - 1}) AS n;

INSERT INTO retrofill.call_count (batch_id, outcome, cause, calls, items)
SELECT batch_id, outcome, '', 1, 1 FROM retrofill.batch, unnest(
    ARRAY['failed', 'throttled', 'unknown', 'lost']::retrofill.outcome[]
) AS outcome;
"""


EMPTY = "".join(f"DELETE FROM retrofill.{table};\n" for table in reversed(TABLES)) + "".join(
    f"ALTER TABLE retrofill.{table} ALTER COLUMN {table}_id RESTART;\n"
    for table in ("job", "run", "batch")
)


def wrong_by(rows: str) -> str:
    """Return SQL that makes the planner believe that each table and index has this many rows."""
    return f"""
SELECT pg_restore_relation_stats(
    'schemaname', 'retrofill', 'relname', relname::text, 'relpages', greatest(relpages, 1),
    'reltuples', ({rows})::real
) FROM pg_class WHERE relnamespace = 'retrofill'::regnamespace AND relkind IN ('r', 'i')
"""


STATISTICS = {
    "never": [fill(ROWS)],
    "empty": ["ANALYZE", fill(ROWS)],
    "small": [fill(100), "ANALYZE", EMPTY, fill(ROWS)],
    # As at the end of a run that processed everything: the pages are still there.
    "emptied": [fill(ROWS), EMPTY, "ANALYZE", fill(ROWS)],
    "full": [fill(ROWS), "ANALYZE"],
    "one row": [fill(ROWS), "ANALYZE", wrong_by("1")],
    "x 1000": [fill(ROWS), "ANALYZE", wrong_by("greatest(reltuples, 1) * 1000")],
}

SLOW = {"small", "x 1000"}
"""States that only the slow tests use."""


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(name, marks=[pytest.mark.faults] if name in SLOW else [])
        for name in STATISTICS
    ],
)
def conn(
    request: pytest.FixtureRequest, postgres: Postgres, _state_template: str
) -> Iterator[connection]:
    # Another test process may use the server, too.
    name = f"plans_{os.getpid()}_{re.sub('[^a-z0-9]', '_', request.param)}"
    with closing(psycopg2.connect(postgres.dsn("postgres"))) as admin:
        admin.autocommit = True
        with admin.cursor() as cur:
            cur.execute(f"CREATE DATABASE {name} TEMPLATE {_state_template}")
            with closing(psycopg2.connect(postgres.dsn(name))) as opened:
                with opened.cursor() as inside:
                    for table in (*TABLES, "extent"):
                        inside.execute(
                            f"ALTER TABLE retrofill.{table} SET (autovacuum_enabled = false)"
                        )
                    for step in STATISTICS[request.param]:
                        inside.execute(step)
                        opened.commit()
                yield opened
            cur.execute(f"DROP DATABASE {name} WITH (FORCE)")


BATCH = 7
FIRST = (BATCH - 1) * BATCH_ITEMS + 1
NOS = list(range(BATCH_ITEMS - 49, BATCH_ITEMS + 1))
SEQS = [FIRST + number - 1 for number in NOS]
NONE = [None] * 50
MANY = 2_000
"""Calls of one item that a busy task settles at once."""
MANY_NOS = list(range(1, MANY + 1))
MANY_SEQS = [FIRST + number - 1 for number in MANY_NOS]
CHUNK = 5_000
PAGE = 10_000
EXTENT = 10_000
SMALL = 200
"""Rows of small tables that a statement may read: batches, sets and partitions of a run."""
FEW = BATCHES * (OLD_RUNS + 1)
"""The batches of a job."""

SLICES = json.dumps([Slice(0, 5, 9, 9, 0, {"lost": 1}, 4.5, 10, [0, 9])._asdict()])
"""Values to add to an existing slice."""

VALUES: dict[str, Any] = {
    "batch_id": BATCH, "epoch": 1, "job_id": 1, "run_id": 1, "set_no": 1, "part_no": 0,
    "first_seq": FIRST, "last_seq": FIRST + BATCH_ITEMS - 1, "batch_ids": [BATCH],
    "lease_s": 60, "no_answer": "no answer",
    "settle_no": 1, "new_calls": 1, "settled": 1, "refused": 0, "ramp": "{}",
    "retries": 0, "duplicates": 0, "blamed": 0, "cured": 0,
    "holder": "h", "wanted": 1, "allotted": 1, "width": 1, "in_flight": 1, "calls_per_second": 1.0,
    "answered": True, "refused_s": None, "refusal": None, "failing_as": "E", "hints": [],
    "reason": "r", "done": True, "count": 1, "chunk_no": 7, "cursor": "k", "listed": 0, "new": 0,
    "known": 0, "recent": b"", "seen": 1, "source_seen": True, "left_out": '{"filtered": 1}',
    "error_chars": 300, "withdrawn": 0, "value": 1, "late": 0, "interval_start": None,
    "resumed": 0, "others": [], "days": 90, "rows": PAGE, "after": 0, "batches": 1_000,
    "name": "one", "fingerprint": "f", "source": "s", "function_name": "f", "event": "s3",
    "dag_id": "d", "dag_run_id": "1", "status": "complete", "config": "{}", "delivery": "{}",
    "modified_after": None, "modified_before": None, "function": FUNCTION,
    "function_timeout_s": 3, "limits": LIMITS,
    "changes": "{}", "price": "{}", "cost": 0.1, "from_above": 0.0,
    "mark": "1", "hours": 24, "by": "Ada", "changed": 1, "more": False, "extents": 5,
    "kept": "{}", "runs": [1], "behind": ["2"], "plan": "{}",
    "label": "l", "description": "{}", "items": 50, "partitions": 200, "calls": 10,
    "details": False, "written": "{}",
    "pulse_no": 1, "slices": SLICES, "calls_kept": 10, "slowest": [1], "slowest_ms": [1],
    "task_id": "invoke", "map_index": 1, "who": "Ada", "what": "paused", "was": "", "events": 50,
    "error_type": "t", "error": "e", "item_key": "", "most": PAGE, "after_key": "",
    "identifier": "00000000-0000-0000-0000-000000000000",
    "after_identifier": "00000000-0000-0000-0000-000000000000",
}  # fmt: skip


class Case(NamedTuple):
    """A statement, with values."""

    file: str
    name: str
    most: int
    """Rows that it may read from all large tables together."""

    values: Mapping[str, Any] = MappingProxyType({})
    all_nodes: int | None = None
    """Rows that all nodes of its plan may handle together; None: 12 for each row that it may read,
    plus a job's number of batches."""

    end_to_end: bool = False
    """Whether it reads all of the job's rows in a table, which are half of it: the planner may read
    the other half, too."""

    before: str = ""
    """SQL to run before it in the same transaction."""

    @property
    def bound(self) -> int:
        """Return how many rows it may read."""
        return self.most * (2 if self.end_to_end else 1)

    @property
    def bound_of_all(self) -> int:
        """Return how many rows all nodes of its plan may handle together."""
        return self.all_nodes or 12 * self.bound + FEW


def ended(numbers: list[int]) -> dict[str, Any]:
    how = ["succeeded", "5d0b2a35-8b1a-4b51-9f0e-cb9f3bd0f4e1", "17", "", ""]
    return {"call_nos": numbers, "ended": json.dumps(dict.fromkeys(numbers, how))}


def identifier_of(number: int) -> str:
    """Return the identifier of a quarantined item of job 1."""
    return str(UUID(md5(f"1 bad {number}".encode()).hexdigest()))  # noqa: S324  as the filling does


def found(key: str, name: str) -> dict[str, Any]:
    """Return items of job 1 to be found, spread over a table."""
    numbers = range(1, ROWS + 1, ROWS // CHUNK)
    hashed = [md5(name.format(n).encode()).hexdigest() for n in numbers]  # noqa: S324
    return {"keys": [key.format(n) for n in numbers], "identifiers": hashed}


LISTED = dict(
    zip(("listed", "identifiers"), found("data/a/{:09}", "1 old {}").values(), strict=True)
)
"""Items of job 1 that succeeded, spread over the table."""

CONTENTS = json.dumps({str(UUID(one)): "1" for one in LISTED["identifiers"]})

ALL = {
    "keys": [], "error": None, "version": None, "after": None, "before": None, "unsure": None,
    "first": "", "behind": None,
}  # fmt: skip
"""A selection of all items in a place."""

GROUPS = {"errors": 100, "examples": 3}
POISON = {
    "seqs": SEQS, "call_nos": NOS, "attempts": NOS, "failures": NOS, "unsures": [True] * 50,
    "request_ids": ["r"] * 50, "error_types": ["e"] * 50, "errors": ["e"] * 50,
}  # fmt: skip
RELEASED = "UPDATE retrofill.batch SET done_at = now(), leased_until = NULL WHERE job_id = 1;"
BROKEN = RELEASED + "UPDATE retrofill.extent SET whole = false WHERE job_id = 1"
IN_ORDER = load("connection.sql")["read_in_order"]
BY_INDEX = load("reading.sql")["read_by_index"]
EXPORTED = load("exports.sql")["read_in_order"]
ELSEWHERE = f"""
INSERT INTO retrofill.elsewhere (run_id, part_no, chunk_no, items)
SELECT 3, 0, n, int8multirange(int8range({CHUNK} * n + 1, {CHUNK} * (n + 1) + 1))
FROM generate_series(0, {ROWS // CHUNK} - 1) AS n;
"""
SCATTERED = f"""
INSERT INTO retrofill.elsewhere (run_id, part_no, chunk_no, items)
SELECT 3, 0, n, (
    SELECT range_agg(int8range(seq, seq + 1))
    FROM generate_series({CHUNK} * n + 1, {CHUNK} * (n + 1), 3) AS seq
)
FROM generate_series(0, {ROWS // CHUNK} - 1) AS n;
"""
JOBS_SHOWN = {
    "search": "", "hidden": ["x"], "show": "needs", "ranks": '{"open0000010": 0}', "least": 7,
    "alive": '{"d": {"1": true}}', "paused": ["d"], "off": ["x"], "most": 25, "offset": 25,
    "last": 2**63 - 1,
}  # fmt: skip
MANY_JOBS = f"""
INSERT INTO retrofill.job (name, fingerprint, source, function_name, event)
SELECT 'job ' || n, 'f', 's', 'f', 's3' FROM generate_series(1, {MANY}) AS n;
INSERT INTO retrofill.run (
    job_id, source, config, delivery, function, function_timeout_s, limits
)
SELECT job_id, 's', '{{}}', '{{}}', '{FUNCTION}', 3, '{LIMITS}'
FROM retrofill.job WHERE name LIKE 'job %';
INSERT INTO retrofill.run_set (run_id, set_no, dag_id, dag_run_id, max_items)
SELECT run_id, 1, 'many', run_id::text, 9 FROM retrofill.run JOIN retrofill.job USING (job_id)
WHERE name LIKE 'job %';
"""
REDRIVEN = f"""
INSERT INTO retrofill.redriven (
    job_id, item_key, identifier, run_id, quarantined_by, batch_id, call_no, attempts, failures,
    unsure, request_id, error_type, error, quarantined_at
)
SELECT job_id, item_key, identifier, 1, 3, 1, 1, 0, 3, false, 'r', 't', 'e', now()
FROM retrofill.in_process WHERE job_id = 1 AND seq < {EXTENT}
"""
TAKEN_BACK = f"""
INSERT INTO retrofill.redriven (
    job_id, item_key, identifier, run_id, settled_by, batch_id, call_no, attempts, failures,
    unsure, request_id, error_type, error, settled_at
)
SELECT job_id, item_key, identifier, 1, 3, 1, 1, 0, 3, false, 'r', 't', 'e', now()
FROM retrofill.in_process WHERE job_id = 1 AND seq < {EXTENT}
"""
UNORDERED = "UPDATE retrofill.in_process SET unordered = true WHERE job_id = 1"
NOTABLE = """
UPDATE retrofill.invocation SET outcome = 'failed' WHERE batch_id <= 20 AND call_no <= 10;
UPDATE retrofill.call_count SET last_calls = '{1,2,3,4,5,6,7,8,9,10}';
UPDATE retrofill.batch SET slowest = '{1,2,3,4,5,6,7,8,9,10}', slowest_ms = '{9,8,7}'
"""
MOVED = [f"data/c/{number:09}" for number in range(50_001, 55_001)]
QUARANTINED = {
    "chosen": MOVED, "identifiers": [identifier_of(number) for number in range(50_001, 55_001)],
}  # fmt: skip

ORIGINS = {
    "nos": list(range(200)), "jobs": [1], "each": 5, "timeout_s": 3, "before_s": 2.0,
    "after_s": 10.0, "modified": ["2026-01-02T00:00:00Z"] * 200,
    "stems": [f"data/{place}/{n:09}" for n in range(1, 101) for place in "ac"],
}  # fmt: skip

SOUGHT = {
    "after": "data/", "end": "data0", "most": SMALL, "extents": 101,
    "content_chars": 300,
}  # fmt: skip
NEW_7, OLD_7 = (
    str(UUID(md5(f"1 {what} 7".encode()).hexdigest()))  # noqa: S324  as the filling does
    for what in ("new", "old")
)

CASES = [
    Case("screening", "list_known", CHUNK,
         {"first": "data/a/000050001", "last": "data/a/000055000"}),
    # It reads all items of each extent that holds some of the range.
    Case("screening", "list_known", CHUNK + 2 * EXTENT,
         {"first": "data/b/000050001", "last": "data/b/000055000"}),
    Case("screening", "list_known", CHUNK,
         {"first": "data/c/000050001", "last": "data/c/000055000"}),
    Case("screening", "find_known", 2 * CHUNK, found("data/a/{:09}", "1 old {}"), before=UNORDERED),
    Case("screening", "find_known", 2 * CHUNK, found("data/b/{:09}", "1 new {}"), before=UNORDERED),
    Case("screening", "find_known", 2 * CHUNK, found("data/c/{:09}", "1 bad {}"), before=UNORDERED),
    Case("screening", "mark_unordered", ROWS, end_to_end=True),
    Case("portions", "list_sizes", BATCH_ITEMS),
    Case("portions", "load_items", BATCH_ITEMS),
    Case("portions", "load_items", 50, {"first_seq": SEQS[0], "last_seq": SEQS[-1]}),
    Case("lease", "count_items", BATCH_ITEMS),
    Case("lease", "list_left", 50, {"seqs": SEQS}),
    # All calls of the batch, to find those without an outcome; then an item in two look-ups.
    Case("lost_calls", "mark_calls_lost", BATCH_ITEMS + 250),
    Case("lost_calls", "mark_calls_lost", BATCH_ITEMS + 250,
         before="""UPDATE retrofill.run SET config = '{"on_unknown": "hold"}' WHERE run_id = 1"""),
    Case("lost_calls", "count_orphans", BATCH_ITEMS),
    # All calls of the batches whose holders are silent: here of one.
    Case("lost_calls", "count_silent", BATCH_ITEMS,
         before="UPDATE retrofill.batch SET leased_until = CASE WHEN batch_id = 7 THEN"
         " now() - interval '1 s' END WHERE run_id = 1"),
    Case("settling", "end_calls", 50, ended(NOS)),
    Case("settling", "end_calls", MANY, ended(MANY_NOS),
         before="UPDATE retrofill.invocation SET outcome = 'lost'"
         " WHERE batch_id = 7 AND ended_at IS NOT NULL"),
    Case("settling", "settle_succeeded", 50, {"firsts": SEQS, "lasts": SEQS, "call_nos": NOS}),
    Case("settling", "settle_succeeded", 50,
         {"firsts": [SEQS[0]], "lasts": [SEQS[-1]], "call_nos": [1]}),
    Case("settling", "settle_succeeded", MANY,
         {"firsts": MANY_SEQS, "lasts": MANY_SEQS, "call_nos": MANY_NOS}),
    Case("settling", "settle_quarantined", 50, POISON),
    Case("settling", "settle_retried", 50,
         POISON | {"call_caps": NONE, "blamed_bys": NONE, "delays_s": [0.0] * 50}),
    Case("locks", "lock_owners", 0, {"firsts": SEQS, "lasts": SEQS}, 3 * FEW),
    # Only after a takeover: the owner's calls without an outcome, and all of quarantine.
    Case("settling", "settle_late", BATCH_ITEMS + 150 + ROWS,
         {"firsts": SEQS, "lasts": SEQS, "call_nos": NOS}, end_to_end=True),
    Case("settling", "count_troubles", 0,
         {"outcomes": ["failed"], "causes": [""], "calls": [1], "items": [1], "costs": [0.5],
          "last_calls": ["{1}"]}),
    Case("settling", "write_ahead", 0,
         {"call_nos": [9_999], "items": ["{[1,2]}"], "item_counts": [1], "attempts": [1],
          "duplicates": [0]}),
    # Items that were never planned are not read.
    Case("batches", "list_pieces", 0, before=IN_ORDER + ";" + RELEASED),
    Case("batches", "list_pieces", ROWS, before=IN_ORDER + ";" + BROKEN),
    Case("batches", "list_pieces", 0, before=IN_ORDER),
    Case("batches", "list_numbers", 3 * EXTENT,
         {"firsts": [1, 1, 10_000], "lasts": [9_999, 9_999, 19_999], "ranks": [5_000, 9_998, 7]},
         before=IN_ORDER),
    Case("batches", "forget_extents", 2 * ROWS // EXTENT, before=IN_ORDER + ";" + BROKEN),
    Case("batches", "insert_batches", 0,
         {"firsts": SEQS, "lasts": SEQS, "items": NOS, "bytes": NOS}, 500),
    Case("canary", "list_seqs", BATCH_ITEMS, before=IN_ORDER),
    Case("canary", "list_sizes", 50, {"seqs": SEQS, "awaited": "{}"}, before=IN_ORDER),
    Case("canary", "list_items", 50, {"seqs": SEQS}, before=IN_ORDER),
    Case("canary", "renumber", 50, {"seqs": SEQS, "next_seq": ROWS + 1}, before=IN_ORDER),
    Case("canary", "list_calls", BATCH_ITEMS),
    # The waiting items of all that were listed elsewhere: in batches of others, and without one.
    Case("others", "count_others", ROWS, {"run_id": 3}, before=ELSEWHERE),
    Case("others", "count_others", ROWS, {"run_id": 3}, before=ELSEWHERE + RELEASED),
    Case("others", "count_others", 2 * ROWS // 3, {"run_id": 3}, 12 * ROWS, before=SCATTERED),
    Case("feedback", "load_sample", 1_000, {"seqs": list(range(1, ROWS, ROWS // 1_000))}),
    Case("feedback", "find_origins", 100 * 2 * 5, ORIGINS, 200_000, before=IN_ORDER),
    Case("feedback", "list_folders", 2 * 16,
         {"jobs": [1], "parents": ["", "data/"], "steps": 16}, 12 * 64, before=IN_ORDER),
    # For a run that seems to feed itself: when all of its calls were made.
    Case("feedback", "get_pace", ROWS, {"called": 1, "shares": [0.0, 0.5, 1.0]}, end_to_end=True),
    Case("feedback", "withdraw", BATCH_ITEMS),
    Case("approvals", "withdraw", 2 * EXTENT, {"firsts": [1], "lasts": [EXTENT - 1]}),
    Case("approvals", "put_back", 6 * EXTENT, {"firsts": [1], "lasts": [EXTENT - 1]},
         before=REDRIVEN),
    Case("approvals", "give_back", ROWS),
    Case("approvals", "list_kept", 0, before=ELSEWHERE),
    Case("approvals", "break_extents", 0, {"firsts": [1]}),
    Case("redrive", "list_quarantined", PAGE, ALL, before=IN_ORDER),
    Case("redrive", "list_quarantined", PAGE, ALL | {"after_key": "data/c/000050000"},
         before=IN_ORDER),
    # The call of each item, too.
    Case("redrive", "list_quarantined", 2 * PAGE, ALL | {"version": "1"}, before=IN_ORDER),
    Case("triage", "list_groups", PAGE + 2, ALL | GROUPS, 12 * PAGE, before=IN_ORDER),
    Case("triage", "list_groups", 2 * PAGE + 2, ALL | GROUPS | {"version": "1"},
         before=IN_ORDER),
    # An item and its call in a look-up each.
    Case("triage", "list_examples", 2 * len(MOVED), QUARANTINED, before=IN_ORDER),
    Case("triage", "count_quarantined", ROWS, ALL, end_to_end=True),
    # The versions of the job's runs are read once, if no call has its own.
    Case("triage", "count_quarantined", 2 * ROWS, ALL | {"version": "1"}, 6 * ROWS,
         end_to_end=True),
    Case("triage", "count_quarantined", 10_000,
         ALL | {"first": "data/c/00001", "behind": "data/c/00002"}),
    Case("triage", "count_succeeded", ROWS, ALL, end_to_end=True),
    Case("triage", "count_succeeded", 2 * ROWS, ALL | {"version": "1"}, 6 * ROWS,
         end_to_end=True),
    Case("triage", "count_succeeded", 10_000,
         ALL | {"first": "data/a/00001", "behind": "data/a/00002"}),
    Case("redrive", "move", 2 * len(MOVED),
         QUARANTINED | {"next_seq": ROWS + 1}),
    # As many as are shown, and as many as are counted.
    Case("pages", "list_quarantined", 50 + 10_001, before=BY_INDEX),
    # As many calls as shown for each of the last outcomes, and their items.
    Case("pages", "list_failed_calls", 10 * 10 + 10 * 5, before=NOTABLE),
    Case("pages", "list_slowest_calls", 10 * 10, before=NOTABLE),
    Case("successes", "find_selected", CHUNK, ALL | LISTED),
    Case("successes", "find_selected", 2 * CHUNK, ALL | LISTED | {"version": "1"}),
    Case("successes", "take_back", 2 * CHUNK,
         {"chosen": LISTED["listed"], "identifiers": LISTED["identifiers"],
          "next_seq": ROWS + 1, "contents": CONTENTS}),
    Case("successes", "break_extents", 0, {"next_seq": ROWS + 1}),
    Case("successes", "put_back", 6 * EXTENT, {"firsts": [1], "lasts": [EXTENT - 1]},
         before=TAKEN_BACK),
    # With details, those of each item's call are read, too.
    Case("exports", "list_failed", ROWS, end_to_end=True, before=EXPORTED),
    Case("exports", "list_failed", 2 * ROWS, {"details": True}, end_to_end=True, before=EXPORTED),
    Case("exports", "list_succeeded", ROWS, {"run_id": 3}, end_to_end=True, before=EXPORTED),
    Case("exports", "list_succeeded", 2 * ROWS, {"run_id": None, "details": True},
         end_to_end=True, before=EXPORTED),
    Case("exports", "list_pending", ROWS, end_to_end=True, before=EXPORTED),
    Case("worst", "list_worst", ROWS, end_to_end=True),
    # A row of each job; then as many of quarantine as are counted.
    Case("jobs", "list_jobs", 2, JOBS_SHOWN, 12 * FEW, before=BY_INDEX),
    # One lookup in each index for each job; a mean of two rows for all is close to zero.
    Case("jobs", "list_jobs", 0, JOBS_SHOWN, 12 * FEW + 80 * MANY, before=MANY_JOBS + BY_INDEX),
    Case("jobs", "list_runs", 0, {"before": 1_000, "most": 26}, 12 * FEW),
    Case("jobs", "count_quarantined", PAGE, {"job_ids": [1]}, before=IN_ORDER),
    Case("jobs", "count_jobs", 0, {"job_ids": [1], "run_ids": [1]}, 12 * FEW),
    Case("jobs", "get_totals", 0, all_nodes=12 * FEW),
    Case("jobs", "dags_of", 0, all_nodes=12 * FEW),
    # A page of each place; in process, the items of extents that may hold such keys.
    Case("items", "find_placed", 2 * SMALL + 2, SOUGHT, before=IN_ORDER),
    Case("items", "find_placed", 2 * SMALL + 2,
         SOUGHT | {"after": "data/a/000050000"}, before=IN_ORDER),
    Case("items", "find_placed", 2 * SMALL + 2,
         SOUGHT | {"after": "data/c/00005", "end": "data/c/00006"},
         before=IN_ORDER),
    Case("items", "list_extents", 0, SOUGHT, 500, before=IN_ORDER),
    Case("items", "find_in_process", 2 * EXTENT, SOUGHT | {
        "after": "data/b/00001", "end": "data/b/00002", "firsts": [1, EXTENT],
        "lasts": [EXTENT - 1, 2 * EXTENT - 1],
    }, before=IN_ORDER),
    Case("items", "get_in_process", EXTENT, SOUGHT | {
        "key": "data/b/000000007", "identifier": NEW_7, "firsts": [1], "lasts": [EXTENT - 1],
    }, before=IN_ORDER),
    Case("items", "get_result", 1, SOUGHT | {"key": "data/a/000000007", "identifier": OLD_7},
         before=IN_ORDER),
    Case("items", "get_quarantined", 1,
         SOUGHT | {"key": "data/c/000000007", "identifier": identifier_of(7)}, before=IN_ORDER),
    Case("items", "list_redriven", 1,
         SOUGHT | {"key": "data/c/000000007", "identifier": identifier_of(7)}, before=IN_ORDER),
    Case("items", "list_versions", 2, SOUGHT | {"key": "data/c/000000007"}, before=IN_ORDER),
    Case("items", "get_numbers", 1, {"call_no": 7}, before=IN_ORDER),
    # All calls of the batches that hold the number, of which each run has one.
    Case("items", "list_calls", 2 * BATCH_ITEMS, {"numbers": f"{{[{FIRST},{FIRST}]}}", "most": 200},
         before=IN_ORDER),
    Case("maintenance", "delete_calls", 2 * BATCH_ITEMS),
    Case("maintenance", "delete_results", 2 * PAGE, before=IN_ORDER),
    Case(
        "maintenance",
        "delete_results",
        2 * PAGE,
        {"item_key": "data/a/000050000"},
        before=IN_ORDER,
    ),
    Case("maintenance", "delete_quarantined", 2 * PAGE, before=IN_ORDER),
    Case("maintenance", "delete_in_process", 2 * PAGE, before=IN_ORDER),
    Case("maintenance", "delete_redriven", 2 * PAGE, before=IN_ORDER),
    # Each batch of the job's runs, and the sum of those of each run.
    Case(
        "feedback", "list_callings", 0, {"jobs": [1], "since": "2026-01-01T00:00:00Z"}, 4 * FEW
    ),
    Case("maintenance", "list_batches", FEW),
    Case("maintenance", "list_batches", 0, {"days": None}, 12 * FEW),
    Case("maintenance", "list_open_runs", 0, all_nodes=12 * OLD_RUNS),
]  # fmt: skip

READS_NO_LARGE_TABLE = {
    "screening": {
        "get_partition", "begin_unordered", "advance_seq", "fill_set", "advance_partition",
        "note_elsewhere",
    },
    "lease": {"is_overlapped", "reopen", "take_lease", "fence", "get_settle_no", "release"},
    "allotting": {"list_shares", "get_totals", "list_causes", "allot", "set_pace"},
    "settling": {"count_ended", "count_quarantined", "note_errors"},
    "batches": {
        "list_open_runs", "break_extents", "mark_planned",
        "list_batches", "release_batches", "is_held", "is_open",
    },
    "canary": {
        "get_canary", "has_batches", "get_awaited", "break_extents_of", "insert_canary",
        "count_resumed", "get_found", "list_ended",
    },
    "others": {"forget_awaited", "note_awaited"},
    "feedback": {
        "note_later", "list_later", "list_open_runs", "list_untouched", "list_kin",
        "forget_extent", "count_withdrawn",
    },
    "approvals": {
        "ask", "answer", "avoid", "note_changes", "get_approval", "list_extents",
        "mark_withdrawn", "count_withdrawn",
    },
    "plans": {
        "list_batches", "count_canary", "store_plan", "list_limits", "get_moment",
        "get_database_size",
    },
    "pages": {
        "get_controls", "count_calls", "list_partitions", "list_sets", "list_batches",
    },
    "jobs": {"get_job", "list_dags"},
    "runs": {
        "insert_job", "get_job", "get_set", "insert_run", "insert_set", "get_set_of",
        "list_later_sets", "next_run_id", "is_to_come", "get_run", "has_partitions",
        "insert_partition", "list_partitions_left", "close_set",
        "close_run", "reopen_run", "mark_notified", "mark_wait_notified", "list_reports",
    },
    "listing": {"list_runs"},
    "limits": {"get_standing", "change_limits", "stop_run", "is_open"},
    "events": {"record", "list_events"},
    "exports": {"get_last_run", "list_versions", "note_files"},
    "redrives": {"insert_redrive", "list_redrives", "list_costs", "get_listing"},
    "pulse": {"list_slices", "add_slices"},
    "successes": {"count_redriven"},
    "lost_calls": {"recount_cost"},
    "waiting": {
        "wait", "list_open_runs", "list_before", "list_waiting", "list_of_job", "note_ahead",
        "wait_no_more",
    },
    "sharing": {"lock_function", "list_claims"},
    "locks": {
        "keep_job", "lock_job", "lock_job_wholly", "lock_run", "lock_set", "lock_batch",
        "lock_batches",
    },
    "maintenance": {"list_jobs", "list_active_runs", "mark_forgotten"},
}  # fmt: skip
"""Statements on rows named one by one, or on the batches, sets and partitions of a run."""

NOT_PLANNED = {
    "connection": {
        "look",
        "set_session",
        "list_missing_grants",
        "begin_aside",
        "end_aside",
        "drop_aside",
        "read_in_order",
    },
    "exports": {"begin_snapshot", "read_in_order", "get_moment"},
    "reading": {"begin_snapshot", "read_by_index"},
    "screening": {"copy_new", "copy_new_unordered", "commit_unflushed"},
    "triage": {"limit_time"},
    # Each uses a primary key, and foreign keys that refer to it use theirs.
    "maintenance": {"delete_batches", "delete_run", "delete_job"},
}
"""Statements without a plan, or whose work EXPLAIN does not show."""

OWN_VALUES: dict[str, dict[str, Any]] = {
    "insert_partition": {"part_no": 99},
    "list_reports": {"run_ids": [1, 3]},
    "list_runs": {"before": 99, "hidden": ["x"], "most": 50},
    "insert_set": {"dag_run_id": "new", "set_no": 2},
    "note_elsewhere": {"items": "{[1,9]}"},
    "note_later": {"keys": ["a"], "contents": ["c"]},
    "list_kin": {"jobs": 5},
    "forget_extent": {"first_seq": 1},
    "insert_redrive": {
        "selection": '{"place": "quarantine"}',
        "note": "",
        "asked_by": "",
        "counted": 1,
        "forecast": None,
    },
    "list_redrives": {"redrives": 20},
    "list_costs": {"runs": 10},
    "is_to_come": {"moment": "2026-01-01T00:00:00Z"},
    "note_awaited": {"holders": [2], "counts": [9]},
    "answer": {"status": "approved"},
    "break_extents_of": {"seqs": SEQS},
    "insert_canary": {"next_seq": ROWS + 1, "bytes": 9, "sizes": [None] * 50},
}

CASES += [
    # All batches of the job, a few times.
    Case(file, name, 0, OWN_VALUES.get(name, {}), 4 * FEW)
    for file, names in READS_NO_LARGE_TABLE.items()
    for name in sorted(names)
]


def test_every_statement_is_checked() -> None:
    looked_at = {(case.file, case.name) for case in CASES}
    looked_at |= {(file, name) for file, names in NOT_PLANNED.items() for name in names}
    folder = Path(state.__file__).parent
    files = sorted(folder.glob("*.sql"))
    assert looked_at == {(file.stem, name) for file in files for name in load(file.name)}


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def rows_handled(node: dict[str, Any]) -> float:
    """Return the rows that a node returned or discarded in all its loops; a loop counts as one.

    Rows of a bitmap count where they are read: it also has dead rows of earlier cases.
    """
    if node["Node Type"] == "Bitmap Index Scan":
        return 0.0
    each: float = node["Actual Rows"] + sum(
        node.get(f"Rows Removed by {name}", 0)
        for name in ("Filter", "Index Recheck", "Join Filter")
    )
    return max(each, 1) * node["Actual Loops"]


def rows_read(node: dict[str, Any]) -> float:
    large = node.get("Relation Name") in LARGE and "Scan" in node["Node Type"]
    # A lookup without a result reads no row.
    each = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
    return (
        (each + node.get("Rows Removed by Index Recheck", 0)) * node["Actual Loops"] if large else 0
    )


def note(*cells: object) -> None:
    """Add a line to the file of measurements, if one is named."""
    if TABLE in os.environ:
        with Path(os.environ[TABLE]).open("a", encoding="utf-8") as table:
            print(*cells, sep="\t", file=table)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.file}-{case.name}")
def test_a_statement_reads_only_the_rows_it_needs(
    conn: connection, case: Case, request: pytest.FixtureRequest
) -> None:
    values = VALUES | dict(case.values)
    with conn.cursor() as cur:
        try:
            # An endless statement must end here.
            cur.execute("SET LOCAL jit = off; SET LOCAL statement_timeout = '30s'")
            if case.before:
                cur.execute(case.before)
            cur.execute(
                "EXPLAIN (ANALYZE, FORMAT JSON) " + load(f"{case.file}.sql")[case.name], values
            )
            ((((top,),),)) = (cur.fetchall(),)
        finally:
            conn.rollback()
    plan = top[0]["Plan"]
    everything = list(nodes(plan))
    read = sum(map(rows_read, everything))
    handled = sum(map(rows_handled, everything))
    note(request.node.callspec.id, read, handled, top[0]["Execution Time"])
    in_sequence = [
        node["Relation Name"]
        for node in everything
        if node["Node Type"] == "Seq Scan" and node["Relation Name"] in LARGE
    ]
    assert case.end_to_end or in_sequence == [], plan
    # The rows of a loop are shown as a mean with two decimals.
    assert read <= 1.001 * case.bound, plan
    assert handled <= case.bound_of_all, plan
    if case.most:
        assert read > 0, "the statement found nothing: its values are wrong"
