"""Items as columns."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from retrofill.model.items import NO_CONTENT, Item, ItemColumns

moments = st.datetimes(
    datetime(1970, 1, 1),  # noqa: DTZ001  hypothesis wants it so
    datetime(2200, 1, 1),  # noqa: DTZ001
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=2))]),
)
items = st.builds(
    Item,
    st.binary(min_size=16, max_size=16),
    st.text(),
    st.integers(0, 2**63 - 1),
    moments,
    st.text(),
    st.text(),
    st.sampled_from([NO_CONTENT, {"body": "a"}, {"body": "b"}]),
)


@given(st.lists(items), st.data())
def test_columns_hold_the_items_they_were_made_of(some: list[Item], data: st.DataObject) -> None:
    columns = ItemColumns.of(some)
    assert list(columns) == some
    assert len(columns) == len(some)
    assert ItemColumns.of(columns) is columns
    bound = st.integers(-len(some) - 1, len(some) + 1)
    start, stop = data.draw(bound), data.draw(bound)
    assert list(columns[start:stop]) == some[start:stop]
    if some:
        at = data.draw(st.integers(-len(some), len(some) - 1))
        assert columns[at] == some[at]


def test_columns_are_not_taken_with_a_step() -> None:
    columns = ItemColumns(
        bytes(32), ["a", "b"], ["1", "2"], ["2026-01-02T00:00:00"] * 2, *[[""] * 2] * 2
    )
    with pytest.raises(ValueError, match="cannot have the step 2"):
        columns[::2]
