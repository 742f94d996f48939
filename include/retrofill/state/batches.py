"""Batches: planning them, holding one under a lease, and settling what became of its calls."""

import io
import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from include.retrofill.faults import Point, reach
from include.retrofill.model.calls import (
    Allotment,
    Call,
    EndedCall,
    Fresh,
    History,
    Loaded,
    Settlement,
    Span,
)
from include.retrofill.model.errors import LeaseLost, StateError, StateUnavailable
from include.retrofill.model.items import NO_CONTENT, Item
from include.retrofill.model.runs import SetRef
from include.retrofill.rules.outcomes import LOST, NO_ANSWER, Outcome
from include.retrofill.rules.shares import Limits, Share, Totals, allot
from include.retrofill.state.connection import Connection, Cursor, connect, one, transaction
from include.retrofill.state.statements import load

_SQL = load("batches.sql")

LEASE_S = 60.0
"""How long a holder may be silent before another may take its batch over."""

ABANDONED_AFTER_S = 6 * 3600.0
"""How long an open run may show no life before a later run of the job takes its items over."""

MAX_BATCHES = 200
"""Mapped instances of one run: Airflow's grid and scheduler suffer from many more."""

MIN_BATCHES = 4
"""Mapped instances of a run with work enough for them: a worker of several cores is used."""

PATIENCE_S = 300.0
"""How long settling waits for a Postgres that went away, or cannot write now."""

AGAIN_S = 1.0
"""How long it rests between two tries."""


class PlannedBatch(NamedTuple):
    """A batch that waits for its invoke task."""

    batch_id: int
    items: int


def plan(
    conn: Connection, ref: SetRef, job_id: int, *, most_items: int, fewest_items: int
) -> list[PlannedBatch]:
    """Cut the job's items that no open batch owns into batches; return all batches of the set.

    :param most_items: items of a batch, unless that made more than MAX_BATCHES
    :param fewest_items: items below which a batch is not made smaller to have more of them
    """
    key = {**ref._asdict(), "job_id": job_id}
    with transaction(conn) as cur:
        cur.execute(_SQL["lock_job"], key)
        cur.execute(_SQL["close_abandoned"], {**key, "abandoned_after_s": ABANDONED_AFTER_S})
        _lose_calls(cur, [row[0] for row in cur.fetchall()])
        cur.execute(_SQL["forget_extents"], key)
        cur.execute(
            _SQL["plan_batches"],
            {
                **key,
                "abandoned_after_s": ABANDONED_AFTER_S,
                "most_items": most_items,
                "fewest_items": fewest_items,
                "max_batches": MAX_BATCHES,
                "min_batches": MIN_BATCHES,
            },
        )
        cur.execute(_SQL["list_batches"], key)
        planned = [PlannedBatch(*row) for row in cur.fetchall()]
    reach(Point.BATCHES_PLANNED)
    return planned


def release_set(conn: Connection, ref: SetRef) -> None:
    """Give back what a set's batches did not finish; their unsettled calls count as lost."""
    with transaction(conn) as cur:
        cur.execute(_SQL["release_set"], ref._asdict())
        _lose_calls(cur, [row[0] for row in cur.fetchall()])


def rescue_run(conn: Connection, run_id: int, job_id: int, *, silent_s: float) -> str | None:
    """Close an open run that nobody works on, and free what its batches did not finish.

    Calls that were not settled count as lost, as when another task takes a batch over.

    :param silent_s: for how long there must have been no sign of life
    :returns: the state in which it is closed; None: it was not, since there is life in it
    """
    key = {"run_id": run_id, "job_id": job_id, "silent_s": silent_s}
    with transaction(conn) as cur:
        # With these locks no task renews a lease, takes a batch or plans one; only what a
        # statement sees that begins behind them is sure.
        for statement in ("lock_job", "lock_run", "lock_batches"):
            cur.execute(_SQL[statement], key)
        cur.execute(_SQL["is_silent"], key)
        if cur.fetchone() != (True,):
            return None
        cur.execute(_SQL["rescue_batches"], key)
        _lose_calls(cur, [row[0] for row in cur.fetchall()])
        cur.execute(_SQL["close_rescued"], key)
        return str(one(cur)[0])


