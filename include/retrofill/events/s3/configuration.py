"""The notification configurations of a bucket, and which of them apply to an object."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from retrofill.events.s3.fields import MULTIPART_MARK

_CREATED = "s3:ObjectCreated:"
_IN_PARTS = "CompleteMultipartUpload"
_AS_WRITTEN = "Put"


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """One notification configuration: its id and its filters."""

    id: str = ""

    events: tuple[str, ...] = ()
    """The types of S3 events that it sends, such as ``s3:ObjectCreated:Put``; empty: all."""

    prefix: str = ""
    """The prefix of the keys."""

    suffix: str = ""
    """The suffix of the keys."""

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Return the configuration with these fields, as in plain JSON."""
        return cls(**{**values, "events": tuple(values.get("events", ()))})

    @property
    def sends_all(self) -> bool:
        """Whether it sends an event for every new object."""
        return not (self.prefix or self.suffix) and all(self._uploads)

    @property
    def sends_puts(self) -> bool:
        """Whether it sends events for the type of single-part upload that our events name."""
        return self._kinds is None or _AS_WRITTEN in self._kinds

    def sends(self) -> Callable[[str, str], bool]:
        """Return the function that checks, by key and ETag, if an object gets an event."""
        prefix, suffix = self.prefix, self.suffix
        whole, in_parts = self._uploads

        def sent(key: str, etag: str) -> bool:
            upload = in_parts if MULTIPART_MARK in etag else whole
            return upload and key.startswith(prefix) and key.endswith(suffix)

        return sent

    @property
    def _uploads(self) -> tuple[bool, bool]:
        """Whether it sends events for single-part uploads, and for multipart uploads.

        A listing does not show how a single-part object was created (put, posted or copied).
        """
        kinds = self._kinds
        return (True, True) if kinds is None else (not kinds <= {_IN_PARTS}, _IN_PARTS in kinds)

    @property
    def _kinds(self) -> set[str] | None:
        """The ways to create an object for which it sends events; None: all."""
        kinds = {event.rpartition(":")[2] for event in self.events if event.startswith(_CREATED)}
        return None if not kinds or "*" in kinds else kinds


def notifying_ids(
    configurations: Sequence[Configuration],
) -> Callable[[Sequence[str], Sequence[str]], list[str]]:
    """Return the function from keys and ETags of objects to the ids of their configurations.

    If none sends an event for an object, the configurations were different when it was listed: it
    gets the id of the first.
    """
    puts_first = sorted(configurations, key=lambda one: not one.sends_puts)
    tests = [(one.sends(), one.id) for one in puts_first]
    otherwise = configurations[0].id

    def ids(keys: Sequence[str], etags: Sequence[str]) -> list[str]:
        return [
            next((name for sends, name in tests if sends(key, etag)), otherwise)
            for key, etag in zip(keys, etags, strict=True)
        ]

    return ids
