"""What every source can do: be checked, be divided, and be read page by page."""

from collections.abc import Iterator
from typing import Protocol

from retrofill.model.listing import Page, Partition

__all__ = ["Page", "Partition", "Source"]


class Source(Protocol):
    """Where items come from."""

    @property
    def name(self) -> str:
        """The common name of its items, which is part of their identifiers."""

    def check(self) -> bool:
        """Make sure that the source can be read; return whether it showed an object.

        Filters play no part. If it showed one, a survey that shows none at all is an error.

        :raises ConfigError: a person must change something first
        :raises SourceError: there was no answer; another try may get one
        """

    def estimate(self) -> int | None:
        """Return about how many items the source holds; None: unknown without reading it all."""

    def partitions(self, limit: int) -> list[Partition]:
        """Divide the source into no more partitions than the limit; they cover it exactly.

        Even an empty source has one.

        :raises SourceError: the source could not be read
        """

    def pages(self, partition: Partition, after_key: str | None = None) -> Iterator[Page]:
        """Read a partition from its beginning, or behind the last key of a page.

        Pages come in the same order every time; the order within one does not matter. An item may
        be repeated from the page before: it is counted once. Objects that are not items may not.

        :raises SourceError: the source could not be read
        """
