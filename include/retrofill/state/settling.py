"""Settling: what is written when calls ended, and of the calls that are to be sent next."""

import json
from collections import Counter, defaultdict
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
"""Calls that are kept by their numbers of those that ended in one way: the last ones."""

_NO_USAGE = (None, None, None, None)


class Settler:
    """Writes of the calls of one batch, each time within a transaction of its lease."""

    def __init__(self, *, job_id: int, run_id: int, batch_id: int) -> None:
        self._job_id = job_id
        self._run_id = run_id
        self._batch_id = batch_id

    def write_facts(self, cur: Cursor, settlement: Settlement) -> None:
        """Write what is true whoever says it: how calls ended, and which items succeeded."""
        self._end_calls(cur, settlement.ended)
        moved = 0
        if settlement.succeeded:
            cur.execute(_SQL["settle_succeeded"], self._succeeded(settlement))
            moved = cur.rowcount
        self._count(cur, settlement.ended, moved)

    def write_late_facts(self, cur: Cursor, settlement: Settlement) -> None:
        """Write the same after another holder took over, who has counted the calls as lost.

        What succeeded may have come into quarantine meanwhile, or into a batch of a later run. So
        nobody may move items while this does: it holds the locks of all who could.
        """
        key = self._succeeded(settlement)
        lock_job(cur, self._job_id)
        lock_owners(cur, key)
        self._end_calls(cur, settlement.ended)
        changed = set(values(cur)) if settlement.ended else set()
        late = [call for call in settlement.ended if call.number in changed]
        if settlement.succeeded:
            cur.execute(_SQL["settle_late"], key)
        if late:
            self._count(cur, late, 0)
            no_longer = [("lost", "", -len(late), -sum(call.items for call in late), 0.0, "{}")]
            self._count_troubles(cur, no_longer)
            recount_cost(cur, self._batch_id, Settlement(late))
            count_orphans(cur, [self._batch_id])

    def _succeeded(self, settlement: Settlement) -> dict[str, Any]:
        succeeded = sorted(settlement.succeeded)
        return {
            "job_id": self._job_id,
            "run_id": self._run_id,
            "batch_id": self._batch_id,
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
            cur.execute(
                _SQL["end_calls"],
                {
                    "batch_id": self._batch_id,
                    "call_nos": numbers(how),
                    "ended": json.dumps(how),
                },
            )

    def _count(self, cur: Cursor, ended: list[EndedCall], moved: int) -> None:
        """Count how calls ended: success costs a column of the batch, only troubles cost rows."""
        calls: Counter[tuple[str, str]] = Counter()
        items: Counter[tuple[str, str]] = Counter()
        costs: defaultdict[tuple[str, str], float] = defaultdict(float)
        numbers_of: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
        for call in ended:
            calls[call.outcome, call.cause] += 1
            items[call.outcome, call.cause] += call.items
            costs[call.outcome, call.cause] += call.cost
            if call.outcome != Outcome.SUCCEEDED:
                numbers_of[call.outcome, call.cause].append(call.number)
        good = (Outcome.SUCCEEDED, "")
        refused = sum(calls[key] for key in calls if key[0] in REFUSED)
        if moved or calls[good] or refused:
            cur.execute(
                _SQL["count_ended"],
                {
                    "batch_id": self._batch_id,
                    "count": moved,
                    "refused": refused,
                    "calls": calls.pop(good, 0),
                    "items": items.pop(good, 0),
                },
            )
        troubles = [
            (*key, calls[key], items[key], costs[key], numbers(numbers_of[key][-CALLS_KEPT:]))
            for key in sorted(calls)
        ]
        self._count_troubles(cur, troubles)

    def _count_troubles(
        self, cur: Cursor, troubles: list[tuple[str, str, int, int, float, str]]
    ) -> None:
        if troubles:
            outcomes, causes, calls, items, costs, last_calls = (
                list(column) for column in zip(*troubles, strict=True)
            )
            cur.execute(
                _SQL["count_troubles"],
                {
                    "batch_id": self._batch_id,
                    "outcomes": outcomes,
                    "causes": causes,
                    "calls": calls,
                    "items": items,
                    "costs": costs,
                    "last_calls": last_calls,
                    "calls_kept": CALLS_KEPT,
                },
            )

    def write_opinions(self, cur: Cursor, settlement: Settlement) -> None:
        """Write what only the holder of the lease may say: failures, and what they lead to."""
        if settlement.retried:
            retried = sorted(settlement.retried, key=lambda one: one[0].seq)
            entries = [entry for entry, _ in retried]
            cur.execute(
                _SQL["settle_retried"],
                {
                    "job_id": self._job_id,
                    "seqs": [entry.seq for entry in entries],
                    "attempts": [entry.attempts for entry in entries],
                    "failures": [entry.failures for entry in entries],
                    "call_caps": [entry.call_cap for entry in entries],
                    "unsures": [entry.unsure for entry in entries],
                    "blamed_bys": [self._run_id if entry.blamed else None for entry in entries],
                    "delays_s": [delay_s for _, delay_s in retried],
                },
            )
        if settlement.failing_as or settlement.hints:
            errors = sorted(settlement.failing_as)
            cur.execute(
                _SQL["note_errors"],
                {
                    "batch_id": self._batch_id,
                    "failing_as": "" if len(errors) > 1 else next(iter(errors), None),
                    "hints": sorted(settlement.hints),
                },
            )
        poison = sorted(settlement.quarantined, key=lambda bad: bad.entry.seq)
        if poison:
            cur.execute(
                _SQL["settle_quarantined"],
                {
                    "job_id": self._job_id,
                    "run_id": self._run_id,
                    "batch_id": self._batch_id,
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
            key = {"batch_id": self._batch_id, "count": cur.rowcount}
            cur.execute(_SQL["count_quarantined"], key)

    def write_ahead(self, cur: Cursor, epoch: int, calls: list[Call]) -> None:
        """Write the calls that are to be sent."""
        if calls:
            cur.execute(
                _SQL["write_ahead"],
                {
                    "batch_id": self._batch_id,
                    "epoch": epoch,
                    "call_nos": numbers(call.number for call in calls),
                    "items": texts(multirange(call.spans) for call in calls),
                    "item_counts": numbers(len(call.seqs) for call in calls),
                    "attempts": numbers(call.attempt for call in calls),
                    "duplicates": numbers(call.duplicates for call in calls),
                },
            )
