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

    name: str
    """The namespace of its items' identifiers, such as ``memory://items``."""

    ordered: bool = True
    """Whether keys ascend by code point in each partition, within pages and from page to page.

    If so, screening finds items by key range; otherwise one by one."""

    acknowledges: bool = False
    """Whether :meth:`acknowledge` does something.

    If so, each commit of its pages is flushed to the disk first."""

    def check(self) -> bool:
        """Check that the source can be read; return whether it has an object, filtered or not.

        If it has one, a survey that shows none is an error.

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

    def acknowledge(self, page: Page) -> None:
        """Release a page's items: a commit that is on the disk includes all of them."""
        del page
