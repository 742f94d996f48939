"""The survey on a real Postgres and a scripted endpoint: its forecast equals the calls."""

import json
from collections.abc import Iterator
from contextlib import closing
from itertools import product

import pytest
from psycopg2.extensions import connection
from retrofill.config import RunConfig
from retrofill.engine import portions
from retrofill.model.limits import Limits
from retrofill.model.plan import RunPlan
from retrofill.model.report import Report
from retrofill.model.runs import SetRef
from retrofill.pipeline.admission import Slots
from retrofill.pipeline.deliver import shape_of
from retrofill.pipeline.show_plan import show_plan
from retrofill.sources.memory import MemorySource
from retrofill.state import batches, runs
from retrofill.state.connection import connect

from stack.endpoint import Script, ScriptedEndpoint, scripted_endpoint
from tests.faults.pipeline_run import Backfill
from tests.integration.opened import close, enqueue, item, open_run
from tests.integration.test_batches import plan

SLOTS = Slots(parallelism=32, max_active_tasks=16, pool="default_pool")


@pytest.fixture
def conn(state_dsn: str) -> Iterator[connection]:
    with closing(connect(state_dsn)) as opened:
        yield opened


@pytest.fixture
def endpoint() -> Iterator[ScriptedEndpoint]:
    with scripted_endpoint(Script()) as running:
        yield running


def planned(conn: connection, ref: SetRef, source: MemorySource | None = None) -> RunPlan:
    """Make the plan of a run, and return the stored one."""
    run = runs.get_run(conn, ref.run_id)
    config = RunConfig.from_stored(run.config)
    made = show_plan(
        conn,
        run,
        config,
        shape=shape_of(config, run),
        source=source or _Unknown(),  # type: ignore[arg-type]  it is asked for its estimate alone
        slots=SLOTS,
        capacity=None,
    )
    stored = runs.get_run(conn, ref.run_id).plan
    assert stored == json.loads(json.dumps(made.as_json()))
    return RunPlan.from_json(stored)


class _Unknown:
    """A source that cannot estimate its size."""

    def estimate(self) -> int | None:
        return None


@pytest.mark.parametrize("sizes", list(product([1, 7, 100], [2_000, 8 * 2**20])))
def test_calls_are_forecast_exactly(
    state_dsn: str,
    conn: connection,
    endpoint: ScriptedEndpoint,
    monkeypatch: pytest.MonkeyPatch,
    sizes: tuple[int, int],
) -> None:
    per_call, portion = sizes
    monkeypatch.setattr(portions, "PORTION_BYTES", portion)
    monkeypatch.setattr("retrofill.pipeline.plan_batches.BATCH_ITEMS", 300)
    backfill = Backfill(
        dsn=state_dsn, endpoint=endpoint, params={"items_per_call": per_call}, tries=1
    )
    backfill.serve(1_000)
    ref = backfill.open("run 1")
    for part in backfill.list_partitions(ref):
        backfill.enqueue(ref, part["part_no"])
    tasks = backfill.plan(ref)
    survey_counts = planned(conn, ref).counts
    for task in tasks:
        backfill.invoke(task["batch_id"])
    report = runs.get_report(conn, ref.run_id)
    assert (survey_counts.items, survey_counts.calls, survey_counts.batches) == (
        report.succeeded,
        report.calls,
        len(tasks),
    )
    assert survey_counts.is_all


def test_the_first_payload_is_that_of_the_first_call(conn: connection) -> None:
    ref = open_run(conn)
    enqueue(conn, ref, [item(key) for key in "ab"])
    plan(conn, ref, fewest=10)
    payload = planned(conn, ref).payload
    assert payload is not None
    assert (payload.items, payload.is_cut, payload.length) == (1, False, len(payload.text))
    assert '"key":"a"' in payload.text


def test_a_large_payload_is_shown_shortened(conn: connection) -> None:
    ref = open_run(conn)
    enqueue(conn, ref, [item("k" * 1_000 + str(number)) for number in range(8)])
    with conn, conn.cursor() as cur:
        cur.execute("""UPDATE retrofill.run SET delivery = delivery || '{"items_per_call": 8}'""")
    plan(conn, ref, fewest=10)
    made = planned(conn, ref)
    payload = made.payload
    assert payload is not None
    assert (payload.items, payload.is_cut, len(payload.text)) == (8, True, 2_000)
    assert payload.length == made.counts.payload_bytes > 8_000


