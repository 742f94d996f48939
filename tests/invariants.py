"""What must always hold, I1 to I9, checked on the public views and on what the world outside knows.

Each violation is a sentence that begins with the number of the invariant:

* I1 every listed item is in exactly one place · I2 results hold an item once
* I3 calls and attempts counted are no fewer than the function saw
* I4 each further execution of an item has a row that explains it, and duplicates are bounded
* I5 listed is exact, new + known = listed · I6 quarantined is exactly the poison
* I7 notification, report and views agree · I8 no run is complete while something is left
* I9 no secret is in what people may read

:func:`check_now` holds at any moment, so a :class:`Sampler` may ask it during a run, from another
connection; :func:`check` is for the end.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from threading import Event, Thread
from types import TracebackType
from typing import Any, NamedTuple, Self

import psycopg2
from psycopg2.extensions import ISOLATION_LEVEL_REPEATABLE_READ, connection
from psycopg2.extras import NamedTupleCursor

SHOWN = 5
"""Items that one violation names."""

VIEWS = (
    "v_run", "v_item", "v_call", "v_outcome", "v_quarantine", "v_redriven", "v_event", "v_pulse",
)  # fmt: skip
"""The public views."""

_TWICE = """
SELECT item_key, array_agg(place ORDER BY place) AS places
FROM retrofill.v_item WHERE job = %(job)s
GROUP BY item_key, identifier HAVING count(*) > 1 ORDER BY item_key
"""
_RESULTS_TWICE = """
SELECT item_key FROM retrofill.v_item WHERE job = %(job)s AND place = 'results'
GROUP BY item_key, identifier HAVING count(*) > 1 ORDER BY item_key
"""
_RUNS = "SELECT * FROM retrofill.v_run WHERE job = %(job)s ORDER BY run_id"
_ITEMS = """
SELECT item_key, count(*) AS items, sum(attempts)::bigint AS attempts
FROM retrofill.v_item WHERE job = %(job)s GROUP BY item_key
"""
_IN_PROCESS = """
SELECT run_id, count(*) AS items FROM retrofill.v_item
WHERE job = %(job)s AND place = 'in_process' GROUP BY run_id
"""
_QUARANTINED = "SELECT item_key FROM retrofill.v_quarantine WHERE job = %(job)s"
_CALLS = """
SELECT
    run_id, count(*) AS calls, sum(item_count)::bigint AS items,
    sum(duplicates)::bigint AS duplicates, count(*) FILTER (WHERE attempt > 1) AS retries,
    count(*) FILTER (
        WHERE outcome IN ('throttled', 'starting', 'misconfigured', 'too_large')
    ) AS refused,
    coalesce(sum(item_count) FILTER (WHERE outcome = 'failed'), 0)::bigint AS items_failed,
    count(*) FILTER (WHERE outcome IS NULL) AS unsettled
FROM retrofill.v_call WHERE job = %(job)s GROUP BY run_id
"""
_TAKEN_BACK = """
SELECT item_key, count(*) AS times FROM retrofill.v_redriven
WHERE job = %(job)s AND settled_by IS NOT NULL GROUP BY item_key
"""
_SETTLED = """
SELECT place, count(*) AS items FROM retrofill.v_item
WHERE job = %(job)s AND place <> 'in_process' GROUP BY place
"""


class Seen(NamedTuple):
    """What a function's endpoint has seen so far."""

    calls: int
    """Requests to invoke it."""

    items: int
    """Items in those requests, repeats counted."""


def check_now(dsn: str, job: str, seen: Seen | None = None) -> list[str]:
    """Return what is violated of that which holds at every moment.

    :param seen: what the endpoint had seen before this was called
    """
    with closing(psycopg2.connect(dsn)) as conn:
        return look(conn, job, seen)


