"""Redrive a selection from a job's quarantine."""

import logging
from collections.abc import Callable

from retrofill.config import RunConfig
from retrofill.model.runs import SetRef
from retrofill.model.selection import Selection
from retrofill.state.connection import Connection
from retrofill.state.redrive import Position, redrive
from retrofill.state.screening import get_partition
from retrofill.state.triage import Keys

log = logging.getLogger(__name__)

LABEL = "quarantine"
"""The label of the only partition of a run that redrives from quarantine."""


def redrive_quarantine(
    conn: Connection,
    ref: SetRef,
    part_no: int,
    config: RunConfig,
    *,
    progressed: Callable[[], None] = lambda: None,
) -> dict[str, int]:
    """Move the selected items back from quarantine, until its end or until the set is full.

    :param progressed: called after each chunk
    :raises LeaseLost: another task of this run does the same
    """
    total = {"redriven": 0}
    progress = get_partition(conn, ref.run_id, part_no)
    if progress.done:
        log.info("an earlier try has read quarantine to its end")
        return total
    selection = config.redrive.selection or Selection()
    only = Keys(*config.source.redriven_keys())
    after = Position.of(progress.cursor)
    while True:
        chunk = redrive(conn, ref, part_no, progress, after=after, selection=selection, only=only)
        total["redriven"] += chunk.moved
        progressed()
        if chunk.set_is_full:
            log.info("the set is full; the run continues with the next one")
        if chunk.set_is_full or chunk.done:
            break
        after = chunk.last or after
        progress = progress._replace(chunk_no=progress.chunk_no + 1)
    if total["redriven"]:
        log.info("redrove %(redriven)d items from quarantine", total)
    else:
        log.info("no further item in quarantine matches this run: nothing was redriven")
    return total
