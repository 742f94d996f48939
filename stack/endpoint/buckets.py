"""The buckets of a script: objects one by one, or as many as one likes that are made up."""

from datetime import UTC, datetime
from typing import Annotated, Self

from pydantic import ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass

MAX_GENERATED = 10_000_000
"""The most objects of a generated bucket."""

STRICT = ConfigDict(extra="forbid", arbitrary_types_allowed=False)

Count = Annotated[int, Field(ge=1)]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class S3Object:
    """An object of a bucket, as a listing shows it."""

    key: str
    """Its key."""

    size: Annotated[int, Field(ge=0)] = 0
    """Its size in bytes."""

    etag: str = "d41d8cd98f00b204e9800998ecf8427e"
    """Its entity tag, without quotes."""

    modified_at: datetime = datetime(2024, 1, 1, tzinfo=UTC)
    """When it was made (with a time zone)."""

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
class GeneratedObjects:
    """As many objects as one likes, made up when they are listed."""

    count: Annotated[int, Field(ge=0, le=MAX_GENERATED)]
    """How many."""

    pattern: str = "data/{i:09d}.json"
    """The key, with ``{i}`` (from 0) and perhaps ``{folder}``, both of a fixed width."""

    folder_size: Count = 1_000
    """How many objects have one ``{folder}`` number."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        try:
            keys = [self.key(i) for i in self._samples()]
        except (LookupError, ValueError, AttributeError) as error:
            text = f"pattern: {self.pattern!r} cannot be formatted with i and folder: {error}"
            raise ValueError(text) from error
        encoded = [key.encode() for key in keys]
        if sorted(set(encoded)) != encoded or len({len(key) for key in encoded}) > 1:
            text = (
                f"pattern: {self.pattern!r} must make keys of one length that rise with i up to"
                f" {self.count - 1}, as 'data/{{i:09d}}.json' does"
            )
            raise ValueError(text)
        return self

    def key(self, i: int) -> str:
        """Return the key of the object number ``i``."""
        return self.pattern.format(i=i, folder=i // self.folder_size)

    def _samples(self) -> list[int]:
        """Return numbers that show whether keys rise: both ends and each change of width."""
        near = {10**power + step for power in range(8) for step in (-1, 0, 1)}
        near |= {self.folder_size * 10**power + step for power in range(8) for step in (-1, 0, 1)}
        return sorted(i for i in near | {0, self.count - 1} if 0 <= i < self.count)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Bucket:
    """A bucket that the endpoint has."""

    name: Annotated[str, Field(pattern=r"\A[a-z0-9.-]{3,63}\z")] = "scripted"
    """Its name."""

    objects: tuple[S3Object, ...] = ()
    """Its objects, in any order."""

    generated: GeneratedObjects | None = None
    """Its objects, made up."""

    region: str = ""
    """Its region, empty for the endpoint's; from another one a request gets 301."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.objects and self.generated is not None:
            text = "objects and generated: a bucket has one of them"
            raise ValueError(text)
        keys = [one.key for one in self.objects]
        if len(set(keys)) != len(keys):
            text = f"objects: {max(keys, key=keys.count)!r} is there more than once"
            raise ValueError(text)
        return self
