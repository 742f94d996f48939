"""Feedback: which names outputs may have, and how many of them stop a run."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from retrofill.engine.feedback import (
    AFTER,
    BEFORE,
    MOST_STEMS,
    Calling,
    Findings,
    parents_of,
    stems_of,
)
from retrofill.engine.sampling import systematic

FOLDERS = {"": ["in", "out", "thumbs", "2026-11-28"], "data/": ["raw", "small"]}


def finds(key: str, origin: str) -> bool:
    """Return whether the lookup of a key's possible origins finds one: by name, or up to a dot."""
    stems = stems_of(key, FOLDERS)
    assert len(stems) <= MOST_STEMS
    return any(origin == stem or origin.startswith(f"{stem}.") for stem in stems)


@pytest.mark.parametrize(
    ("key", "origin"),
    [
        ("in/a.jpg", "in/a.jpg"),
        ("in/a_thumb.jpg", "in/a.jpg"),
        ("in/a-200x200.jpg", "in/a.jpg"),
        ("in/a-1.jpg", "in/a.jpg"),
        ("in/aSmall.jpg", "in/a.jpg"),
        ("in/a (copy).jpg", "in/a.jpg"),
        ("in/thumb_a.jpg", "in/a.jpg"),
        ("in/a.jpg.json", "in/a.jpg"),
        ("in/a.json", "in/a.jpg"),
        ("in/a", "in/a.jpg"),
        ("in/a.txt", "in/a"),
        ("in/a_thumb.webp", "in/a.jpg"),
        ("in/a-5d0b2a35-8b1a-4b51-9f0e-cb9f3bd0f4e1.jpg", "in/a.jpg"),
        ("in/5d0b2a35-8b1a-4b51-9f0e-cb9f3bd0f4e1-a.jpg", "in/a.jpg"),
        ("out/a.jpg", "in/a.jpg"),
        ("out/a.jpg", "a.jpg"),
        ("out/in/a.jpg", "in/a.jpg"),
        ("processed/2026/11/29/in/a.json", "in/a.jpg"),
        ("in/thumbs/a_small.jpg", "in/a.jpg"),
        ("data/small/x/y.png", "data/raw/x/y.tiff"),
        ("thumbs/2025/a_s.jpg", "in/2025/a.jpg"),
        ("写真/東京_01_縮小.jpg", "写真/東京_01.jpg"),
        ("縮小/写真/東京 タワー.jpg", "写真/東京 タワー.jpg"),
        ("in/cafe\u0301_klein.jpg", "in/cafe\u0301.jpg"),
        ("in/🦆-small.jpg", "in/🦆.jpg"),
    ],
)
def test_the_name_of_an_output_leads_to_its_input(key: str, origin: str) -> None:
    assert finds(key, origin)


@pytest.mark.parametrize(
    ("key", "other"),
    [
        ("in/b.jpg", "in/a.jpg"),
        ("in/img_12.jpg", "in/img_1.jpg"),
        ("in/photo-2.jpg", "in/photo-1.jpg"),
        ("2026-11-29/x.csv", "2026-11-28/x.csv"),
        ("logs/2026-11-29.log", "logs/2026-11-28.log"),
        ("in/", "in/a.jpg"),
        (".hidden", "in/a"),
    ],
)
def test_neighbours_are_not_outputs(key: str, other: str) -> None:
    assert not finds(key, other)


_WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)


@given(_WORDS, _WORDS, st.sampled_from("-_ /"))
def test_a_word_before_or_after_the_name_is_allowed(name: str, affix: str, separator: str) -> None:
    origin = f"a{name.replace('/', '-')}b"
    word = "".join(filter(str.isalpha, affix)) or "w"
    assert finds(f"{word}{separator}{origin}", origin)
    assert finds(f"{origin}{separator.replace('/', '_')}{word}", origin)


@given(st.text(min_size=1, max_size=300))
@example("/")
def test_every_key_has_a_bounded_number_of_names_and_none_is_empty(key: str) -> None:
    stems = stems_of(key, FOLDERS)
    assert len(stems) <= MOST_STEMS
    assert len(set(stems)) == len(stems)
    assert all(stems)


def test_folders_are_tried_if_keys_have_any() -> None:
    assert parents_of(["a", "in/a", "in/b", "data/raw/x/y", "data/raw/x/z/z"]) == [
        "",
        "data/",
        "data/raw/",
    ]


@given(st.integers(0, 5_000), st.integers(1, 1_000))
def test_a_sample_is_spread_over_all(count: int, most: int) -> None:
    places = systematic(count, most)
    assert len(places) == min(count, most)
    assert places == sorted(set(places))
    assert all(0 <= place < count for place in places)
    if count > most:
        assert max(b - a for a, b in zip(places, [*places[1:], count], strict=True)) <= -(
            -count // most
        )


def looked(sample: int, pairs: int, *, named: int = 0, suspects: int = 0) -> Findings:
    suspects = suspects or pairs
    return Findings(
        sample=sample,
        suspects=suspects,
        looked_up=min(suspects, 100),
        named=named or pairs,
        pairs=pairs,
    )


@pytest.mark.parametrize(
    ("found", "stops"),
    [
        (looked(20, 20), True),
        (looked(100, 10), True),
        (looked(20, 9), False),
        (looked(1_000, 40), False),
        (looked(1_000, 100, suspects=500), True),
        # One folder per day: the names match by chance, at some other time.
        (looked(500, 60, named=500, suspects=500), False),
        (looked(9, 9), True),
        (looked(9, 8), False),
        (looked(3, 3), True),
        (looked(2, 2), False),
        (looked(0, 0), False),
    ],
)
def test_a_run_stops_at_a_share_and_number_or_if_all_of_few_match(
    found: Findings,
    stops: bool,  # noqa: FBT001
) -> None:
    assert found.is_feedback is stops


def test_an_output_is_written_during_calls_or_shortly_around_them() -> None:
    began = datetime(2026, 1, 2, tzinfo=UTC)
    calling = Calling(1, began, began + timedelta(minutes=5), 10, 10)
    assert calling.covers(began - BEFORE)
    assert calling.covers(calling.ended + AFTER)
    assert not calling.covers(began - BEFORE - timedelta(microseconds=1))
    assert not calling.covers(calling.ended + AFTER + timedelta(microseconds=1))
