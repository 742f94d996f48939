"""Changes: how much of a source was modified after a run was opened. The run does not call it."""

import logging
import time

from retrofill.config import RunConfig
from retrofill.model.errors import SourceError
from retrofill.model.runs import Run
from retrofill.sources import Source
from retrofill.state import approvals
from retrofill.state.connection import Connection

log = logging.getLogger(__name__)

MOST_PAGES = 1_000
"""The most pages to list: a million objects, in about a minute."""

MOST_S = 60.0


def note_changes(conn: Connection, run: Run, config: RunConfig, source: Source | None) -> None:
    """Count, for about a minute, the items modified after a run was opened, and record the count.

    :param source: opened for these items; None: this kind of source cannot list changes
    """
    if source is None:
        log.info("%s: it cannot list what has changed since the plan", config.source.label())
        return
    items, is_all = 0, True
    give_up_at = time.monotonic() + MOST_S
    try:
        (whole,) = source.partitions(1)
        for number, page in enumerate(source.pages(whole)):
            if number >= MOST_PAGES or time.monotonic() > give_up_at:
                is_all = False
                break
            items += len(page.items)
    except SourceError as error:
        log.warning("what has changed since the plan could not be counted: %s", error)
        return
    approvals.note_changes(conn, run.run_id, items, more=not is_all)
    log.info("%s%s changed since the plan, not called", "" if is_all else "at least ", f"{items:,}")
