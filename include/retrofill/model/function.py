"""The function that a run calls, as found when the run was opened."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from retrofill.model.stored import Stored


@dataclass(frozen=True, slots=True, kw_only=True)
class Pinned(Stored):
    """One version of a function, pinned for a run.

    >>> Pinned(kind="python", name="json:dumps", version="", timeout_s=60).name
    'json:dumps'
    """

    kind: str
    """The name of the function's kind."""

    name: str
    """The function's permanent name, such as a URL, for people and for the job."""

    version: str
    """The version to call; empty if the kind has no versions."""

    timeout_s: int
    """Seconds that a call may run."""

    facts: Mapping[str, Any] = field(default_factory=dict)
    """Further properties that the kind found."""

    @property
    def words_of_facts(self) -> list[str]:
        """These properties for people, one text each."""
        units = {name: " MB" if name.endswith("_mb") else "" for name in self.facts}
        return [
            f"{name.removesuffix('_mb').replace('_', ' ')} {value}{units[name]}"
            for name, value in self.facts.items()
        ]
