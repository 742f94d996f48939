"""Batching: each item is in one batch, and no batch spans two islands."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from retrofill.engine.batching import (
    MAX_BATCHES,
    MIN_BATCHES,
    MOST_BYTES,
    Batch,
    Edge,
    Piece,
    batch_size,
    cut,
    edges_to_look_up,
)


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[Piece], dict[Piece, list[int]]]:
    """Draw pieces in order of number, with the numbers of each one's items."""
    seq = island = 0
    seqs: dict[Piece, list[int]] = {}
    for steps in draw(st.lists(st.lists(st.integers(1, 3), min_size=1, max_size=40), max_size=12)):
        numbers = [seq := seq + step for step in steps]
        island += draw(st.integers(0, 1))
        run_id = draw(st.integers(1, 2))
        mean = draw(st.sampled_from([0, 0, 999.4, MOST_BYTES / 7, 2 * MOST_BYTES]))
        content = int(len(numbers) * mean)
        piece = Piece(numbers[0], numbers[-1], len(numbers), run_id, island, content)
        seqs[piece] = numbers
    return list(seqs), seqs


sizes = st.fixed_dictionaries({"most": st.integers(1, 50), "fewest": st.integers(1, 20)})


@given(cases(), sizes)
def test_each_item_is_in_one_batch(
    case: tuple[list[Piece], dict[Piece, list[int]]], rule: dict[str, int]
) -> None:
    pieces, seqs = case
    batches = cut(pieces, **rule)

    def seq_of(place: Edge) -> int:
        return seqs[place.piece][place.rank]

    everything = [seq for numbers in seqs.values() for seq in numbers]
    spans = [(seq_of(batch.first), seq_of(batch.last)) for batch in batches]
    assert all(last < first for (_, last), (first, _) in pairwise(spans))
    held = [[seq for seq in everything if first <= seq <= last] for first, last in spans]
    assert [len(numbers) for numbers in held] == [batch.items for batch in batches]
    assert [seq for numbers in held for seq in numbers] == everything
    assert all(batch.first.piece.island == batch.last.piece.island for batch in batches)


@given(cases(), sizes)
def test_batches_are_as_large_as_the_rule_says(
    case: tuple[list[Piece], dict[Piece, list[int]]], rule: dict[str, int]
) -> None:
    pieces, _ = case
    batches = cut(pieces, **rule)
    total = sum(piece.items for piece in pieces)
    size = batch_size(total, **rule)
    islands = {piece.island for piece in pieces}
    assert all(batch.items <= size for batch in batches)
    content = sum(piece.bytes for piece in pieces)
    most_bytes = max(MOST_BYTES, -(-2 * content // MAX_BATCHES))
    assert all(batch.bytes <= most_bytes or batch.items == 1 for batch in batches)
    assert sum(batch.bytes for batch in batches) == sum(piece.bytes for piece in pieces)
    if sum(piece.bytes for piece in pieces) <= MOST_BYTES:
        assert len(batches) <= -(-total // size) + max(len(islands) - 1, 0)


@given(cases(), sizes)
def test_a_place_knows_its_number_or_is_looked_up(
    case: tuple[list[Piece], dict[Piece, list[int]]], rule: dict[str, int]
) -> None:
    pieces, seqs = case
    batches = cut(pieces, **rule)
    edges = {edge for batch in batches for edge in (batch.first, batch.last)}
    unknown = edges_to_look_up(batches)
    assert len(unknown) == len(set(unknown))
    for place in edges:
        assert (place.seq is None) == (place in unknown)
        assert place.seq in {None, seqs[place.piece][place.rank]}


def test_pieces_without_holes_need_no_lookup() -> None:
    pieces = [Piece(1, 10_000, 10_000, 1, 0), Piece(10_001, 14_000, 4_000, 2, 0)]
    batches = cut(pieces, most=5_000, fewest=1)
    assert [(batch.first.seq, batch.last.seq, batch.items) for batch in batches] == [
        (1, 3_500, 3_500), (3_501, 7_000, 3_500), (7_001, 10_500, 3_500), (10_501, 14_000, 3_500)
    ]  # fmt: skip
    assert edges_to_look_up(batches) == []


def test_a_batch_ends_where_its_island_does() -> None:
    first, second = Piece(1, 3, 3, 1, 0), Piece(6, 9, 4, 1, 1)
    assert cut([first, second], most=5, fewest=5) == [
        Batch(Edge(first, 0), Edge(first, 2), 3),
        Batch(Edge(second, 0), Edge(second, 1), 2),
        Batch(Edge(second, 2), Edge(second, 3), 2),
    ]


@pytest.mark.parametrize(
    ("items", "most", "fewest", "size"),
    [
        (0, 10, 5, 5),
        (100, 10, 5, 10),
        (20, 10, 1, 20 // MIN_BATCHES),
        (3, 10, 5, 5),
        (100 * MAX_BATCHES + 1, 10, 5, 101),
    ],
)
def test_the_size_of_a_batch(items: int, most: int, fewest: int, size: int) -> None:
    assert batch_size(items, most=most, fewest=fewest) == size


def test_a_batch_ends_where_its_content_is_large() -> None:
    small, large = Piece(1, 4, 4, 1, 0, 4_000), Piece(5, 9, 5, 1, 0, 5 * MOST_BYTES // 2)
    batches = cut([small, large], most=50, fewest=50)
    assert [(batch.first.seq, batch.last.seq) for batch in batches] == [(1, 5), (6, 7), (8, 9)]
    assert [batch.bytes for batch in batches] == [4_000 + MOST_BYTES // 2, MOST_BYTES, MOST_BYTES]


@pytest.mark.parametrize("allowed", [1, 2, 50, 1_024])
@pytest.mark.parametrize("mean", [0, 60, MOST_BYTES // 3, 2 * MOST_BYTES])
def test_there_are_no_more_batches_than_are_allowed(allowed: int, mean: int) -> None:
    pieces = [Piece(1, 5_000, 5_000, 1, 0, 5_000 * mean), Piece(5_001, 9_000, 4_000, 2, 0, 7)]
    batches = cut(pieces, most=10, fewest=10, batches_allowed=allowed)
    assert sum(batch.items for batch in batches) == 9_000
    assert len(batches) <= allowed
