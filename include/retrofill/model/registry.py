"""Registries of kinds: ours, and those that installed packages add by entry points."""

from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib.metadata import entry_points
from typing import Generic, TypeVar

Kind = TypeVar("Kind")


class Registry(Mapping[str, Kind], Generic[Kind]):
    """All kinds by name: ours first, then those of installed packages, by name.

    Packages are looked for when the registry is first read, not when it is made: theirs import
    ours. A package registers a kind by an entry point whose name is that of the kind::

        [project.entry-points."retrofill.sources"]
        numbers = "my_package.numbers:KIND"

    :param ours: our own kinds
    :param kind: what each must be
    :param group: the entry point group
    """

    def __init__(self, ours: Mapping[str, Kind], kind: type[Kind], group: str) -> None:
        self._ours = ours
        self._kind = kind
        self._group = group

    @cached_property
    def _all(self) -> Mapping[str, Kind]:
        """Load what is installed.

        :raises TypeError: an entry point is not a kind, or takes the name of one of ours
        """
        found = dict(self._ours)
        for point in sorted(entry_points(group=self._group), key=lambda one: one.name):
            if point.name in self._ours:
                raise TypeError(
                    f"{point.value} registers {point.name} in {self._group}, which is taken"
                )
            loaded = point.load()
            if not isinstance(loaded, self._kind):
                raise TypeError(
                    f"the entry point {point.name} of the group {self._group}, {point.value}, is a"
                    f" {type(loaded).__name__}; allowed is a {self._kind.__name__}"
                )
            found[point.name] = loaded
        return found

    def __getitem__(self, name: str) -> Kind:
        return self._all[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)
