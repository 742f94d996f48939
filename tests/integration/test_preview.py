"""A preview: the plan and the first call are shown; nothing is written or called."""

import json
from contextlib import closing
from pathlib import Path

import pytest
from retrofill.config import params_for
from retrofill.environment import EnvironmentConnections
from retrofill.model.runs import DagRun
from retrofill.pipeline.open_run import open_run
from retrofill.sources.files import ROOT
from retrofill.state.connection import connect
from retrofill.wiring import Wiring

from tests.integration.raw_server import RawServer

ROWS = ("no", "small", "small", "other")


def test_the_first_call_equals_what_a_run_would_send(
    state_dsn: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv(ROOT, str(tmp_path))
    # As ASCII JSON, its text is three times as long, and too long for a call.
    large = "é" * 1_100_000
    rows = "".join(f"{key},{large if key == 'no' else key}\n" for key in ROWS)
    (tmp_path / "a.csv").write_text(f"id,text\n{rows}", encoding="utf-8")
    caplog.set_level("INFO")
    with RawServer(lambda _: None) as server, closing(connect(state_dsn)) as conn:
        fields = {"conn_type": "http", "host": "127.0.0.1", "port": server.port}
        connections = EnvironmentConnections({"AIRFLOW_CONN_F": json.dumps(fields)})
        config = params_for("rows").config(
            {
                "files": f"{tmp_path}/a.csv",
                "key_columns": "id",
                "function_kind": "http",
                "http_conn_id": "f",
                "items_per_call": 2,
                "preview": True,
            }
        )
        assert open_run(conn, Wiring(connections).plan(config), DagRun("d", "r")) is None
        assert server.requests == []
        with conn, conn.cursor() as cur:
            cur.execute("SELECT (SELECT count(*) FROM retrofill.run), count(*) FROM retrofill.job")
            assert cur.fetchone() == (0, 0)
    shown = json.loads(caplog.messages[-1].partition("\n")[2])
    assert [item["key"] for item in shown["items"]] == ["small", "other"]
    plan = "\n".join(caplog.messages)
    for words in (
        f"job: {tmp_path}/a.csv → f",
        "rows in CSV or JSON Lines files",
        f"function: {server.url}/, timeout 60 s, method POST",
        "event items, up to 2 items each",
        "50 calls in flight",
    ):
        assert words in plan
