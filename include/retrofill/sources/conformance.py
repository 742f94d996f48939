"""The laws of all sources, which a test can check for yours.

The laws use only the protocol. A test of your own source describes it as a :class:`Case`::

    CASE = Case(open=partial(NumberSource, 1_000), keys=frozenset(map(str, range(1_000))))

    @pytest.mark.parametrize("law", LAWS)
    def test_numbers_keep_the_law(law):
        LAWS[law](CASE)

A law that needs more than the case provides raises :class:`NotAsked`.
"""

import json
import tracemalloc
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import Any, TypeAlias

from retrofill.model.errors import ConfigError, SourceError
from retrofill.model.items import IDENTIFIER_BYTES, LONGEST_KEY_BYTES, Item
from retrofill.model.listing import Page, Partition
from retrofill.sources.source import Source

DIVISIONS = (1, 2, 16)
MOST_RUNS = 20
TRIES = 3

_FLAT_FACTOR = 1.5
_FLAT_SLACK_BYTES = 1_000_000


class NotAsked(Exception):
    """The case lacks something that the law needs."""


Break: TypeAlias = Callable[[int], Callable[[], bool]]
"""Breaks one of the next requests, counted from 1; 0: none.

Returns a function that reports whether that request was made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A source over a data set of a test.

    CASE = Case(open=partial(NumberSource, 1_000), keys=frozenset(map(str, range(1_000))))
    """

    open: Callable[[], Source]
    """Opens a new source. It must be picklable, so that another process can open one."""

    keys: Collection[str]
    """The keys of all its items, each once."""

    ordered: bool | None = None
    """Whether the source must report that it is ordered; None: either."""

    fail: Break | None = None
    """Makes one of the source's next requests fail."""

    throttle: Break | None = None
    """The same, by a response that asks for fewer requests."""

    bad: Mapping[str, Callable[[], Any]] = field(default_factory=dict)
    """For each param, opens and checks a source with a bad value for it."""

    larger: Callable[[int], Source] | None = None
    """Opens a source over this many times the data, which must fill several pages."""

    change: Callable[[int], None] | None = None
    """Adds items, and deletes some that it has added. The number rises with each call."""


def require(holds: object, says: str) -> None:
    """Check a condition.

    :raises AssertionError: it does not hold
    """
    if not holds:
        raise AssertionError(says)


def pages_are_the_set(case: Case) -> None:
    """1. The pages of a single partition have all the items, complete and well formed."""
    source = case.open()
    require(source.check() == bool(case.keys), "check does not return whether there is anything")
    parts = source.partitions(1)
    require(len(parts) == 1, f"partitions(1) made {len(parts)} partitions")
    pages = list(source.pages(parts[0]))
    _require_set(case, pages)
    identifiers: dict[bytes, Item] = {}
    for item in (item for page in pages for item in page.items):
        require(len(item.identifier) == IDENTIFIER_BYTES, f"{item.key!r}: identifier's length")
        require("\0" not in item.key, f"{item.key!r}: NUL in its key")
        require(len(item.key.encode()) <= LONGEST_KEY_BYTES, f"{item.key!r}: longer than a key")
        require(not {"\0", "\x1e"} & set(item.content), f"{item.key!r}: control in its content")
        same = identifiers.setdefault(item.identifier, item)
        require(same == item, f"{item.key!r} and {same.key!r} differ, but have one identifier")
    estimate = source.estimate()
    require(estimate is None or estimate >= 0, f"estimate is {estimate}")


def cursors_resume(case: Case) -> None:
    """2. After the cursor of each page come all the items of the pages that follow it."""
    for part in case.open().partitions(2):
        pages = list(case.open().pages(part))
        for number, page in enumerate(pages):
            rest = _keys(case.open().pages(part, page.cursor))
            missing = set(_keys(pages[number + 1 :])) - set(rest)
            require(not missing, f"after {page.cursor!r} there is no {_some(missing)}")


def partitions_cover_once(case: Case) -> None:
    """3. For any number of partitions, they have each item once."""
    for limit in DIVISIONS:
        source = case.open()
        parts = source.partitions(limit)
        require(0 < len(parts) <= limit, f"partitions({limit}) made {len(parts)}")
        numbers = [part.number for part in parts]
        require(numbers == list(range(len(parts))), f"their numbers are {numbers}")
        _require_set(case, (page for part in parts for page in source.pages(part)))


def errors_lose_nothing(case: Case) -> None:
    """4. If any request fails, continuing after the last cursor gives the rest."""
    _resume_after(case, case.fail)


def bad_settings_are_named(case: Case) -> None:
    """5. A bad setting is a ConfigError that names its param."""
    if not case.bad:
        raise NotAsked
    for param, attempt in case.bad.items():
        try:
            attempt()
        except ConfigError as error:
            require(f"{param}: " in str(error), f"{error} does not name {param}")
        else:
            require(holds=False, says=f"a bad {param} is accepted")


def throttles_are_waited_for(case: Case) -> None:
    """6. A response that asks for fewer requests is waited for, or can be retried."""
    _resume_after(case, case.throttle)


