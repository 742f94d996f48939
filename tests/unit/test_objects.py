"""The facts of an object as the content of an item."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from retrofill.aws.objects import ObjectFacts, pack, unpack, unpack_all

MOMENT = datetime(2019, 9, 3, 19, 37, 27, 192_000, tzinfo=UTC)
text = st.text(st.characters(exclude_characters="\x1f"))
times = st.datetimes(
    datetime(1970, 1, 1, 12),  # noqa: DTZ001  hypothesis wants it so
    datetime(2200, 1, 1),  # noqa: DTZ001
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=2))]),
)
facts = st.builds(ObjectFacts, st.integers(0, 2**63 - 1), times, text, text)


@given(st.lists(facts))
def test_packed_facts_are_unpacked_unchanged(some: list[ObjectFacts]) -> None:
    contents = [pack(*one) for one in some]
    assert list(map(unpack, contents)) == some
    columns = unpack_all(contents)
    assert list(columns.sizes) == [str(one.size) for one in some]
    assert list(columns.etags) == [one.etag for one in some]
    assert list(columns.version_ids) == [one.version_id for one in some]


def test_a_whole_second_takes_ten_digits() -> None:
    assert pack(7, MOMENT.replace(microsecond=0), "e", "v") == "7\x1f1567539447\x1fe\x1fv"
    assert pack(7, MOMENT, "e", "") == "7\x1f1567539447.192\x1fe\x1f"


@pytest.mark.parametrize(
    "given",
    [(MOMENT, "a\x1fb", ""), (MOMENT, "", "\x1f"), (datetime(1969, 1, 1, tzinfo=UTC), "", "")],
)
def test_facts_that_could_not_be_unpacked_are_refused(given: tuple[datetime, str, str]) -> None:
    with pytest.raises(ValueError, match="not an object: modified"):
        pack(1, *given)


@pytest.mark.parametrize("contents", [[""], ["1\x1f2\x1f3\x1f4", '{"a": 1}']])
def test_other_contents_are_not_objects(contents: list[str]) -> None:
    with pytest.raises(ValueError, match="not each of these items"):
        unpack_all(contents)
    with pytest.raises(ValueError, match="unpack"):
        unpack(contents[-1])
