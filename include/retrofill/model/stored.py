"""Dataclasses that are stored as JSON."""

from collections.abc import Mapping
from typing import Any, Self

from pydantic import TypeAdapter


class Stored:
    """A base class that converts a dataclass to JSON and back, by the types of its fields."""

    __slots__ = ()

    def as_json(self) -> dict[str, Any]:
        """Return the fields as plain JSON values."""
        plain: dict[str, Any] = _adapter(type(self)).dump_python(self, mode="json")
        return plain

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Return the instance from the output of :meth:`as_json`, without unknown fields."""
        found: Self = _adapter(cls).validate_python(stored)
        return found

    @classmethod
    def from_json_if_any(cls, stored: Mapping[str, Any] | None) -> Self | None:
        """Return the same; None: nothing is stored."""
        return cls.from_json(stored) if stored else None


def _adapter(record: type[Stored]) -> TypeAdapter[Any]:
    if record not in _ADAPTERS:
        _ADAPTERS[record] = TypeAdapter(record)
    return _ADAPTERS[record]


_ADAPTERS: dict[type[Stored], TypeAdapter[Any]] = {}
