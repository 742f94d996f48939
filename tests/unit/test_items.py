"""Items as columns."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from retrofill.model.items import Item, ItemColumns

items = st.builds(
    Item,
    st.binary(min_size=16, max_size=16),
    st.text(),
    st.text(),
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


def test_columns_cannot_be_sliced_with_a_step() -> None:
    columns = ItemColumns(bytes(32), ["a", "b"], ["1", "2"])
    with pytest.raises(ValueError, match="cannot have the step 2"):
        columns[::2]
