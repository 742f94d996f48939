"""Metrics, received by a real listener for StatsD or OpenTelemetry, as Airflow is configured."""

import atexit
import logging
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from retrofill import metrics
from retrofill.compat import SERIES
from retrofill.engine.progress import NOTHING, Progress, Settled, TaskMetrics
from retrofill.metrics import sender
from retrofill.model.calls import EndedCall, Settlement

from stack.endpoint import Reply, Rule, Script, scripted_endpoint
from tests.faults.pipeline_run import Backfill
from tests.integration.airflow_metrics import (
    NoStatsLogger,
    backend,
    begin,
    begun_by_each_task,
    otel_logger,
)

KEYS = [f"data/{number:02}" for number in range(20)]
POISON = frozenset(KEYS[:2])


@pytest.fixture
def backfill(state_dsn: str) -> Iterator[Backfill]:
    with scripted_endpoint(Script()) as endpoint:
        asked = {
            "max_attempts": 1,
            "price_per_call": 0.001,
            "price_per_gb_second": 0.0,
            "max_failure_percent": 100,
        }
        backfill = Backfill(dsn=state_dsn, endpoint=endpoint, params=asked, metrics=sender)
        backfill.serve(KEYS, Rule(keys=POISON, reply=Reply(function_error="ValueError")))
        yield backfill


@contextmanager
def airflow_with(monkeypatch: pytest.MonkeyPatch, **settings: object) -> Iterator[None]:
    """Start Airflow's own metrics again, as in each task, with these settings."""
    for name, value in settings.items():
        monkeypatch.setenv(f"AIRFLOW__METRICS__{name.upper()}", str(value))
    begin()
    try:
        yield
    finally:
        if statsd := getattr(backend(), "statsd", None):
            statsd.close()
        begin(NoStatsLogger)


def test_airflow_starts_its_metrics_in_each_task() -> None:
    assert begun_by_each_task().incr == metrics.stats.incr


def test_a_statsd_server_receives_all_metrics_of_a_run(
    backfill: Backfill, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.settimeout(0.3)
        settings = {
            "statsd_on": True,
            "statsd_host": "127.0.0.1",
            "statsd_port": listener.getsockname()[1],
            "statsd_influxdb_enabled": True,
        }
        with airflow_with(monkeypatch, **settings):
            backfill.run()
        heard = Counter[str]()
        gauges: dict[str, float] = {}
        while True:
            try:
                name, _, value = listener.recv(65_536).decode().partition(":")
            except TimeoutError:
                break
            number, _, kind = value.partition("|")
            if kind == "c":
                heard[name] += int(number)
            else:
                gauges[name] = float(number)
    tags = "job=job,function=f"
    assert heard == {
        f"airflow.retrofill.items.succeeded,{tags}": 18,
        f"airflow.retrofill.items.quarantined,{tags}": 2,
        f"airflow.retrofill.calls.succeeded,{tags}": 18,
        f"airflow.retrofill.calls.failed,{tags}": 2,
        f"airflow.retrofill.failures.unhandled,{tags}": 2,
        f"airflow.retrofill.cost_microdollars,{tags}": 20_000,
    }
    gauged = {name.partition(",")[0]: value for name, value in gauges.items()}
    assert gauged.pop("airflow.retrofill.call_ms.median") > 0
    assert gauged.pop("airflow.retrofill.call_ms.p95") > 0
    assert gauged == {"airflow.retrofill.in_flight": 0, "airflow.retrofill.backlog": 0}
    assert all(name.endswith(f",{tags},map_index=0") for name in gauges)


def test_airflows_allow_list_applies(backfill: Backfill, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.settimeout(0.3)
        port = listener.getsockname()[1]
        allowed = {"metrics_allow_list": "retrofill.items"}
        with airflow_with(
            monkeypatch, statsd_on=True, statsd_host="127.0.0.1", statsd_port=port, **allowed
        ):
            backfill.run()
        heard = {listener.recv(65_536).decode() for _ in range(2)}
        assert heard == {
            "airflow.retrofill.items.succeeded:18|c",
            "airflow.retrofill.items.quarantined:2|c",
        }
        with pytest.raises(TimeoutError):
            listener.recv(65_536)


@contextmanager
def otlp_receiver() -> Iterator[tuple[str, list[Any]]]:
    """Receive metrics like an OpenTelemetry collector, via HTTP."""
    received: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.append(ExportMetricsServiceRequest.FromString(body))
            self.send_response(200)
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


def test_an_opentelemetry_collector_receives_the_metrics(
    backfill: Backfill, monkeypatch: pytest.MonkeyPatch
) -> None:
    with otlp_receiver() as (url, received):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
        own = {"otel_host": "127.0.0.1", "otel_port": url.rpartition(":")[2]}
        with airflow_with(monkeypatch, otel_on=True, **own if SERIES < (3, 3) else {}):
            backfill.run()
            provider = backend().otel
            provider.shutdown()
            atexit.unregister(otel_logger.flush_otel_metrics)
    received = {
        metric.name: (
            {attribute.key: attribute.value.string_value for attribute in point.attributes},
            point.as_int or point.as_double,
        )
        for request in received
        for resource in request.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for point in [*metric.sum.data_points, *metric.gauge.data_points]
    }
    tags = {"job": "job", "function": "f"}
    assert received["airflow.retrofill.items.succeeded"] == (tags, 18)
    assert received["airflow.retrofill.failures.unhandled"] == (tags, 2)
    assert received["airflow.retrofill.cost_microdollars"] == (tags, 20_000)
    assert received["airflow.retrofill.backlog"] == ({**tags, "map_index": "0"}, 0)
    assert received["airflow.retrofill.call_ms.p95"][1] > 0


def test_a_task_continues_if_its_metrics_cannot_be_sent(
    backfill: Backfill, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(NoStatsLogger):
        def incr(self, *_: object, **__: object) -> None:
            raise ValueError("no")

    begin(Broken)
    try:
        with caplog.at_level(logging.ERROR):
            ended = backfill.run()
    finally:
        begin(NoStatsLogger)
    assert (ended.report.status, ended.report.succeeded) == ("complete", 18)
    assert "metrics could not be sent; this task sends no more" in caplog.text


def test_metrics_are_sent_once() -> None:
    progress = Progress(9, now=0.0)
    progress.took(0.3)
    progress.took(0.1)
    ended = [EndedCall(1, "failed", cause="timed_out", cost=0.5), EndedCall(2, "throttled")]
    progress.settled(Settlement(ended=ended))
    first = progress.take_metrics(3)
    settled = Settled(Counter(failed=1, throttled=1), Counter(timed_out=1, throttled=1), cost=0.5)
    assert (first.settled, first.in_flight, first.left) == (settled, 3, 9)
    assert (first.quantile_s(0.5), first.quantile_s(0.95)) == (0.3, 0.3)
    nothing = TaskMetrics(settled=NOTHING, took_s=[], in_flight=0, left=9)
    assert progress.take_metrics(0) == nothing
    assert nothing.quantile_s(0.5) is None
