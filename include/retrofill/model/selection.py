"""A selection of items in quarantine, or of items that succeeded."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Self

from retrofill.model.globs import only
from retrofill.model.stored import Stored


class Place(StrEnum):
    """Where the items of a selection are."""

    QUARANTINE = "quarantine"
    SUCCESSES = "successes"
    """In the results cache."""


LONGEST_ERROR_TYPE = 200
"""Characters of an error's name that distinguish items, and of patterns for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection(Stored):
    """Items of one job and place; each field that is not None narrows it."""

    place: Place = Place.QUARANTINE

    error: str | None = None
    """Shell patterns for the name of the error, separated by bars."""

    key: str | None = None
    """Shell patterns for the key, separated by bars."""

    version: str | None = None
    """The function version that executed the last call, or that its run pinned."""

    after: datetime | None = None
    """Settled at this time or later."""

    before: datetime | None = None
    """Settled before this time."""

    unsure: bool | None = None
    """Whether a call may have done the work although nobody knows."""

    def as_json(self) -> dict[str, Any]:
        """Return the selection as plain JSON values, without empty fields."""
        plain = Stored.as_json(self)
        return {name: value for name, value in plain.items() if value is not None}

    def with_error(self, error_type: str) -> Self:
        """Return the part of this selection with one error; long names match by their start."""
        pattern, kept = only(error_type), len(error_type)
        while len(pattern) >= LONGEST_ERROR_TYPE:
            kept -= 1
            pattern = f"{only(error_type[:kept])}*"
        return replace(self, error=pattern)

    @property
    def text(self) -> str:
        """The selection for people, such as ``quarantine: error Timeout*, version 7``."""
        narrowed = ", ".join(self._narrowed())
        return f"{self.place}: {narrowed}" if narrowed else f"{self.place}: all of it"

    def _narrowed(self) -> Iterator[str]:
        for name in ("error", "key", "version"):
            if getattr(self, name) is not None:
                yield f"{name} {getattr(self, name)}"
        if self.after is not None:
            yield f"from {self.after:%Y-%m-%d %H:%M:%S} UTC"
        if self.before is not None:
            yield f"before {self.before:%Y-%m-%d %H:%M:%S} UTC"
        if self.unsure is not None:
            yield "in doubt" if self.unsure else "not in doubt"
