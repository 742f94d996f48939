"""The report of a run: its true counts, and how they read."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The counts of one run, as ``retrofill.v_run`` shows them."""

    job: str
    run_id: int
    state: str
    source: str
    function_arn: str
    function_version: str
    sets: int
    partitions_left: int
    listed: int
    known: int
    new: int
    resumed: int
    archived: int
    filtered: int
    rejected: int
    succeeded: int
    quarantined: int
    items_left: int
    calls: int
    retries: int
    duplicates: int
    opened_at: datetime
    closed_at: datetime | None
    notified_at: datetime | None
    stop_reason: str | None

    @property
    def is_notified(self) -> bool:
        """Whether the notification of how the run was last closed was handed over."""
        closed, notified = self.closed_at, self.notified_at
        return closed is not None and notified is not None and notified >= closed

    @property
    def duration_s(self) -> float | None:
        """Seconds from opening to closing; None while the run is open."""
        return (self.closed_at - self.opened_at).total_seconds() if self.closed_at else None

    def as_json(self) -> dict[str, Any]:
        """Return the report as plain JSON values."""
        fields = asdict(self)
        for name in ("opened_at", "closed_at", "notified_at"):
            moment = fields[name]
            fields[name] = moment.isoformat() if moment else None
        return {**fields, "duration_s": self.duration_s}

    def as_text(self) -> str:
        """Return the report as lines for people."""
        duration = "" if self.duration_s is None else f" in {_readable(self.duration_s)}"
        lines = [
            f"Retrofill: job {self.job}, run {self.run_id} is {self.state}{duration}",
            f"source      {self.source}",
            f"function    {self.function_arn} (version {self.function_version})",
            f"listed      {self.listed:,} ({self.new:,} new, {self.known:,} known)",
            f"succeeded   {self.succeeded:,}",
            f"quarantined {self.quarantined:,}",
            f"calls       {self.calls:,}, of these {self.retries:,} retries",
            f"duplicates  {self.duplicates:,}",
        ]
        beside = {
            "resumed from earlier runs": self.resumed,
            "left out by the filters": self.filtered,
            "archived, not called": self.archived,
            "rejected": self.rejected,
            "items left": self.items_left,
            "partitions left": self.partitions_left,
        }
        lines += [f"{name}: {count:,}" for name, count in beside.items() if count]
        if self.stop_reason:
            lines.append(f"stopped: {self.stop_reason}")
        return "\n".join(lines)


def _readable(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"
