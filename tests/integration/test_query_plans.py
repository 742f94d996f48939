"""The hot statements at 100,000 rows: none reads a large table from end to end, whatever it knows.

Asserted is what a plan does (rows read, large tables scanned in sequence), not which index it
takes. Statements run for real, by EXPLAIN ANALYZE, in a transaction that is rolled back; with
statistics, and as in a run that has begun on empty tables and that no ANALYZE has seen since.
"""

import re
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg2
import pytest
from psycopg2.extensions import connection

from include.retrofill.state.statements import load
from stack.services import Postgres

ROWS = 100_000
BATCHES = 20
BATCH_ITEMS = ROWS // BATCHES
LARGE = frozenset({"in_process", "results", "invocation"})

# ruff: noqa: S608  all of the text is ours

# Job 1 has all the rows that its batches hold, job 2 as many of which no statement may read one.
_FILL = f"""
INSERT INTO retrofill.job (name, fingerprint, source, function_name, event, next_seq)
SELECT name, 'f', 's', 'f', 's3', {ROWS} + 1 FROM unnest(ARRAY['one', 'two']) AS name;

INSERT INTO retrofill.run (
    job_id, config, function_arn, function_version, code_sha256, function_timeout_s, memory_mb,
    max_concurrency
)
SELECT job_id, '{{}}', 'arn', '1', 'c', 3, 128, 100 FROM retrofill.job ORDER BY job_id;

INSERT INTO retrofill.run_set (run_id, set_no, dag_id, dag_run_id, max_items)
SELECT run_id, 1, 'd', run_id::text, 1000000 FROM retrofill.run;

INSERT INTO retrofill.batch (
    job_id, run_id, set_no, first_seq, last_seq, items, epoch, next_call, leased_until
)
SELECT job, job, 1, 1 + {BATCH_ITEMS} * n, {BATCH_ITEMS} * (n + 1), {BATCH_ITEMS}, 1,
    {BATCH_ITEMS} + 1, now() + interval '1 h'
FROM generate_series(1, 2) AS job, generate_series(0, {BATCHES} - 1) AS n ORDER BY job, n;

INSERT INTO retrofill.in_process (
    job_id, seq, run_id, identifier, item_key, version_id, etag, size, modified_at
)
SELECT job, n, job, md5(job || ' new ' || n)::uuid, 'data/b/' || lpad(n::text, 9, '0'), '', 'e', 1,
    now()
FROM generate_series(1, 2) AS job, generate_series(1, {ROWS}) AS n;

INSERT INTO retrofill.results (
    job_id, item_key, identifier, run_id, batch_id, call_no, attempts, settled_at
)
SELECT job, 'data/a/' || lpad(n::text, 9, '0'), md5(job || ' old ' || n)::uuid, job, 1, 1, 1, now()
FROM generate_series(1, 2) AS job, generate_series(1, {ROWS}) AS n;

INSERT INTO retrofill.invocation (
    batch_id, call_no, epoch, items, item_count, attempt, duplicates, ended_at, outcome
)
SELECT batch_id, n, 1, int8multirange(int8range(first_seq + n - 1, first_seq + n)), 1, 1, 0,
    CASE WHEN n <= {BATCH_ITEMS} - 50 THEN now() END,
    CASE WHEN n <= {BATCH_ITEMS} - 50 THEN 'succeeded'::retrofill.outcome END
FROM retrofill.batch, generate_series(1, {BATCH_ITEMS}) AS n;
"""


@pytest.fixture(scope="module", params=[True, False], ids=["analyzed", "never analyzed"])
def conn(
    request: pytest.FixtureRequest, postgres: Postgres, _state_template: str
) -> Iterator[connection]:
    name = f"plans_{request.param}".lower()
    with closing(psycopg2.connect(postgres.dsn("postgres"))) as admin:
        admin.autocommit = True
        with admin.cursor() as cur:
            cur.execute(f"CREATE DATABASE {name} TEMPLATE {_state_template}")
            with closing(psycopg2.connect(postgres.dsn(name))) as opened:
                with opened, opened.cursor() as inside:
                    for table in ("in_process", "results", "invocation", "batch"):
                        inside.execute(
                            f"ALTER TABLE retrofill.{table} SET (autovacuum_enabled = false)"
                        )
                    inside.execute(_FILL)
                    if request.param:
                        inside.execute("ANALYZE")
                yield opened
            cur.execute(f"DROP DATABASE {name} WITH (FORCE)")


BATCH = 7
FIRST = (BATCH - 1) * BATCH_ITEMS + 1
SPAN = {"job_id": 1, "first_seq": FIRST, "last_seq": FIRST + BATCH_ITEMS - 1}
NOS = list(range(BATCH_ITEMS - 49, BATCH_ITEMS + 1))
SEQS = [FIRST + number - 1 for number in NOS]
NONE = [None] * 50
MANY = 2_000
"""Calls of one item that a busy task settles at once."""
MANY_NOS = list(range(1, MANY + 1))
MANY_SEQS = [FIRST + number - 1 for number in MANY_NOS]
KEY = {"batch_id": BATCH, "epoch": 1, "job_id": 1, "run_id": 1, "set_no": 1}
CHUNK = 5_000
EXTENT = 10_000

