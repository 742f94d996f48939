"""Registries of kinds: built-in ones, and those that installed packages add by entry points."""

from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib.metadata import entry_points
from typing import Generic, Protocol, TypeVar


class Named(Protocol):
    """Something with a name."""

    @property
    def name(self) -> str:
        """Its name in params and in the state."""


Kind = TypeVar("Kind", bound=Named)


class Registry(Mapping[str, Kind], Generic[Kind]):
    """All kinds by name: first the built-in ones, then those of installed packages, sorted.

    Entry points are loaded when the registry is first read, not when it is created, because those
    packages import this one. A package registers a kind by an entry point with the kind's name::

        [project.entry-points."retrofill.sources"]
        numbers = "my_package.numbers:KIND"

    :param ours: the built-in kinds
    :param kind: the required type
    :param group: the entry point group
    """

    def __init__(self, ours: Mapping[str, Kind], kind: type[Kind], group: str) -> None:
        self._ours = ours
        self._kind = kind
        self._group = group

    @cached_property
    def _all(self) -> Mapping[str, Kind]:
        """Load the installed kinds.

        :raises TypeError: an entry point is not a kind, has another name than its kind, or a name
            that is taken
        """
        found = dict(self._ours)
        for point in sorted(entry_points(group=self._group), key=lambda one: one.name):
            if point.name in found:
                raise TypeError(
                    f"{point.value} registers {point.name} in {self._group}, but this name is taken"
                )
            loaded = point.load()
            if not isinstance(loaded, self._kind):
                raise TypeError(
                    f"the entry point {point.name} of the group {self._group}, {point.value}, is a"
                    f" {type(loaded).__name__}; give a {self._kind.__name__}"
                )
            if loaded.name != point.name:
                raise TypeError(
                    f"the entry point {point.name} of the group {self._group}, {point.value}, is"
                    f" called {loaded.name!r}; give both the same name"
                )
            found[point.name] = loaded
        return found

    def __getitem__(self, name: str) -> Kind:
        return self._all[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)
