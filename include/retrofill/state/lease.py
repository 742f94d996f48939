"""The lease: one task holds a batch, and its epoch fences what the task reads and writes."""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

from retrofill.engine.portions import Portion
from retrofill.engine.ramp import Tally
from retrofill.engine.shares import Standing
from retrofill.engine.slowest import Slow
from retrofill.faults import Point, reach
from retrofill.model.calls import Allotment, Call, Loaded, Refused, Settlement
from retrofill.model.errors import LeaseLost, StateError, StateNotConfigured, StateUnavailable
from retrofill.model.pulse import Slice
from retrofill.model.runs import UNNAMED, TaskName
from retrofill.state.address import Dsn
from retrofill.state.allotting import columns, renew
from retrofill.state.connection import Cursor, connect, executed, one, transaction, value, values
from retrofill.state.limits import get_standing
from retrofill.state.locks import lock_batch, lock_job
from retrofill.state.lost_calls import count_orphans, count_silent, mark_calls_lost
from retrofill.state.portions import divide_batch, load_portion
from retrofill.state.pulse import add_slices
from retrofill.state.settling import Settler
from retrofill.state.statements import load

_SQL = load("lease.sql")

LEASE_S = 60.0
"""How long a holder may be silent before another may take over its batch."""

PATIENCE_S = 300.0
"""How long a write waits for a Postgres that went away or cannot write now."""

AGAIN_S = 1.0
"""The pause between two attempts."""

_NOTHING = Tally()

Result = TypeVar("Result")


class Busy(StateError):
    """The batch is leased to another holder.

    :param leased_s: seconds until the lease ends, unless it is renewed
    """

    def __init__(self, holder: str, leased_s: float) -> None:
        self.holder = holder
        self.leased_s = leased_s
        super().__init__(f"the batch is leased to {holder} for {leased_s:.0f} s more")


class _Taken(NamedTuple):
    """The state of a batch at the start of a lease."""

    epoch: int
    next_call: int
    settle_no: int
    slowest: list[int]
    slowest_ms: list[int]


