"""What a canary has found, as the plan of its run holds it, and as people read it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from retrofill.model.amounts import counted
from retrofill.model.cost import dollars


@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryFindings:
    """What became of the items of a canary, and what their calls have used. None: unknown."""

    items: int
    succeeded: int
    quarantined: int
    failed: int
    """Items that failed alone, whether or not they succeeded later."""

    calls: int
    troubles: Mapping[str, int]
    """Calls that did not succeed, by cause, else by outcome."""

    hints: Sequence[str]
    median_ms: int | None
    """Of the time that a call took, as it was measured here."""

    p95_ms: int | None
    billed_ms: int | None
    """The mean of what is billed for a call."""

    memory_mb: int | None
    """The most that a call used."""

    starts: int
    """Calls that waited for their environment to start."""

    start_ms: int | None
    """The mean of what that took."""

    cost: float | None
    """Dollars."""

    @property
    def failed_percent(self) -> float:
        """How many of its items failed, in percent."""
        return 100 * self.failed / self.items if self.items else 0.0

    def as_json(self) -> dict[str, Any]:
        """Return what was found as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "CanaryFindings | None":
        """Return what :meth:`as_json` made such an object of; None: the object is empty."""
        return cls(**stored) if stored else None

    def words(self) -> Iterator[tuple[str, str]]:
        """Yield what was found, name by name."""
        yield (
            "items",
            ", ".join(
                [
                    f"{self.items:,} called in {counted(self.calls, 'call')}",
                    f"{self.succeeded:,} succeeded",
                    f"{self.failed:,} failed ({self.failed_percent:.1f} %)",
                    f"{self.quarantined:,} in quarantine",
                ]
            ),
        )
        if self.troubles:
            yield "troubles", self.trouble_words
        if self.median_ms is not None and self.p95_ms is not None:
            yield (
                "a call took",
                f"{self.median_ms:,} ms in the median, 95 % up to {self.p95_ms:,} ms",
            )
        billed = "unknown" if self.billed_ms is None else f"{self.billed_ms:,} ms in the mean"
        yield "billed", billed
        yield "memory", "unknown" if self.memory_mb is None else f"up to {self.memory_mb:,} MB used"
        if self.starts:
            yield "environments started", f"{self.starts:,}, {self.start_ms:,} ms in the mean"
        yield "cost", "unknown" if self.cost is None else dollars(self.cost)
        for hint in self.hints:
            yield "hint", hint

    @property
    def trouble_words(self) -> str:
        """The calls that did not succeed, for people."""
        return ", ".join(
            f"{calls:,} {cause.replace('_', ' ')}" for cause, calls in sorted(self.troubles.items())
        )
