"""Lineage: what Airflow's OpenLineage provider sends for a run, received by a server."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from tests.dags.world import World

pytestmark = pytest.mark.faults


@contextmanager
def receiver() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Receive events like an OpenLineage server."""
    received: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.append(json.loads(body))
            self.send_response(201)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", received
        finally:
            server.shutdown()
            thread.join()


def test_a_run_reports_its_inputs_and_results(world: World) -> None:
    world.put("in/a", "in/b")
    with receiver() as (url, received):
        transport = {"type": "http", "url": url, "compression": None}
        world.environment["AIRFLOW__OPENLINEAGE__TRANSPORT"] = json.dumps(transport)
        states = world.run(job="photos")
    assert states["dag_run"] == "success"
    [event] = [
        one
        for one in received
        if one["job"]["name"] == "retrofill_s3.close_run" and one["eventType"] == "COMPLETE"
    ]
    [read], [came] = event["inputs"], event["outputs"]
    assert (read["namespace"], read["name"]) == (f"s3://{world.bucket}", "in/")
    assert read["inputFacets"]["inputStatistics"]["rowCount"] == 2
    assert (came["namespace"], came["name"]) == ("retrofill://jobs", "photos")
    assert came["outputFacets"]["outputStatistics"]["rowCount"] == 2
