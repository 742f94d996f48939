"""The function that a run calls, as it was found when the run was opened."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Pinned:
    """One version of a function, pinned for a run."""

    kind: str
    """The kind of function, by its name."""

    name: str
    """The function's lasting name, for people and for the job: such as a URL."""

    version: str
    """The version that is called; empty where the kind knows none."""

    timeout_s: int
    """Seconds that a call may run."""

    facts: Mapping[str, Any] = field(default_factory=dict)
    """What else the kind found, in its own words."""

    @property
    def words_of_facts(self) -> list[str]:
        """What else the kind found, fact by fact, for people."""
        return [
            f"{name.removesuffix('_mb').replace('_', ' ')} {value}{' MB' * name.endswith('_mb')}"
            for name, value in self.facts.items()
        ]

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Pinned":
        """Return the function that a run's row holds."""
        return cls(**values)
