"""The common base of test sources."""

from retrofill.model.listing import Page


class PlainSource:
    """Lists keys in order, without an estimate of their number, and holds nothing."""

    ordered = True
    acknowledges = False

    def estimate(self) -> int | None:
        """Return None: the number is unknown."""

    def acknowledge(self, page: Page) -> None:
        """Do nothing."""