def check(
    dsn: str,
    job: str,
    *,
    listed: Collection[str] | None = None,
    executed: Mapping[str, int] | None = None,
    succeeded: Mapping[str, int] | None = None,
    poison: Collection[str] | None = None,
    most_duplicates: int | None = None,
    named_as_failed: int = 0,
    redriven: int = 0,
    notices: Sequence[str] = (),
    complete: bool = True,
) -> list[str]:
    """Return what is violated at the end, when no task of the job is at work any more.

    :param listed: the keys that each pass over the source finds, one for each item
    :param executed: how often the function ran with each key
    :param succeeded: how often it ran with each key and returned; its further ones are true
        duplicates
    :param poison: the keys that must be in quarantine, and no others
    :param most_duplicates: how many the faults of the test explain
    :param named_as_failed: items that answers of successful calls named as failed
    :param redriven: items that have left quarantine again
    :param notices: texts of the notifications that were sent
    :param complete: whether every item must be settled and the last run complete
    """
    with closing(psycopg2.connect(dsn)) as conn:
        found = look(conn, job)
        with _snapshot(conn) as cur:
            state = _State(cur, job)
    if listed is not None:
        found += _check_listed(state, listed)
    if executed is not None:
        found += _check_attempts(state, executed, named_as_failed)
    if succeeded is not None:
        found += _check_duplicates(state, succeeded)
    if most_duplicates is not None and state.duplicates > most_duplicates:
        found.append(f"I4: {state.duplicates} duplicates, at most {most_duplicates} are explained")
    if poison is not None:
        found += _differences("I6", "in quarantine", state.quarantined, set(poison))
    found += _check_counts(state, redriven)
    found += _check_notices(state, notices)
    if complete:
        found += _check_complete(state)
    return found


def find_secrets(secrets: Iterable[str], texts: Mapping[str, str]) -> list[str]:
    """Return the names of the texts that hold a secret (I9); the secret itself is not told.

    :param texts: what people may read (logs, XCom, rendered fields, notifications), by name
    """
    wanted = [secret for secret in secrets if secret]
    if not wanted:
        message = "no secret to look for: such a check cannot fail"
        raise ValueError(message)
    return [
        f"I9: {name} holds secret {number}"
        for name, text in texts.items()
        for number, secret in enumerate(wanted, 1)
        if secret in text
    ]


def view_texts(dsn: str) -> dict[str, str]:
    """Return all that the public views show, as texts for :func:`find_secrets`."""
    texts = {}
    with closing(psycopg2.connect(dsn)) as conn, conn.cursor() as cur:
        for view in VIEWS:
            cur.execute(f"SELECT {view}::text FROM retrofill.{view}")  # noqa: S608  ours
            texts[f"retrofill.{view}"] = "\n".join(row[0] for row in cur)
    return texts


