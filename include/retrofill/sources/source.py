"""What every source can do: be checked, be divided, and be read page by page."""

from collections.abc import Iterator
from typing import Protocol

from retrofill.model.listing import Page, Partition

__all__ = ["Page", "Partition", "Source"]


class Source(Protocol):
    """Where items come from.

    A class of its own may inherit from it: then it has keys that rise, no estimate, and
    acknowledges nothing, unless it says otherwise.
    """

    @property
    def name(self) -> str:
        """The namespace of its items' identifiers, such as ``memory://items``."""

    @property
    def ordered(self) -> bool:
        """Whether keys rise by code point within each partition: pages in order, and their items.

        Then an item is known by a look at the keys of its neighbours; else by one for itself.
        """
        return True

    def check(self) -> bool:
        """Make sure that the source can be read; return whether it showed an object.

        Filters play no part. If it showed one, a survey that shows none at all is an error.

        :raises ConfigError: a person must change something first
        :raises SourceError: there was no answer; another try may get one
        """

    def partitions(self, limit: int) -> list[Partition]:
        """Divide the source into no more partitions than the limit; they cover it exactly.

        Even an empty source has one.

        :raises SourceError: the source could not be read
        """

    def pages(self, partition: Partition, cursor: str | None = None) -> Iterator[Page]:
        """Read a partition from its beginning, or from the cursor of a page.

        Pages come in the same order every time; the order within one does not matter. An item may
        be repeated from the page before: it is counted once. What is left out may not.

        :raises SourceError: the source could not be read
        """

    def estimate(self) -> int | None:
        """Return about how many items there are; None: the source cannot tell."""
        return None

    @property
    def acknowledges(self) -> bool:
        """Whether :meth:`acknowledge` does something.

        Then each commit of its pages is flushed to the disk first.
        """
        return False

    def acknowledge(self, page: Page) -> None:
        """Let go of what a page holds: a commit that is on the disk has taken all of it."""
