"""A source that breaks a law is noticed by that law."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import pytest
from retrofill.model.errors import ConfigError, SourceError
from retrofill.model.items import Item
from retrofill.model.listing import Page, Partition
from retrofill.sources.conformance import LAWS, Case
from retrofill.sources.memory import MemorySource, maker
from retrofill.sources.source import Source

COUNT = 50
_requests = [0]
_added: list[int] = []


class Sound(MemorySource):
    """Fifty items, ten per page; each page takes a request, one of which may fail."""

    def __init__(self, count: int = COUNT) -> None:
        super().__init__(maker(content_bytes=0, in_order=True), count, page_items=10)

    def pages(self, partition: Partition, cursor: str | None = None) -> Iterator[Page]:
        for page in super().pages(partition, cursor):
            self.ask(page)
            yield page

    def ask(self, page: Page) -> None:
        del page
        _requests[0] -= 1
        if _requests[0] == 0:
            raise SourceError("broken on purpose")


class LosesOne(Sound):
    def pages(self, partition: Partition, cursor: str | None = None) -> Iterator[Page]:
        for page in super().pages(partition, cursor):
            yield page._replace(items=page.items[1:])


class SkipsBehindCursors(Sound):
    def pages(self, partition: Partition, cursor: str | None = None) -> Iterator[Page]:
        yield from super().pages(partition, None if cursor is None else str(int(cursor) + 10))


class Overlaps(Sound):
    def partitions(self, limit: int) -> list[Partition]:
        parts = super().partitions(limit)
        if len(parts) > 1:
            parts[1] = parts[1]._replace(description=dict(parts[1].description) | {"end": 30})
        return parts[:-1] if len(parts) > 2 else parts


class LosesWhatFails(Sound):
    def ask(self, page: Page) -> None:
        try:
            super().ask(page)
        except SourceError:
            page.items.clear()


class Keeps(Sound):
    def __init__(self, count: int = COUNT) -> None:
        super().__init__(count)
        self.kept: list[Page] = []

    def ask(self, page: Page) -> None:
        self.kept.append(page)


class IsNotOrdered(Sound):
    def pages(self, partition: Partition, cursor: str | None = None) -> Iterator[Page]:
        for page in super().pages(partition, cursor):
            yield page._replace(items=page.items[::-1])


class Remembers(Sound):
    """Its cursors mean something only to one process."""

    def pages(self, partition: Partition, cursor: str | None = None) -> Iterator[Page]:
        known = _cursors.get(cursor, str(COUNT)) if cursor is not None else None
        for page in super().pages(partition, known):
            _cursors[f"page {len(_cursors)}"] = page.cursor
            yield page._replace(cursor=f"page {len(_cursors) - 1}")


_cursors: dict[str, str] = {}


class Shifts(Sound):
    """Continues at a place counted from the end, to which items are added."""

    def pages(self, partition: Partition, cursor: str | None = None) -> Iterator[Page]:
        for page in super().pages(partition, cursor):
            yield page._replace(items=page.items[len(_added) :])


def breaks(number: int) -> Callable[[], bool]:
    _requests[0] = number
    return lambda: _requests[0] <= 0


def refused() -> None:
    raise ConfigError("items: -1; allowed is more")


def misnamed() -> None:
    raise ConfigError("count: -1; allowed is more")


def case_of(source: type[Sound]) -> Case:
    make: Callable[[int], Item] = maker(content_bytes=0, in_order=True)
    _added.clear()
    return Case(
        open=source,
        keys=[make(number).key for number in range(COUNT)],
        ordered=True,
        fail=breaks,
        throttle=breaks,
        bad={"items": refused},
        larger=lambda times: _larger(source, times),
        change=_added.append,
    )


def _larger(source: Callable[[int], Source], times: int) -> Source:
    return source(2_000 * times)


@pytest.mark.parametrize("law", LAWS)
def test_a_sound_source_obeys_each_law(law: str):
    LAWS[law](case_of(Sound))


@pytest.mark.parametrize(
    ("law", "source"),
    [
        ("pages are the set", LosesOne),
        ("cursors resume", SkipsBehindCursors),
        ("partitions cover once", Overlaps),
        ("errors lose nothing", LosesWhatFails),
        ("throttles are waited for", LosesWhatFails),
        ("memory is flat", Keeps),
        ("ordered means rising", IsNotOrdered),
        ("cursors outlive a process", Remembers),
        ("what stays is found", Shifts),
    ],
)
def test_a_source_that_breaks_a_law_is_noticed(law: str, source: type[Sound]):
    with pytest.raises(AssertionError):
        LAWS[law](case_of(source))


def test_a_bad_setting_that_is_accepted_or_not_named_is_noticed():
    sound = case_of(Sound)
    for attempt in (misnamed, partial(int, "1")):
        with pytest.raises(AssertionError, match="items"):
            LAWS["bad settings are named"](replace(sound, bad={"items": attempt}))
