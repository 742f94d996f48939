"""Triage: what of a job is in quarantine, by error, and how much a selection means."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, NamedTuple

from psycopg2.errors import QueryCanceled

from retrofill.model.errors import StateUnavailable
from retrofill.model.globs import as_regex, beginning, behind
from retrofill.model.selection import Place, Selection
from retrofill.state.connection import Connection, Cursor, read_in_order, rows, transaction, value
from retrofill.state.statements import load

_SQL = load("triage.sql")

LOOK_S = 5
"""Seconds after which a look at the groups is given up."""

COUNT_S = 20
"""Seconds after which counting is given up."""

ERRORS = 100
"""Errors that are looked for, by name."""

LOOKED_AT = 20_000
"""The most items of one error that are looked at, the last ones first."""

EXAMPLES = 3
ERROR_CHARS = 300


class Keys(NamedTuple):
    """Which keys are meant besides, by the fields of a source."""

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
    """That executed its last call, or that its run calls; None: the run is forgotten."""


class Group(NamedTuple):
    """Items in quarantine with one error."""

    error_type: str
    """Its first 200 characters."""

    items: int
    """How many, of those that were looked at."""

    is_cut: bool
    """Whether there may be more: not all items with this error were looked at."""

    unsure: int
    """Of these, of which nobody knows whether a call has done their work."""

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
    """Of its examples."""

    identifiers: Sequence[str]


def groups(conn: Connection, job_id: int, selection: Selection) -> list[Group] | None:
    """Return what a selection means in quarantine, by error, the largest group first.

    :returns: None if that took too long
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
    """Return how many items a selection means now; None: there are too many to count.

    :param keys: which of them are meant besides
    """
    of = "count_quarantined" if selection.place is Place.QUARANTINE else "count_succeeded"
    try:
        with _limited(conn, COUNT_S) as cur:
            cur.execute(_SQL[of], {**conditions(selection, keys), "job_id": job_id})
            return int(value(cur))
    except _TooLongError:
        return None


class _TooLongError(Exception):
    """A statement has taken longer than it may."""


@contextmanager
def _limited(conn: Connection, seconds: int) -> Iterator[Cursor]:
    """Run a transaction of which no statement may take longer.

    :raises _TooLongError: one did
    """
    try:
        with transaction(conn) as cur:
            cur.execute(_SQL["limit_time"], {"timeout": f"{seconds}s"})
            yield cur
    except StateUnavailable as error:
        if isinstance(error.__cause__, QueryCanceled):
            raise _TooLongError from error
        raise


def conditions(selection: Selection, keys: Keys = ALL_KEYS) -> dict[str, Any]:
    """Return a selection as the statements of triage and redrive have it."""
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
