"""Items, as people look for them: by key, and the whole history of one.

What is in process has no index over keys: its extents say which numbers hold which keys.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from retrofill.state.connection import Connection, Cursor, find, rows, values
from retrofill.state.pages import ERROR_CHARS
from retrofill.state.reading import snapshot
from retrofill.state.statements import load

_SQL = load("items.sql")

CONTENT_CHARS = 300
MOST_EXTENTS = 100
"""Extents of at most 10,000 items each, in which one look searches what is in process."""

MOST_CALLS = 200
MOST_VERSIONS = 20

_NO_IDENTIFIER = "00000000-0000-0000-0000-000000000000"
_BEHIND_ALL = "\U0010ffff"
_SURROGATES = range(0xD800, 0xE000)


class FoundItem(NamedTuple):
    """An item whose key is as it was looked for."""

    key: str
    identifier: str
    place: str
    """in_process, results or quarantine."""

    run_id: int
    attempts: int
    at: datetime | None
    """When it came to its place; None: that is not kept."""

    error_type: str


class FoundItems(NamedTuple):
    """The next items whose keys are as they were looked for, in the order of their keys."""

    items: list[FoundItem]
    more: bool
    all_in_process: bool
    """Whether all was looked through that is in process."""


class Placed(NamedTuple):
    """What the place where an item is says of it."""

    place: str
    run_id: int
    batch_id: int | None
    call_no: int | None
    """The call by which it came there; None: none did."""

    seq: int | None
    attempts: int
    failures: int | None
    unsure: bool | None
    at: datetime | None
    request_id: str
    error_type: str
    error: str
    content: str
    """Its beginning; empty: not kept there."""

    not_before: datetime | None
    """When it is called again at the earliest."""


class Redriven(NamedTuple):
    """What quarantine or results said of an item when it was redriven."""

    run_id: int
    quarantined_by: int | None
    batch_id: int
    call_no: int
    attempts: int
    failures: int
    unsure: bool
    request_id: str
    error_type: str
    error: str
    quarantined_at: datetime | None
    redriven_at: datetime
    settled_by: int | None
    """The run in which it succeeded; None: it came from quarantine."""

    settled_at: datetime | None


class Version(NamedTuple):
    """Another version of a key."""

    identifier: str
    place: str
    run_id: int
    at: datetime


class ItemCall(NamedTuple):
    """A call that carried an item, or one of those that were called with it."""

    run_id: int
    batch_id: int
    call_no: int
    items: int
    attempt: int
    outcome: str | None
    """None: not settled yet."""

    sent_at: datetime
    ended_at: datetime | None
    took_s: float
    request_id: str
    version: str
    error_type: str | None
    error: str | None
    is_sure: bool
    """Whether it carried this item; if not, it carried some of those of a call that did."""

    dag_id: str
    dag_run_id: str
    task_id: str
    """The task that held its batch last; empty: nobody knows."""

    map_index: int
    """Which of the mapped tasks that is; -1: it is not mapped."""


class _Stretch(NamedTuple):
    """A stretch of what is in process."""

    first_seq: int
    last_seq: int


class ItemHistory(NamedTuple):
    """All that is known of an item."""

    key: str
    identifier: str
    placed: Placed | None
    """None: it is nowhere, or in process where it was not looked for."""

    redriven: list[Redriven]
    calls: list[ItemCall]
    """Those of which the rows are kept, the first first."""

    versions: list[Version]
    all_in_process: bool
    """Whether all was looked through where it may be in process."""


def find_items(
    conn: Connection,
    job_id: int,
    key: str,
    *,
    exact: bool,
    most: int,
    after: tuple[str, str] | None = None,
) -> FoundItems:
    """Return the next items of a job with a key.

    :param exact: whether the key must be this one; else, it must begin with it
    :param after: key and identifier of the last item that was found before
    """
    after_key, after_identifier = after or (key, _NO_IDENTIFIER)
    asked = {
        "job_id": job_id,
        "end": f"{key}\x01" if exact else end_of(key),
        "after": after_key,
        "after_identifier": after_identifier,
        "most": most + 1,
        "error_chars": ERROR_CHARS,
    }
    if "\0" in key or "\0" in after_key:
        return FoundItems([], more=False, all_in_process=True)
    with snapshot(conn, in_order=True) as cur:
        cur.execute(_SQL["find_placed"], asked)
        found = rows(cur, FoundItem)
        extents, are_all = _extents(cur, asked)
        cur.execute(_SQL["find_in_process"], {**asked, **extents})
        found += rows(cur, FoundItem)
    # As the state orders keys: by their bytes.
    found.sort(key=lambda item: (item.key.encode(), item.identifier))
    return FoundItems(found[:most], len(found) > most, are_all)


def end_of(prefix: str) -> str:
    """Return what lies behind all keys with a prefix, in the order of their bytes."""
    kept = prefix.rstrip(_BEHIND_ALL)
    if not kept:
        return _BEHIND_ALL
    following = ord(kept[-1]) + 1
    if following in _SURROGATES:
        following = _SURROGATES.stop
    return kept[:-1] + chr(following)


def get_history(conn: Connection, job_id: int, key: str, identifier: str) -> ItemHistory:
    """Return all that is known of an item.

    :param identifier: a UUID
    """
    asked = {
        "job_id": job_id,
        "key": key,
        "identifier": identifier,
        "after": key,
        "end": f"{key}\x01",
        "content_chars": CONTENT_CHARS,
        "most": MOST_VERSIONS,
    }
    with snapshot(conn, in_order=True) as cur:
        placed, are_all = _placed(cur, asked)
        cur.execute(_SQL["list_redriven"], asked)
        redriven = rows(cur, Redriven)
        cur.execute(_SQL["list_versions"], asked)
        versions = rows(cur, Version)
        calls = _calls(cur, job_id, [*redriven, *([placed] if placed else [])])
    return ItemHistory(key, identifier, placed, redriven, calls, versions, are_all)


def _placed(cur: Cursor, asked: Mapping[str, Any]) -> tuple[Placed | None, bool]:
    """Return what the place of an item says of it, and whether it was looked for everywhere."""
    for statement in ("get_result", "get_quarantined"):
        cur.execute(_SQL[statement], asked)
        if placed := find(cur, Placed):
            return placed, True
    extents, are_all = _extents(cur, asked)
    cur.execute(_SQL["get_in_process"], {**asked, **extents})
    placed = find(cur, Placed)
    return placed, placed is not None or are_all


def _extents(cur: Cursor, asked: Mapping[str, Any]) -> tuple[dict[str, list[int]], bool]:
    """Return the stretches in which to search what is in process, and whether they are all."""
    cur.execute(_SQL["list_extents"], {**asked, "extents": MOST_EXTENTS + 1})
    found = rows(cur, _Stretch)
    searched = found[:MOST_EXTENTS]
    stretches = {
        "firsts": [stretch.first_seq for stretch in searched],
        "lasts": [stretch.last_seq for stretch in searched],
    }
    return stretches, len(found) <= MOST_EXTENTS


def _calls(cur: Cursor, job_id: int, lives: list[Placed | Redriven]) -> list[ItemCall]:
    """Return the calls of an item: of each time that it was in process, under its number then."""
    calls: dict[tuple[int, int], ItemCall] = {}
    for life in lives:
        numbers = _numbers(cur, life)
        if numbers is None:
            continue
        asked = {
            "job_id": job_id,
            "numbers": numbers,
            "most": MOST_CALLS,
            "error_chars": ERROR_CHARS,
        }
        cur.execute(_SQL["list_calls"], asked)
        calls |= {(call.batch_id, call.call_no): call for call in rows(cur, ItemCall)}
    return sorted(calls.values(), key=lambda call: (call.sent_at, call.batch_id, call.call_no))


def _numbers(cur: Cursor, life: Placed | Redriven) -> str | None:
    """Return the number of an item, or those of the items of its last call; None: forgotten."""
    if isinstance(life, Placed) and life.seq is not None:
        return f"{{[{life.seq},{life.seq}]}}"
    cur.execute(_SQL["get_numbers"], {"batch_id": life.batch_id, "call_no": life.call_no})
    found = values(cur)
    return str(found[0]) if found else None
