"""F10: slow, sliced, cut, silent and refused connections, to Postgres and to AWS."""

import socket
import sys
from collections.abc import Iterator
from contextlib import closing
from threading import Event, Thread

import pytest
from botocore.config import Config
from retrofill.pipeline import enqueue as enqueueing
from retrofill.state.connection import connect

from stack.endpoint import ScriptedEndpoint
from stack.services import free_port
from tests.fault_proxy import FaultProxy, Toxics, fault_proxy
from tests.faults.fault_table import FaultTable
from tests.faults.pipeline_run import Backfill

OBJECTS = 600
PER_CALL = 5
MAX_CONCURRENCY = 10


@pytest.fixture
def backfill(state_dsn: str, endpoint: ScriptedEndpoint) -> Backfill:
    params = {"items_per_call": PER_CALL, "max_concurrency": MAX_CONCURRENCY}
    quickly = Config(connect_timeout=1, read_timeout=1, retries={"mode": "standard"})
    return Backfill(
        dsn=state_dsn, endpoint=endpoint, params=params, tries=12, control_plane=quickly
    )


@pytest.fixture
def to_state(state_dsn: str, backfill: Backfill) -> Iterator[FaultProxy]:
    with fault_proxy(state_dsn, seed=10) as proxy:
        backfill.task_dsn = proxy.before(state_dsn)
        yield proxy


@pytest.fixture
def to_aws(endpoint: ScriptedEndpoint, backfill: Backfill) -> Iterator[FaultProxy]:
    with fault_proxy(endpoint.url, seed=10) as proxy:
        backfill.aws_url = proxy.before(endpoint.url)
        yield proxy


SLOW = Toxics(latency_s=0.02)
SLICED = Toxics(most_bytes=7)


@pytest.mark.parametrize("toxics", [SLOW, SLICED], ids=["slow", "sliced"])
def test_f10_a_slow_or_sliced_way_to_postgres_only_takes_time(
    backfill: Backfill, to_state: FaultProxy, fault_table: FaultTable, toxics: Toxics
) -> None:
    to_state.toxics = toxics
    backfill.serve(OBJECTS)
    ended = backfill.run()
    fault_table.hold("F10", "to Postgres: slow, sliced", backfill.evidence(), bound=0)
    assert (ended.errors, ended.retried, ended.report.status) == ([], [], "complete")
    assert to_state.connections > 0


