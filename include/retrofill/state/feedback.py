"""What the state tells of feedback, and the withdrawal of what a run would call because of it."""

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
    find,
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
"""Jobs of the same source and function that are looked at: a person may have renamed one."""

_CALLINGS = 100
_STEPS = 16
_EACH = 5


class Stretch(NamedTuple):
    """Neighbouring items that nobody has planned yet."""

    first_seq: int
    last_seq: int
    own: bool
    """Whether the run that asks has listed them."""

    awaited: bool
    """Whether another run has listed some of them, too, and waits for them."""

    @property
    def items(self) -> int:
        """How many they are."""
        return self.last_seq - self.first_seq + 1


class Sample(NamedTuple):
    """Some of the items that a run would call, or has left out."""

    items: Sequence[Item]
    of: int
    """How many there are."""


class _Noted(NamedTuple):
    item_key: str
    content: str


class Origin(NamedTuple):
    """What an item may have been made of."""

    no: int
    """The place of the item among those that were asked for."""

    item_key: str
    in_time: bool
    """Whether it was called when that item was written."""


class _Folder(NamedTuple):
    parent: str
    folder: str


def note_later(conn: Connection, run_id: int, part_no: int, items: Sequence[Item]) -> None:
    """Note items that a run has left out since they were modified after it was opened."""
    with transaction(conn) as cur:
        cur.execute(
            _SQL["note_later"],
            {
                "run_id": run_id,
                "part_no": part_no,
                "keys": [item.key for item in items],
                "contents": [item.content for item in items],
            },
        )


def sample_later(conn: Connection, run_id: int, most: int) -> Sample:
    """Return some of the noted items that a run has left out since they were modified later."""
    with transaction(conn) as cur:
        cur.execute(_SQL["list_later"], {"run_id": run_id, "most": most})
        return _sample(cur, None)


def sample_untouched(conn: Connection, run: Run, most: int) -> Sample:
    """Return some of the items that a run would call and that nobody has planned before."""
    with transaction(conn) as cur:
        stretches = _untouched(cur, run)
        count = sum(stretch.items for stretch in stretches)
        seqs = numbers(_numbers_at(stretches, systematic(count, most)))
        cur.execute(_SQL["load_sample"], {"job_id": run.job_id, "seqs": seqs})
        return _sample(cur, count)


def _sample(cur: Cursor, count: int | None) -> Sample:
    # Its identifier is not asked for: what its content tells does not depend on it.
    items = [Item(b"", noted.item_key, noted.content) for noted in rows(cur, _Noted)]
    return Sample(items, len(items) if count is None else count)


def _untouched(cur: Cursor, run: Run) -> list[Stretch]:
    key = {"job_id": run.job_id, "run_id": run.run_id}
    cur.execute(_SQL["list_open_runs"], key)
    cur.execute(_SQL["list_untouched"], {**key, "others": values(cur)})
    return rows(cur, Stretch)


def _numbers_at(stretches: Iterable[Stretch], places: Sequence[int]) -> list[int]:
    """Return the numbers of items by their places, which rise."""
    found: list[int] = []
    before = 0
    for stretch in stretches:
        while len(found) < len(places) and places[len(found)] < before + stretch.items:
            found.append(stretch.first_seq + places[len(found)] - before)
        before += stretch.items
    return found


def list_kin(conn: Connection, job_id: int) -> list[int]:
    """Return the jobs that call the same function over the same source, this one first."""
    with transaction(conn) as cur:
        cur.execute(_SQL["list_kin"], {"job_id": job_id, "jobs": _JOBS})
        return values(cur)


def list_callings(conn: Connection, jobs: Sequence[int], since: datetime) -> list[Calling]:
    """Return when the last runs of some jobs called, of those that ended after a moment."""
    asked = {"jobs": list(jobs), "since": since, "most": _CALLINGS}
    with transaction(conn) as cur:
        cur.execute(_SQL["list_callings"], asked)
        return rows(cur, Calling)


def get_pace(conn: Connection, run_id: int) -> Pace | None:
    """Return when a run made its calls; None: nobody knows any more."""
    with transaction(conn) as cur:
        cur.execute(_SQL["get_pace"], {"called": run_id, "shares": TENTHS})
        pace = find(cur, Pace)
    return pace if pace and pace.sent else None


def list_folders(
    conn: Connection, jobs: Sequence[int], parents: Sequence[str]
) -> dict[str, list[str]]:
    """Return the first folders within some folders, among what some jobs have processed."""
    asked = {"jobs": list(jobs), "parents": list(parents), "steps": _STEPS}
    found: dict[str, list[str]] = {}
    with transaction(conn) as cur:
        read_in_order(cur)
        cur.execute(_SQL["list_folders"], asked)
        for parent, folder in rows(cur, _Folder):
            found.setdefault(parent, []).append(folder)
    return found


def find_origins(
    conn: Connection,
    jobs: Sequence[int],
    asked: Sequence[tuple[Sequence[str], datetime]],
    timeout_s: int,
) -> list[Origin]:
    """Return what items may have been made of: for each no more than one, in time if there is one.

    :param asked: the names that are looked up for each, likely ones first, and when it was written
    :param timeout_s: how long a call may have taken of which nothing else is known
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
    """Stop a run, and take out of process what it would call and nobody has planned before.

    The next run lists it anew. What earlier runs have left behind counts as taken over. What
    another run waits for stays: who takes that over looks itself.

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
            cur.execute(_SQL["forget_extent"], {"job_id": run.job_id, **stretch._asdict()})
        counts = {"withdrawn": withdrawn, "resumed": resumed}
        cur.execute(_SQL["count_withdrawn"], {**ref._asdict(), **counts})
    return withdrawn
