"""The findings of a canary, as stored in the plan of its run and as shown to people."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from retrofill.model.amounts import counted
from retrofill.model.cost import dollars
from retrofill.model.stored import Stored


@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryFindings(Stored):
    """The results and the usage of a canary's calls. None: unknown."""

    items: int
    succeeded: int
    quarantined: int
    failed: int
    """Items that failed alone, even if they succeeded later."""

    calls: int
    troubles: Mapping[str, int]
    """Calls that did not succeed, by cause or, without one, by outcome."""

    hints: Sequence[str]
    median_ms: int | None
    """The median duration of a call, as measured by the client."""

    p95_ms: int | None
    billed_ms: int | None
    """The mean billed duration of a call."""

    memory_mb: int | None
    """The most memory that a call used."""

    starts: int
    """Calls that waited for an environment to start."""

    start_ms: int | None
    """The mean duration of these starts."""

    cost: float | None
    """Dollars."""

    @property
    def failed_percent(self) -> float:
        """The percentage of its items that failed."""
        return 100 * self.failed / self.items if self.items else 0.0

    def words(self) -> Iterator[tuple[str, str]]:
        """Yield each finding as a name and its text."""
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
                f"{self.median_ms:,} ms median, 95 % up to {self.p95_ms:,} ms",
            )
        billed = "unknown" if self.billed_ms is None else f"{self.billed_ms:,} ms mean"
        yield "billed", billed
        yield "memory", "unknown" if self.memory_mb is None else f"up to {self.memory_mb:,} MB used"
        if self.starts:
            yield "environments started", f"{self.starts:,}, {self.start_ms:,} ms mean"
        yield "cost", "unknown" if self.cost is None else dollars(self.cost)
        for hint in self.hints:
            yield "hint", hint

    @property
    def trouble_words(self) -> str:
        """The calls that did not succeed, for people."""
        return ", ".join(
            f"{calls:,} {cause.replace('_', ' ')}" for cause, calls in sorted(self.troubles.items())
        )