def test_f10_a_way_to_postgres_that_is_cut_in_mid_message_loses_and_repeats_nothing(
    backfill: Backfill,
    to_state: FaultProxy,
    fault_table: FaultTable,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(enqueueing, "CHUNK_ITEMS", 100)
    backfill.params["items_per_call"] = 1
    backfill.serve(OBJECTS, latency=0.02)
    # The longest message, a chunk of items, must fit into some of them.
    to_state.toxics = Toxics(cut_after=(5_000, 150_000))
    ended = backfill.run()
    evidence = backfill.evidence()
    fault_table.hold(
        "F10", "to Postgres: cut in mid-message", evidence, bound=0, runs=to_state.cuts
    )
    assert (ended.errors, ended.report.status) == ([], "complete")
    assert to_state.cuts > 0


def test_f10_a_half_open_way_to_postgres_is_given_up_and_made_again(
    backfill: Backfill, to_state: FaultProxy, fault_table: FaultTable
) -> None:
    backfill.serve(OBJECTS, latency=0.1)
    silenced = Event()

    def silence() -> None:
        # What a firewall does that forgets connections: nothing, and much later a reset.
        while not backfill.rows("SELECT FROM retrofill.results LIMIT 1"):
            Event().wait(0.02)
        to_state.toxics.silent = True
        silenced.wait(2)
        to_state.cut()
        to_state.toxics.silent = False
        silenced.set()

    thread = Thread(target=silence)
    thread.start()
    ended = backfill.run()
    thread.join()
    assert silenced.is_set()
    fault_table.hold("F10", "to Postgres: silent, then cut", backfill.evidence(), bound=0)
    assert (ended.errors, ended.report.status) == ([], "complete")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems name these options otherwise")
def test_f10_the_kernel_ends_a_connection_whose_other_end_is_gone(state_dsn: str) -> None:
    with closing(connect(state_dsn)) as conn, socket.socket(fileno=conn.fileno()) as end:
        options = {
            name: end.getsockopt(socket.IPPROTO_TCP, getattr(socket, name))
            for name in ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_USER_TIMEOUT")
        }
        alive = end.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        end.detach()
    assert alive == 1
    silent_s = options["TCP_KEEPIDLE"] + options["TCP_KEEPINTVL"] * options["TCP_KEEPCNT"]
    assert 0 < silent_s <= 60
    assert 0 < options["TCP_USER_TIMEOUT"] <= 60_000


@pytest.mark.parametrize("toxics", [SLOW, SLICED], ids=["slow", "sliced"])
def test_f10_a_slow_or_sliced_way_to_aws_only_takes_time(
    backfill: Backfill, to_aws: FaultProxy, fault_table: FaultTable, toxics: Toxics
) -> None:
    # A page of a listing has some hundred thousand bytes.
    to_aws.toxics = Toxics(toxics.latency_s, toxics.most_bytes if toxics is SLOW else 97)
    backfill.deadline_s = 20
    backfill.serve(OBJECTS)
    ended = backfill.run()
    fault_table.hold("F10", "to AWS: slow, sliced", backfill.evidence(), bound=0)
    assert (ended.errors, ended.report.status) == ([], "complete")
    assert to_aws.connections > 0


def test_f10_a_way_to_aws_that_is_cut_costs_what_was_in_flight(
    backfill: Backfill, to_aws: FaultProxy, fault_table: FaultTable
) -> None:
    backfill.params["max_attempts"] = 20
    backfill.serve(OBJECTS, latency=0.05)
    # Each connection carries some calls, and is cut in the middle of one.
    to_aws.toxics = Toxics(cut_after=(9_000, 60_000))
    ended = backfill.run(watched=False)
    # A call that is cut on its way to the server is written down and never seen there.
    evidence = backfill.evidence(exact=False)
    bound = PER_CALL * to_aws.cuts
    fault_table.hold("F10", "to AWS: cut in mid-message", evidence, bound=bound, runs=to_aws.cuts)
    assert (ended.errors, ended.report.status) == ([], "complete")
    assert backfill.outcomes().get("unknown", 0) > 0
    assert evidence.in_doubt == evidence.ours


def test_f10_a_half_open_way_to_aws_is_given_up_at_the_deadline(
    backfill: Backfill, to_aws: FaultProxy, fault_table: FaultTable
) -> None:
    backfill.deadline_s = 1.0
    backfill.params["max_attempts"] = 20
    backfill.serve(OBJECTS, latency=0.05)

    def silence() -> None:
        while not backfill.rows("SELECT FROM retrofill.results LIMIT 1"):
            Event().wait(0.02)
        to_aws.toxics.silent = True
        while not backfill.rows("SELECT FROM retrofill.v_call WHERE outcome = 'unknown' LIMIT 1"):
            Event().wait(0.02)
        to_aws.toxics.silent = False

    thread = Thread(target=silence)
    thread.start()
    ended = backfill.run(watched=False)
    thread.join()
    evidence = backfill.evidence(exact=False)
    fault_table.hold("F10", "to AWS: silent until the deadline", evidence)
    assert (ended.errors, ended.report.status) == ([], "complete")
    assert 0 < evidence.ours == evidence.in_doubt


def test_f10_calls_that_find_no_connection_are_no_attempts(
    backfill: Backfill, fault_table: FaultTable
) -> None:
    backfill.serve(OBJECTS, latency=0.02)
    ref = backfill.open("run 1")
    for part in backfill.list_partitions(ref):
        backfill.enqueue(ref, part["part_no"])
    backfill.plan(ref)
    address = free_port()
    backfill.aws_url = f"http://127.0.0.1:{address}"

    def answer_at_last() -> Iterator[None]:
        while not backfill.rows("SELECT FROM retrofill.v_call WHERE outcome = 'starting' LIMIT 1"):
            Event().wait(0.02)
        with fault_proxy(backfill.endpoint.url, listen=address):
            yield

    proxies = answer_at_last()
    thread = Thread(target=next, args=(proxies,))
    thread.start()
    for batch in backfill.plan(ref):
        backfill.invoke(batch["batch_id"])
    backfill.close(ref)
    thread.join()
    proxies.close()
    evidence = backfill.evidence(exact=False)
    fault_table.hold("F10", "to AWS: no connection", evidence, bound=0)
    assert backfill.outcomes().get("starting", 0) > 0
    assert evidence.ours == evidence.in_doubt == 0
