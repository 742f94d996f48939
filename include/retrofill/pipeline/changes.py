"""Changes: how much of a source was modified after a run was opened. The run does not call it."""

import logging
import time
from typing import NamedTuple

from retrofill.config import RunConfig
from retrofill.model.errors import SourceError
from retrofill.model.runs import Run
from retrofill.sources import Source
from retrofill.state import approvals
from retrofill.state.connection import Connection

log = logging.getLogger(__name__)

MOST_PAGES = 1_000
"""The most pages of the source to list: a million objects, in about a minute."""

MOST_S = 60.0
"""Seconds that it may take."""


class Changes(NamedTuple):
    """What was modified."""

    items: int
    is_all: bool
    """Whether the source was listed to its end."""


def count_changes(source: Source) -> Changes:
    """Count what a source lists, as far as its listing gets in about a minute.

    :param source: opened for what was modified after the run was opened
    :raises SourceError: it could not be read
    """
    items = 0
    give_up_at = time.monotonic() + MOST_S
    (whole,) = source.partitions(1)
    for number, page in enumerate(source.pages(whole)):
        if number >= MOST_PAGES or time.monotonic() > give_up_at:
            return Changes(items, is_all=False)
        items += len(page.items)
    return Changes(items, is_all=True)


def note_changes(conn: Connection, run: Run, config: RunConfig, source: Source | None) -> None:
    """Count what was modified after a run was opened, and record it; it is not called.

    :param source: None: this kind of source cannot list changes
    """
    if source is None:
        log.info("%s: it cannot list what has changed since the plan", config.source.label())
        return
    try:
        found = count_changes(source)
    except SourceError as error:
        log.warning("what has changed since the plan could not be counted: %s", error)
        return
    approvals.note_changes(conn, run.run_id, found.items, more=not found.is_all)
    at_least = "" if found.is_all else "at least "
    log.info("%s%s changed since the plan, not called", at_least, f"{found.items:,}")
