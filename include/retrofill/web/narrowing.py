"""The fields that select items of a job, on pages and by REST."""

from pydantic import BaseModel, Field

from retrofill.model.selection import Place, Selection
from retrofill.pipeline.select import Unsure, select


class Narrowed(BaseModel):
    """Which items of a place are meant; fields that are left out select all."""

    error: str | None = Field(
        default=None, description="Only items with such an error: a shell pattern."
    )
    key: str | None = Field(
        default=None, description="Only items with such a key: a shell pattern."
    )
    version: str | None = Field(
        default=None,
        description="Only items whose last call ran this version of the function.",
    )
    after: str | None = Field(
        default=None,
        description="Only items settled at this time or later, with its zone.",
    )
    before: str | None = Field(default=None, description="Only items settled before this time.")
    unsure: Unsure = Field(
        default="any",
        description="Items in doubt, whose work may or may not be done: any for all items, only, or"
        " without.",
    )

    @property
    def typed(self) -> dict[str, str]:
        """The fields as a form shows them."""
        return {name: getattr(self, name) or "" for name in Narrowed.model_fields}

    def within(self, place: Place) -> Selection:
        """Return the selection.

        :raises ConfigError: a field has a value that is not allowed
        """
        return select(place, **self.typed)


class Selected(Narrowed):
    """Which items to call again."""

    place: Place = Field(
        default=Place.QUARANTINE,
        description="quarantine, or successes for items that were processed.",
    )
