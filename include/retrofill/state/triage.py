"""Triage: quarantined items by error, and how many items a selection has."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, NamedTuple

from psycopg2.errors import QueryCanceled

from retrofill.model.amounts import counted
from retrofill.model.errors import StateUnavailable
from retrofill.model.globs import as_regex, beginning, behind
from retrofill.model.quoting import quoted
from retrofill.model.selection import Place, Selection
from retrofill.state.connection import Connection, Cursor, executed, read_in_order, rows, value
from retrofill.state.statements import load

_SQL = load("triage.sql")

LOOK_S = 5
"""Seconds after which reading the groups is given up."""

COUNT_S = 20
"""Seconds after which counting is given up."""

ERRORS = 100
"""Errors that are read at most, in the order of their names."""

LOOKED_AT = 20_000
"""Items of one error that are read at most, the last ones first."""

EXAMPLES = 3
ERROR_CHARS = 300
WORST_ERRORS = 3


class Keys(NamedTuple):
    """Keys that a source's params select, in addition to a selection."""

    beginning: str = ""
    patterns: str | None = None


ALL_KEYS = Keys()


class Example(NamedTuple):
    """An item in quarantine."""

    error_type: str
    key: str
    identifier: str
    run_id: int
    batch_id: int
    call_no: int
    content: str
    attempts: int
    unsure: bool
    request_id: str
    error: str
    quarantined_at: datetime
    version: str | None
    """The function version of its last call, or else of its run; None: the run is forgotten."""


class Group(NamedTuple):
    """Items in quarantine with one error."""

    error_type: str
    """Its first 200 characters."""

    items: int
    """Items, of those that were read."""

    is_cut: bool
    """Whether there may be more: not all items with this error were read."""

    unsure: int
    """Items for which nobody knows whether a call did their work."""

    first_at: datetime
    last_at: datetime
    examples: Sequence[Example]


class _Counted(NamedTuple):
    error_type: str
    items: int
    is_cut: bool
    unsure: int
    first_at: datetime
    last_at: datetime
    keys: Sequence[str]
    identifiers: Sequence[str]


class Worst(NamedTuple):
    """An error of a run, and how many items it put in quarantine."""

    error_type: str
    items: int
    for_example: str
    """The key of one of these items."""

    def __str__(self) -> str:
        named = quoted(self.error_type) if self.error_type else "an error without a type"
        return f"{counted(self.items, 'item')} by {named}, such as {quoted(self.for_example)}"


def groups(conn: Connection, job_id: int, selection: Selection) -> list[Group] | None:
    """Return a selection's items in quarantine by error, the largest group first.

    :returns: None if that took more than LOOK_S
    """
    asked = {
        **conditions(selection),
        "job_id": job_id,
        "errors": ERRORS,
        "most": LOOKED_AT,
        "examples": EXAMPLES,
        "error_chars": ERROR_CHARS,
    }
    try:
        with _limited(conn, LOOK_S) as cur:
            read_in_order(cur)
            cur.execute(_SQL["list_groups"], asked)
            found = rows(cur, _Counted)
            chosen = {
                "chosen": [key for group in found for key in group.keys],
                "identifiers": [one for group in found for one in group.identifiers],
            }
            cur.execute(_SQL["list_examples"], {**asked, **chosen})
            examples = rows(cur, Example)
    except _TooLongError:
        return None
    return [
        Group(*group[:-2], [one for one in examples if one.error_type == group.error_type])
        for group in found
    ]


def count(conn: Connection, job_id: int, selection: Selection, keys: Keys = ALL_KEYS) -> int | None:
    """Return how many items a selection has now; None: counting took more than COUNT_S."""
    statement = "count_quarantined" if selection.place is Place.QUARANTINE else "count_succeeded"
    try:
        with _limited(conn, COUNT_S) as cur:
            cur.execute(_SQL[statement], {**conditions(selection, keys), "job_id": job_id})
            return int(value(cur))
    except _TooLongError:
        return None


def list_worst(conn: Connection, job_id: int, run_id: int) -> list[Worst]:
    """Return the errors that put most items of a run in quarantine, the worst first."""
    key = {"job_id": job_id, "run_id": run_id}
    with executed(conn, _SQL["list_worst"], **key, most=WORST_ERRORS) as cur:
        return rows(cur, Worst)


class _TooLongError(Exception):
    pass


@contextmanager
def _limited(conn: Connection, seconds: int) -> Iterator[Cursor]:
    """Run a transaction with a time limit for each statement.

    :raises _TooLongError: a statement reached it
    """
    try:
        with executed(conn, _SQL["limit_time"], timeout=f"{seconds}s") as cur:
            yield cur
    except StateUnavailable as error:
        if isinstance(error.__cause__, QueryCanceled):
            raise _TooLongError from error
        raise


def conditions(selection: Selection, keys: Keys = ALL_KEYS) -> dict[str, Any]:
    """Return a selection as the values that statements of triage and redrive bind."""
    patterns = [one for one in (selection.key, keys.patterns) if one is not None]
    first = max(keys.beginning, *map(beginning, patterns), key=len) if patterns else keys.beginning
    regexes = [as_regex(one) for one in patterns]
    if keys.beginning:
        regexes.append("^" + re.escape(keys.beginning))
    return {
        "first": first,
        "behind": behind(first),
        "keys": regexes,
        "error": selection.error and as_regex(selection.error),
        "version": selection.version,
        "after": selection.after,
        "before": selection.before,
        "unsure": selection.unsure,
    }
