"""Feedback: detect, before a set's first call, that a function's outputs became its inputs."""

import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple

from retrofill.config import RunConfig
from retrofill.engine import pace
from retrofill.engine.feedback import (
    LOOKED_UP,
    SAMPLE,
    VERY_FEW,
    Calling,
    Findings,
    NewItem,
    parents_of,
    stems_of,
)
from retrofill.engine.sampling import systematic
from retrofill.model.errors import RunIncomplete
from retrofill.model.items import Item, Measure
from retrofill.model.runs import Run, SetRef
from retrofill.model.selection import Place
from retrofill.state import feedback
from retrofill.state.connection import Connection
from retrofill.state.feedback import Origin, Sample

log = logging.getLogger(__name__)

_SHOWN = 3

_WHAT_NOW = (
    "Each run would call the function with the output of the run before. Exclude the output with"
    " the source's filters, write it elsewhere, or set allow_feedback if this is intended"
)


class _Dated(NamedTuple):
    """A sample of items whose modification times are known."""

    fresh: list[NewItem]
    of: int  # the number of items that were sampled

    @property
    def is_whole(self) -> bool:
        """Whether the sample has all items."""
        return len(self.fresh) == self.of


def require_no_feedback(conn: Connection, ref: SetRef, run: Run, config: RunConfig) -> None:
    """Stop the run if its new or later items look like the function's output.

    It then withdraws new items that are not planned yet: the next run lists them again, with its
    own filters.

    :raises RunIncomplete: they do; nothing was called
    """
    measure = config.source_kind.measure
    redrives = config.redrive.place is Place.QUARANTINE
    if measure is None or config.feedback.allow_feedback or redrives:
        return
    jobs = feedback.list_kin(conn, run.job_id)
    new = _dated(feedback.sample_untouched(conn, run, SAMPLE), measure)
    reason = _by_names(conn, jobs, run, new, "new items") or _by_pace(conn, jobs, run, new)
    # Without new items there is nothing to stop.
    if reason is None and new.of:
        later = _dated(feedback.sample_later(conn, run.run_id, SAMPLE), measure)
        reason = _by_names(conn, jobs, run, later, "items modified after it was opened")
    if reason:
        withdrawn = feedback.stop_and_withdraw(conn, ref, run, reason)
        log.warning("%s; %d items are withdrawn, and new to the job's next run", reason, withdrawn)
        raise RunIncomplete(reason)


def _dated(sample: Sample, measure: Callable[[Item], Measure]) -> _Dated:
    dated = [(item.key, measure(item).modified) for item in sample.items]
    return _Dated([NewItem(key, moment) for key, moment in dated if moment is not None], sample.of)


def _callings(conn: Connection, jobs: Sequence[int], fresh: Sequence[NewItem]) -> list[Calling]:
    """Return the times at which runs called that may have written some of the items."""
    since = min((one.modified for one in fresh), default=None)
    return [] if since is None else feedback.list_callings(conn, jobs, since)


def _by_names(
    conn: Connection, jobs: Sequence[int], run: Run, dated: _Dated, what: str
) -> str | None:
    """Return a message if items have the names of items that were called when they were written."""
    callings = _callings(conn, jobs, dated.fresh)
    suspects = [one for one in dated.fresh if any(each.covers(one.modified) for each in callings)]
    looked_up = [suspects[place] for place in systematic(len(suspects), LOOKED_UP)]
    origins = _origins(conn, jobs, looked_up, run.function.timeout_s)
    pairs = [one for one in origins if one.in_time]
    looked = Findings(
        sample=len(dated.fresh),
        suspects=len(suspects),
        looked_up=len(looked_up),
        named=len(origins),
        pairs=len(pairs),
    )
    if not looked.is_feedback:
        return None
    about = "" if dated.is_whole and len(looked_up) == len(suspects) else "about "
    shown = ", ".join(f"{looked_up[one.no].key!r} for {one.item_key!r}" for one in pairs[:_SHOWN])
    suspicious = round(looked.fraction * dated.of)
    return (
        f"the function seems to feed its own source: {about}{suspicious:,} of"
        f" {dated.of:,} {what} have the names of items with something added or replaced, and were"
        f" written while these were called: {shown}. {_WHAT_NOW}"
    )


def _origins(
    conn: Connection, jobs: Sequence[int], looked_up: Sequence[NewItem], timeout_s: int
) -> list[Origin]:
    if len(looked_up) < VERY_FEW:
        return []
    folders = feedback.list_folders(conn, jobs, parents_of(one.key for one in looked_up))
    asked = [(stems_of(one.key, folders), one.modified) for one in looked_up]
    return feedback.find_origins(conn, jobs, asked, timeout_s)


def _by_pace(conn: Connection, jobs: Sequence[int], run: Run, dated: _Dated) -> str | None:
    """Return a message if items match an earlier run's calls in number and time."""
    times = [one.modified for one in dated.fresh]
    for calling in _callings(conn, jobs, dated.fresh):
        within = list(filter(calling.covers, times))
        number = len(within) * dated.of / len(times)
        slack = pace.SLACK if dated.is_whole else 2 * pace.SLACK
        if (
            calling.run_id != run.run_id
            and pace.is_multiple(number, calling, slack=slack)
            and pace.stands_out(times, calling, run.opened_at)
            and (made := feedback.get_pace(conn, calling.run_id))
            and pace.keeps_pace(within, made)
        ):
            return (
                f"the function seems to feed its own source: {round(number):,} of"
                f" {dated.of:,} new items were written while run {calling.run_id} made"
                f" {calling.calls:,} calls with {calling.items:,} items, at the pace of"
                f" these calls. {_WHAT_NOW}"
            )
    return None
