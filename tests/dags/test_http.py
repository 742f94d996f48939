"""A whole run with an HTTP function, whose own counts equal ours."""

import json
from collections import Counter
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest
from retrofill.sources.files import ROOT

from tests.dags.run_dag import run_dag
from tests.function_server import POISON, TOKEN, counts, function_server
from tests.invariants import check

ITEMS = 10_000
ITEMS_PER_CALL = 20


@pytest.mark.faults
def test_ten_thousand_rows_reach_a_function_whose_counts_are_ours(
    airflow_environment: dict[str, str], state_dsn: str, tmp_path: Path
) -> None:
    keys = [f"k{number:05}" for number in range(ITEMS)]
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps({"id": key}) + "\n" for key in keys))
    params = {
        "files": str(rows), "key_columns": "id", "job": "rows", "function_kind": "http",
        "http_conn_id": "function", "http_path": "/run", "http_timeout_s": 1, "max_attempts": 2,
        "event": "cloudevents-batch", "answer": "batchItemFailures",
        "items_per_call": ITEMS_PER_CALL,
    }  # fmt: skip
    with function_server(tmp_path) as url:
        connection = {"conn_type": "http", "host": url, "extra": {"bearer": TOKEN}}
        environment = airflow_environment | {
            "AIRFLOW_CONN_RETROFILL_STATE": state_dsn,
            "AIRFLOW_CONN_FUNCTION": json.dumps(connection),
            ROOT: str(tmp_path),
        }
        states = run_dag(environment, params, "retrofill_rows")
        theirs = counts(url)
        assert states["dag_run"] == "success", states["log"][-3000:]
        again = run_dag(environment, params, "retrofill_rows")
        assert again["dag_run"] == "success", again["log"][-3000:]
        assert counts(url) == theirs, "a second run calls nothing"

    ran, succeeded = Counter(theirs["ran"]), Counter(theirs["succeeded"])
    violations = check(
        state_dsn, "rows", listed=keys, executed=ran, succeeded=succeeded, poison={POISON}
    )
    assert violations == []
    assert succeeded.keys() == set(keys) - {POISON}
    with closing(psycopg2.connect(state_dsn)) as conn, conn, conn.cursor() as cur:
        cur.execute("SELECT outcome::text, count(*) FROM retrofill.v_call GROUP BY 1")
        ours = Counter(dict(cur.fetchall()))
        cur.execute(
            "SELECT status::text, listed, succeeded, quarantined FROM retrofill.v_run"
            " ORDER BY run_id"
        )
        first, second = cur.fetchall()
        # They are counted when sent; throttled calls did not run.
        cur.execute("SELECT sum(duplicates) FROM retrofill.v_call WHERE outcome <> 'throttled'")
        ((twice,),) = cur.fetchall()
        cur.execute("SELECT item_key, error_type FROM retrofill.v_quarantine")
        assert cur.fetchall() == [(POISON, "Http.500")]
    assert first == ("complete", ITEMS, ITEMS - 1, 1)
    assert second == ("complete", ITEMS, 0, 0)
    assert twice == succeeded.total() - len(succeeded) > 0
    requests = theirs["requests"]
    assert ours.total() == requests.pop("all")
    assert ours == requests
    assert min(ours[outcome] for outcome in ("throttled", "unknown", "failed")) > 0
    assert set(theirs["keys"]) == {1}, "each repetition of the same items has the same key"
