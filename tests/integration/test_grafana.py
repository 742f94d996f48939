"""The Grafana dashboard: each query runs on the views, with the reader role."""

import json
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from psycopg2.extensions import connection
from retrofill.state import runs
from retrofill.state.connection import connect

from tests.integration.test_export import half_done
from tests.invariants import VIEWS

DASHBOARD: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "docs/grafana/retrofill.json").read_text(encoding="utf-8")
)
JOB = DASHBOARD["templating"]["list"][1]["query"]
QUERIES = {
    **{
        f"{panel['title']} {target['refId']}": (target["format"], target["rawSql"])
        for panel in DASHBOARD["panels"]
        for target in panel["targets"]
    },
    "annotations": ("table", DASHBOARD["annotations"]["list"][0]["target"]["rawSql"]),
    "job": ("table", JOB),
}
# https://grafana.com/docs/grafana/latest/datasources/postgres/query-editor/#macros
MACROS = [
    (r"\$__timeFilter\((\w+)\)", r"\1 BETWEEN now() - interval '6 h' AND now()"),
    (
        r"\$__timeGroupAlias\((\w+), \$__interval\)",
        r'floor(extract(epoch FROM \1) / 60) * 60 AS "time"',
    ),
    (r"\$\{job:sqlstring\}", "'job', 'it''s another'"),
]


def filled_in(query: str) -> str:
    """Return a query as Grafana sends it."""
    for macro, meaning in MACROS:
        query = re.sub(macro, meaning, query)
    assert "$" not in query
    return query


@pytest.fixture
def conn(state_dsn: str) -> Iterator[connection]:
    """A state with a run that has some of everything."""
    with closing(connect(state_dsn)) as opened:
        ref = half_done(state_dsn, opened)
        runs.close_run(opened, ref.run_id)
        with opened, opened.cursor() as cur:
            cur.execute(
                "INSERT INTO retrofill.event (run_id, at, who, what, value, was)"
                " VALUES (%(run)s, now(), 'Ada', 'paused', '', '')",
                {"run": ref.run_id},
            )
            cur.execute(
                "INSERT INTO retrofill.pulse VALUES (%(run)s, 0, 5, now(), 9, 6, 3,"
                " '{\"unhandled\": 3}', 12.5, 10, '{0,0,4,5}')",
                {"run": ref.run_id},
            )
        yield opened


def test_each_query_finds_rows_and_reads_only_views(conn: connection) -> None:
    for name, (shape, query) in QUERIES.items():
        with conn, conn.cursor(cursor_factory=psycopg2.extensions.cursor) as cur:
            cur.execute(filled_in(query))
            columns = [column.name for column in cur.description or ()]
            rows = cur.fetchall()
        assert rows, name
        if shape == "time_series":
            assert columns == ["time", "metric", "value"], name
            assert all(isinstance(row[2], int | float) for row in rows), name
        tables = set(re.findall(r"retrofill\.(\w+)", query))
        assert tables, name
        assert tables <= set(VIEWS), name


def test_panels_have_titles_descriptions_and_their_own_place() -> None:
    places = set()
    for panel in DASHBOARD["panels"]:
        assert panel["title"]
        assert panel["description"].endswith(".")
        at = panel["gridPos"]
        own = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not own & places, panel["title"]
        assert at["x"] + at["w"] <= 24
        places |= own
