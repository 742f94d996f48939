"""Shell patterns: as regular expressions for Postgres, their prefixes, and one for a given text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from retrofill.model.globs import as_regex, beginning, behind, matches, only
from retrofill.model.selection import Place
from retrofill.pipeline.select import select

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)


@pytest.mark.parametrize(
    ("pattern", "regex"),
    [
        ("in/*.jpg|a?c", r"^(?:in/.*\.jpg|a.c)$"),
        ("[ab][!c-e]", r"^(?:[ab][^c-e])$"),
        ("[]]", r"^(?:[\]])$"),
        ("[^]", r"^(?:[\^])$"),
        ("[z-a]", r"^(?:(?!x)x)$"),
        ("[!z-a]", r"^(?:.)$"),
        ("[a", r"^(?:\[a)$"),
    ],
)
def test_postgres_matches_the_same_texts(pattern: str, regex: str) -> None:
    assert as_regex(pattern) == regex


@given(TEXTS)
def test_a_pattern_for_one_text_matches_that_alone(text: str) -> None:
    assert matches(only(text))(text)
    assert not matches(only(text))(text + "x")


@given(TEXTS.filter(bool))
def test_a_pattern_for_one_text_is_an_allowed_selection(text: str) -> None:
    """A function may name its errors by lines of text."""
    assert select(Place.QUARANTINE, error=only(text)).error == only(text)


@pytest.mark.parametrize(
    ("patterns", "begins"),
    [(None, ""), ("in/*", "in/"), ("in/2025/*|in/2024/*", "in/202"), ("a*|b*", ""), ("a|ab", "a")],
)
def test_the_common_prefix_of_all_matches(patterns: str | None, begins: str) -> None:
    assert beginning(patterns) == begins


@given(TEXTS, TEXTS)
def test_the_end_of_a_prefix_is_after_every_text_with_it(begins: str, rest: str) -> None:
    end = behind(begins)
    assert end is None or (begins + rest < end and not end.startswith(begins))


@pytest.mark.parametrize(
    ("begins", "end"),
    [("", None), ("\U0010ffff", None), ("a\U0010ffff", "b"), ("\ud7ff", "\ue000")],
)
def test_the_last_characters_have_a_successor(begins: str, end: str | None) -> None:
    assert behind(begins) == end
