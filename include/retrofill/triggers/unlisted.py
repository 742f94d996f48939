"""Event fields that a listing cannot provide. A trigger whose pattern needs one is rejected."""

from collections.abc import Mapping
from typing import Any

from retrofill.events import SHAPES
from retrofill.events.s3.imitation import Imitation
from retrofill.triggers.patterns import compile_pattern, fields_of

_IMITATIONS = [
    shape.imitation for shape in SHAPES.values() if isinstance(shape.imitation, Imitation)
]
_SYNTHETIC = frozenset[str]().union(
    *(one.sender.synthetic | one.synthetic_in_envelope for one in _IMITATIONS)
)
_UPLOADS: Mapping[str, tuple[str, ...]] = {
    field: kinds for one in _IMITATIONS for field, kinds in one.sender.uploads.items()
}


def unlisted_field(pattern: Mapping[str, Any]) -> str | None:
    """Return the name of a synthetic field on which a pattern depends; None: there is none.

    :raises ConfigError: the pattern is malformed, or has an unknown operator
    """
    for name, wanted in fields_of(pattern):
        if name in _SYNTHETIC and any("exists" not in _operator(one) for one in wanted):
            return name
        if name in _UPLOADS:
            matches = compile_pattern({name: wanted})
            as_put, *others = (matches({name: upload}) for upload in _UPLOADS[name])
            if any(others) and not as_put:
                return name
    return None


def _operator(wanted: Any) -> Mapping[str, Any]:
    return wanted if isinstance(wanted, Mapping) else {}
