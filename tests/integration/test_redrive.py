"""Redrive on a real Postgres: items return from quarantine, correctly and once."""

import threading
from collections.abc import Iterator
from contextlib import closing

import pytest
from psycopg2.extensions import connection
from retrofill.config import RunConfig, params_for
from retrofill.faults import InjectedError, Point, injected
from retrofill.model.calls import Call, EndedCall, Quarantined, Settlement
from retrofill.model.runs import SetRef
from retrofill.pipeline.redrive import redrive_quarantine
from retrofill.state import batches, redrive, runs
from retrofill.state import redrive as redriving
from retrofill.state.connection import connect
from retrofill.state.lease import BatchLease
from retrofill.state.screening import get_partition

from tests.integration.opened import close, enqueue, item, keys_in, left_of, open_next_set, open_run
from tests.integration.test_batches import calls_of, dead

KEYS = [f"in/{number:02}" for number in range(10)]


@pytest.fixture
def conn(state_dsn: str) -> Iterator[connection]:
    with closing(connect(state_dsn)) as opened:
        yield opened


def asked(**params: object) -> RunConfig:
    """Return the config of a run that redrives."""
    return params_for("s3").config(
        {
            "bucket": "bucket", "prefix": "in/", "function": "f", "event": "s3",
            "redrive": "quarantine", **params,
        }
    )  # fmt: skip


def give_up(dsn: str, conn: connection, ref: SetRef) -> None:
    """Quarantine every item of a set; odd numbers get another error."""
    for batch in batches.plan(conn, ref, 1, most_items=100, fewest_items=100):
        with closing(BatchLease(dsn, batch.batch_id, "h")) as lease:
            lease.take(holder_is_dead=dead)
            calls = calls_of(lease)
            lease.settle(Settlement(), calls)
            lease.settle(Settlement(ended=[], quarantined=[*map(poison, calls)]), [])
            lease.release(done=True)


def poison(call: Call) -> Quarantined:
    entry = call.entries[0]
    entry.attempts += 3
    entry.failures = 3
    error = "Odd.Error" if entry.seq % 2 else "Even.Error"
    return Quarantined(entry, EndedCall(call.number, "failed", "r", "1", error, "no"), "no")


def quarantined(dsn: str, conn: connection, dag_run_id: str = "r") -> None:
    ref = open_run(conn, dag_run_id)
    enqueue(conn, ref, [item(key) for key in KEYS])
    give_up(dsn, conn, ref)
    close(conn, ref.run_id, complete=True)
    assert keys_in(conn, "quarantine") == KEYS


def left(conn: connection, run_id: int) -> tuple[int, int, int]:
    report = runs.get_report(conn, run_id)
    return report.redriven, report.quarantined, report.items_left


def test_all_quarantined_items_return_with_their_history(state_dsn: str, conn: connection) -> None:
    quarantined(state_dsn, conn)
    ref = open_run(conn, "again", config={"redrive": "quarantine"})
    assert redrive_quarantine(conn, ref, 0, asked()) == {"redriven": 10}
    assert (keys_in(conn, "in_process"), keys_in(conn, "quarantine")) == (KEYS, [])
    assert left(conn, ref.run_id) == (10, 0, 10)
    with conn, conn.cursor() as cur:
        cur.execute("SELECT DISTINCT attempts, failures, run_id FROM retrofill.in_process")
        assert cur.fetchall() == [(3, 0, ref.run_id)]
        cur.execute(
            "SELECT DISTINCT run_id, quarantined_by, attempts, failures, error, error_type"
            " FROM retrofill.v_redriven ORDER BY error_type"
        )
        assert cur.fetchall() == [(2, 1, 3, 3, "no", "Even.Error"), (2, 1, 3, 3, "no", "Odd.Error")]
    report = runs.get_report(conn, ref.run_id)
    assert "redriven    10 from quarantine" in report.as_text({})
    give_up(state_dsn, conn, ref)
    assert left(conn, ref.run_id) == (10, 10, 0)
    third = open_run(conn, "third")
    assert redrive_quarantine(conn, third, 0, asked()) == {"redriven": 10}
    with conn, conn.cursor() as cur:
        cur.execute("SELECT DISTINCT attempts FROM retrofill.in_process")
        assert cur.fetchall() == [(6,)]
    give_up(state_dsn, conn, third)
    with conn, conn.cursor() as cur:
        cur.execute("SELECT DISTINCT redrives, attempts FROM retrofill.v_quarantine")
        assert cur.fetchall() == [(2, 9)]


@pytest.mark.parametrize(
    ("params", "chosen"),
    [
        ({"prefix": "in/0"}, KEYS),
        ({"prefix": "in/01"}, ["in/01"]),
        ({"key_glob": "*3|*4"}, ["in/03", "in/04"]),
        ({"redrive_error": "Odd.*"}, KEYS[0::2]),
        ({"redrive_error": "Odd.*|Even.Error", "key_glob": "*/0[12]"}, KEYS[1:3]),
        ({"redrive_error": "odd.*"}, []),
        ({"redrive_key": "in/*[3-5]", "redrive_version": "1"}, KEYS[3:6]),
        ({"redrive_key": "in/*[3-5]", "key_glob": "*4"}, KEYS[4:5]),
        ({"redrive_version": "2"}, []),
        ({"redrive_unsure": "only"}, []),
        ({"redrive_unsure": "without", "redrive_after": "2026-01-01T00:00:00Z"}, KEYS),
        ({"redrive_before": "2026-01-01T00:00:00Z"}, []),
    ],
)
def test_keys_and_errors_select_items(
    state_dsn: str, conn: connection, params: dict[str, str], chosen: list[str]
) -> None:
    quarantined(state_dsn, conn)
    ref = open_run(conn, "again")
    assert redrive_quarantine(conn, ref, 0, asked(**params)) == {"redriven": len(chosen)}
    assert keys_in(conn, "in_process") == chosen
    assert runs.partitions_left(conn, ref.run_id) == []