class BatchLease:
    """One batch, held by one task: the lease's epoch fences what it reads and writes.

    :param dsn: the address of the state; if it is a function, it is called for each connection
    :param holder: this task, for logs and for :attr:`Busy.holder`
    :param task: this task, by which pages find its log
    """

    def __init__(self, dsn: Dsn, batch_id: int, holder: str, task: TaskName = UNNAMED) -> None:
        self._dsn = dsn
        self._conn = connect(dsn, patience_s=PATIENCE_S)
        self._holder = holder
        self._task = task
        self._epoch = 0
        self._settle_no = self._pulse_no = 0
        self._found: Standing | None = None
        self._began = 0.0
        self.batch_id = batch_id
        self.next_call = 1
        self.run_id = 0
        self.slowest: list[Slow] = []
        """The slowest calls that an earlier holder reported."""
        self.renewed_at = 0.0
        """When the lease was last renewed, in monotonic seconds."""

    def take(self, *, holder_is_dead: Callable[[str], bool]) -> bool:
        """Take over the batch; return False if nothing is left to do in it.

        :param holder_is_dead: whether a holder is known to have ended before its lease
        :raises Busy: another holder has the batch
        """
        began = time.monotonic()
        with transaction(self._conn) as cur:
            key = {"batch_id": self.batch_id}
            batch = lock_batch(cur, self.batch_id)
            if batch is None:
                raise StateError(f"batch {self.batch_id} is not in the state")
            span = batch._asdict()
            if batch.done:
                cur.execute(_SQL["count_items"], span)
                if not value(cur):
                    return False
                # The task was cleared. It may have its items back if no later run has planned them.
                lock_job(cur, batch.job_id)
                cur.execute(_SQL["is_overlapped"], {**span, **key})
                if value(cur):
                    return False
                cur.execute(_SQL["reopen"], key)
            elif batch.leased_s > 0 and not holder_is_dead(batch.holder):
                raise Busy(batch.holder, batch.leased_s)
            mark_calls_lost(cur, [self.batch_id])
            named = {"holder": self._holder, **self._task._asdict()}
            cur.execute(_SQL["take_lease"], {**key, **named, "lease_s": LEASE_S})
            taken = one(cur, _Taken)
        self._epoch, self._settle_no = taken.epoch, taken.settle_no
        self.next_call = taken.next_call
        self.slowest = list(map(Slow, taken.slowest_ms, taken.slowest))
        self._batch, self.run_id = batch, batch.run_id
        self._settler = Settler(job_id=batch.job_id, run_id=batch.run_id, batch_id=self.batch_id)
        self.renewed_at = began
        reach(Point.BATCH_TAKEN)
        return True

    def portions(self, of: int) -> list[Portion]:
        """Divide what remains of the batch into portions.

        :param of: items per call
        """
        batch = self._batch
        return self._patiently(lambda cur: divide_batch(cur, batch.job_id, batch, of=of))

    def load(self, portion: Portion) -> Loaded:
        """Return the items of a portion that are still in the in-process cache.

        It waits for a server that went away, as :meth:`settle` does: calls may be in flight.
        """
        loaded = self._patiently(
            lambda cur: load_portion(cur, self._batch.job_id, self.run_id, portion)
        )
        reach(Point.PORTION_LOADED)
        return loaded

    def settle(self, settlement: Settlement, calls: list[Call]) -> list[Call]:
        """Settle ended calls and write the next ones ahead, in one transaction.

        The next calls get their numbers, without items that an earlier holder settled in the
        meantime. If the server goes away, it waits up to PATIENCE_S. Nothing is written twice.

        :returns: calls that must wait, which it removes from ``calls``: all, if the lease had ended
        :raises LeaseLost: another holder has the batch, so no call may be sent. Items that
            succeeded are recorded nevertheless, since that is a fact.
        :raises StateUnavailable: Postgres did not come back in time
        """
        held_back: list[Call] = []
        fenced = self._patiently(
            lambda cur: self._settle(cur, settlement, calls, held_back), Point.SETTLE_COMMITTED
        )
        if fenced:
            raise LeaseLost(f"batch {self.batch_id} was taken over by another task")
        self._settle_no += 1
        self.next_call += len(calls)
        self.renewed_at = self._began
        return held_back

    def _patiently(self, work: Callable[[Cursor], Result], then: Point | None = None) -> Result:
        """Run a transaction, and again while Postgres is away; return its result.

        It is not repeated if it was committed and the response was lost.

        :param then: the fault point after the commit
        """
        give_up_at = time.monotonic() + PATIENCE_S
        pause_s = 0.0
        results: list[Result] = []
        while True:
            self._began = time.monotonic()
            try:
                with transaction(self._conn) as cur:
                    results.append(work(cur))
                if then:
                    reach(then)
            except StateUnavailable:
                # A server may be back and still refuse, for example because its disk is full.
                if not self._comes_back(give_up_at):
                    if time.monotonic() > give_up_at:
                        raise
                    time.sleep(pause_s)
                    pause_s = AGAIN_S
                    continue
            return results[-1]

    def _settle(
        self, cur: Cursor, settlement: Settlement, calls: list[Call], held_back: list[Call]
    ) -> bool:
        """Return whether another holder has the batch."""
        self._leave_out_settled(cur, calls)
        fenced = not self._renew(cur, settlement, calls)
        if fenced and calls and self._renew(cur, settlement, []):
            held_back += calls
            calls.clear()
            fenced = False
        if fenced:
            self._settler.write_late_facts(cur, settlement)
        else:
            self._settler.write_facts(cur, settlement)
            self._settler.write_opinions(cur, settlement)
            self._settler.write_ahead(cur, self._epoch, calls)
        reach(Point.SETTLE_WRITTEN)
        return fenced

    def _renew(self, cur: Cursor, settlement: Settlement, calls: list[Call]) -> bool:
        """Renew the lease for these calls; return False if it has ended or is another holder's."""
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
                "settled": len(settlement.ended),
                "retries": sum(call.attempt > 1 for call in calls),
                "duplicates": sum(call.duplicates for call in calls),
                "blamed": settlement.blamed,
                "cured": settlement.cured,
                "cost": settlement.cost,
                "from_above": settlement.cost_from_above,
            },
        )
        return cur.rowcount == 1

    def _leave_out_settled(self, cur: Cursor, calls: list[Call]) -> None:
        """Remove items from repeated calls that an earlier holder settled in the meantime."""
        repeated = [call for call in calls if call.attempt > 1 and call.has_entries]
        if not repeated:
            return
        seqs = [entry.seq for call in repeated for entry in call.entries]
        lock_batch(cur, self.batch_id)
        cur.execute(_SQL["list_left"], {"job_id": self._batch.job_id, "seqs": seqs})
        left = set(values(cur))
        for call in repeated:
            call.keep(left)
        calls[:] = [call for call in calls if call.seqs]

    def _comes_back(self, give_up_at: float) -> bool:
        """Reconnect; return whether the interrupted settling was committed."""
        while True:
            try:
                self._conn.close()
                self._conn = connect(self._dsn)
                key = {"batch_id": self.batch_id, "epoch": self._epoch}
                with executed(self._conn, _SQL["get_settle_no"], **key) as cur:
                    return values(cur) == [self._settle_no + 1]
            # The store of Airflow's connections may be away too, or about to change the password.
            except (StateUnavailable, StateNotConfigured):
                if time.monotonic() > give_up_at:
                    raise
                time.sleep(AGAIN_S)

    def allot(
        self,
        wanted: int,
        in_flight: int,
        width: int | None = None,
        *,
        answered: bool = False,
        refused: Refused | None = None,
        ended: Tally = _NOTHING,
        least_cost: float = 0.0,
        pulse: Sequence[Slice] = (),
        slowest: Sequence[Slow] = (),
    ) -> Allotment:
        """Renew the lease, and return this task's share of what the run may do.

        :mod:`retrofill.engine.shares` has the rules. If a limit of the run is reached, this stops
        the run.

        :param wanted: calls that this task could have in flight
        :param in_flight: calls that it sent and that may still be running
        :param width: the concurrency that the endpoint accepts; None: it has not throttled calls
        :param answered: whether a call was let through since this was last called
        :param refused: the refusals while no call is let through; None: no refusal since
        :param ended: the calls that ended since this was last called, if the run is on a ramp
        :param least_cost: the least cost of a call in dollars; 0: unknown
        :param pulse: complete time slices of its calls
        :param slowest: the slowest calls of the batch
        :raises LeaseLost: the batch has another holder
        """

        def allot(cur: Cursor) -> tuple[Allotment, Standing, bool]:
            given = renew(
                cur,
                self.run_id,
                self.batch_id,
                self._epoch,
                lease_s=LEASE_S,
                wanted=wanted,
                in_flight=in_flight,
                width=width,
                answered=answered,
                refused=refused,
                ended=ended,
                least_cost=least_cost,
                slowest=slowest,
            )
            self._add_slices(cur, pulse)
            return given

        allotment, self._found, finds_uncounted = self._patiently(allot)
        self.renewed_at = self._began
        self._pulse_no += bool(pulse)
        if finds_uncounted:
            # In a transaction of its own, so that it waits for no lock. Later shares include it.
            self._patiently(lambda cur: count_silent(cur, self.run_id))
        return allotment

    def is_changed(self) -> bool:
        """Return whether the limits of the run were changed since :meth:`allot`."""
        standing = self._patiently(lambda cur: get_standing(cur, self.run_id))
        return self._found is None or standing.given != self._found.given

    def _add_slices(self, cur: Cursor, pulse: Sequence[Slice]) -> None:
        if pulse:
            add_slices(cur, self.batch_id, self._epoch, self._pulse_no + 1, pulse)

    def release(
        self, *, done: bool, pulse: Sequence[Slice] = (), slowest: Sequence[Slow] = ()
    ) -> None:
        """Give the batch back.

        :param done: whether nothing is left in it
        :param pulse: time slices of its calls that :meth:`allot` did not get
        :param slowest: the slowest calls of the batch
        """

        def release(cur: Cursor) -> None:
            key = {"batch_id": self.batch_id, "epoch": self._epoch, "done": done}
            cur.execute(_SQL["release"], {**key, **columns(slowest)})
            # After a take-over, the calls in flight are those of the new holder.
            if cur.rowcount and not done:
                mark_calls_lost(cur, [self.batch_id])
            elif cur.rowcount:
                count_orphans(cur, [self.batch_id])
            self._add_slices(cur, pulse)

        self._patiently(release)
        reach(Point.BATCH_RELEASED)

    def close(self) -> None:
        """Close the connection. The lease ends with :meth:`release`, or in time."""
        self._conn.close()