def memory_is_flat(case: Case) -> None:
    """7. Ten times the data take no more memory."""
    if case.larger is None:
        raise NotAsked
    peaks = []
    tracemalloc.start()
    try:
        for times in (1, 10):
            source = case.larger(times)
            [whole] = source.partitions(1)
            tracemalloc.reset_peak()
            for _ in source.pages(whole):
                pass
            peaks.append(tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()
    once, ten = peaks
    require(ten <= once * _FLAT_FACTOR + _FLAT_SLACK_BYTES, f"{once:,} bytes, then {ten:,}")


def ordered_means_rising(case: Case) -> None:
    """8. If a source is ordered, the keys of each partition ascend."""
    source = case.open()
    require(case.ordered in {None, source.ordered}, f"ordered is {source.ordered}")
    if not source.ordered:
        return
    for limit in DIVISIONS:
        for part in source.partitions(limit):
            keys = _keys(source.pages(part))
            require(keys == sorted(keys), f"the keys of {part.label} do not ascend")


def cursors_outlive_a_process(case: Case) -> None:
    """9. Cursor and partition survive JSON, and mean the same to a new process."""
    [whole] = case.open().partitions(1)
    stored = json.dumps(whole.description)
    pages = list(case.open().pages(whole))
    middle = len(pages) // 2
    cursor = pages[middle].cursor if pages else None
    require("\0" not in f"{cursor}{stored}", "NUL in cursor or partition")
    require(r"\u0000" not in stored, "NUL in the partition's description")
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        rest = process.submit(_rest, case.open, whole, stored, json.dumps(cursor)).result()
    missing = set(_keys(pages[middle + 1 :])) - set(rest)
    require(not missing, f"a new process does not find {_some(missing)}")


def what_stays_is_found(case: Case) -> None:
    """10. Items that stay are found while others come and go.

    A source that notices a change may raise an error: the next run continues.
    """
    if case.change is None:
        raise NotAsked
    found: set[str] = set()
    changes = 0
    for _ in range(MOST_RUNS):
        source = case.open()
        try:
            for part in source.partitions(2):
                for page in source.pages(part):
                    found.update(item.key for item in page.items)
                    changes += 1
                    case.change(changes)
        except SourceError:
            continue
        missing = set(case.keys) - found
        require(not missing, f"{_some(missing)} was there all the time, but was not found")
        return
    require(holds=False, says=f"it was not read to its end in {MOST_RUNS} runs")


LAWS: Mapping[str, Callable[[Case], None]] = {
    "pages are the set": pages_are_the_set,
    "cursors resume": cursors_resume,
    "partitions cover once": partitions_cover_once,
    "errors lose nothing": errors_lose_nothing,
    "bad settings are named": bad_settings_are_named,
    "throttles are waited for": throttles_are_waited_for,
    "memory is flat": memory_is_flat,
    "ordered means rising": ordered_means_rising,
    "cursors outlive a process": cursors_outlive_a_process,
    "what stays is found": what_stays_is_found,
}
"""The laws, by name."""


def _resume_after(case: Case, breaks: Break | None) -> None:
    """Break each request in turn, until a complete reading makes fewer."""
    if breaks is None:
        raise NotAsked
    number = 1
    while _read_broken(case, breaks, number):
        number += 1
    breaks(0)
    require(number > 1, "no request was broken")


def _read_broken(case: Case, breaks: Break, number: int) -> bool:
    """Read all of a source while one request breaks; return whether it was made.

    As tasks do, each try opens the source again, and continues after the last cursor.
    """
    reached = breaks(number)
    pages: list[Page] = []
    left: list[Partition] | None = None
    cursor: str | None = None
    for _ in range(TRIES):
        try:
            source = case.open()
            if left is None:
                source.check()
                left = source.partitions(2)
            while left:
                for page in source.pages(left[0], cursor):
                    pages.append(page)
                    cursor = page.cursor
                del left[0]
                cursor = None
        except SourceError:
            continue
        _require_set(case, pages)
        return reached()
    raise AssertionError(f"one failure of request {number} is not overcome in {TRIES} tries")


def _keys(pages: Iterator[Page] | list[Page]) -> list[str]:
    return [item.key for page in pages for item in page.items]


def _require_set(case: Case, pages: Iterator[Page] | list[Page]) -> None:
    counts = Counter({item.identifier: item.key for page in pages for item in page.items}.values())
    missing, others = set(case.keys) - set(counts), set(counts) - set(case.keys)
    require(not missing, f"{_some(missing)} is not found")
    require(not others, f"{_some(others)} is found, but is not there")
    twice = [key for key, count in counts.items() if count > 1]
    require(not twice, f"{_some(twice)} has two identifiers")


def _some(keys: Collection[str]) -> str:
    shown = ", ".join(map(repr, sorted(keys)[:3]))
    return shown if len(keys) <= 3 else f"{shown} … ({len(keys):,})"  # noqa: PLR2004


def _rest(open_: Callable[[], Source], part: Partition, stored: str, cursor: str) -> list[str]:
    """Return the keys after a cursor, in another process."""
    part = part._replace(description=json.loads(stored))
    return _keys(open_().pages(part, json.loads(cursor)))
