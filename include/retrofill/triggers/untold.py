"""What live events tell of an object and a listing does not: no pattern may depend on it."""

from collections.abc import Mapping
from typing import Any

from retrofill.events import SHAPES
from retrofill.events.s3.imitation import Imitation
from retrofill.triggers.patterns import compile_pattern, fields_of

_IMITATIONS = [
    shape.imitation for shape in SHAPES.values() if isinstance(shape.imitation, Imitation)
]
_MADE_UP = frozenset[str]().union(
    *(one.sender.made_up | one.envelope_made_up for one in _IMITATIONS)
)
_UPLOADS: Mapping[str, tuple[str, ...]] = {
    field: kinds for one in _IMITATIONS for field, kinds in one.sender.uploads.items()
}


def untold_field(pattern: Mapping[str, Any]) -> str | None:
    """Return the name of a field on which a pattern depends, and which is made up; None: none.

    :raises ConfigError: the pattern is malformed, or has an operator that is not known here
    """
    for name, wanted in fields_of(pattern):
        if name in _MADE_UP and any("exists" not in _operator(one) for one in wanted):
            return name
        if name in _UPLOADS:
            matches = compile_pattern({name: wanted})
            as_put, *others = (matches({name: upload}) for upload in _UPLOADS[name])
            if any(others) and not as_put:
                return name
    return None


def _operator(wanted: Any) -> Mapping[str, Any]:
    return wanted if isinstance(wanted, Mapping) else {}
