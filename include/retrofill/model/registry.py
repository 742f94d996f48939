"""Registries of kinds: ours, and those that installed packages add by entry points."""

from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import TypeVar

Kind = TypeVar("Kind")


def registered(ours: Mapping[str, Kind], kind: type[Kind], group: str) -> Mapping[str, Kind]:
    """Return all kinds by name: ours first, then those of installed packages, by name.

    A package registers a kind by an entry point whose name is that of the kind::

        [project.entry-points."retrofill.sources"]
        numbers = "my_package.numbers:KIND"

    :raises TypeError: an entry point is not a kind, or takes the name of one of ours
    """
    found = dict(ours)
    for point in sorted(entry_points(group=group), key=lambda one: one.name):
        loaded = point.load()
        if not isinstance(loaded, kind):
            raise TypeError(
                f"the entry point {point.name} of the group {group}, {point.value}, is a"
                f" {type(loaded).__name__}; allowed is a {kind.__name__}"
            )
        if point.name in ours:
            raise TypeError(f"{point.value} registers {point.name} in {group}, which is taken")
        found[point.name] = loaded
    return found