def test_an_empty_selection_is_reported(conn: connection, caplog: pytest.LogCaptureFixture) -> None:
    ref = open_run(conn, config={"redrive": "quarantine"})
    with caplog.at_level("INFO"):
        assert redrive_quarantine(conn, ref, 0, asked()) == {"redriven": 0}
    assert "nothing was redriven" in caplog.text
    assert "redriven    0 from quarantine" in runs.get_report(conn, ref.run_id).as_text({})


def test_a_set_takes_up_to_its_limit_and_the_next_continues(
    state_dsn: str, conn: connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redrive, "CHUNK_ITEMS", 3)
    quarantined(state_dsn, conn)
    ref = open_run(conn, "again", max_items=4)
    taken = []
    for number in range(3):
        taken.append(redrive_quarantine(conn, ref, 0, asked())["redriven"])
        give_up(state_dsn, conn, ref)
        full = runs.close_set(conn, ref).full
        partitions = len(runs.partitions_left(conn, ref.run_id))
        assert (full, partitions) == ((True, 1) if number < 2 else (False, 0))
        if full:
            ref = open_next_set(conn, ref, max_items=4)
    assert taken == [4, 4, 2], "items that failed again in this run are not redriven by it"
    assert left(conn, ref.run_id) == (10, 10, 0)


@pytest.mark.parametrize("point", [Point.CHUNK_COPIED, Point.CHUNK_COMMITTED])
def test_an_interrupted_redrive_continues(
    state_dsn: str, conn: connection, monkeypatch: pytest.MonkeyPatch, point: Point
) -> None:
    monkeypatch.setattr(redrive, "CHUNK_ITEMS", 3)
    quarantined(state_dsn, conn)
    ref = open_run(conn, "again")
    seen = []

    def act(reached: Point) -> None:
        seen.append(reached)
        if seen.count(point) == 2:
            raise InjectedError

    with injected(act), pytest.raises(InjectedError):
        redrive_quarantine(conn, ref, 0, asked())
    moved = 3 if point is Point.CHUNK_COPIED else 6
    assert left(conn, ref.run_id) == (moved, 0, moved)
    assert redrive_quarantine(conn, ref, 0, asked()) == {"redriven": 10 - moved}
    assert redrive_quarantine(conn, ref, 0, asked()) == {"redriven": 0}
    assert left(conn, ref.run_id) == (10, 0, 10)


def test_two_concurrent_redrives_move_each_item_once(
    state_dsn: str, conn: connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redrive, "CHUNK_ITEMS", 1)
    quarantined(state_dsn, conn)
    refs = [open_run(conn, name) for name in ("one", "two")]
    turn = threading.Barrier(2, timeout=60)

    def work(ref: SetRef) -> None:
        with closing(connect(state_dsn)) as own:
            turn.wait()
            redrive_quarantine(own, ref, 0, asked())

    threads = [threading.Thread(target=work, args=(ref,)) for ref in refs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    moved = [left(conn, ref.run_id)[0] for ref in refs]
    assert sum(moved) == 10
    assert keys_in(conn, "in_process") == KEYS
    planned = [
        sum(batch.items for batch in batches.plan(conn, ref, 1, most_items=100, fewest_items=1))
        for ref in refs
    ]
    assert planned == moved


def test_items_in_doubt_wait_for_the_functions_timeout(state_dsn: str, conn: connection) -> None:
    first = open_run(conn, config={"on_unknown": "hold"})
    enqueue(conn, first, [item("in/a")])
    (batch,) = batches.plan(conn, first, 1, most_items=9, fewest_items=9)
    with closing(BatchLease(state_dsn, batch.batch_id, "h")) as lease:
        lease.take(holder_is_dead=dead)
        lease.settle(Settlement(), calls_of(lease))
        lease.release(done=False)
    batches.release_set(conn, first)
    ref = open_run(conn, "again")
    assert redrive_quarantine(conn, ref, 0, asked()) == {"redriven": 1}
    (batch,) = batches.plan(conn, ref, 1, most_items=9, fewest_items=9)
    with closing(BatchLease(state_dsn, batch.batch_id, "h")) as lease:
        lease.take(holder_is_dead=dead)
        (call,) = calls_of(lease)
        assert (call.entries[0].attempts, call.entries[0].unsure) == (1, True)


def test_a_chunk_ends_where_its_content_is_large(
    state_dsn: str, conn: connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = [f"{number}" + "€\U0001f600\x1f" * 40_000 for number in range(5)]
    monkeypatch.setattr(redriving, "CHUNK_BYTES", 2 * len(contents[0].encode()) - 1)
    ref = open_run(conn)
    wanted = [item(f"in/{no}")._replace(content=one) for no, one in enumerate(contents)]
    enqueue(conn, ref, wanted)
    give_up(state_dsn, conn, ref)
    close(conn, ref.run_id, complete=True)
    ref = open_run(conn, "again", config={"redrive": "quarantine"})
    assert redrive_quarantine(conn, ref, 0, asked()) == {"redriven": 5}
    assert get_partition(conn, ref.run_id, 0).chunk_no == 3
    (batch,) = batches.plan(conn, ref, 1, most_items=100, fewest_items=100)
    with closing(BatchLease(state_dsn, batch.batch_id, "h")) as lease:
        lease.take(holder_is_dead=dead)
        assert list(left_of(lease).items) == wanted
