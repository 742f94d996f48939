"""What a run may do as a whole: stored with the run, and changeable while it is open."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from retrofill.model.amounts import counted
from retrofill.model.cost import dollars
from retrofill.model.stored import Stored


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits(Stored):
    """The limits of a run. None: no such limit."""

    max_concurrency: int
    """Calls in flight at once."""

    max_items_per_set: int
    """New items that one set of the run takes."""

    # Whole numbers stay whole, as users gave them.
    max_calls_per_second: int | float | None = None
    max_calls: int | None = None
    """Calls that may have run the function; refused calls do not count."""

    max_cost: int | float | None = None
    """Dollars."""

    max_minutes: int | None = None
    max_failure_percent: int | None = None

    max_percent_by_cause: Mapping[str, int | float] = field(default_factory=dict)
    """The highest percentage of calls or items that may end this way, by cause."""

    min_items_judged: int = 1
    """Items that must have succeeded or failed before failures can stop the run."""

    concurrency_ceiling: int | None = None
    """What a reserve for live traffic leaves; a higher ``max_concurrency`` has no effect."""

    ramp_minutes: int | None = None
    """Minutes in which the run rises to its full concurrency and rate."""

    function_concurrency: int | None = None
    """Calls in flight at once, over all runs of the function."""

    priority: int = 10
    """The weight of this run in that limit, relative to the priorities of the others."""

    paused: bool = False
    """Whether calls are paused."""

    @property
    def most_in_flight(self) -> int:
        """Calls in flight at once, unless the run is paused."""
        return min(
            self.max_concurrency,
            self.concurrency_ceiling or self.max_concurrency,
            self.function_concurrency or self.max_concurrency,
        )

    @property
    def words(self) -> str:
        """The limits for people."""
        said = [f"{counted(self.most_in_flight, 'call')} in flight"]
        if self.ramp_minutes is not None:
            said[0] += f", after a ramp of {self.ramp_minutes:,} min"
        if self.function_concurrency is not None:
            said.append(
                f"{self.function_concurrency:,} in flight over all runs of the function, at"
                f" priority {self.priority:,}"
            )
        if self.max_calls_per_second is not None:
            said.append(f"{self.max_calls_per_second:,.10g} calls per second")
        if self.max_calls is not None:
            said.append(f"{counted(self.max_calls, 'call')} in all")
        if self.max_cost is not None:
            said.append(f"{dollars(self.max_cost)} in all")
        if self.max_minutes is not None:
            said.append(f"{self.max_minutes:,} min in all")
        if self.max_failure_percent is not None:
            said.append(f"at most {self.max_failure_percent} % failures")
        said += [
            f"at most {percent:g} % {cause.replace('_', ' ')}"
            for cause, percent in self.max_percent_by_cause.items()
        ]
        return ", ".join(said)
