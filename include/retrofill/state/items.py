"""Find items by key, and read the history of an item.

Items in process have no index over keys. Their extents have the ranges of keys and numbers.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from retrofill.state.connection import Connection, Cursor, find, pairs, rows, snapshot, values
from retrofill.state.pages import ERROR_CHARS
from retrofill.state.statements import load

_SQL = load("items.sql")

CONTENT_CHARS = 300
MOST_EXTENTS = 100
"""Extents of at most 10,000 items each that one request searches for items in process."""

MOST_CALLS = 200
MOST_VERSIONS = 20

_NO_IDENTIFIER = "00000000-0000-0000-0000-000000000000"
_BEHIND_ALL = "\U0010ffff"
_SURROGATES = range(0xD800, 0xE000)


class FoundItem(NamedTuple):
    """An item with a requested key."""

    key: str
    identifier: str
    place: str
    """``in_process``, ``results`` or ``quarantine``."""

    run_id: int
    attempts: int
    at: datetime | None
    """When it entered its place; None: not recorded."""

    error_type: str


class FoundItems(NamedTuple):
    """The next items with requested keys, in the order of their keys."""

    items: list[FoundItem]
    more: bool
    all_in_process: bool
    """Whether all items in process were searched."""


class Placed(NamedTuple):
    """An item in its place."""

    place: str
    run_id: int
    batch_id: int | None
    call_no: int | None
    """The call that moved it there; None: it is in process."""

    seq: int | None
    attempts: int
    failures: int | None
    unsure: bool | None
    at: datetime | None
    request_id: str
    error_type: str
    error: str
    content: str
    """Its beginning; empty: not stored there."""

    not_before: datetime | None


class Redriven(NamedTuple):
    """An item as it was in quarantine or the results cache when it was redriven."""

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
    """A call that carried an item, or items that were called with it."""

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
    """Whether it carried this item; otherwise, it carried items of a call that did."""

    dag_id: str
    dag_run_id: str
    task_id: str
    """The task that held its batch last; empty: unknown."""

    map_index: int
    """The task's map index; -1: it is not mapped."""


class ItemHistory(NamedTuple):
    """Everything that is known about an item."""

    key: str
    identifier: str
    placed: Placed | None
    """None: it is in no place, or in process in an extent that was not searched."""

    redriven: list[Redriven]
    calls: list[ItemCall]
    """Its calls that are not forgotten, the oldest first."""

    versions: list[Version]
    all_in_process: bool
    """Whether all extents were searched in which it may be in process."""


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

    :param exact: whether the key must be equal; otherwise it must begin with ``key``
    :param after: key and identifier of the last item of the page before
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
    # The state orders keys by their bytes.
    found.sort(key=lambda item: (item.key.encode(), item.identifier))
    return FoundItems(found[:most], len(found) > most, are_all)


def end_of(prefix: str) -> str:
    """Return the first text after all keys with a prefix, in the order of their bytes.

    >>> end_of("logs/")
    'logs0'
    """
    kept = prefix.rstrip(_BEHIND_ALL)
    if not kept:
        return _BEHIND_ALL
    following = ord(kept[-1]) + 1
    if following in _SURROGATES:
        following = _SURROGATES.stop
    return kept[:-1] + chr(following)


def get_history(conn: Connection, job_id: int, key: str, identifier: str) -> ItemHistory:
    """Return everything that is known about an item.

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
    """Return an item in its place, and whether all places were searched."""
    cur.execute(_SQL["get_settled"], asked)
    if placed := find(cur, Placed):
        return placed, True
    extents, are_all = _extents(cur, asked)
    cur.execute(_SQL["get_in_process"], {**asked, **extents})
    placed = find(cur, Placed)
    return placed, placed is not None or are_all


def _extents(cur: Cursor, asked: Mapping[str, Any]) -> tuple[dict[str, list[int]], bool]:
    """Return the extents in which to search for items in process, and whether these are all."""
    cur.execute(_SQL["list_extents"], {**asked, "extents": MOST_EXTENTS + 1})
    found = pairs(cur)
    searched = {"firsts": list(found)[:MOST_EXTENTS], "lasts": list(found.values())[:MOST_EXTENTS]}
    return searched, len(found) <= MOST_EXTENTS


def _calls(cur: Cursor, job_id: int, lives: list[Placed | Redriven]) -> list[ItemCall]:
    """Return the calls of an item, under each number that it had in process."""
    calls: dict[tuple[int, int], ItemCall] = {}
    asked = {"job_id": job_id, "most": MOST_CALLS, "error_chars": ERROR_CHARS}
    for life in lives:
        for numbers in _numbers(cur, life):
            cur.execute(_SQL["list_calls"], {**asked, "numbers": numbers})
            calls |= {(call.batch_id, call.call_no): call for call in rows(cur, ItemCall)}
    return sorted(calls.values(), key=lambda call: (call.sent_at, call.batch_id, call.call_no))


def _numbers(cur: Cursor, life: Placed | Redriven) -> list[str]:
    """Return the item's number, or the numbers of its last call; nothing if that is forgotten."""
    if isinstance(life, Placed) and life.seq is not None:
        return [f"{{[{life.seq},{life.seq}]}}"]
    cur.execute(_SQL["get_numbers"], {"batch_id": life.batch_id, "call_no": life.call_no})
    return values(cur)
