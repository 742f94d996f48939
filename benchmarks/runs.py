"""Runs of a database's one job, and the work of their tasks, with their time taken."""

import time
from contextlib import closing
from itertools import pairwise

from psycopg2.extensions import make_dsn
from retrofill.config import params_for
from retrofill.model.calls import Call, EndedCall, Settlement
from retrofill.model.delivery import Delivery
from retrofill.model.function import Pinned
from retrofill.model.limits import Limits
from retrofill.model.runs import Job, NewRun, SetRef
from retrofill.pipeline.enqueue import Enqueued, enqueue
from retrofill.sources import Source
from retrofill.state import batches, runs
from retrofill.state.connection import Connection
from retrofill.state.lease import BatchLease

from benchmarks.contenders.work import FUNCTION_ARN, QUALIFIER
from benchmarks.measure import Watch

ITEMS_PER_CALL = 100
SETTLED_AT_ONCE = 2_000
"""Items of one settling transaction: what a busy invoke task gathers in 5 to 50 ms."""

JOB_ID = 1
_FUNCTION = Pinned(
    kind="aws_lambda",
    name=FUNCTION_ARN,
    version=QUALIFIER,
    timeout_s=60,
    facts={"qualifier": QUALIFIER},
)
_MOST_ITEMS = 1_000_000_000


def screen(
    conn: Connection,
    source: Source,
    watch: Watch,
    *,
    items_per_call: int = ITEMS_PER_CALL,
    max_concurrency: int = 100,
) -> tuple[SetRef, Enqueued]:
    """Open a run, and screen the items of a source as its enqueue task does."""
    params = {
        "bucket": "camera-uploads",
        "prefix": "incoming/",
        "function": "scripted",
        "event": "s3",
        "max_concurrency": max_concurrency,
    }
    job = Job("benchmark", "f" * 32, source.name, "scripted", "s3")
    new = NewRun(
        job_id=runs.remember_job(conn, job),
        source=source.name,
        config=params_for("s3").config(params).as_json(),
        delivery=Delivery(event="s3", items_per_call=items_per_call, answer="return"),
        modified_after=None,
        modified_before=None,
        limits=Limits(max_concurrency=max_concurrency, max_items_per_set=_MOST_ITEMS),
        dag_id="benchmark",
        dag_run_id=f"at {time.time()}",
    )
    ref = runs.open_run(conn, new, _FUNCTION)
    runs.add_partitions(conn, ref.run_id, source.partitions(1))
    with watch:
        return ref, enqueue(conn, ref, 0, source)


def plan(conn: Connection, ref: SetRef, *, most_items: int, fewest_items: int) -> list[int]:
    """Cut items without an owner into batches; return their ids."""
    planned = batches.plan(conn, ref, JOB_ID, most_items=most_items, fewest_items=fewest_items)
    return [batch.batch_id for batch in planned]


def lease_of(conn: Connection, batch_id: int) -> closing[BatchLease]:
    """Return the untaken lease of a batch, on its own connection."""
    dsn = make_dsn(conn.dsn, password=conn.info.password)
    return closing(BatchLease(dsn, batch_id, "benchmark"))


def settle(
    conn: Connection,
    batch_id: int,
    watch: Watch,
    *,
    items_per_call: int = ITEMS_PER_CALL,
    most_items: int = _MOST_ITEMS,
) -> int:
    """Settle the first items of a batch, and write the next calls ahead in the same transactions.

    :returns: the number of settled items
    """
    with lease_of(conn, batch_id) as lease:
        if not lease.take(holder_is_dead=lambda _: True):
            return 0
        settled = 0
        done = True
        for portion in lease.portions(items_per_call):
            seqs, items, _ = lease.load(portion)
            count = min(len(seqs), most_items - settled)
            ends = [*range(0, count, items_per_call), count]
            calls = [Call(seqs[begin:end], items[begin:end]) for begin, end in pairwise(ends)]
            _settle(lease, calls, SETTLED_AT_ONCE // items_per_call, watch)
            settled += count
            done = done and count == len(seqs)
        lease.release(done=done)
    return settled


def _settle(lease: BatchLease, calls: list[Call], at_once: int, watch: Watch) -> None:
    groups = [calls[at : at + at_once] for at in range(0, len(calls), at_once)]
    ended = Settlement()
    for group in [*groups, []]:
        with watch:
            lease.settle(ended, group)
        ended = Settlement(
            ended=[
                EndedCall(call.number, "succeeded", "5d0b2a35-8b1a-4b51-9f0e-cb9f3bd0f4e1", "17")
                for call in group
            ],
            succeeded=[(span, call.number) for call in group for span in call.spans],
        )
