"""The item: one unit of work that a source holds, and its identifier."""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, NamedTuple

IDENTIFIER_BYTES = 16

NO_CONTENT: Mapping[str, Any] = MappingProxyType({})


class Item(NamedTuple):
    """One unit of work, as a source lists it."""

    identifier: bytes
    """16 bytes for source, key and version; see :mod:`include.retrofill.rules.identity`."""

    key: str
    """The name of the item in its source, exactly as the source spells it."""

    size: int
    """The size of the item's content in bytes."""

    modified_at: datetime
    """When the source last saw the item change (UTC)."""

    etag: str
    """The source's own tag for the content, without quotes; empty when it gives none."""

    version_id: str
    """The source's version of the item; empty when the source keeps no versions."""

    content: Mapping[str, Any] = NO_CONTENT
    """What a source of records holds for it, as the event shape names it; objects have none."""
