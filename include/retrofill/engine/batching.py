"""Batching: the size of batches, and where the pieces of a job are cut into batches."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

MAX_BATCHES = 200
"""Mapped instances of one run. Airflow's grid and scheduler become slow with many more."""

MOST_BYTES = 64 * 2**20
"""Content bytes of a batch, unless it is a single item or there would be too many batches.

In an extent that is cut, or that items have left, each item counts as the mean of all. A batch has
at most one such extent at each end, so it exceeds this bound by less than the content of two
screening chunks.
"""

MIN_BATCHES = 4
"""Mapped instances of a run with enough work for them, to use all cores of a worker."""


class Piece(NamedTuple):
    """Items of one run that no batch owns: all from the first number to the last."""

    first_seq: int
    last_seq: int
    items: int
    run_id: int
    island: int
    """No batch may cross islands: another batch owns what lies between them."""

    bytes: int = 0
    """Content bytes of its items; see MOST_BYTES."""

    def bytes_of(self, rank: int, items: int) -> int:
        """Return the content bytes of this many items, from a rank on."""
        return self.bytes * (rank + items) // self.items - self.bytes * rank // self.items


class Edge(NamedTuple):
    """An item of a piece, by its rank in it."""

    piece: Piece
    rank: int

    @property
    def seq(self) -> int | None:
        """The item's number; None: the piece has gaps, so it must be looked up."""
        first, last, items = self.piece[:3]
        if self.rank == items - 1:
            return last
        return first + self.rank if self.rank == 0 or items == last - first + 1 else None


class Batch(NamedTuple):
    """Neighbouring items, from the first to the last."""

    first: Edge
    last: Edge
    items: int
    bytes: int = 0
    """Their content bytes; see MOST_BYTES."""


def batch_size(items: int, *, most: int, fewest: int, batches: int = MAX_BATCHES) -> int:
    """Return the number of items per batch.

    :param most: items per batch, unless there would be too many batches
    :param fewest: the smallest batch that may be made to reach MIN_BATCHES
    :param batches: the most batches
    """
    return max(min(most, -(-items // MIN_BATCHES)), fewest, -(-items // batches))


def cut(
    pieces: Sequence[Piece], *, most: int, fewest: int, batches_allowed: int = 2 * MAX_BATCHES
) -> list[Batch]:
    """Cut pieces, which come in ascending order, into batches; see :func:`batch_size`.

    Except at islands, each batch but the last has the same size. A batch ends where an island ends,
    and where its content would exceed MOST_BYTES, or more if there would be too many batches.

    :param batches_allowed: the most batches, not counting islands: half of them may end for their
        items, and half for their bytes
    """
    half = max(min(MAX_BATCHES, batches_allowed // 2), 1)
    size = batch_size(sum(piece.items for piece in pieces), most=most, fewest=fewest, batches=half)
    most_bytes = max(MOST_BYTES, -(-2 * sum(piece.bytes for piece in pieces) // half))
    batches: list[Batch] = []
    place = 0
    for piece in pieces:
        rank = 0
        while rank < piece.items:
            continues = place % size > 0 and batches[-1].last.piece.island == piece.island
            before = batches[-1] if continues else None
            room = most_bytes - (before.bytes if before else 0)
            light = room * piece.items // piece.bytes if piece.bytes else piece.items
            if before and (room < 0 or light < 1):
                place += size - place % size
                continue
            taken = min(piece.items - rank, size - place % size, max(light, 1))
            first, last = Edge(piece, rank), Edge(piece, rank + taken - 1)
            added = Batch(first, last, taken, piece.bytes_of(rank, taken))
            if before:
                first, _, items, held = batches.pop()
                added = Batch(first, last, items + taken, held + added.bytes)
            batches.append(added)
            rank += taken
            place += taken
    return batches


def edges_to_look_up(batches: Iterable[Batch]) -> list[Edge]:
    """Return the edges of batches whose numbers must be looked up."""
    edges = (edge for batch in batches for edge in (batch.first, batch.last))
    return list(dict.fromkeys(edge for edge in edges if edge.seq is None))
