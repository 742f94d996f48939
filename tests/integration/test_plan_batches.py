"""How a set is cut into batches: by items and by calls."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import pytest
from psycopg2.extensions import connection
from retrofill.config import params_for
from retrofill.pipeline import plan_batches as planning
from retrofill.pipeline.list_partitions import list_partitions
from retrofill.pipeline.plan_batches import plan_batches
from retrofill.sources.memory import MemorySource
from retrofill.state.connection import connect

from tests.integration import opened
from tests.integration.opened import ALL_LIVE, DELIVERY, enqueue, item, open_run


@pytest.fixture
def conn(state_dsn: str) -> Iterator[connection]:
    with closing(connect(state_dsn)) as open_connection:
        yield open_connection


@pytest.mark.parametrize(
    ("items_per_call", "batches"),
    [
        pytest.param(1, [100] * 10, id="small calls: as many items as a batch has"),
        pytest.param(10, [250] * 4, id="large calls: as many calls as keep the function busy"),
        pytest.param(400, [400, 400, 200], id="huge calls: at least one whole call"),
    ],
)
def test_a_batch_has_enough_calls_and_not_too_many_items(
    conn: connection,
    monkeypatch: pytest.MonkeyPatch,
    items_per_call: int,
    batches: list[int],
) -> None:
    monkeypatch.setattr(planning, "BATCH_ITEMS", 100)
    monkeypatch.setattr(planning, "BATCH_CALLS", 50)
    monkeypatch.setattr(planning, "LARGEST_BATCH", 300)
    monkeypatch.setattr(planning, "SMALLEST_BATCH", 10)
    monkeypatch.setattr(opened, "DELIVERY", replace(DELIVERY, items_per_call=items_per_call))
    ref = open_run(conn)
    enqueue(conn, ref, [item(f"k{number:05}") for number in range(1_000)])
    planned = [task["label"] for task in plan_batches(conn, ref, ALL_LIVE)]
    sizes = [int(label.split(": ")[1].split()[0].replace(",", "")) for label in planned]
    assert sizes == batches


@pytest.mark.parametrize("most_mapped", [2, 7, 1_024])
def test_there_are_at_most_as_many_batches_as_airflow_maps(
    conn: connection, monkeypatch: pytest.MonkeyPatch, most_mapped: int
) -> None:
    monkeypatch.setattr(planning, "BATCH_ITEMS", 10)
    monkeypatch.setattr(planning, "BATCH_CALLS", 1)
    monkeypatch.setattr(planning, "SMALLEST_BATCH", 1)
    ref = open_run(conn)
    enqueue(conn, ref, [item(f"k{number:05}") for number in range(300)])
    planned = plan_batches(conn, ref, replace(ALL_LIVE, most_mapped=most_mapped))
    assert len(planned) == {2: 1, 7: 3, 1_024: 30}[most_mapped]


@pytest.mark.parametrize(("asked", "most_mapped", "found"), [(8, 1_024, 8), (8, 3, 3), (2, 3, 2)])
def test_there_are_at_most_as_many_partitions_as_airflow_maps(
    conn: connection, asked: int, most_mapped: int, found: int
) -> None:
    params = {"function": "f", "event": "items", "max_partitions": asked}
    config = params_for("memory").config(params)
    ref = open_run(conn, partitions=0)
    source = MemorySource(lambda number: item(f"{number:03}"), 100)
    assert len(list_partitions(conn, ref, config, source, most_mapped)) == found
