"""What the sources of tests have in common."""

from retrofill.model.listing import Page


class PlainSource:
    """Lists keys in order, cannot tell how many, and holds nothing."""

    ordered = True
    acknowledges = False

    def estimate(self) -> int | None:
        """Return None: nobody has counted them."""

    def acknowledge(self, page: Page) -> None:
        """Do nothing."""
