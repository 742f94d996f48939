"""Sources: where items come from, one package for each kind."""

from collections.abc import Mapping

from retrofill.model.registry import registered
from retrofill.sources import s3
from retrofill.sources.kind import SourceKind
from retrofill.sources.listing import Page, Partition, Source

__all__ = ["SOURCES", "Page", "Partition", "Source"]

SOURCES: Mapping[str, SourceKind] = registered(
    {
        "s3": s3.KIND,
    },
    SourceKind,
    "retrofill.sources",
)
"""All kinds of sources by name: ours, and those of packages with this entry point group."""
