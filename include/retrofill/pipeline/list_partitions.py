"""List the partitions of a run's source. Each becomes one mapped ``enqueue`` task."""

import logging
from collections.abc import Sequence
from typing import TypedDict

from retrofill.config import RunConfig
from retrofill.faults import Point, reach
from retrofill.model.errors import SourceError
from retrofill.model.runs import SetRef
from retrofill.model.selection import Place
from retrofill.pipeline.redrive import LABEL
from retrofill.sources import Partition, Source
from retrofill.state import runs
from retrofill.state.connection import Connection

log = logging.getLogger(__name__)


class PartitionTask(TypedDict):
    """The input of one mapped ``enqueue`` task."""

    part_no: int
    label: str


def list_partitions(
    conn: Connection, ref: SetRef, config: RunConfig, source: Source, most_mapped: int = 200
) -> list[PartitionTask]:
    """Return the partitions that are not read to their end; divide the source if it is not yet.

    :param most_mapped: the most instances that Airflow allows for a mapped task
    :raises SourceError: the source could not be read, or its survey shows nothing although it had
        an object when the run was opened
    """
    if config.redrive.place is Place.QUARANTINE:
        runs.add_partitions(conn, ref.run_id, [(0, LABEL, {})])
    elif not runs.has_partitions(conn, ref.run_id):
        found = source.partitions(min(config.limits.max_partitions, most_mapped))
        _require_seen(source, found, source_seen=runs.get_run(conn, ref.run_id).source_seen)
        runs.add_partitions(conn, ref.run_id, found)
        reach(Point.PARTITIONS_WRITTEN)
    left = [
        PartitionTask(part_no=part_no, label=label)
        for part_no, label in runs.partitions_left(conn, ref.run_id)
    ]
    log.info("%d partitions to read", len(left))
    return left


def _require_seen(source: Source, found: Sequence[Partition], *, source_seen: bool) -> None:
    """Check that the survey shows something if the source had an object when the run was opened."""
    if not found:
        raise SourceError(
            f"source {source.name} named no partition, so none of it would be read; even an empty"
            " source has one"
        )
    if source_seen and all(partition.seen == 0 for partition in found):
        raise SourceError(
            f"source {source.name} was not empty when the run was opened, but its survey shows"
            " nothing, so it was not divided. If all was deleted in between, start a new run"
            " of the job: it surveys the source again and continues"
        )
