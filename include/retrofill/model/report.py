"""The report of a run: its final counts, and how they are shown."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from retrofill.model.amounts import counted, in_range, in_time
from retrofill.model.approval import Approval
from retrofill.model.cost import dollars
from retrofill.model.plan import Counts
from retrofill.model.selection import Place
from retrofill.model.troubles import CAUSES, OUTCOMES

_TERMS = {"calls": "calls", "time": "their time", "items": "items"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The counts of one run, as ``retrofill.v_run`` shows them."""

    job: str
    run_id: int
    status: str
    source: str
    function_name: str
    function_version: str
    sets: int
    partitions: int
    partitions_left: int
    listed: int
    known: int
    new: int
    resumed: int
    left_out: Mapping[str, int]
    """How many items were seen but left out, by reason."""

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
    redrive: str | None = None
    """What the run redrives, ``quarantine`` or ``successes``; None: nothing."""

    redriven: int = 0
    redrive_counted: int | None = None
    """Items to redrive, as counted when the run was opened; None: not counted."""

    failed: int = 0
    timed_out: int = 0
    out_of_memory: int = 0
    crashed: int = 0
    handled: int = 0
    unhandled: int = 0
    malformed_answer: int = 0
    throttled: int = 0
    starting: int = 0
    unknown: int = 0
    misconfigured: int = 0
    too_large: int = 0
    lost: int = 0
    with_others: int = 0
    others: Sequence[Mapping[str, Any]] = ()
    """The runs that hold the items in with_others: ``run_id``, ``status`` and ``items`` each."""

    source_seen: bool = False
    """Whether the source had an object when the run was opened."""

    answer_lost: int = 0
    hints: Sequence[str] = ()
    """Explanations of errors of its calls that no item causes."""

    lost_tasks: int = 0
    """Tasks that ended without releasing their batch."""

    refused: int = 0
    """Calls that were refused, so that the function did not run."""

    late: int = 0
    """New items that are older than the run's interval."""

    withdrawn: int = 0
    """Items that are new again: the plan was not approved, or the function feeds its own source."""

    planned: Mapping[str, Any] | None = None
    """The counts of the plan; None: there is no plan."""

    approval: Mapping[str, Any] = field(default_factory=dict)
    """The approval, as :class:`retrofill.model.approval.Approval` stores it."""

    cost: float | None = None
    """The cost of its calls in dollars; None: unknown."""

    cost_from_above: float | None = None
    """The part of the cost that is an upper bound, because nobody knows what is billed."""

    cost_by_term: Mapping[str, float | None] = field(default_factory=dict)
    """The parts of the cost for calls, their time and their items; None: unknown."""

    price: str = ""
    """Where the terms of the price come from."""

    report_to: str | None = None
    """Where to write the report files of its items; None: nowhere."""

    report_files: Mapping[str, Any] | None = None
    """The files that were written: a :class:`retrofill.model.report_files.WrittenReport`."""

    @property
    def total(self) -> int:
        """Items to call, as far as the run knows now."""
        return self.new + self.resumed + self.redriven - self.withdrawn

    @property
    def settled(self) -> int:
        """The part of the total that is settled."""
        return self.succeeded + self.quarantined

    @property
    def missing(self) -> str:
        """What keeps the run from being complete, as a clause; empty: nothing."""
        found = []
        if not self.partitions:
            found.append("its source was never divided into partitions; see list_partitions")
        if self.partitions_left:
            found.append(f"{counted(self.partitions_left, 'partition')} not listed to the end")
        if self.items_left:
            found.append(f"{counted(self.items_left, 'item')} left")
        if self.is_turned_down:
            found.append("its plan is not approved")
        elif self.withdrawn:
            found.append(f"{counted(self.withdrawn, 'item')} withdrawn")
        found += [f"{_held(other)} in process" for other in self.others]
        if self.source_seen and self.lists and not (self.partitions_left or self._listed_any):
            found.append("its source was not empty when it was opened, and nothing was listed")
        return ", ".join(found)

    @property
    def lists(self) -> bool:
        """Whether the run lists its source. A redrive of quarantined items does not."""
        return self.redrive != Place.QUARANTINE

    @property
    def _listed_any(self) -> bool:
        return self.listed + sum(self.left_out.values()) > 0

    @property
    def is_turned_down(self) -> bool:
        """Whether the run has a plan that was not approved and cannot be any more."""
        approval = Approval.from_json_if_any(self.approval)
        return approval is not None and approval.is_negative

    def _plan_lines(self) -> Iterator[str]:
        """Yield lines about the plan and its approval."""
        if self.planned:
            cost, seconds = self.planned.get("dollars"), self.planned.get("seconds")
            yield f"planned     {Counts.from_json(self.planned).text}"
            if seconds is not None:
                said = f"cost {in_range(cost, dollars)}, time {in_range(seconds, in_time)}"
                yield f"forecast    {said}"
        approval = Approval.from_json_if_any(self.approval)
        if approval is not None:
            changes = f"; {approval.changes_text}" if approval.changes_text else ""
            yield f"approval    {approval.text}{changes}"

    @property
    def cost_text(self) -> str:
        """The cost of the calls in a line, with everything about it that is unknown."""
        if self.cost is None:
            return "unknown"
        terms = ", ".join(
            f"{'unknown' if cost is None else dollars(cost)} for {words}"
            for term, words in _TERMS.items()
            for cost in [self.cost_by_term.get(term)]
        )
        above, upper_bound = self.cost_from_above, ""
        if above:
            of_it = "all of it" if above == self.cost else f"of which {dollars(above)}"
            upper_bound = f", {of_it} counted from above"
        return f"{dollars(self.cost)} ({terms}){upper_bound}"

    @property
    def to_do(self) -> str:
        """What to do first; empty: nothing."""
        if self.status == "incomplete":
            if self.is_turned_down:
                return "start another run of the job to make another plan"
            fix = "remove the reason for the stop, then " if self.stop_reason else ""
            return f"{fix}clear the failed tasks, or start another run of the job, to continue"
        if self.lacks_files:
            return "see the log of write_report, then clear it with its downstream tasks"
        found = []
        if self.not_redriven:
            found.append(
                f"{counted(self.not_redriven, 'item')} of those to redrive not redriven: check"
                " whether the source still lists them unchanged"
            )
        if self.quarantined:
            waits = counted(self.quarantined, "item")
            found.append(
                f"{waits} in quarantine: look at their errors, fix the cause, then redrive"
            )
        return "; ".join(found)

    @property
    def not_redriven(self) -> int:
        """Items to redrive that are not redriven yet."""
        return max(0, (self.redrive_counted or 0) - self.redriven)

    @property
    def lacks_files(self) -> bool:
        """Whether report files were requested but are not written."""
        return bool(self.report_to) and not self.report_files

    @property
    def files_text(self) -> str:
        """Where the report files are, and the digest of their manifest."""
        if not self.report_files:
            return f"none written to {self.report_to} so far"
        return f"{self.report_files['manifest']} (SHA-256 {self.report_files['sha256']})"

    @property
    def is_notified(self) -> bool:
        """Whether the notification of the run's last closing was accepted."""
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

    def as_text(self, reasons: Mapping[str, str]) -> str:
        """Return the report as lines for people.

        :param reasons: descriptions of the reasons why the source leaves items out
        """
        taken = [f"listed      {self.listed:,} ({self.new:,} new, {self.known:,} known)"]
        asked = f", of {self.redrive_counted:,} counted" if self.not_redriven else ""
        if not self.lists:
            taken = [f"redriven    {self.redriven:,} from quarantine{asked}"]
        elif self.redrive:
            taken.append(f"redriven    {self.redriven:,} that had succeeded, of those known{asked}")
        counts = asdict(self)
        troubles = troubles_text(
            {name: counts[name] for name in OUTCOMES}, {name: counts[name] for name in CAUSES}
        )
        duration = "" if self.duration_s is None else f" in {in_time(self.duration_s)}"
        version = f" (version {self.function_version})" if self.function_version else ""
        of_these = [f"{self.retries:,} retries"]
        if self.refused:
            of_these.append(f"{self.refused:,} refused")
        lines = [
            f"Retrofill: job {self.job}, run {self.run_id} is {self.status}{duration}",
            f"source      {self.source}",
            f"function    {self.function_name}{version}",
            *taken,
            f"succeeded   {self.succeeded:,}",
            f"quarantined {self.quarantined:,}",
            *self._plan_lines(),
            f"calls       {self.calls:,}, of these {', '.join(of_these)}",
            f"cost        {self.cost_text}",
            *([f"troubles    {troubles}"] if troubles else []),
            f"duplicates  {self.duplicates:,}",
            *([f"files       {self.files_text}"] if self.report_to else []),
        ]
        further = {
            "new, but older than the interval": self.late,
            "resumed from earlier runs": self.resumed,
            **{reasons.get(one, one): count for one, count in sorted(self.left_out.items())},
            "items left": self.items_left,
            "partitions left": self.partitions_left,
            "in process with other runs": self.with_others,
            "withdrawn, new again": self.withdrawn,
            "tasks lost": self.lost_tasks,
        }
        lines += [f"{name}: {count:,}" for name, count in further.items() if count]
        lines += [f"  {_held(other)}" for other in self.others]
        lines += [f"hint: {hint}" for hint in self.hints]
        if self.status == "incomplete":
            lines.append(f"incomplete: {self.missing or 'see the log of close_run'}")
        if self.stop_reason:
            lines.append(f"stopped: {self.stop_reason}")
        return "\n".join(lines)


def troubles_text(outcomes: Mapping[str, int], causes: Mapping[str, int]) -> str:
    """Return a line that counts the calls that did not succeed.

    :param outcomes: calls by outcome
    :param causes: failed calls by cause
    """
    why = ", ".join(f"{calls:,} {_said(cause)}" for cause, calls in causes.items() if calls)
    return ", ".join(
        f"{calls:,} {_said(outcome)}{f' ({why})' if outcome == 'failed' and why else ''}"
        for outcome, calls in outcomes.items()
        if calls
    )


def _held(other: Mapping[str, Any]) -> str:
    """Return who holds how many items, such as ``run 7 (open) has 2,790 items``."""
    items = counted(other["items"], "item")
    return f"run {other['run_id']} ({other['status'] or 'forgotten'}) has {items}"


def _said(name: str) -> str:
    return name.replace("_", " ")
