"""Settling: write how calls ended, and write ahead the calls that are sent next."""

import json
from collections import defaultdict
from typing import Any

from retrofill.engine.outcomes import REFUSED, Outcome
from retrofill.model.calls import Call, EndedCall, Settlement
from retrofill.state.arrays import multirange, numbers, texts
from retrofill.state.connection import Cursor, values
from retrofill.state.locks import lock_job, lock_owners
from retrofill.state.lost_calls import count_orphans, recount_cost
from retrofill.state.statements import load

_SQL = load("settling.sql")

CALLS_KEPT = 10
"""How many calls of each outcome and cause are kept by number: the last ones."""

_NO_USAGE = (None, None, None, None)
_SUCCEEDED = (Outcome.SUCCEEDED, "")


class Settler:
    """Writes about the calls of one batch, each within a transaction of its lease."""

    def __init__(self, *, job_id: int, run_id: int, batch_id: int) -> None:
        self._key = {"job_id": job_id, "run_id": run_id, "batch_id": batch_id}

    def write_facts(self, cur: Cursor, settlement: Settlement) -> None:
        """Write facts, which any holder may write: how calls ended, and which items succeeded."""
        self._end_calls(cur, settlement.ended)
        moved = 0
        if settlement.succeeded:
            cur.execute(_SQL["settle_succeeded"], self._succeeded(settlement))
            moved = cur.rowcount
        self._count(cur, settlement.ended, moved)

    def write_late_facts(self, cur: Cursor, settlement: Settlement) -> None:
        """Write facts after another holder took over and counted the calls as lost.

        Items that succeeded may be in quarantine by now, or in a batch of a later run. So this
        locks everything that could move them.
        """
        key = self._succeeded(settlement)
        lock_job(cur, self._key["job_id"])
        lock_owners(cur, key)
        self._end_calls(cur, settlement.ended)
        changed = set(values(cur)) if settlement.ended else set()
        late = [call for call in settlement.ended if call.number in changed]
        if settlement.succeeded:
            cur.execute(_SQL["settle_late"], key)
        if late:
            self._count(cur, late, 0)
            no_longer = ("lost", "", -len(late), -sum(call.items for call in late), 0.0, "{}")
            self._count_troubles(cur, [no_longer])
            recount_cost(cur, self._key["batch_id"], Settlement(late))
            count_orphans(cur, [self._key["batch_id"]])

    def _succeeded(self, settlement: Settlement) -> dict[str, Any]:
        succeeded = sorted(settlement.succeeded)
        return {
            **self._key,
            "firsts": numbers(span.first for span, _ in succeeded),
            "lasts": numbers(span.last for span, _ in succeeded),
            "call_nos": numbers(number for _, number in succeeded),
        }

    def _end_calls(self, cur: Cursor, ended: list[EndedCall]) -> None:
        if ended:
            how = {
                call.number: (
                    call.outcome,
                    call.request_id,
                    call.executed_version,
                    call.error_type,
                    call.error,
                    *(call.usage or (_NO_USAGE if call.keys else ())),
                    *([call.keys] if call.keys else ()),
                )
                for call in ended
            }
            ended_calls = {"call_nos": numbers(how), "ended": json.dumps(how)}
            cur.execute(_SQL["end_calls"], {**self._key, **ended_calls})

    def _count(self, cur: Cursor, ended: list[EndedCall], moved: int) -> None:
        """Count how calls ended. Success is a column of the batch; anything else is a row."""
        by_end: defaultdict[tuple[str, str], list[EndedCall]] = defaultdict(list)
        for call in ended:
            by_end[call.outcome, call.cause].append(call)
        refused = sum(len(calls) for (outcome, _), calls in by_end.items() if outcome in REFUSED)
        succeeded = by_end.pop(_SUCCEEDED, [])
        if moved or succeeded or refused:
            cur.execute(
                _SQL["count_ended"],
                {
                    **self._key,
                    "count": moved,
                    "refused": refused,
                    "calls": len(succeeded),
                    "items": sum(call.items for call in succeeded),
                },
            )
        troubles = [
            (
                *end,
                len(calls),
                sum(call.items for call in calls),
                sum(call.cost for call in calls),
                numbers(call.number for call in calls[-CALLS_KEPT:]),
            )
            for end, calls in sorted(by_end.items())
        ]
        self._count_troubles(cur, troubles)

    def _count_troubles(
        self, cur: Cursor, troubles: list[tuple[str, str, int, int, float, str]]
    ) -> None:
        if troubles:
            names = ("outcomes", "causes", "calls", "items", "costs", "last_calls")
            columns = dict(zip(names, map(list, zip(*troubles, strict=True)), strict=True))
            cur.execute(_SQL["count_troubles"], {**self._key, **columns, "calls_kept": CALLS_KEPT})

    def write_opinions(self, cur: Cursor, settlement: Settlement) -> None:
        """Write what only the holder of the lease may decide: failures, retries, quarantine."""
        if settlement.retried:
            retried = sorted(settlement.retried, key=lambda one: one[0].seq)
            entries = [entry for entry, _ in retried]
            cur.execute(
                _SQL["settle_retried"],
                {
                    **self._key,
                    "seqs": [entry.seq for entry in entries],
                    "attempts": [entry.attempts for entry in entries],
                    "failures": [entry.failures for entry in entries],
                    "call_caps": [entry.call_cap for entry in entries],
                    "unsures": [entry.unsure for entry in entries],
                    "blamed_bys": [
                        self._key["run_id"] if entry.blamed else None for entry in entries
                    ],
                    "delays_s": [delay_s for _, delay_s in retried],
                },
            )
        if settlement.failing_as or settlement.hints:
            errors = sorted(settlement.failing_as)
            cur.execute(
                _SQL["note_errors"],
                {
                    **self._key,
                    "failing_as": "" if len(errors) > 1 else next(iter(errors), None),
                    "hints": sorted(settlement.hints),
                },
            )
        poison = sorted(settlement.quarantined, key=lambda bad: bad.entry.seq)
        if poison:
            cur.execute(
                _SQL["settle_quarantined"],
                {
                    **self._key,
                    "seqs": [bad.entry.seq for bad in poison],
                    "call_nos": [bad.call.number for bad in poison],
                    "attempts": [bad.entry.attempts for bad in poison],
                    "failures": [bad.entry.failures for bad in poison],
                    "unsures": [bad.entry.unsure for bad in poison],
                    "request_ids": [bad.call.request_id for bad in poison],
                    "error_types": [bad.call.error_type for bad in poison],
                    "errors": [bad.error for bad in poison],
                },
            )
            cur.execute(_SQL["count_quarantined"], {**self._key, "count": cur.rowcount})

    def write_ahead(self, cur: Cursor, epoch: int, calls: list[Call]) -> None:
        """Write ahead the calls that are sent next."""
        if calls:
            cur.execute(
                _SQL["write_ahead"],
                {
                    **self._key,
                    "epoch": epoch,
                    "call_nos": numbers(call.number for call in calls),
                    "items": texts(multirange(call.spans) for call in calls),
                    "item_counts": numbers(len(call.seqs) for call in calls),
                    "attempts": numbers(call.attempt for call in calls),
                    "duplicates": numbers(call.duplicates for call in calls),
                },
            )
