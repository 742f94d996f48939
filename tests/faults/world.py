"""A bucket and a function of the scripted endpoint, and the result of each object."""

import re
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from html import unescape
from typing import Any

import psycopg2
from psycopg2.extras import NamedTupleCursor, RealDictCursor

from stack.endpoint import (
    Bucket,
    Function,
    Rule,
    S3Object,
    Script,
    ScriptedEndpoint,
)
from stack.settings import Settings
from tests.faults.evidence import Evidence, gather
from tests.faults.notices import Notices
from tests.faults.observed_airflow import ObservedAirflow


@dataclass
class World:
    settings: Settings
    endpoint: ScriptedEndpoint
    airflow: ObservedAirflow
    notices: Notices
    script: Script = field(default_factory=Script)

    def serve(
        self,
        name: str,
        objects: int | Sequence[S3Object],
        *,
        latency: float = 0.02,
        timeout_seconds: int = 3,
    ) -> dict[str, Any]:
        """Serve a bucket and a function of one name; return the params of a run over them."""
        bucket = (
            Bucket(name=name, generated=objects)
            if isinstance(objects, int)
            else Bucket(name=name, objects=tuple(objects))
        )
        function = Function(name=name, timeout_seconds=timeout_seconds)
        self.script = Script(buckets=(bucket,), functions=(function,), latency=latency)
        self.endpoint.script(self.script)
        return {"job": name, "bucket": name, "prefix": "data/", "function": name,
                "event": "s3"}  # fmt: skip

    def break_with(self, *rules: Rule) -> None:
        """Set the faults from now on."""
        self.endpoint.script(replace(self.script, rules=rules))

    def page(self, dag_run_id: str) -> str:
        """Return Retrofill's page of a DAG run, like a browser, without its tags."""
        html = self.airflow.page("retrofill_s3", dag_run_id)
        return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]*>", "", html)))

    def change(self, statement: str) -> None:
        """Change the state, like someone with psql."""
        with closing(psycopg2.connect(self.settings.state_dsn)) as conn, conn, conn.cursor() as cur:
            cur.execute(statement)

    def trigger(self, dag_run_id: str, params: dict[str, Any]) -> None:
        self.airflow.trigger("retrofill_s3", dag_run_id, {"notify_conn_id": "notices", **params})

    def rows(self, query: str, *values: Any) -> list[Any]:
        """Query the state; return named tuples."""
        with (
            closing(psycopg2.connect(self.settings.state_dsn)) as conn,
            conn.cursor(cursor_factory=NamedTupleCursor) as cursor,
        ):
            cursor.execute(query, values)
            return cursor.fetchall()

    def await_row(self, query: str, *values: Any, within_s: float = 120) -> Any:
        """Return the first row of a query, once there is one."""
        limit = time.monotonic() + within_s
        while not (rows := self.rows(query, *values)):
            assert time.monotonic() < limit, f"no row after {within_s:g} s: {query}"
            time.sleep(0.02)
        return rows[0]

    def report(self, job: str) -> dict[str, Any]:
        """Return the newest run of a job from the public view."""
        with (
            closing(psycopg2.connect(self.settings.state_dsn)) as conn,
            conn.cursor(cursor_factory=RealDictCursor) as cursor,
        ):
            query = "SELECT * FROM retrofill.v_run WHERE job = %s ORDER BY run_id DESC LIMIT 1"
            cursor.execute(query, (job,))
            (row,) = cursor.fetchall()
            return dict(row)

    def attempts(self, job: str) -> dict[str, int]:
        """Return the attempts of each item of a job, all of which are in the results cache."""
        rows = self.rows(
            "SELECT place, item_key, attempts FROM retrofill.v_item WHERE job = %s", job
        )
        assert {row.place for row in rows} == {"results"}
        attempts = {row.item_key: row.attempts for row in rows}
        assert len(attempts) == len(rows), "an item is there twice"
        return attempts

    def evidence(self, job: str, objects: int | Sequence[str], **expected: Any) -> Evidence:
        """Return the results of a job's items; see :func:`tests.faults.evidence.gather`."""
        keys = (
            [f"data/{number:09}.json" for number in range(objects)]
            if isinstance(objects, int)
            else objects
        )
        return gather(self.settings.state_dsn, job, self.endpoint, keys, **expected)