STATEMENTS: list[tuple[str, str, dict[str, Any], int]] = [
    # file, statement, values, the most rows that it may read of all large tables together
    (
        "screening",
        "list_known",
        {"first": "data/a/000050001", "last": "data/a/000055000"},
        CHUNK,
    ),
    (
        "screening",
        "list_known",
        {"first": "data/b/000050001", "last": "data/b/000055000"},
        # Of each extent that holds some of the range, all items are looked at.
        CHUNK + 2 * EXTENT,
    ),
    ("lease", "load_items", SPAN, BATCH_ITEMS),
    ("lease", "count_items", SPAN, BATCH_ITEMS),
    ("lease", "list_left", {"seqs": SEQS}, 50),
    # All calls of the batch, to find those without an outcome; then an item in two look-ups.
    (
        "lost_calls",
        "lose_calls",
        {"batch_ids": [BATCH], "error_type": "t", "error": "e"},
        BATCH_ITEMS + 250,
    ),
    (
        "settling",
        "end_calls",
        {
            "call_nos": NOS,
            "outcomes": ["succeeded"] * 50,
            "request_ids": NONE,
            "versions": NONE,
            "error_types": NONE,
            "errors": NONE,
        },
        50,
    ),
    (
        "settling",
        "end_calls",
        {
            "call_nos": MANY_NOS,
            "outcomes": ["succeeded"] * MANY,
            "request_ids": NONE * (MANY // 50),
            "versions": NONE * (MANY // 50),
            "error_types": NONE * (MANY // 50),
            "errors": NONE * (MANY // 50),
        },
        MANY,
    ),
    ("settling", "settle_succeeded", {"firsts": SEQS, "lasts": SEQS, "call_nos": NOS}, 50),
    (
        "settling",
        "settle_succeeded",
        {"firsts": [SEQS[0]], "lasts": [SEQS[-1]], "call_nos": [1]},
        50,
    ),
    (
        "settling",
        "settle_succeeded",
        {"firsts": MANY_SEQS, "lasts": MANY_SEQS, "call_nos": MANY_NOS},
        MANY,
    ),
    (
        "settling",
        "settle_quarantined",
        {
            "seqs": SEQS,
            "call_nos": NOS,
            "attempts": NOS,
            "failures": NOS,
            "unsures": [True] * 50,
            "request_ids": ["r"] * 50,
            "error_types": ["e"] * 50,
            "errors": ["e"] * 50,
        },
        50,
    ),
    (
        "settling",
        "settle_retried",
        {
            "seqs": SEQS,
            "attempts": NOS,
            "failures": NOS,
            "call_caps": NONE,
            "unsures": [True] * 50,
            "delays_s": [0.0] * 50,
        },
        50,
    ),
    ("settling", "lock_owners", {"firsts": SEQS, "lasts": SEQS}, 0),
    # Only after a take-over: for each item, the calls of its owner that have not ended.
    (
        "settling",
        "settle_late",
        {"firsts": SEQS, "lasts": SEQS, "call_nos": NOS},
        50 * BATCH_ITEMS + 150,
    ),
    ("lease", "is_overlapped", SPAN, 0),
    ("lease", "list_shares", {}, 0),
    # Once for each set: it reads what the job has in process, and nothing of other jobs.
    (
        "batches",
        "plan_batches",
        {
            "abandoned_after_s": 3600,
            "most_items": 10_000,
            "fewest_items": 250,
            "max_batches": 200,
            "min_batches": 4,
        },
        2 * ROWS,
    ),
    ("runs", "get_report", {}, 0),
]


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def rows_read(node: dict[str, Any]) -> float:
    each: float = node["Actual Rows"] + sum(
        node.get(f"Rows Removed by {name}", 0) for name in ("Filter", "Index Recheck")
    )
    return each * node["Actual Loops"]


@pytest.mark.parametrize(
    ("file", "name", "values", "most"),
    STATEMENTS,
    ids=[f"{name}-{at}" for at, (_, name, _, _) in enumerate(STATEMENTS)],
)
def test_no_large_table_is_read_from_end_to_end(
    conn: connection, file: str, name: str, values: dict[str, Any], most: int
) -> None:
    statement = load(f"{file}.sql")[name]
    copied = re.fullmatch(r"COPY \((.*)\) TO STDOUT.*", statement, re.DOTALL)
    with conn.cursor() as cur:
        cur.execute("SET LOCAL jit = off")
        cur.execute(
            "EXPLAIN (ANALYZE, FORMAT JSON) " + (copied[1] if copied else statement),
            {**KEY, **values},
        )
        ((((top,),),)) = (cur.fetchall(),)
    conn.rollback()
    plan = top[0]["Plan"]
    scans = [node for node in nodes(plan) if node.get("Relation Name") in LARGE]
    scans = [node for node in scans if "Scan" in node["Node Type"]]
    in_sequence = [node["Relation Name"] for node in scans if node["Node Type"] == "Seq Scan"]
    read = sum(rows_read(node) for node in scans)
    assert in_sequence == [], plan
    assert read <= most, plan
    if name not in {"plan_batches", "get_report", "is_overlapped", "list_shares", "lock_owners"}:
        assert read > 0, "the statement has found nothing: its values are wrong"


@pytest.mark.parametrize("conn", [True], indirect=True, ids=["analyzed"])
def test_the_planner_expects_about_what_comes(conn: connection) -> None:
    """A chunk's range and a batch's are estimated from statistics, within a factor of 3."""
    with conn.cursor() as cur:
        for table, condition, rows in (
            ("results", "item_key BETWEEN 'data/a/000050001' AND 'data/a/000055000'", CHUNK),
            ("in_process", f"seq BETWEEN {FIRST} AND {FIRST + BATCH_ITEMS - 1}", BATCH_ITEMS),
        ):
            cur.execute(
                f"EXPLAIN (FORMAT JSON) SELECT FROM retrofill.{table}"
                f" WHERE job_id = 1 AND {condition}"
            )
            ((plans,),) = cur.fetchall()
            assert rows / 3 <= plans[0]["Plan"]["Plan Rows"] <= rows * 3
    conn.rollback()
