"""Sources: where items come from. There is a package for each kind."""

from collections.abc import Mapping

from retrofill.engine.identity import identifier_of
from retrofill.events.form import ROW, ItemForm
from retrofill.model.errors import ConfigError, SourceError, UnfitSource
from retrofill.model.items import Item
from retrofill.model.permission import Permission
from retrofill.model.registry import Registry
from retrofill.params import Params, Problem, Sound, field
from retrofill.sources import manifest, memory, rows, s3
from retrofill.sources.keys import key_of
from retrofill.sources.kind import REASONS, Interval, Opening, SourceKind, SourceParams
from retrofill.sources.source import Page, Partition, Source

__all__ = [
    "ROW",
    "SOURCES",
    "ConfigError",
    "Interval",
    "Item",
    "ItemForm",
    "Opening",
    "Page",
    "Params",
    "Partition",
    "Permission",
    "Problem",
    "Sound",
    "Source",
    "SourceError",
    "SourceKind",
    "SourceParams",
    "UnfitSource",
    "field",
    "identifier_of",
    "key_of",
    "reasons_of",
]

SOURCES: Mapping[str, SourceKind] = Registry(
    {
        "s3": s3.KIND,
        "manifest": manifest.KIND,
        "rows": rows.KIND,
        "memory": memory.KIND,
    },
    SourceKind,
    "retrofill.sources",
)
"""All kinds of sources by name: built-in ones, and those of packages with this entry point
group."""


def reasons_of(kind: str) -> Mapping[str, str]:
    """Return the reasons of a kind for leaving items out; the kind need not be installed."""
    return SOURCES[kind].reasons if kind in SOURCES else REASONS