class Sampler:
    """Asks :func:`check_now` again and again, in a thread of its own, while its block lasts.

    :param seen: asked before each look at the state, so that what left before it is written there
    :param every_s: seconds between two looks
    """

    def __init__(
        self, dsn: str, job: str, seen: Callable[[], Seen] | None = None, *, every_s: float = 0.05
    ) -> None:
        self.samples = 0
        """How often it has looked."""
        self.violations: list[str] = []
        """What it has found, each once."""
        self._dsn = dsn
        self._job = job
        self._seen = seen
        self._every_s = every_s
        self._end = Event()
        self._error: BaseException | None = None
        self._thread = Thread(target=self._run, name="sampler", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end.set()
        self._thread.join()
        # What ended the block tells more than what the sampler met because of it.
        if self._error is not None and error is None:
            raise self._error

    def _run(self) -> None:
        try:
            while True:
                self._look()
                if self._end.wait(self._every_s):
                    self._look()
                    return
        except BaseException as error:  # noqa: BLE001  told at the end of the block
            self._error = error

    def _look(self) -> None:
        seen = self._seen() if self._seen else None
        try:
            found = check_now(self._dsn, self._job, seen)
        except psycopg2.OperationalError:
            return  # a server that is away is the fault of the test, not a violation
        self.samples += 1
        self.violations += [one for one in found if one not in self.violations]


class _State:
    """All that the checks of the end read, in one snapshot."""

    def __init__(self, cur: NamedTupleCursor, job: str) -> None:
        def rows(query: str) -> list[Any]:
            cur.execute(query, {"job": job})
            return cur.fetchall()

        self.runs = rows(_RUNS)
        self.items = {row.item_key: row for row in rows(_ITEMS)}
        self.calls = {row.run_id: row for row in rows(_CALLS)}
        self.in_process = sum(row.items for row in rows(_IN_PROCESS))
        self.quarantined = {row.item_key for row in rows(_QUARANTINED)}
        self.settled = {row.place: row.items for row in rows(_SETTLED)}
        self.taken_back = {row.item_key: row.times for row in rows(_TAKEN_BACK)}
        """How often an item that had succeeded was redriven: it succeeds once more for each."""
        self.duplicates = sum(row.duplicates for row in self.calls.values())


@contextmanager
def _snapshot(conn: connection) -> Iterator[NamedTupleCursor]:
    conn.set_session(isolation_level=ISOLATION_LEVEL_REPEATABLE_READ, readonly=True)
    with conn, conn.cursor(cursor_factory=NamedTupleCursor) as cur:
        yield cur


def look(conn: connection, job: str, seen: Seen | None = None) -> list[str]:
    """Do what :func:`check_now` does, over a connection that is kept and has no transaction."""
    found = []
    with _snapshot(conn) as cur:

        def rows(query: str) -> list[Any]:
            cur.execute(query, {"job": job})
            return cur.fetchall()

        found += [f"I1: {row.item_key!r} is in {' and '.join(row.places)}" for row in rows(_TWICE)]
        found += [f"I2: results hold {row.item_key!r} twice" for row in rows(_RESULTS_TWICE)]
        runs, calls = rows(_RUNS), rows(_CALLS)
        waiting = {row.run_id: row.items for row in rows(_IN_PROCESS)}
        items = sum(row.items for row in rows(_ITEMS))
    written = Seen(sum(row.calls for row in calls), sum(row.items for row in calls))
    if seen is not None and (seen.calls > written.calls or seen.items > written.items):
        found.append(
            f"I3: the function saw {seen.calls} calls of {seen.items} items; written ahead are"
            f" {written.calls} of {written.items}"
        )
    for run in runs:
        if run.new + run.known != run.listed:
            found.append(
                f"I5: run {run.run_id} listed {run.listed}: {run.new} new, {run.known} known"
            )
        if run.status == "complete" and (run.items_left or run.partitions_left):
            found.append(
                f"I8: run {run.run_id} is complete with {run.items_left} items and"
                f" {run.partitions_left} partitions left"
            )
        if run.status == "complete" and waiting.get(run.run_id):
            found.append(
                f"I8: run {run.run_id} is complete with {waiting[run.run_id]} items in process"
            )
    # What a redrive of quarantine withdraws is back there.
    new = sum(run.new - (0 if run.redrive == "quarantine" else run.withdrawn) for run in runs)
    if new != items:
        found.append(
            f"I5: the runs found {new} new items that nobody withdrew, in the three places are"
            f" {items}"
        )
    return found


def _check_listed(state: _State, listed: Collection[str]) -> list[str]:
    found = _differences("I1", "in the three places", set(state.items), set(listed))
    found += [
        f"I5: run {run.run_id} listed {run.listed} items, the source has {len(listed)}"
        for run in state.runs
        if run.partitions and not run.partitions_left and run.listed != len(listed)
    ]
    return found


def _check_attempts(state: _State, executed: Mapping[str, int], named_as_failed: int) -> list[str]:
    found = []
    for key, count in sorted(executed.items()):
        attempts = state.items[key].attempts if key in state.items else 0
        if count > attempts:
            found.append(f"I3: {key!r} has {attempts} attempts, the function ran {count} times")
    # A further execution either carried an item in doubt, which its call counts, or came after
    # calls that all failed.
    again = sum(state.taken_back.get(key, 0) for key in executed)
    further = sum(executed.values()) - len(executed) - again
    failed = sum(row.items_failed for row in state.calls.values())
    if further > state.duplicates + failed + named_as_failed:
        found.append(
            f"I4: {further} further executions, explained are {state.duplicates} duplicates,"
            f" {failed} items in failed calls and {named_as_failed} named as failed"
        )
    return found


def _check_duplicates(state: _State, succeeded: Mapping[str, int]) -> list[str]:
    again = sum(state.taken_back.get(key, 0) for key in succeeded)
    twice = sum(succeeded.values()) - len(succeeded) - again
    if twice > state.duplicates:
        return [f"I4: work was done twice {twice} times, counted are {state.duplicates} duplicates"]
    return []


def _check_counts(state: _State, redriven: int) -> list[str]:
    found = []
    for run in state.runs:
        row = state.calls.get(run.run_id)
        counted = (run.calls, run.retries, run.refused, run.duplicates)
        shown = (row.calls, row.retries, row.refused, row.duplicates) if row else (0, 0, 0, 0)
        if counted != shown:
            found.append(
                f"I7: calls, retries, refused, duplicates of run {run.run_id}: {counted},"
                f" v_call {shown}"
            )
    for place, column, left in (
        ("results", "succeeded", sum(state.taken_back.values())),
        ("quarantine", "quarantined", redriven),
    ):
        counted = sum(getattr(run, column) for run in state.runs)
        held = state.settled.get(place, 0)
        if counted != held + left:
            found.append(f"I7: the runs count {counted} {column}, {place} holds {held}")
    return found


_HEAD = re.compile(r"run (?P<run>\d+) is (?P<status>[a-z ]+?)(?: in .*)?$", re.MULTILINE)
_SAID = {
    "listed": r"^listed +([\d,]+)",
    "new": r"^listed .*\(([\d,]+) new",
    "known": r"^listed .* ([\d,]+) known\)",
    "succeeded": r"^succeeded +([\d,]+)",
    "quarantined": r"^quarantined +([\d,]+)",
    "calls": r"^calls +([\d,]+)",
    "retries": r"^calls .* ([\d,]+) retries",
    "duplicates": r"^duplicates +([\d,]+)",
}


def _check_notices(state: _State, notices: Sequence[str]) -> list[str]:
    found = []
    runs = {run.run_id: run for run in state.runs}
    for notice in notices:
        head = _HEAD.search(notice)
        run = runs.get(int(head["run"])) if head else None
        if head is None or run is None:
            found.append(f"I7: a notification names no run of the job: {notice.splitlines()[0]!r}")
            continue
        if head["status"] != run.status:
            found.append(f"I7: run {run.run_id} is {run.status}, notified was {head['status']}")
        for column, pattern in _SAID.items():
            said = re.search(pattern, notice, re.MULTILINE)
            count = int(said[1].replace(",", "")) if said else None
            if count != getattr(run, column):
                found.append(
                    f"I7: run {run.run_id} has {column} {getattr(run, column)}, notified was"
                    f" {count}"
                )
    return found


def _check_complete(state: _State) -> list[str]:
    found = []
    if state.in_process:
        found.append(f"I8: {state.in_process} items are left in process")
    if not state.runs or state.runs[-1].status != "complete":
        last = state.runs[-1].status if state.runs else "missing"
        found.append(f"I8: the last run is {last}, not complete")
    unsettled = sum(row.unsettled for row in state.calls.values())
    if unsettled:
        found.append(f"I8: {unsettled} calls have no outcome")
    return found


def _differences(name: str, where: str, got: set[str], wanted: set[str]) -> list[str]:
    found = []
    for missing, words in ((wanted - got, "not "), (got - wanted, "wrongly ")):
        if missing:
            shown = ", ".join(repr(key) for key in sorted(missing)[:SHOWN])
            found.append(f"{name}: {len(missing)} items are {words}{where}: {shown}")
    return found
