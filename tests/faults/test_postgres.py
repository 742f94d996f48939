"""F7 and F8: a Postgres that cuts connections, crashes, comes and goes, or has no more space."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread

import psycopg2
import pytest
from retrofill.pipeline import enqueue as enqueueing

from stack.endpoint import ScriptedEndpoint
from tests.faults.fault_table import FaultTable
from tests.faults.own_postgres import OwnPostgres, enlarge, own_postgres, small_disk
from tests.faults.pipeline_run import Backfill, Ending

OBJECTS = 2_000
PARAMS = {"items_per_call": 5, "max_concurrency": 30}
TERMINATE = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = 'state' AND application_name = 'retrofill'
"""


@pytest.fixture
def server() -> Iterator[OwnPostgres]:
    with own_postgres() as running:
        yield running


def backfill_on(server: OwnPostgres, endpoint: ScriptedEndpoint) -> Backfill:
    # As long as a person would wait for a server: the tasks' own patience is tried elsewhere.
    return Backfill(dsn=server.state(), endpoint=endpoint, params=dict(PARAMS), tries=12)


@contextmanager
def meanwhile(work: Callable[[Event], None]) -> Iterator[None]:
    """Do some work beside the block, until its end."""
    ended = Event()
    failed: list[BaseException] = []

    def run() -> None:
        try:
            work(ended)
        except BaseException as error:  # noqa: BLE001  told at the end of the block
            failed.append(error)

    thread = Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
    assert failed == []


def assert_complete(ended: Ending) -> None:
    assert ended.errors == []
    assert (ended.report.status, ended.report.succeeded) == ("complete", OBJECTS)


