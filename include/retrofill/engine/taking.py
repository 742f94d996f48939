"""Divide listed pages between sets, so that each item and each count is taken exactly once."""

import struct
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from operator import attrgetter
from typing import NamedTuple

from retrofill.model.items import IDENTIFIER_BYTES, Item
from retrofill.model.listing import Page

_one_by_one = struct.Struct(f"{IDENTIFIER_BYTES}s").iter_unpack
_AT_ONCE = 500
_many = struct.Struct(f"{IDENTIFIER_BYTES}s" * _AT_ONCE)
_identifier = attrgetter("identifier")


class Taken(NamedTuple):
    """What a set takes of some pages, and what the next set must know."""

    new: dict[bytes, Item]
    """The new items by identifier, in the order of the listing."""

    listed: int
    """How many items are taken, new and known."""

    whole: Sequence[Page]
    """The pages taken completely: their counts are added, and the last one is the cursor."""

    recent: bytes
    """Concatenated identifiers of items that are counted and may be listed again."""

    is_cut: bool
    """Whether there was not room for all."""


def identifiers_in(identifiers: bytes) -> Iterator[bytes]:
    """Return the concatenated identifiers one by one."""
    whole = len(identifiers) - len(identifiers) % _many.size
    # Unpacked one by one, each would cost a tuple of its own.
    return chain(
        chain.from_iterable(_many.iter_unpack(memoryview(identifiers)[:whole])),
        chain.from_iterable(_one_by_one(memoryview(identifiers)[whole:])),
    )


def take(pages: Sequence[Page], recent: bytes, known: bytes, room: int) -> Taken:
    """Take items in the order of the listing until there is no room for a new one.

    If that happens within a page, its items before the cut are taken, and the cursor stays before
    it. The next set lists the page again, skips the items that were taken, and adds the page's
    other counts, which have no position in it.

    :param recent: as left by earlier pages; these items are skipped
    :param known: concatenated identifiers of known items, perhaps also of items on no page
    :param room: the maximum number of new items
    """
    items = list(chain.from_iterable(page.items for page in pages))
    identifiers = list(map(_identifier, items))
    before = set(identifiers_in(recent))
    new = _new_among(items, identifiers, known)
    distinct = new.keys() if len(new) == len(items) else set(identifiers)
    listed = len(distinct) - len(before & distinct)
    for identifier in new.keys() & before:
        del new[identifier]
    if len(new) <= room:
        left = _recent_of(pages, before, still_ahead=identifiers[-1:])
        return Taken(new, listed, pages, left, is_cut=False)
    first_left = next(islice(new, room, None))
    place = identifiers.index(first_left)
    whole, begun = _cut(pages, first_left)
    return Taken(
        dict(islice(new.items(), room)),
        len(set(identifiers[:place]) - before),
        whole,
        _recent_of(whole, before, still_ahead=identifiers[place:], begun=begun),
        is_cut=True,
    )


def _new_among(items: list[Item], identifiers: list[bytes], known: bytes) -> dict[bytes, Item]:
    """Return the unknown items by identifier, in the order of the listing.

    There are tens of thousands, mostly all new or all known, so a pass in C decides if it can.
    """
    if not known:
        return dict(zip(identifiers, items, strict=True))
    if known == b"".join(identifiers):  # what an earlier run listed, in the same order
        return {}
    known_ones = set(identifiers_in(known))
    if known_ones.issuperset(identifiers):
        return {}
    both = zip(identifiers, items, strict=True)
    return {identifier: item for identifier, item in both if identifier not in known_ones}


def _recent_of(
    whole: Sequence[Page],
    before: set[bytes],
    *,
    still_ahead: Iterable[bytes],
    begun: Sequence[bytes] = (),
) -> bytes:
    """Return the identifiers of items that are counted and may be listed again.

    These are the items of the last complete page, because a listing may repeat some at a border,
    and the items taken of a page that was cut. Such a page may come back as several shorter ones,
    so earlier recent items are kept until the listing is past it.
    """
    last = next((page.items for page in reversed(whole) if page.items), None)
    passed = last is not None and before.isdisjoint(still_ahead)
    kept = () if passed else before
    return b"".join(dict.fromkeys(chain(kept, map(_identifier, last or ()), begun)))


def _cut(pages: Sequence[Page], first_left: bytes) -> tuple[Sequence[Page], list[bytes]]:
    """Return the pages before the one with that item, and the identifiers before it on its page."""
    for number, page in enumerate(pages):
        identifiers = list(map(_identifier, page.items))
        if first_left in identifiers:
            return pages[:number], identifiers[: identifiers.index(first_left)]
    raise ValueError("the item is on none of the pages")