def _lose_calls(cur: Cursor, batch_ids: list[int]) -> None:
    if batch_ids:
        error = "the task that sent the call ended before it settled it; the function may have run"
        cur.execute(
            _SQL["lose_calls"], {"batch_ids": batch_ids, "error_type": LOST, "error": error}
        )
        _count_orphans(cur, batch_ids)


def _count_orphans(cur: Cursor, batch_ids: list[int]) -> None:
    """Count the calls that nobody waits for and that may still be running."""
    cur.execute(_SQL["count_orphans"], {"batch_ids": batch_ids, "no_answer": NO_ANSWER})


class Busy(StateError):
    """The batch is leased to another holder.

    :param holder: who that is
    :param leased_s: seconds until the lease ends, unless it is renewed
    """

    def __init__(self, holder: str, leased_s: float) -> None:
        self.holder = holder
        self.leased_s = leased_s
        super().__init__(f"the batch is leased to {holder} for {leased_s:.0f} s more")


class BatchLease:
    """One batch, held by one task: what it reads and writes is fenced by the lease's epoch.

    :param dsn: where the state is
    :param batch_id: which batch
    :param holder: who we are, for people and for :attr:`Busy.holder`
    """

    def __init__(self, dsn: str, batch_id: int, holder: str) -> None:
        self._dsn = dsn
        self._conn = connect(dsn)
        self._holder = holder
        self._epoch = 0
        self._settle_no = 0
        self.batch_id = batch_id
        self.next_call = 1
        self.job_id = 0
        self.run_id = 0
        self.items = 0
        self.renewed_at = 0.0
        """When the lease was last renewed, in monotonic seconds."""

    def take(self, *, holder_is_dead: Callable[[str], bool]) -> bool:
        """Take the batch over; return False if nothing is left to do in it.

        :param holder_is_dead: whether a holder is known to be gone, before its lease ends
        :raises Busy: another holder has it
        """
        began = time.monotonic()
        with transaction(self._conn) as cur:
            key = {"batch_id": self.batch_id}
            cur.execute(_SQL["lock_batch"], key)
            row = cur.fetchone()
            if row is None:
                message = f"batch {self.batch_id} is not in the state"
                raise StateError(message)
            job_id, run_id, first_seq, last_seq, items, holder, leased_s, done = row
            span = {"job_id": job_id, "first_seq": first_seq, "last_seq": last_seq}
            if done:
                cur.execute(_SQL["count_items"], span)
                if not one(cur)[0]:
                    return False
                # A person has cleared the task: its items may be back with it only if no later
                # run has planned them for itself.
                cur.execute(_SQL["lock_job"], span)
                cur.execute(_SQL["is_overlapped"], {**span, **key})
                if one(cur)[0]:
                    return False
                cur.execute(_SQL["reopen"], key)
            elif leased_s > 0 and not holder_is_dead(holder):
                raise Busy(holder, leased_s)
            _lose_calls(cur, [self.batch_id])
            cur.execute(_SQL["take_lease"], {**key, "holder": self._holder, "lease_s": LEASE_S})
            self._epoch, self.next_call, self._settle_no = one(cur)
        self.job_id, self.run_id, self.items = job_id, run_id, items
        self._span = span
        self.renewed_at = began
        reach(Point.BATCH_TAKEN)
        return True

    def load(self) -> Loaded:
        """Return the batch's items that are still in the in-process cache."""
        out = io.BytesIO()
        with transaction(self._conn) as cur:
            cur.copy_expert(cur.mogrify(_SQL["copy_items"], self._span), out)
            cur.execute(_SQL["list_histories"], self._span)
            histories = {row[0]: History(*row[1:]) for row in cur}
        return Loaded(*_read_items(out.getvalue().decode()), histories)

    def settle(self, settlement: Settlement, calls: list[Call]) -> list[Call]:
        """Write what ended and, ahead of sending them, what calls come next: one transaction.

        The calls get their numbers; what an earlier holder has reported as done meanwhile is taken
        out of them. A server that goes away is waited for, PATIENCE_S long, and what may have been
        committed before is not written twice.

        :returns: the calls that must wait, taken out of ``calls``: all, if the lease had run out
        :raises LeaseLost: the batch has another holder; no call may be sent. What succeeded is
            recorded all the same, since it is a fact.
        :raises StateUnavailable: Postgres did not come back in time
        """
        held_back: list[Call] = []

        def settle() -> None:
            self._settle(settlement, calls, held_back)

        began = self._patiently(settle)
        self._settle_no += 1
        self.next_call += len(calls)
        self.renewed_at = began
        return held_back

    def _patiently(self, write: Callable[[], None]) -> float:
        """Write, again and again while Postgres is away; return when the last try began.

        What was committed, though nobody was told, is not written twice.
        """
        give_up_at = time.monotonic() + PATIENCE_S
        pause_s = 0.0
        while True:
            began = time.monotonic()
            try:
                write()
            except StateUnavailable:
                # A server may be back and refuse all the same: its disk may be full.
                if not self._comes_back(give_up_at):
                    if time.monotonic() > give_up_at:
                        raise
                    time.sleep(pause_s)
                    pause_s = AGAIN_S
                    continue
            return began

    def _settle(self, settlement: Settlement, calls: list[Call], held_back: list[Call]) -> None:
        with transaction(self._conn) as cur:
            self._leave_out_settled(cur, calls)
            fenced = not self._renew(cur, settlement, calls)
            if fenced and calls and self._renew(cur, settlement, []):
                held_back += calls
                calls.clear()
                fenced = False
            if fenced:
                self._write_late_facts(cur, settlement)
            else:
                self._write_facts(cur, settlement)
                self._write_opinions(cur, settlement)
                self._write_ahead(cur, calls)
            reach(Point.SETTLE_WRITTEN)
        reach(Point.SETTLE_COMMITTED)
        if fenced:
            message = f"batch {self.batch_id} has been taken over by another task"
            raise LeaseLost(message)

    def _renew(self, cur: Cursor, settlement: Settlement, calls: list[Call]) -> bool:
        """Pass the fence and renew the lease; return False if it is another's or has run out."""
        for number, call in enumerate(calls, self.next_call):
            call.number = number
        cur.execute(
            _SQL["fence"],
            {
                "batch_id": self.batch_id,
                "epoch": self._epoch,
                "settle_no": self._settle_no + 1,
                "lease_s": LEASE_S,
                "new_calls": len(calls),
                "retries": sum(call.attempt > 1 for call in calls),
                "duplicates": sum(call.duplicates for call in calls),
                "blamed": settlement.blamed,
                "cured": settlement.cured,
            },
        )
        return cur.rowcount == 1

    def _leave_out_settled(self, cur: Cursor, calls: list[Call]) -> None:
        """Take out of repeated calls what an earlier holder has reported as done meanwhile."""
        repeated = [
            call for call in calls if call.attempt > 1 and not isinstance(call.entries, Fresh)
        ]
        if not repeated:
            return
        seqs = [entry.seq for call in repeated for entry in call.entries]
        cur.execute(_SQL["lock_batch"], {"batch_id": self.batch_id})
        cur.execute(_SQL["list_left"], {"job_id": self.job_id, "seqs": seqs})
        left = {row[0] for row in cur}
        for call in repeated:
            call.entries = [entry for entry in call.entries if entry.seq in left]
        calls[:] = [call for call in calls if call.entries]

    def _write_facts(self, cur: Cursor, settlement: Settlement) -> None:
        """Write what is true whoever says it: how calls ended, and which items succeeded."""
        self._end_calls(cur, settlement.ended)
        moved = 0
        if settlement.succeeded:
            cur.execute(_SQL["settle_succeeded"], self._succeeded(settlement))
            moved = cur.rowcount
        self._count(cur, settlement.ended, moved)

    def _write_late_facts(self, cur: Cursor, settlement: Settlement) -> None:
        """Write the same after another holder took over, who has counted the calls as lost.

        What succeeded may have come into quarantine meanwhile, or into a batch of a later run. So
        nobody may move items while this does: it holds the locks of all who could.
        """
        key = self._succeeded(settlement)
        cur.execute(_SQL["lock_job"], key)
        cur.execute(_SQL["lock_owners"], key)
        self._end_calls(cur, settlement.ended)
        changed = {row[0] for row in cur} if settlement.ended else set()
        late = [call for call in settlement.ended if call.number in changed]
        if settlement.succeeded:
            cur.execute(_SQL["settle_late"], key)
        if late:
            self._count(cur, late, 0)
            no_longer = [("lost", "", -len(late), -sum(call.items for call in late))]
            self._count_troubles(cur, no_longer)
            _count_orphans(cur, [self.batch_id])

    def _succeeded(self, settlement: Settlement) -> dict[str, Any]:
        return {
            "job_id": self.job_id,
            "run_id": self.run_id,
            "batch_id": self.batch_id,
            "firsts": [span.first for span, _ in settlement.succeeded],
            "lasts": [span.last for span, _ in settlement.succeeded],
            "call_nos": [number for _, number in settlement.succeeded],
        }

    def _end_calls(self, cur: Cursor, ended: list[EndedCall]) -> None:
        if ended:
            cur.execute(
                _SQL["end_calls"],
                {
                    "batch_id": self.batch_id,
                    "call_nos": [call.number for call in ended],
                    "outcomes": [call.outcome for call in ended],
                    "request_ids": [call.request_id for call in ended],
                    "versions": [call.executed_version for call in ended],
                    "error_types": [call.error_type for call in ended],
                    "errors": [call.error for call in ended],
                },
            )

    def _count(self, cur: Cursor, ended: list[EndedCall], moved: int) -> None:
        """Count how calls ended: success costs a column of the batch, only troubles cost rows."""
        calls: Counter[tuple[str, str]] = Counter()
        items: Counter[tuple[str, str]] = Counter()
        for call in ended:
            calls[call.outcome, call.cause] += 1
            items[call.outcome, call.cause] += call.items
        good = (Outcome.SUCCEEDED, "")
        if moved or calls[good]:
            cur.execute(
                _SQL["count_succeeded"],
                {
                    "batch_id": self.batch_id,
                    "count": moved,
                    "calls": calls.pop(good, 0),
                    "items": items.pop(good, 0),
                },
            )
        self._count_troubles(cur, [(*key, calls[key], items[key]) for key in sorted(calls)])

    def _count_troubles(self, cur: Cursor, troubles: list[tuple[str, str, int, int]]) -> None:
        if troubles:
            outcomes, causes, calls, items = (
                list(column) for column in zip(*troubles, strict=True)
            )
            cur.execute(
                _SQL["count_troubles"],
                {
                    "batch_id": self.batch_id,
                    "outcomes": outcomes,
                    "causes": causes,
                    "calls": calls,
                    "items": items,
                },
            )

    def _write_opinions(self, cur: Cursor, settlement: Settlement) -> None:
        """Write what only the holder of the lease may say: failures, and what they lead to."""
        if settlement.retried:
            entries = [entry for entry, _ in settlement.retried]
            cur.execute(
                _SQL["settle_retried"],
                {
                    "job_id": self.job_id,
                    "seqs": [entry.seq for entry in entries],
                    "attempts": [entry.attempts for entry in entries],
                    "failures": [entry.failures for entry in entries],
                    "call_caps": [entry.call_cap for entry in entries],
                    "unsures": [entry.unsure for entry in entries],
                    "delays_s": [delay_s for _, delay_s in settlement.retried],
                },
            )
        poison = settlement.quarantined
        if poison:
            cur.execute(
                _SQL["settle_quarantined"],
                {
                    "job_id": self.job_id,
                    "run_id": self.run_id,
                    "batch_id": self.batch_id,
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
            key = {"batch_id": self.batch_id, "count": cur.rowcount}
            cur.execute(_SQL["count_quarantined"], key)

    def _write_ahead(self, cur: Cursor, calls: list[Call]) -> None:
        if calls:
            cur.execute(
                _SQL["write_ahead"],
                {
                    "batch_id": self.batch_id,
                    "epoch": self._epoch,
                    "call_nos": [call.number for call in calls],
                    "items": [_multirange(call.spans) for call in calls],
                    "item_counts": [len(call.entries) for call in calls],
                    "attempts": [call.attempt for call in calls],
                    "duplicates": [call.duplicates for call in calls],
                },
            )

    def _comes_back(self, give_up_at: float) -> bool:
        """Reconnect; return whether the settling that was cut off had been committed."""
        while True:
            try:
                self._conn.close()
                self._conn = connect(self._dsn)
                with transaction(self._conn) as cur:
                    cur.execute(
                        _SQL["get_settle_no"], {"batch_id": self.batch_id, "epoch": self._epoch}
                    )
                    row = cur.fetchone()
                return row is not None and row[0] == self._settle_no + 1
            except StateUnavailable:
                if time.monotonic() > give_up_at:
                    raise
                time.sleep(AGAIN_S)

    def allot(self, wanted: int, in_flight: int, width: int | None = None) -> Allotment:
        """Renew the lease, and return this task's share of what the run may do.

        What the shares keep to is in :mod:`include.retrofill.rules.shares`. The task that finds a
        limit of the whole run reached stops the run.

        :param wanted: calls this task could have in flight
        :param in_flight: calls it has sent that may be running still
        :param width: how wide the endpoint lets its window be; None: it is not in the way
        :raises LeaseLost: the batch has another holder
        """
        allotted: list[Allotment] = []

        def allot() -> None:
            allotted.append(self._allot(wanted, in_flight, width))

        self.renewed_at = self._patiently(allot)
        return allotted[-1]

    def _allot(self, wanted: int, in_flight: int, width: int | None) -> Allotment:
        with transaction(self._conn) as cur:
            key = {"run_id": self.run_id, "batch_id": self.batch_id}
            cur.execute(_SQL["lock_run"], key)
            limits = Limits(*one(cur))
            # In this order: a call that another makes in between counts twice, and is never missed.
            cur.execute(_SQL["list_shares"], key)
            shares = [Share(*row) for row in cur]
            cur.execute(_SQL["get_totals"], key)
            totals = Totals(*one(cur))
            allotment = allot(
                limits, shares, totals, wanted=wanted, in_flight=in_flight, width=width
            )
            cur.execute(
                _SQL["allot"],
                {
                    "batch_id": self.batch_id,
                    "epoch": self._epoch,
                    "lease_s": LEASE_S,
                    "wanted": wanted,
                    "allotted": max(allotment.concurrency, in_flight),
                    "calls": allotment.calls,
                    "width": width if allotment.width is None else allotment.width,
                    "in_flight": in_flight,
                    "calls_per_second": allotment.calls_per_second or 0.0,
                },
            )
            if cur.rowcount != 1:
                message = f"batch {self.batch_id} has been taken over by another task"
                raise LeaseLost(message)
            if allotment.run_width != limits.width:
                cur.execute(_SQL["widen_run"], {**key, "width": allotment.run_width})
            if allotment.stop_reason and not limits.stop_reason:
                cur.execute(_SQL["stop_run"], {**key, "reason": allotment.stop_reason})
        return allotment

    def release(self, *, done: bool) -> None:
        """Give the batch back; ``done`` says that nothing is left in it."""

        def release() -> None:
            with transaction(self._conn) as cur:
                cur.execute(
                    _SQL["release"], {"batch_id": self.batch_id, "epoch": self._epoch, "done": done}
                )
                # After a take-over the calls under way are those of the new holder.
                if cur.rowcount and not done:
                    _lose_calls(cur, [self.batch_id])
                elif cur.rowcount:
                    _count_orphans(cur, [self.batch_id])

        self._patiently(release)
        reach(Point.BATCH_RELEASED)

    def close(self) -> None:
        """Close the connection; the lease itself ends by :meth:`release` or by time."""
        self._conn.close()


def _read_items(text: str) -> tuple[Sequence[int], list[Item]]:
    """Read what ``copy_items`` wrote: a third of what a cursor takes to make values of rows.

    Format: PostgreSQL manual, "COPY", text format.
    """
    rows = [line.split("\t") for line in text.split("\n")[:-1]]
    if "\\" in text:
        rows = [[_ESCAPE.sub(_unescaped, field) for field in row] for row in rows]
    # A namedtuple's own constructor takes three times as long as its base's.
    make, from_hex, from_iso = tuple.__new__, bytes.fromhex, datetime.fromisoformat
    items = [
        make(
            Item,
            (
                from_hex(identifier),
                key,
                int(size),
                from_iso(modified_at),
                etag,
                version_id,
                NO_CONTENT,
            ),
        )
        for _, identifier, key, size, modified_at, etag, version_id in rows
    ]
    seqs = range(int(rows[0][0]), int(rows[-1][0]) + 1) if rows else range(0)
    return (seqs if len(seqs) == len(rows) else [int(row[0]) for row in rows]), items


_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPED = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


def _unescaped(found: re.Match[str]) -> str:
    return _ESCAPED.get(found[1], found[1])


def _multirange(spans: list[Span]) -> str:
    """Return spans as a literal; format: PostgreSQL manual, "Range Types", input and output."""
    return "{" + ",".join(f"[{first},{last}]" for first, last in spans) + "}"
