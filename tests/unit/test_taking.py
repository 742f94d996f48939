"""Taking a chunk into a set: counts do not depend on where sets, chunks and pages end."""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from hypothesis import given
from hypothesis import strategies as st
from retrofill.engine.taking import identifiers_in, take
from retrofill.model.items import IDENTIFIER_BYTES, Item
from retrofill.model.listing import Page

_REASONS = ("filtered", "archived", "rejected")


def _item(name: int | str) -> Item:
    """Make an item whose key is unrelated to its place."""
    identifier = str(name).encode().rjust(IDENTIFIER_BYTES)
    return Item(identifier, str(name)[::-1])


def _page(cursor: str, items: Sequence[Item], **left_out: int) -> Page:
    return Page(list(items), cursor, left_out)


@dataclass
class Reader:
    """What the state remembers of a partition, and its counts so far."""

    cursor: str | None = None
    recent: bytes = b""
    counts: Counter[str] = field(default_factory=Counter)
    new: list[bytes] = field(default_factory=list)

    def take(self, pages: Sequence[Page], known: Collection[bytes], room: int) -> bool:
        """Take as much as there is room for; return whether that was everything."""
        taken = take(pages, self.recent, b"".join(dict.fromkeys([*known, *self.new])), room)
        assert taken.listed >= len(taken.new) >= 0
        assert len(taken.new) == room or not taken.is_cut
        if taken.whole:
            self.cursor = taken.whole[-1].cursor
        self.recent = taken.recent
        self.new += taken.new
        self.counts["listed"] += taken.listed
        for page in taken.whole:
            self.counts.update(page.left_out)
        return not taken.is_cut


_OBJECTS = st.one_of(
    st.lists(st.sampled_from(["new", "new", "known", *_REASONS]), max_size=60),
    st.lists(st.sampled_from(["known", "known", *_REASONS]), max_size=60),
)
_SIZES = st.lists(st.integers(1, 12), min_size=1, max_size=8)


def _pages_of(
    objects: Sequence[str], after: str | None, sizes: Iterator[int], repeats: int
) -> Iterator[Page]:
    """List objects after a cursor in pages of any size, whatever the earlier pages were.

    :param repeats: 1: a page begins with the last item of the page before
    """
    at = int(after or 0)
    while at < len(objects):
        end = min(at + next(sizes), len(objects))
        before = [place for place in range(at) if objects[place] not in _REASONS]
        places = [place for place in range(at, end) if objects[place] not in _REASONS]
        counts = Counter(one for one in objects[at:end] if one in _REASONS)
        items = [_item(place) for place in [*before[len(before) - repeats :], *places]]
        yield _page(str(end), items, **counts)
        at = end


@given(
    objects=_OBJECTS,
    sizes=_SIZES,
    chunks=st.lists(st.integers(1, 5), min_size=1, max_size=5),
    rooms=st.lists(st.integers(1, 30), min_size=1, max_size=5),
    repeats=st.integers(0, 1),
    only_listed=st.booleans(),
)
def test_counts_equal_the_objects_wherever_a_set_or_page_ends(
    objects: list[str],
    sizes: list[int],
    chunks: list[int],
    rooms: list[int],
    repeats: int,
    *,
    only_listed: bool,
):
    reader = Reader()
    known = {_item(place).identifier for place, one in enumerate(objects) if one == "known"}
    new = [_item(place).identifier for place, one in enumerate(objects) if one == "new"]
    each_size, each_chunk, each_room = map(_over_and_over, (sizes, chunks, rooms))
    for sets in range(len(objects) + 2):
        assert sets <= len(objects), "a set takes at least one new item"
        room = next(each_room)
        pages = _pages_of(objects, reader.cursor, each_size, repeats)
        while gathered := list(islice(pages, next(each_chunk))):
            before = len(reader.new)
            listed = [item.identifier for page in gathered for item in page.items]
            of_listed = [identifier for identifier in listed if identifier in known]
            if not reader.take(gathered, of_listed if only_listed else known, room):
                break
            room -= len(reader.new) - before
        else:
            break
    assert reader.new == new
    expected = Counter(one for one in objects if one in _REASONS)
    assert reader.counts == expected + Counter(listed=len(known) + len(new))


def _over_and_over(numbers: list[int]) -> Iterator[int]:
    while True:
        yield from numbers


def test_changes_in_a_cut_page_are_neither_lost_nor_counted_twice():
    reader = Reader()
    first = _page("1", [_item(name) for name in "abcdef"], filtered=3)
    assert not reader.take([first], set(), 3)
    # Meanwhile "b" and a filtered object were deleted, and "x" and "y" are new.
    again = _page("1", [_item(name) for name in "axcdeyf"], filtered=2)
    assert not reader.take([again], set(), 2)
    assert reader.take([again], set(), 9)
    assert [name.strip() for name in reader.new] == [*map(str.encode, "abcxdeyf")]
    assert reader.counts == Counter(listed=8, filtered=2)


def test_a_cut_page_that_is_split_is_not_counted_twice():
    reader = Reader()
    names = "abcdefgh"
    assert not reader.take([_page("8", [_item(name) for name in names])], set(), 6)
    for name in names:
        assert reader.take([_page(name, [_item(name)])], set(), 9)
    assert reader.counts == Counter(listed=8)


def test_a_set_that_ends_in_counted_items_counts_none_twice():
    reader = Reader()
    assert not reader.take([_page("1", [_item(name) for name in "abcdefgh"])], set(), 6)
    # "x" and "y" have come in between, and the page comes back as three.
    pages = [_page(names, [_item(name) for name in names]) for names in ("axb", "cyd", "efgh")]
    assert not reader.take(pages, set(), 1)
    assert reader.cursor == "axb"
    assert reader.take(pages[1:], set(), 9)
    assert reader.counts == Counter(listed=10)


def test_only_the_last_page_and_a_cut_page_are_remembered():
    reader = Reader()
    pages = [_page(f"{no:03}", [_item(100 * no + at) for at in range(50)]) for no in range(20)]
    for number, page in enumerate(pages):
        assert not reader.take([page], set(), 20)
        assert not reader.take([page], set(), 20)
        assert len(list(identifiers_in(reader.recent))) <= 50 * (1 + (number > 0))
        assert reader.take([page], set(), 20)
        assert len(list(identifiers_in(reader.recent))) == 50
        reader.take([_page(f"{number:03}x", [], filtered=1)], set(), 0)
    assert reader.counts == Counter(listed=1_000, filtered=20)


def test_a_full_set_takes_only_known_items():
    reader = Reader()
    pages = [_page("1", [_item("a")], filtered=1), _page("2", [_item("b"), _item("c")], filtered=1)]
    known = {_item("a").identifier, _item("b").identifier}
    assert not reader.take(pages, known, 0)
    assert (reader.cursor, reader.new) == ("1", [])
    assert reader.counts == Counter(listed=2, filtered=1)
