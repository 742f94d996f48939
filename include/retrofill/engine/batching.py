"""Batching: how many items a batch has, and where the pieces of a job are cut into batches."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

MAX_BATCHES = 200
"""Mapped instances of one run: Airflow's grid and scheduler suffer from many more."""

MOST_BYTES = 64 * 2**20
"""What the contents of a batch take, unless it is a single item or there were too many batches.

Of an extent that is cut, or that items have left, each item counts as the mean of all. So a batch
is exact but for such extents, of which a new one lies at each end at most; what it takes beyond
this bound is less than what they took when they entered, a chunk of screening each.
"""

MIN_BATCHES = 4
"""Mapped instances of a run with work enough for them: a worker of several cores is used."""


class Piece(NamedTuple):
    """Items that nobody owns, all of one run: they have the first number, the last, and between."""

    first_seq: int
    last_seq: int
    items: int
    run_id: int
    island: int
    """No batch may reach from one island to the next: somebody owns what lies between."""

    bytes: int = 0
    """What the contents of its items take; see MOST_BYTES."""

    def bytes_of(self, rank: int, items: int) -> int:
        """Return what the contents of so many of its items take, from one of a rank on."""
        return self.bytes * (rank + items) // self.items - self.bytes * rank // self.items


class Place(NamedTuple):
    """An item of a piece, by its rank in it."""

    piece: Piece
    rank: int

    @property
    def seq(self) -> int | None:
        """The item's number; None: the piece has holes, so it must be looked up."""
        first, last, items = self.piece[:3]
        if self.rank == items - 1:
            return last
        return first + self.rank if self.rank == 0 or items == last - first + 1 else None


class Batch(NamedTuple):
    """Neighbouring items, from the first to the last."""

    first: Place
    last: Place
    items: int
    bytes: int = 0
    """What their contents take; see MOST_BYTES."""


def batch_size(items: int, *, most: int, fewest: int, batches: int = MAX_BATCHES) -> int:
    """Return how many of so many items each batch has.

    :param most: items of a batch, unless that made too many batches
    :param fewest: items below which a batch is not made smaller to have MIN_BATCHES of them
    :param batches: how many batches are too many
    """
    return max(min(most, -(-items // MIN_BATCHES)), fewest, -(-items // batches))


def cut(
    pieces: Sequence[Piece], *, most: int, fewest: int, batches_allowed: int = 2 * MAX_BATCHES
) -> list[Batch]:
    """Cut pieces, which come in the order of their numbers, into batches; see :func:`batch_size`.

    Islands apart, each batch but the last has the same size. Where an island ends, so does a batch,
    and where its contents would take more than MOST_BYTES, or more if that made too many batches.

    :param batches_allowed: the most there may be, islands apart: half of them may end for their
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
            goes_on = place % size > 0 and batches[-1].last.piece.island == piece.island
            before = batches[-1] if goes_on else None
            room = most_bytes - (before.bytes if before else 0)
            light = room * piece.items // piece.bytes if piece.bytes else piece.items
            if before and (room < 0 or light < 1):
                place += size - place % size
                continue
            taken = min(piece.items - rank, size - place % size, max(light, 1))
            first, last = Place(piece, rank), Place(piece, rank + taken - 1)
            added = Batch(first, last, taken, piece.bytes_of(rank, taken))
            if before:
                first, _, items, held = batches.pop()
                added = Batch(first, last, items + taken, held + added.bytes)
            batches.append(added)
            rank += taken
            place += taken
    return batches


def places_to_look_up(batches: Iterable[Batch]) -> list[Place]:
    """Return the edges of batches whose numbers their pieces do not tell."""
    edges = (edge for batch in batches for edge in (batch.first, batch.last))
    return list(dict.fromkeys(edge for edge in edges if edge.seq is None))
