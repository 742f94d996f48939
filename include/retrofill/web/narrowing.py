"""The fields by which a person narrows down items of a job, on pages and by REST."""

from pydantic import BaseModel, Field

from retrofill.model.selection import Place, Selection
from retrofill.pipeline.select import Unsure, select


class Narrowed(BaseModel):
    """What of a place is meant; what is left out does not narrow it."""

    error: str | None = Field(
        default=None, description="Only items with such an error: a shell pattern."
    )
    key: str | None = Field(default=None, description="Only such keys: a shell pattern.")
    version: str | None = Field(
        default=None,
        description="Only items whose last call this version of the function executed.",
    )
    after: str | None = Field(
        default=None,
        description="Only what was settled at this time or later, with its zone.",
    )
    before: str | None = Field(default=None, description="Only what was settled before this time.")
    unsure: Unsure = Field(
        default="any",
        description="Items of which nobody knows whether their work is done: any, only these, or"
        " without.",
    )

    @property
    def typed(self) -> dict[str, str]:
        """The fields as they stand in a form."""
        return {name: getattr(self, name) or "" for name in Narrowed.model_fields}

    def within(self, place: Place) -> Selection:
        """Return the selection.

        :raises ConfigError: one of the fields is not as it may be
        """
        return select(place, **self.typed)


class Selected(Narrowed):
    """What is to be called again."""

    place: Place = Field(
        default=Place.QUARANTINE, description="quarantine, or successes: what has succeeded."
    )

    @property
    def selection(self) -> Selection:
        """The selection.

        :raises ConfigError: one of the fields is not as it may be
        """
        return self.within(self.place)