def test_sizes_and_ages_are_those_of_the_items(conn: connection) -> None:
    ref = open_run(conn)
    enqueue(conn, ref, [item(key) for key in "abc"])
    plan(conn, ref, fewest=10)
    made = planned(conn, ref)
    assert [(one.words, one.items, one.size) for one in made.sizes] == [("below 1 kB", 3, 30)]
    assert sum(one.items for one in made.ages) == made.counts.items == 3
    assert made.counts.item_bytes == 30


def test_later_sets_are_unknown_and_never_zero(conn: connection) -> None:
    ref = open_run(conn, max_items=2)
    enqueue(conn, ref, [item(key) for key in "abc"])
    plan(conn, ref, fewest=10)
    made = planned(conn, ref)
    assert (made.counts.items, made.counts.is_all, made.counts.items_after) == (2, False, None)
    text = made.markdown({})
    assert "- after this set: 1 partition is not listed to the end" in text
    assert "the number of their items and calls is unknown" in text


def test_later_sets_are_estimated_by_the_source(
    conn: connection,
) -> None:
    ref = open_run(conn, max_items=2)
    enqueue(conn, ref, [item(key) for key in "abc"])
    plan(conn, ref, fewest=10)
    source = MemorySource(lambda number: item(f"{number}"), 52)
    counts = planned(conn, ref, source).counts
    assert (counts.items_after, counts.calls_after, counts.batches_after) == (50, 50, 25)


def test_items_left_by_earlier_runs_and_held_by_others_are_shown(conn: connection) -> None:
    first = open_run(conn, "first")
    enqueue(conn, first, [item("a")])
    close(conn, first.run_id, complete=False)
    other = open_run(conn, "other")
    enqueue(conn, other, [item("b")])
    ref = open_run(conn, "r")
    enqueue(conn, ref, [item(key) for key in "abc"])
    plan(conn, ref, fewest=10)
    counts = planned(conn, ref).counts
    assert (counts.resumed, counts.with_others, counts.new, counts.items) == (1, 1, 1, 2)


def test_retried_items_are_packed_as_they_will_be_called(conn: connection) -> None:
    """One that failed in a larger call goes alone."""
    ref = open_run(conn)
    with conn, conn.cursor() as cur:
        cur.execute("""UPDATE retrofill.run SET delivery = delivery || '{"items_per_call": 4}'""")
    enqueue(conn, ref, [item(key) for key in "abcd"])
    plan(conn, ref, fewest=10)
    with conn, conn.cursor() as cur:
        cur.execute(
            "UPDATE retrofill.in_process SET call_cap = 1, attempts = 1 WHERE item_key < 'c'"
        )
    assert planned(conn, ref).counts.calls == 3


def test_a_plan_shows_what_does_not_fit(conn: connection) -> None:
    ref = open_run(conn, max_calls=2, max_concurrency=3)
    enqueue(conn, ref, [item(key) for key in "abc"])
    plan(conn, ref, fewest=10)
    checks = {check.name: check for check in planned(conn, ref).checks}
    assert checks["max_calls"].passed is False
    assert "3 calls, without retries; at most 2" in checks["max_calls"].text
    assert checks["concurrency"].passed is None
    assert "unknown" in checks["concurrency"].text
    assert checks["disk of the state"].passed is None


def test_the_limits_of_a_plan_are_those_of_the_run(conn: connection) -> None:
    ref = open_run(conn, max_concurrency=7, max_calls_per_second=3)
    enqueue(conn, ref, [item("a")])
    plan(conn, ref, fewest=10)
    made = planned(conn, ref)
    assert Limits.from_json(made.limits).max_concurrency == 7
    assert made.words_of_limits == "7 calls in flight, 3 calls per second"


def test_the_report_shows_the_plan_next_to_the_results(conn: connection) -> None:
    ref = open_run(conn)
    enqueue(conn, ref, [item(key) for key in "abc"])
    plan(conn, ref, fewest=10)
    planned(conn, ref)
    batches.release_run(conn, ref.run_id)
    report: Report = runs.get_report(conn, ref.run_id)
    assert "planned     3 calls of 3 items in 1 batch" in report.as_text({})
