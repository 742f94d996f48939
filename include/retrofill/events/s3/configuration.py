"""The notification configurations of a bucket: which of them tells of an object."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from retrofill.events.s3.fields import MULTIPART_MARK

_CREATED = "s3:ObjectCreated:"
_IN_PARTS = "CompleteMultipartUpload"
_AS_WRITTEN = "Put"


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """One notification configuration: its id, and the new objects that it tells of."""

    id: str = ""

    events: tuple[str, ...] = ()
    """The types of events of S3 that are sent, such as ``s3:ObjectCreated:Put``; empty: all."""

    prefix: str = ""
    """What the keys must begin with."""

    suffix: str = ""
    """What the keys must end with."""

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Return the configuration of these fields, as plain JSON has them."""
        return cls(**{**values, "events": tuple(values.get("events", ()))})

    @property
    def sends_all(self) -> bool:
        """Whether it tells of every new object."""
        return not (self.prefix or self.suffix) and all(self._uploads)

    @property
    def sends_puts(self) -> bool:
        """Whether it tells of objects that came as our events say of all that came whole."""
        return self._kinds is None or _AS_WRITTEN in self._kinds

    def sends(self) -> Callable[[str, str], bool]:
        """Return what tells, by key and ETag, whether it tells of an object."""
        prefix, suffix = self.prefix, self.suffix
        whole, in_parts = self._uploads

        def sent(key: str, etag: str) -> bool:
            upload = in_parts if MULTIPART_MARK in etag else whole
            return upload and key.startswith(prefix) and key.endswith(suffix)

        return sent

    @property
    def _uploads(self) -> tuple[bool, bool]:
        """Whether it tells of objects that came whole, and of those that came in parts.

        How a whole one came (put, posted or copied) no listing tells.
        """
        kinds = self._kinds
        return (True, True) if kinds is None else (not kinds <= {_IN_PARTS}, _IN_PARTS in kinds)

    @property
    def _kinds(self) -> set[str] | None:
        """The ways to create an object of which it tells; None: all."""
        kinds = {event.rpartition(":")[2] for event in self.events if event.startswith(_CREATED)}
        return None if not kinds or "*" in kinds else kinds


def ids_told(
    configurations: Sequence[Configuration],
) -> Callable[[Sequence[str], Sequence[str]], list[str]]:
    """Return what gives, for keys and ETags of objects, the ids of those that tell of them.

    An object of which none tells was listed when the configurations were others: it has the
    first's.
    """
    in_turn = sorted(configurations, key=lambda one: not one.sends_puts)
    tests = [(one.sends(), one.id) for one in in_turn]
    otherwise = configurations[0].id

    def ids(keys: Sequence[str], etags: Sequence[str]) -> list[str]:
        return [
            next((name for sends, name in tests if sends(key, etag)), otherwise)
            for key, etag in zip(keys, etags, strict=True)
        ]

    return ids
