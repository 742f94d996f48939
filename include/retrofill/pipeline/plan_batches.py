"""Cut the in-process cache into batches. Each becomes one mapped ``invoke`` task."""

import logging
from typing import TypedDict

from retrofill.config import RunConfig
from retrofill.model.runs import SetRef
from retrofill.pipeline.canary import choose
from retrofill.pipeline.feedback import require_no_feedback
from retrofill.pipeline.rescue import Airflow, rescue
from retrofill.state import batches, runs
from retrofill.state.connection import Connection

log = logging.getLogger(__name__)

BATCH_ITEMS = 10_000
"""Items per batch of a large set: some seconds of work, and a few MB of memory."""

BATCH_CALLS = 500
"""Calls per batch if calls have many items: with fewer calls, hardly any would be in flight."""

LARGEST_BATCH = 50_000
"""The most items of such a batch: about 35 MB of memory."""

SMALLEST_BATCH = 250
"""Items that justify a mapped task, which costs about a second of CPU."""


class BatchTask(TypedDict):
    """The input of one mapped ``invoke`` task."""

    batch_id: int
    label: str


def plan_batches(conn: Connection, ref: SetRef, airflow: Airflow) -> list[BatchTask]:
    """Plan all items without an owner; return the batches of a set, including earlier ones.

    An open run owns its items as long as one of its DAG runs is queued or running.

    :raises RunIncomplete: the function seems to feed its own source; nothing is planned
    """
    run = runs.get_run(conn, ref.run_id)
    config = RunConfig.from_stored(run.config)
    rescue(conn, airflow, job_id=run.job_id, but=run.run_id)
    require_no_feedback(conn, ref, run, config)
    choose(conn, ref, run, config)
    per_call = run.delivery.items_per_call
    planned = batches.plan(
        conn,
        ref,
        run.job_id,
        most_items=max(BATCH_ITEMS, min(BATCH_CALLS * per_call, LARGEST_BATCH)),
        fewest_items=max(SMALLEST_BATCH, per_call),
        batches_allowed=airflow.most_mapped,
    )
    log.info("%d items in %d batches", sum(batch.items for batch in planned), len(planned))
    return [
        BatchTask(
            batch_id=batch.batch_id, label=f"{number} of {len(planned)}: {batch.items:,} items"
        )
        for number, batch in enumerate(planned, 1)
    ]
