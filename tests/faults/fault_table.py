"""The table of all faults: how often each was run, what was lost, and what was called twice."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.faults.evidence import Evidence

VARIABLE = "RETROFILL_FAULT_TABLE"
"""The environment variable that names a file for the table, in addition to the terminal."""

LEGEND = (
    "lost: items listed and in no place, or done and never called · in two: items in two places ·"
    " again: calls of an item after its first, as we count them and as the endpoint counts what it"
    " executed · bound: the most that the faults explain · in doubt: of ours, those after a call"
    " without an answer"
)
ELSEWHERE = {"F4": "SIGKILL at every fault point: see the table of tests/kill_points"}
_HEAD = (
    "fault", "what", "run", "items", "lost", "in two", "again, ours", "again, endpoint", "bound",
    "in doubt",
)  # fmt: skip


@dataclass
class Row:
    """The results of one fault, over all its runs."""

    fault: str
    what: str
    runs: int = 0
    items: int = 0
    lost: int = 0
    in_two: int = 0
    ours: int = 0
    theirs: int = 0
    bound: int = 0
    in_doubt: int = 0
    notes: list[str] = field(default_factory=list)

    def cells(self) -> list[str]:
        """Return the cells as texts."""
        numbers = (
            self.runs, self.items, self.lost, self.in_two, self.ours, self.theirs, self.bound,
            self.in_doubt,
        )  # fmt: skip
        what = "; ".join([self.what, *self.notes])
        return [self.fault, what, *(f"{number:,}" for number in numbers)]


class FaultTable:
    """Rows by fault and action; tests of one fault add to one row."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], Row] = {}

    def __bool__(self) -> bool:
        """Return whether anything was run."""
        return bool(self._rows)

    def hold(
        self,
        fault: str,
        what: str,
        evidence: Evidence,
        *,
        bound: int | None = None,
        runs: int = 1,
    ) -> None:
        """Record the result of a fault, and require that it keeps the promises.

        :param bound: the maximum of repeated calls of items that the fault explains; None: those
        that the recorded calls explain
        :param runs: how often the fault was injected
        """
        most = evidence.explained if bound is None else bound
        row = self._row(fault, what)
        row.runs += runs
        row.items += evidence.items
        row.lost += len(evidence.lost)
        row.in_two += len(evidence.in_two)
        row.ours += evidence.ours
        row.theirs += evidence.theirs
        row.bound += most
        row.in_doubt += evidence.in_doubt
        assert evidence.lost == []
        assert evidence.in_two == []
        assert evidence.violations == []
        assert evidence.theirs <= most
        assert evidence.ours <= max(most, evidence.explained)

    def note(self, fault: str, what: str, text: str) -> None:
        """Add a remark to a row, once."""
        notes = self._row(fault, what).notes
        if text not in notes:
            notes.append(text)

    def _row(self, fault: str, what: str) -> Row:
        return self._rows.setdefault((fault, what), Row(fault, what))

    def lines(self) -> Iterator[str]:
        """Return the table in Markdown."""
        yield f"| {' | '.join(_HEAD)} |"
        yield "| --- | --- |" + " ---: |" * (len(_HEAD) - 2)
        rows = [(row.fault, row.cells()) for row in self._rows.values()]
        blank = [""] * (len(_HEAD) - 2)
        rows += [(fault, [fault, what, *blank]) for fault, what in ELSEWHERE.items()]
        for _, cells in sorted(rows, key=lambda row: int(row[0][1:])):
            yield f"| {' | '.join(cells)} |"
