"""Batches: planning them, holding one under a lease, and settling what became of its calls."""

import time
from collections.abc import Callable
from typing import NamedTuple

from include.retrofill.faults import Point, reach
from include.retrofill.model.calls import Allotment, Call, Settlement, Span
from include.retrofill.model.errors import LeaseLost, StateError, StateUnavailable
from include.retrofill.model.items import Item
from include.retrofill.model.runs import SetRef
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


class Loaded(NamedTuple):
    """An item of a batch, as the in-process cache remembers it."""

    seq: int
    item: Item
    attempts: int
    failures: int
    call_cap: int | None
    unsure: bool
    delay_s: float


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


def _lose_calls(cur: Cursor, batch_ids: list[int]) -> None:
    if batch_ids:
        cur.execute(_SQL["lose_calls"], {"batch_ids": batch_ids})


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

    def load(self) -> list[Loaded]:
        """Return the batch's items that are still in the in-process cache, in order."""
        with transaction(self._conn) as cur:
            cur.execute(_SQL["load_items"], self._span)
            return [Loaded(row[0], Item(bytes.fromhex(row[1]), *row[2:7]), *row[7:]) for row in cur]

    def settle(self, settlement: Settlement, calls: list[Call]) -> None:
        """Write what ended and, ahead of sending them, what calls come next: one transaction.

        The calls get their numbers. A server that goes away is waited for, PATIENCE_S long, and
        what may have been committed before is not written twice.

        :raises LeaseLost: the batch has another holder; no call may be sent. What succeeded is
            recorded all the same, since it is a fact.
        :raises StateUnavailable: Postgres did not come back in time
        """
        for number, call in enumerate(calls, self.next_call):
            call.number = number

        def settle() -> None:
            self._settle(settlement, calls)

        began = self._patiently(settle)
        self._settle_no += 1
        self.next_call += len(calls)
        self.renewed_at = began

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

    def _settle(self, settlement: Settlement, calls: list[Call]) -> None:
        fenced = False
        with transaction(self._conn) as cur:
            key = {"batch_id": self.batch_id, "epoch": self._epoch}
            cur.execute(
                _SQL["fence"],
                {
                    **key,
                    "settle_no": self._settle_no + 1,
                    "lease_s": LEASE_S,
                    "new_calls": len(calls),
                    "retries": sum(call.attempt > 1 for call in calls),
                    "duplicates": sum(call.duplicates for call in calls),
                    "quarantined": len(settlement.quarantined),
                },
            )
            fenced = cur.rowcount != 1
            self._write_facts(cur, settlement)
            if not fenced:
                self._write_opinions(cur, settlement)
                self._write_ahead(cur, calls)
            reach(Point.SETTLE_WRITTEN)
        reach(Point.SETTLE_COMMITTED)
        if fenced:
            message = f"batch {self.batch_id} has been taken over by another task"
            raise LeaseLost(message)

    def _write_facts(self, cur: Cursor, settlement: Settlement) -> None:
        """Write what is true whoever says it: how calls ended, and which items succeeded."""
        ended = settlement.ended
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
        if settlement.succeeded:
            cur.execute(
                _SQL["settle_succeeded"],
                {
                    "job_id": self.job_id,
                    "run_id": self.run_id,
                    "batch_id": self.batch_id,
                    "firsts": [span.first for span, _ in settlement.succeeded],
                    "lasts": [span.last for span, _ in settlement.succeeded],
                    "call_nos": [number for _, number in settlement.succeeded],
                },
            )
            cur.execute(_SQL["count_succeeded"], {"batch_id": self.batch_id, "count": cur.rowcount})

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
                    "request_ids": [bad.call.request_id for bad in poison],
                    "error_types": [bad.call.error_type for bad in poison],
                    "errors": [bad.error for bad in poison],
                },
            )

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

    def allot(self, wanted: int, in_flight: int) -> Allotment:
        """Renew the lease, and return this task's share of what the run may do.

        The shares of all tasks never add up to more than the run's ``max_concurrency``: a task
        grows only into what no other holds, and a share counts until its calls have ended.

        :param wanted: calls this task could have in flight
        :raises LeaseLost: the batch has another holder
        """
        allotted: list[Allotment] = []

        def allot() -> None:
            allotted.append(self._allot(wanted, in_flight))

        self.renewed_at = self._patiently(allot)
        return allotted[-1]

    def _allot(self, wanted: int, in_flight: int) -> Allotment:
        with transaction(self._conn) as cur:
            key = {"run_id": self.run_id, "batch_id": self.batch_id}
            cur.execute(_SQL["lock_run"], key)
            cap, rate, paused, stop_reason = one(cur)
            cur.execute(_SQL["list_shares"], key)
            others = cur.fetchall()
            share = _share(0 if paused else cap, wanted, others)
            cur.execute(
                _SQL["allot"],
                {
                    "batch_id": self.batch_id,
                    "epoch": self._epoch,
                    "lease_s": LEASE_S,
                    "wanted": wanted,
                    "allotted": max(share, in_flight),
                },
            )
            if cur.rowcount != 1:
                message = f"batch {self.batch_id} has been taken over by another task"
                raise LeaseLost(message)
        return Allotment(share, rate / (len(others) + 1) if rate else None, stop_reason)

    def release(self, *, done: bool) -> None:
        """Give the batch back; ``done`` says that nothing is left in it."""

        def release() -> None:
            with transaction(self._conn) as cur:
                if not done:
                    _lose_calls(cur, [self.batch_id])
                cur.execute(
                    _SQL["release"], {"batch_id": self.batch_id, "epoch": self._epoch, "done": done}
                )

        self._patiently(release)

    def close(self) -> None:
        """Close the connection; the lease itself ends by :meth:`release` or by time."""
        self._conn.close()


def _multirange(spans: list[Span]) -> str:
    """Return spans as a literal; format: PostgreSQL manual, "Range Types", input and output."""
    return "{" + ",".join(f"[{first},{last}]" for first, last in spans) + "}"


def _share(cap: int, wanted: int, others: list[tuple[int, int]]) -> int:
    """Return one task's share of ``cap``, where the others want and hold so much each."""
    fair = -(-cap // (len(others) + 1))
    leftover = cap - sum(min(other_wanted, fair) for other_wanted, _ in others)
    free = cap - sum(allotted for _, allotted in others)
    return max(0, min(wanted, max(fair, leftover), free))
