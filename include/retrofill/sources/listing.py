"""What every source can do: be checked, be divided, and be read page by page."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple, Protocol

from include.retrofill.model.items import Item


class Partition(NamedTuple):
    """A part of a source that is read by one task."""

    number: int
    """Its place among the partitions, from 0."""

    label: str
    """Its name for people."""

    description: Mapping[str, str | None]
    """What the source needs to find it again; plain JSON."""


class Page(NamedTuple):
    """A stretch of a partition. Each object seen is an item or in one of the last three counts."""

    items: list[Item]

    last_key: str
    """All keys of the partition up to this one were seen; where to go on."""

    listed: int
    """How many objects were seen."""

    filtered: int
    """How many of them the run does not ask for, or its live trigger would not send."""

    archived: int
    """How many of them are asked for, but are in an archive, where no function can read them."""

    rejected: int
    """How many of them are asked for, but have a key that the state cannot hold."""


class Source(Protocol):
    """Where items come from."""

    @property
    def name(self) -> str:
        """The common name of its items, which is part of their identifiers."""

    def check(self) -> None:
        """Make sure that the source can be read.

        :raises ConfigError: a person must change something first
        :raises SourceError: there was no answer; another try may get one
        """

    def partitions(self, limit: int) -> list[Partition]:
        """Divide the source into no more partitions than the limit; they cover it exactly.

        :raises SourceError: the source could not be read
        """

    def pages(self, partition: Partition, after_key: str | None = None) -> Iterator[Page]:
        """Read a partition in the order of its keys, behind the key where an earlier try ended.

        :raises SourceError: the source could not be read
        """
