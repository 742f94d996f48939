"""The buckets of a script, with listed objects, or any number of generated ones."""

from datetime import UTC, datetime
from typing import Annotated, Self

from pydantic import ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass

MAX_GENERATED = 10_000_000
"""The most generated objects of a bucket."""

STRICT = ConfigDict(extra="forbid", arbitrary_types_allowed=False)

Count = Annotated[int, Field(ge=1)]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class S3Object:
    """An object of a bucket, as a listing shows it."""

    key: str
    """Its key."""

    size: Annotated[int, Field(ge=0)] = 0
    """Its size in bytes."""

    modified_at: datetime = datetime(2024, 1, 1, tzinfo=UTC)
    """When it was written (with a time zone)."""

    storage_class: str = "STANDARD"
    """Its storage class."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.modified_at.tzinfo is None:
            text = f"modified_at: {self.modified_at.isoformat()!r} must have a time zone"
            raise ValueError(text)
        try:
            self.key.encode()
        except UnicodeEncodeError as error:
            text = f"key: {self.key!r} has no UTF-8 form"
            raise ValueError(text) from error
        return self


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Bucket:
    """A bucket that the endpoint has."""

    name: Annotated[str, Field(pattern=r"\A[a-z0-9.-]{3,63}\z")] = "scripted"
    """Its name."""

    objects: tuple[S3Object, ...] = ()
    """Its objects, in any order."""

    generated: Annotated[int, Field(ge=0, le=MAX_GENERATED)] = 0
    """How many objects to generate instead: ``data/000000000.json`` and so on."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.objects and self.generated:
            text = "objects and generated: a bucket has one of them"
            raise ValueError(text)
        keys = [one.key for one in self.objects]
        if len(set(keys)) != len(keys):
            text = f"objects: {max(keys, key=keys.count)!r} is there more than once"
            raise ValueError(text)
        return self
