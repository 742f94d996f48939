"""The protocol of sources: check, divide into partitions, and read page by page."""

from collections.abc import Iterator
from typing import Protocol

from retrofill.model.listing import Page, Partition

__all__ = ["Page", "Partition", "Source"]


class Source(Protocol):
    """Where items come from.

    A class may inherit from it. By default, its keys ascend, and it has no estimate and no
    acknowledgements::

        class NumberSource(Source):
            name = "numbers://"

            def check(self): ...
            def partitions(self, limit): ...
            def pages(self, partition, cursor=None): ...
    """

    @property
    def name(self) -> str:
        """The namespace of its items' identifiers, such as ``memory://items``."""

    @property
    def ordered(self) -> bool:
        """Whether keys ascend by code point in each partition, over pages and within them.

        If they do, screening finds items by the keys of their neighbours; otherwise one by one.
        """
        return True

    def check(self) -> bool:
        """Make sure that the source can be read; return whether it has an object.

        Filters do not matter. If there is an object, a survey that shows none is an error.

        :raises ConfigError: the source cannot be read as given
        :raises SourceError: there was no response; a retry may succeed
        """

    def partitions(self, limit: int) -> list[Partition]:
        """Divide the source into at most ``limit`` partitions that cover it exactly.

        Even an empty source has one.

        :raises SourceError: the source could not be read
        """

    def pages(self, partition: Partition, cursor: str | None = None) -> Iterator[Page]:
        """Read a partition from its beginning, or after the cursor of a page.

        Pages come in the same order every time; the order within one does not matter. An item may
        be repeated from the page before: it counts once. Left-out items may not be repeated.

        :raises SourceError: the source could not be read
        """

    def estimate(self) -> int | None:
        """Return the approximate number of items; None: unknown."""
        return None

    @property
    def acknowledges(self) -> bool:
        """Whether :meth:`acknowledge` does something.

        If so, each commit of its pages is flushed to the disk first.
        """
        return False

    def acknowledge(self, page: Page) -> None:
        """Release what a page holds: a commit that is on the disk has taken all of it."""
