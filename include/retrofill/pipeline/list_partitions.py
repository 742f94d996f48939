"""List the partitions of a run's source; each becomes one mapped enqueue task."""

import logging
from typing import TypedDict

from include.retrofill.faults import Point, reach
from include.retrofill.model.config import RunConfig
from include.retrofill.model.runs import SetRef
from include.retrofill.pipeline.redrive import LABEL
from include.retrofill.sources import Source
from include.retrofill.state import runs
from include.retrofill.state.connection import Connection

log = logging.getLogger(__name__)


class PartitionTask(TypedDict):
    """What one mapped enqueue task is given."""

    part_no: int
    label: str


def list_partitions(
    conn: Connection, ref: SetRef, config: RunConfig, source: Source
) -> list[PartitionTask]:
    """Return the partitions that are not read to their end, found once per run.

    :raises SourceError: the source could not be read
    """
    if config.redrive:
        runs.add_partitions(conn, ref.run_id, [(0, LABEL, {})])
    elif not runs.has_partitions(conn, ref.run_id):
        found = source.partitions(config.max_partitions)
        runs.add_partitions(
            conn, ref.run_id, [(part.number, part.label, part.description) for part in found]
        )
        reach(Point.PARTITIONS_WRITTEN)
    left = [
        PartitionTask(part_no=part_no, label=label)
        for part_no, label in runs.partitions_left(conn, ref.run_id)
    ]
    log.info("%d partitions to read", len(left))
    return left
