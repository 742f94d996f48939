"""F16 and F20: sources that are empty, refuse, change while they are listed, or are very large."""

import json
from contextlib import closing

import pytest
from retrofill import faults
from retrofill.engine.batching import MAX_BATCHES
from retrofill.faults import Point
from retrofill.pipeline import enqueue as enqueueing
from retrofill.pipeline.list_partitions import PartitionTask
from retrofill.pipeline.plan_batches import BatchTask
from retrofill.state import batches, runs

from stack.endpoint import Bucket, Operation, Reply, Rule, S3Object, ScriptedEndpoint, Span, Wire
from tests.faults.fault_table import FaultTable
from tests.faults.pipeline_run import Backfill

MILLION = 1_000_000
AIRFLOWS_MOST_MAPPED = 1_024


@pytest.fixture
def backfill(
    shared_dsn: str, endpoint: ScriptedEndpoint, request: pytest.FixtureRequest
) -> Backfill:
    params = {"event": "items", "items_per_call": 100}
    return Backfill(dsn=shared_dsn, endpoint=endpoint, job=request.node.name, params=params)


@pytest.mark.parametrize("objects", [0, 1, 1_000, 1_001])
def test_f16_a_source_of_any_size_is_read_whole(
    backfill: Backfill, fault_table: FaultTable, objects: int
) -> None:
    backfill.serve(objects)
    ended = backfill.run(watched=False)
    fault_table.hold("F16", "no object, one, a page, one more", backfill.evidence(), bound=0)
    assert (ended.errors, ended.report.status) == ([], "complete")
    assert (ended.report.listed, ended.report.succeeded) == (objects, objects)


@pytest.mark.parametrize(
    "reply",
    [
        Reply(error="SlowDown"),
        Reply(error="InternalError"),
        Reply(error="ServiceUnavailable"),
        Reply(wire=Wire.RST),
        Reply(wire=Wire.CUT),
        Reply(body="<html>maintenance</html>"),
        Reply(body="<ListBucketResult><Contents><Key>data/cut</Key><Size>1</Size>"),
    ],
    ids=["SlowDown", "500", "503", "reset", "cut", "HTML", "XML that ends early"],
)
def test_f16_a_listing_that_fails_now_and_then_is_read_whole(
    backfill: Backfill, fault_table: FaultTable, reply: Reply
) -> None:
    # Three in a row are too many for boto3, so a task fails and is tried again.
    backfill.serve(
        5_000,
        Rule(operation=Operation.LIST_OBJECTS, calls=Span(first=4, last=6), reply=reply),
        Rule(operation=Operation.LIST_OBJECTS, calls=Span(first=9, last=9), reply=reply),
    )
    ended = backfill.run(watched=False)
    what = "a listing refused, cut or garbled, each way"
    fault_table.hold("F16", what, backfill.evidence(), bound=0)
    assert (ended.errors, ended.report.status) == ([], "complete")
    assert ended.retried != []


def test_f16_what_is_there_all_the_time_is_found_whatever_comes_and_goes(
    backfill: Backfill, fault_table: FaultTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(enqueueing, "CHUNK_ITEMS", 1_000)
    before = [f"data/{number:05}" for number in range(0, 10_000, 2)]
    gone, behind_cursor, ahead = set(before[4_000:4_500]), "data/00001", "data/09999"
    backfill.serve(before)
    reached = []

    def change(point: Point) -> None:
        if point is Point.CHUNK_COMMITTED and not reached:
            reached.append(point)
            left = [key for key in before if key not in gone]
            bucket = Bucket(
                name="bucket",
                objects=tuple(S3Object(key=key) for key in [*left, behind_cursor, ahead]),
            )
            backfill.break_with(buckets=(bucket,))

    with faults.injected(change):
        ended = backfill.run(watched=False)
    assert reached
    always = set(before) - gone
    found = {key for (key,) in backfill.rows(
        "SELECT item_key FROM retrofill.v_item WHERE job = %s", backfill.job)}  # fmt: skip
    assert always <= found
    assert ahead in found
    assert behind_cursor not in found, "the listing had not passed it"
    assert ended.report.status == "complete"
    assert ended.report.listed == len(found)

    backfill.run("run 2", watched=False)
    everything = found | {behind_cursor}
    evidence = backfill.evidence(everything, fixed_source=False)
    what = "added before and behind the cursor, deleted, while it is listed"
    fault_table.hold("F16", what, evidence, bound=0)


def test_f16_a_key_that_two_partitions_list_is_one_item(
    backfill: Backfill, fault_table: FaultTable
) -> None:
    backfill.serve(3_000)
    ref = backfill.open("run 1")
    ranges = [("", None), ("data/000000999.json", None), ("", "data/000002000.json")]
    with_labels = [
        (number, f"part {number}", {"after": after, "end": end})
        for number, (after, end) in enumerate(ranges)
    ]
    with closing(backfill.connection()) as conn:
        runs.add_partitions(conn, ref.run_id, with_labels)
    ended = backfill.run("run 1", watched=False)
    evidence = backfill.evidence(fixed_source=False)
    fault_table.hold("F16", "keys in several partitions at once", evidence, bound=0)
    assert ended.report.listed == 3_000 + 2_000 + 2_001
    assert (ended.report.new, ended.report.known) == (3_000, 4_001)


def test_f16_f20_a_million_objects_take_few_tasks_and_little_xcom(
    backfill: Backfill, fault_table: FaultTable
) -> None:
    backfill.params["items_per_call"] = 10_000
    backfill.params["max_partitions"] = 200
    backfill.serve(MILLION, record_calls=False, latency=0.05)

    ref = backfill.open("run 1")
    parts: list[PartitionTask] = backfill.list_partitions(ref)
    returned = [json.dumps(backfill.enqueue(ref, part["part_no"])) for part in parts]
    planned: list[BatchTask] = backfill.plan(ref)
    returned += [json.dumps(parts), json.dumps(planned)]
    ended = backfill.run("run 1", watched=False)

    evidence = backfill.evidence()
    what = "a million objects"
    fault_table.hold("F16", what, evidence, bound=0)
    fault_table.hold("F20", f"tasks and XCom of {what}", evidence, bound=0)
    assert ended.report.succeeded == MILLION
    assert len(parts) <= 200 < AIRFLOWS_MOST_MAPPED
    assert len(planned) <= MAX_BATCHES < AIRFLOWS_MOST_MAPPED
    assert max(map(len, returned)) < 50_000
    note = f"{len(parts)} + {len(planned)} mapped tasks, XCom at most {max(map(len, returned)):,} B"
    fault_table.note("F20", f"tasks and XCom of {what}", note)


def test_f20_many_items_never_make_more_than_the_most_batches(backfill: Backfill) -> None:
    backfill.serve(5_000)
    ref = backfill.open("run 1")
    for part in backfill.list_partitions(ref):
        backfill.enqueue(ref, part["part_no"])
    with closing(backfill.connection()) as conn:
        job_id = runs.get_run(conn, ref.run_id).job_id
        planned = batches.plan(conn, ref, job_id, most_items=10, fewest_items=1)
    assert len(planned) == MAX_BATCHES
    assert sum(batch.items for batch in planned) == 5_000
