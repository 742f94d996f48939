"""The plan of a run: what its first set would do, as stored and as shown to people."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from retrofill.model.amounts import counted, in_bytes, in_range
from retrofill.model.canary import CanaryFindings
from retrofill.model.cost import dollars
from retrofill.model.limits import Limits
from retrofill.model.stored import Stored

_SHOWN_CHARS = 2_000
"""Characters of the first payload that are stored and shown."""

_TICKS = re.compile("`+")


@dataclass(frozen=True, slots=True)
class Bin:
    """A bin of a histogram."""

    words: str
    """What it contains, for people."""

    items: int
    size: int | None
    """The total bytes of these items; None: unknown."""


@dataclass(frozen=True, slots=True)
class Check:
    """Whether the run fits within one of its prerequisites."""

    name: str
    text: str
    passed: bool | None
    """None: unknown."""


@dataclass(frozen=True, slots=True)
class FirstPayload:
    """What the first call would carry."""

    items: int
    length: int
    """In bytes."""

    text: str
    """Its beginning."""

    is_cut: bool

    @classmethod
    def of(cls, body: bytes, items: int) -> Self:
        """Return a payload, truncated if it is large."""
        text = body[: 4 * _SHOWN_CHARS].decode(errors="replace")[:_SHOWN_CHARS]
        return cls(items, len(body), text, len(text.encode()) < len(body))


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts(Stored):
    """What the first set would do, and what is known of the sets after it. None: unknown."""

    listed: int
    known: int
    new: int
    late: int
    left_out: Mapping[str, int]
    resumed: int
    redriven: int
    with_others: int
    """Listed items that other runs have in process. This run takes over what they leave."""

    items: int
    """Items that the first set calls."""

    calls: int
    batches: int
    payload_bytes: int
    item_bytes: int | None
    partitions_left: int
    """Partitions that the first set has not read to the end; 0: there is no other set."""

    canary: int = 0
    """Items of the first set that are called before all others."""

    items_after: int | None = None
    """The estimated maximum of items in further sets."""

    calls_after: int | None = None
    batches_after: int | None = None

    @property
    def text(self) -> str:
        """What would be called, in a few words."""
        first = "" if self.is_all else ", in the first set"
        calls, items = counted(self.calls, "call"), counted(self.items, "item")
        return f"{calls} of {items} in {counted(self.batches, 'batch', 'batches')}{first}"

    @property
    def is_all(self) -> bool:
        """Whether there is no set after the first, so that every number is exact."""
        return not self.partitions_left


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlan(Stored):
    """The plan of a run, as stored in its row."""

    counts: Counts
    sizes: Sequence[Bin]
    ages: Sequence[Bin]
    payload: FirstPayload | None
    """None: there is no call."""

    target: Sequence[tuple[str, str]]
    """Names and descriptions of source, function and event."""

    limits: Mapping[str, Any]
    """The limits of the run that are to be approved."""

    checks: Sequence[Check] = ()
    forecast: Mapping[str, Any] = field(default_factory=dict)
    """Cost and duration, as :mod:`retrofill.engine.forecast` computes them; empty: no forecast."""

    canary: Mapping[str, Any] = field(default_factory=dict)
    """The canary's findings, as :mod:`retrofill.model.canary` stores them; empty: none yet."""

    def markdown(self, reasons: Mapping[str, str]) -> str:
        """Return the plan for people.

        :param reasons: descriptions of the reasons why the source leaves items out
        """
        return "\n".join(self._lines(reasons))

    def _lines(self, reasons: Mapping[str, str]) -> Iterator[str]:
        yield from (f"- {name}: {_plain(words)}" for name, words in self.target)
        yield f"- limits: {self.words_of_limits}"
        yield from ("", "**Items**", "")
        yield from (f"- {name}: {words}" for name, words in self.words_of_items(reasons))
        yield from ("", "**Calls**", "")
        yield from (f"- {name}: {words}" for name, words in self.words_of_calls())
        for title, entries in (
            ("Canary", self.words_of_canary()),
            ("Cost and time", self.words_of_cost()),
        ):
            lines = [f"- {name}: {_plain(words)}" for name, words in entries]
            yield from ("", f"**{title}**", "", *lines) if lines else ()
        yield from _table("size", self.sizes)
        yield from _table("last modified", self.ages)
        if checks := self.all_checks:
            yield from ("", "| check | result | why |", "| --- | --- | --- |")
            for check in checks:
                yield f"| {check.name} | **{verdict(check)}** | {_plain(check.text)} |"
        if self.payload:
            yield from self._payload_lines(self.payload)

    @property
    def words_of_limits(self) -> str:
        """The limits to be approved, for people."""
        return Limits.from_json(self.limits).words

    @property
    def all_checks(self) -> list[Check]:
        """All checks of the plan, the cost by its latest forecast."""
        most = Limits.from_json(self.limits).max_cost
        if most is None:
            return list(self.checks)
        cost = self.forecast.get("dollars")
        passed = None
        if cost is not None and (cost[0] > most or cost[2] <= most):
            passed = cost[2] <= most
        text = f"the forecast is {in_range(cost, dollars)}; the run stops at {dollars(most)}"
        return [*self.checks, Check("max_cost", text, passed)]

    def words_of_items(self, reasons: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        """Yield each count of listed items as a name and its text."""
        counts = self.counts
        if counts.listed or not counts.redriven:
            yield "listed", f"{counts.listed:,} ({counts.new:,} new, {counts.known:,} known)"
        if counts.redriven:
            yield "redriven", f"{counts.redriven:,}"
        further = {
            "new, but older than the interval": counts.late,
            "left behind by earlier runs": counts.resumed,
            "in process with other runs": counts.with_others,
            **{reasons.get(one, one): count for one, count in sorted(counts.left_out.items())},
        }
        yield from ((name, f"{count:,}") for name, count in further.items() if count)

    def words_of_calls(self) -> Iterator[tuple[str, str]]:
        """Yield each count of calls as a name and its text."""
        counts = self.counts
        size = "unknown" if counts.item_bytes is None else in_bytes(counts.item_bytes)
        whole = "" if counts.is_all else ", in this first set"
        yield "items to call", f"{counts.items:,}{whole}; their size is {size}"
        batches = counted(counts.batches, "batch", "batches")
        yield "calls", f"{counts.calls:,} in {batches}{whole}, exact"
        if counts.canary:
            yield "canary", f"{counts.canary:,} of the items, before all others"
        yield "payloads", f"{in_bytes(counts.payload_bytes)} in all"
        if not counts.is_all:
            yield "after this set", self._after()

    def words_of_canary(self) -> Iterator[tuple[str, str]]:
        """Yield the canary's findings as names and texts; nothing before the canary."""
        found = CanaryFindings.from_json_if_any(self.canary)
        if found is not None:
            yield from found.words()

    def words_of_cost(self) -> Iterator[tuple[str, str]]:
        """Yield cost and duration of the calls as names and texts."""
        yield from ((name, words) for name, words in self.forecast.get("words", ()))

    def _after(self) -> str:
        counts = self.counts
        are = "is" if counts.partitions_left == 1 else "are"
        parts = f"{counted(counts.partitions_left, 'partition')} {are} not listed to the end"
        if counts.items_after is None:
            return f"{parts}; the number of their items and calls is unknown"
        return (
            f"{parts}; estimated: up to about {counts.items_after:,} items in about"
            f" {counts.calls_after:,} calls and {counts.batches_after:,} batches"
        )

    @staticmethod
    def _payload_lines(payload: FirstPayload) -> Iterator[str]:
        cut = ", shortened here" if payload.is_cut else ""
        carries = f"{counted(payload.items, 'item')} in {payload.length:,} bytes"
        yield from ("", f"**The first call** carries {carries}{cut}:", "")
        # A fence must be longer than any in the text.
        fence = "`" * max(3, 1 + max(map(len, _TICKS.findall(payload.text)), default=0))
        yield from (fence, payload.text, fence)


def verdict(check: Check) -> str:
    """Return the result of a check in a word or two."""
    return {True: "fits", False: "too much", None: "unknown"}[check.passed]


def _table(title: str, bins: Sequence[Bin]) -> Iterator[str]:
    if not bins:
        return
    yield from ("", f"| {title} | items | bytes |", "| --- | ---: | ---: |")
    for one in bins:
        size = "unknown" if one.size is None else in_bytes(one.size)
        yield f"| {one.words} | {one.items:,} | {size} |"


def _plain(text: str) -> str:
    """Return a text that Markdown shows unchanged."""
    escaped = re.sub(r"([\\`*_{}\[\]<>#|~])", r"\\\1", text)
    return " ".join(escaped.split())
