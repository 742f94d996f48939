"""Feedback: the data to detect it, and the withdrawal of items that it would call."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from retrofill.engine.feedback import AFTER, BEFORE, Calling
from retrofill.engine.pace import TENTHS, Pace
from retrofill.engine.sampling import systematic
from retrofill.model.items import Item
from retrofill.model.runs import Run, SetRef
from retrofill.state.arrays import numbers
from retrofill.state.connection import (
    Connection,
    Cursor,
    execute,
    executed,
    find,
    pairs,
    read_in_order,
    rows,
    transaction,
    values,
)
from retrofill.state.limits import stop_within
from retrofill.state.locks import lock_job, lock_run
from retrofill.state.statements import load

_SQL = load("feedback.sql")

_JOBS = 5
"""Jobs with the same source and function that are read: a job may have been renamed."""

_CALLINGS = 100
_STEPS = 16
_EACH = 5


class Stretch(NamedTuple):
    """Consecutive items that are not planned yet."""

    first_seq: int
    last_seq: int
    own: bool
    awaited: bool
    """Whether another run has listed some of them too, and waits for them."""

    items: int


class Sample(NamedTuple):
    """A sample of items, without their identifiers."""

    items: Sequence[Item]
    of: int
    """The number of items from which the sample was taken."""


class Origin(NamedTuple):
    """An item from which another may have been made."""

    no: int
    """The index of that other item in the request."""

    item_key: str
    in_time: bool
    """Whether this item was being called when the other one was written."""


def note_later(conn: Connection, run_id: int, part_no: int, items: Sequence[Item]) -> None:
    """Record items that a run left out because they were modified after it was opened."""
    keys, contents = [item.key for item in items], [item.content for item in items]
    key = {"run_id": run_id, "part_no": part_no}
    execute(conn, _SQL["note_later"], **key, keys=keys, contents=contents)


def sample_later(conn: Connection, run_id: int, most: int) -> Sample:
    """Return some of the items that :func:`note_later` recorded."""
    with executed(conn, _SQL["list_later"], run_id=run_id, most=most) as cur:
        items = rows(cur, Item, identifier=bytes)
    return Sample(items, len(items))


def sample_untouched(conn: Connection, run: Run, most: int) -> Sample:
    """Return some of the items that a run would call and that are not planned yet."""
    with transaction(conn) as cur:
        stretches = _untouched(cur, run)
        count = sum(stretch.items for stretch in stretches)
        seqs = numbers(_numbers_at(stretches, systematic(count, most)))
        cur.execute(_SQL["load_sample"], {"job_id": run.job_id, "seqs": seqs})
        return Sample(rows(cur, Item, identifier=bytes), count)


def _untouched(cur: Cursor, run: Run) -> list[Stretch]:
    cur.execute(_SQL["list_untouched"], {"job_id": run.job_id, "run_id": run.run_id})
    return rows(cur, Stretch)


def _numbers_at(stretches: Iterable[Stretch], places: Sequence[int]) -> list[int]:
    """Return the numbers of items by their places, which are in ascending order."""
    found: list[int] = []
    before = 0
    for stretch in stretches:
        while len(found) < len(places) and places[len(found)] < before + stretch.items:
            found.append(stretch.first_seq + places[len(found)] - before)
        before += stretch.items
    return found


def list_kin(conn: Connection, job_id: int) -> list[int]:
    """Return the jobs that call the same function over the same source, this one first."""
    with executed(conn, _SQL["list_kin"], job_id=job_id, jobs=_JOBS) as cur:
        return values(cur)


def list_callings(conn: Connection, jobs: Sequence[int], since: datetime) -> list[Calling]:
    """Return when the last runs of some jobs called, for runs that ended after a time."""
    asked = {"jobs": list(jobs), "since": since, "most": _CALLINGS}
    with executed(conn, _SQL["list_callings"], **asked) as cur:
        return rows(cur, Calling)


def get_pace(conn: Connection, run_id: int) -> Pace | None:
    """Return when a run made its calls; None: its calls are forgotten."""
    with executed(conn, _SQL["get_pace"], called=run_id, shares=TENTHS) as cur:
        pace = find(cur, Pace)
    return pace if pace and pace.sent else None


def list_folders(
    conn: Connection, jobs: Sequence[int], parents: Sequence[str]
) -> dict[str, list[str]]:
    """Return the first folders within some folders, among the items that some jobs processed."""
    with transaction(conn) as cur:
        read_in_order(cur)
        asked = {"jobs": list(jobs), "parents": list(parents), "steps": _STEPS}
        cur.execute(_SQL["list_folders"], asked)
        return pairs(cur)


def find_origins(
    conn: Connection,
    jobs: Sequence[int],
    asked: Sequence[tuple[Sequence[str], datetime]],
    timeout_s: int,
) -> list[Origin]:
    """Return for each item at most one from which it may have been made, preferably one in time.

    :param asked: the names to look up for each item, likely ones first, and when it was written
    :param timeout_s: the assumed duration of calls that are forgotten
    """
    flat = [
        (place, stem, modified) for place, (stems, modified) in enumerate(asked) for stem in stems
    ]
    with transaction(conn) as cur:
        read_in_order(cur)
        cur.execute(
            _SQL["find_origins"],
            {
                "nos": [place for place, _, _ in flat],
                "stems": [stem for _, stem, _ in flat],
                "modified": [modified for _, _, modified in flat],
                "jobs": list(jobs),
                "each": _EACH,
                "timeout_s": timeout_s,
                "before_s": BEFORE.total_seconds(),
                "after_s": AFTER.total_seconds(),
            },
        )
        return rows(cur, Origin)


def stop_and_withdraw(conn: Connection, ref: SetRef, run: Run, reason: str) -> int:
    """Stop a run, and withdraw items that it would call and that are not planned yet.

    The next run lists them again. Items that earlier runs left behind count as taken over. Items
    that another run waits for stay: that run checks for feedback itself.

    :returns: how many items were withdrawn
    """
    with transaction(conn) as cur:
        lock_job(cur, run.job_id)
        lock_run(cur, run.run_id)
        stop_within(cur, run.run_id, reason)
        withdrawn = resumed = 0
        for stretch in _untouched(cur, run):
            if stretch.awaited:
                continue
            cur.execute(_SQL["withdraw"], {"job_id": run.job_id, **stretch._asdict()})
            withdrawn += cur.rowcount
            resumed += 0 if stretch.own else cur.rowcount
        counts = {"withdrawn": withdrawn, "resumed": resumed}
        cur.execute(_SQL["count_withdrawn"], {**ref._asdict(), **counts})
    return withdrawn