def test_f7_connections_that_are_cut_at_random_are_made_again(
    server: OwnPostgres,
    endpoint: ScriptedEndpoint,
    fault_table: FaultTable,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(enqueueing, "CHUNK_ITEMS", 500)
    backfill = backfill_on(server, endpoint)
    backfill.serve(OBJECTS, latency=0.2)
    rng = random.Random(7)  # noqa: S311  for tests
    cuts = 0

    def cut(ended: Event) -> None:
        nonlocal cuts
        while not ended.wait(rng.uniform(0.5, 1.5)):
            server.execute(TERMINATE)
            cuts += 1

    with meanwhile(cut):
        ended = backfill.run()
    evidence = backfill.evidence()
    what = "connections terminated at random, enqueue to close"
    fault_table.hold("F7", what, evidence, bound=0, runs=cuts)
    assert_complete(ended)
    assert cuts > 0


@pytest.mark.parametrize("stage", ["enqueue", "invoke"])
def test_f7_a_server_that_crashes_comes_back_with_all_that_was_committed(
    server: OwnPostgres,
    endpoint: ScriptedEndpoint,
    fault_table: FaultTable,
    monkeypatch: pytest.MonkeyPatch,
    stage: str,
) -> None:
    monkeypatch.setattr(enqueueing, "CHUNK_ITEMS", 500)
    backfill = backfill_on(server, endpoint)
    backfill.serve(OBJECTS, list_latency=0.1, latency=0.05)
    table = {"enqueue": "in_process", "invoke": "results"}[stage]

    def crash(ended: Event) -> None:
        while not ended.wait(0.02):
            if backfill.rows(f"SELECT FROM retrofill.{table} LIMIT 1"):
                server.restart(down_s=2)
                return

    with meanwhile(crash):
        ended = backfill.run(watched=False)
    evidence = backfill.evidence()
    fault_table.hold("F7", "immediate stop and restart, in enqueue and invoke", evidence, bound=0)
    assert_complete(ended)
    # A task that enqueues is tried again; one that calls waits for the server.
    assert bool(ended.retried) == (stage == "enqueue")


def test_f7_a_server_that_crashes_again_and_again_only_slows_a_run(
    server: OwnPostgres, endpoint: ScriptedEndpoint, fault_table: FaultTable
) -> None:
    backfill = backfill_on(server, endpoint)
    backfill.params["max_concurrency"] = 10
    backfill.serve(OBJECTS, latency=0.05)
    rng = random.Random(7)  # noqa: S311  for tests
    crashes = 0

    def loop(ended: Event) -> None:
        nonlocal crashes
        while not ended.wait(rng.uniform(1, 3)):
            server.restart(down_s=rng.uniform(0, 1))
            crashes += 1

    with meanwhile(loop):
        ended = backfill.run(watched=False)
    evidence = backfill.evidence()
    fault_table.hold("F7", "crashes in a loop", evidence, bound=0, runs=crashes)
    assert_complete(ended)
    assert crashes > 1


def test_f7_a_server_that_stays_away_ends_the_task_and_the_run_goes_on_later(
    server: OwnPostgres,
    endpoint: ScriptedEndpoint,
    fault_table: FaultTable,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("retrofill.state.lease.PATIENCE_S", 1.5)
    backfill = backfill_on(server, endpoint)
    backfill.tries = 1
    backfill.serve(OBJECTS, latency=0.1)
    ref = backfill.open("run 1")
    for part in backfill.list_partitions(ref):
        backfill.enqueue(ref, part["part_no"])
    first, *_ = backfill.plan(ref)
    # The lease is taken and the first calls are on their way before the server goes.
    gone = Event()

    def stop(ended: Event) -> None:
        while not ended.wait(0.02):
            if backfill.rows("SELECT FROM retrofill.results LIMIT 1"):
                server.stop()
                gone.set()
                return

    with (
        meanwhile(stop),
        pytest.raises(Exception, match=r"the state's Postgres (went away|cannot be reached)"),
    ):
        backfill.invoke(first["batch_id"])
    assert gone.is_set()
    server.start()
    ended = backfill.run("run 1", watched=False)
    evidence = backfill.evidence()
    most = PARAMS["items_per_call"] * PARAMS["max_concurrency"]
    fault_table.hold("F7", "away for longer than a task waits", evidence, bound=most)
    assert_complete(ended)
    assert 0 < evidence.in_doubt <= most


@contextmanager
def disk_of(megabytes: int, fault_table: FaultTable, what: str) -> Iterator[Path]:
    """Make a small disk, or skip the test and say so in the table."""
    try:
        with small_disk(megabytes) as disk:
            yield disk
    except PermissionError as error:
        fault_table.note("F8", what, f"skipped: {error}")
        pytest.skip(f"a small disk cannot be mounted here: {error}")


def fill_until(server: OwnPostgres, disk: Path, more: int) -> Callable[[Event], None]:
    """Return what waits until a disk is full, and gives it more space a while later."""

    def work(ended: Event) -> None:
        while not ended.wait(0.1):
            if "No space left on device" in server.said():
                ended.wait(2)  # so that the tasks meet it
                enlarge(disk, more)
                return

    return work


@pytest.mark.parametrize("stage", ["enqueue", "invoke"])
def test_f8_a_full_data_disk_is_told_and_waited_for(
    endpoint: ScriptedEndpoint,
    fault_table: FaultTable,
    monkeypatch: pytest.MonkeyPatch,
    stage: str,
) -> None:
    what = "the data's disk full, in enqueue and invoke"
    monkeypatch.setattr(enqueueing, "CHUNK_ITEMS", 2_000)
    with disk_of(200, fault_table, what) as disk, own_postgres() as server:
        space = disk / "space"
        space.mkdir(mode=0o700)
        server.own(space)
        server.execute(f"CREATE TABLESPACE small LOCATION '{space}'")
        dsn = server.state(tablespace="small")
        params = {"event": "items", "items_per_call": 50, "max_concurrency": 20}
        backfill = Backfill(dsn=dsn, endpoint=endpoint, params=params, tries=12)
        objects = 60_000
        backfill.serve(objects, record_calls=False)
        if stage == "invoke":
            ref = backfill.open("run 1")
            for part in backfill.list_partitions(ref):
                backfill.enqueue(ref, part["part_no"])
            backfill.plan(ref)
        used = sum(file.stat().st_blocks for file in space.rglob("*")) * 512 // 2**20
        enlarge(disk, used + 3)
        with meanwhile(fill_until(server, disk, 400)):
            ended = backfill.run("run 1", watched=False)
        evidence = backfill.evidence()
        fault_table.hold("F8", what, evidence, bound=0)
        assert ended.errors == []
        assert (ended.report.status, ended.report.succeeded) == ("complete", objects)
        assert "No space left on device" in server.said()
        if stage == "enqueue":
            assert any("give its disk more space" in said for said in ended.retried)


def test_f8_a_full_disk_of_the_log_crashes_the_server_and_loses_nothing(
    endpoint: ScriptedEndpoint, fault_table: FaultTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    what = "the write-ahead log's disk full: PANIC, recovery"
    monkeypatch.setattr(enqueueing, "CHUNK_ITEMS", 2_000)
    settings = {"max_wal_size": "2GB", "wal_compression": "off", "full_page_writes": "on"}
    with disk_of(40, fault_table, what) as disk, own_postgres(settings) as server:
        server.stop()
        server.move_log(disk / "wal")
        server.start()
        params = {"event": "items", "items_per_call": 50, "max_concurrency": 20}
        backfill = Backfill(dsn=server.state(), endpoint=endpoint, params=params, tries=12)
        objects = 60_000
        backfill.serve(objects, record_calls=False)

        def mend(ended: Event) -> None:
            while not ended.wait(0.1):
                if "PANIC" in server.said() or not server.runs:
                    enlarge(disk, 1_000)
                    with suppress(AssertionError, psycopg2.Error):
                        server.stop()
                    time.sleep(1)
                    server.start()
                    return

        with meanwhile(mend):
            ended = backfill.run("run 1", watched=False)
        evidence = backfill.evidence()
        fault_table.hold("F8", what, evidence, bound=0)
        assert ended.errors == []
        assert (ended.report.status, ended.report.succeeded) == ("complete", objects)
        assert "PANIC" in server.log()
