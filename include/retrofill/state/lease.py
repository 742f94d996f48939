"""The lease: one task holds a batch, and its epoch fences what the task reads and writes."""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from retrofill.engine.portions import Portion, is_one
from retrofill.engine.ramp import Tally
from retrofill.engine.shares import Standing
from retrofill.engine.slowest import Slow
from retrofill.faults import Point, reach
from retrofill.model.calls import Allotment, Call, Loaded, Refused, Settlement
from retrofill.model.errors import LeaseLost, StateError, StateNotConfigured, StateUnavailable
from retrofill.model.pulse import Slice
from retrofill.model.runs import UNNAMED, TaskName
from retrofill.state.address import Dsn
from retrofill.state.allotting import Ask, Given, Holder, columns, give
from retrofill.state.connection import (
    Cursor,
    connect,
    one,
    transaction,
    value,
    values,
)
from retrofill.state.limits import find_standing
from retrofill.state.locks import lock_batch, lock_job
from retrofill.state.lost_calls import count_orphans, count_silent, mark_calls_lost
from retrofill.state.portions import divide_batch, load_portion
from retrofill.state.pulse import add_slices
from retrofill.state.settling import Settler
from retrofill.state.statements import load

_SQL = load("lease.sql")

LEASE_S = 60.0
"""How long a holder may be silent before another may take its batch over."""

PATIENCE_S = 300.0
"""How long settling waits for a Postgres that went away, or cannot write now."""

AGAIN_S = 1.0
"""How long it rests between two tries."""

_NOTHING = Tally()


class Busy(StateError):
    """The batch is leased to another holder.

    :param holder: who that is
    :param leased_s: seconds until the lease ends, unless it is renewed
    """

    def __init__(self, holder: str, leased_s: float) -> None:
        self.holder = holder
        self.leased_s = leased_s
        super().__init__(f"the batch is leased to {holder} for {leased_s:.0f} s more")


class _Taken(NamedTuple):
    """What a lease begins with."""

    epoch: int
    next_call: int
    settle_no: int
    slowest: list[int]
    slowest_ms: list[int]


class BatchLease:
    """One batch, held by one task: what it reads and writes is fenced by the lease's epoch.

    :param dsn: where the state is; what tells it is asked anew for each connection
    :param batch_id: which batch
    :param holder: who we are, for people and for :attr:`Busy.holder`
    :param task: the task that we are, by which people find its log
    """

    def __init__(self, dsn: Dsn, batch_id: int, holder: str, task: TaskName = UNNAMED) -> None:
        self._dsn = dsn
        self._conn = connect(dsn, patience_s=PATIENCE_S)
        self._holder = holder
        self._task = task
        self._epoch = 0
        self._settle_no = self._pulse_no = 0
        self._found: Standing | None = None
        self.batch_id = batch_id
        self.next_call = 1
        self.run_id = 0
        self.slowest: list[Slow] = []
        """The calls that took longest, as an earlier holder has told."""
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
            batch = lock_batch(cur, self.batch_id)
            if batch is None:
                message = f"batch {self.batch_id} is not in the state"
                raise StateError(message)
            span = {
                "job_id": batch.job_id,
                "first_seq": batch.first_seq,
                "last_seq": batch.last_seq,
            }
            if batch.done:
                cur.execute(_SQL["count_items"], span)
                if not value(cur):
                    return False
                # A person has cleared the task: its items may be back with it only if no later
                # run has planned them for itself.
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
        self._batch, self.run_id, self._span = batch, batch.run_id, span
        self._settler = Settler(job_id=batch.job_id, run_id=batch.run_id, batch_id=self.batch_id)
        self.renewed_at = began
        reach(Point.BATCH_TAKEN)
        return True

    def portions(self, of: int) -> list[Portion]:
        """Divide what is left of the batch into portions, to be loaded one after another.

        A batch that takes no more than a portion is one, and no item of it is looked at.

        :param of: items of a call
        """
        if is_one(self._batch.bytes):
            return [Portion(self._batch.first_seq, self._batch.last_seq, self._batch.items)]
        divided: list[list[Portion]] = []

        def divide() -> None:
            with transaction(self._conn) as cur:
                divided.append(divide_batch(cur, self._span, of=of))

        self._patiently(divide)
        return divided[-1]

    def load(self, portion: Portion) -> Loaded:
        """Return the items of a portion that are still in the in-process cache.

        A server that goes away is waited for, as in :meth:`settle`: calls may be in flight.
        """
        loaded: list[Loaded] = []

        def load() -> None:
            with transaction(self._conn) as cur:
                loaded.append(load_portion(cur, self._batch.job_id, self.run_id, portion))

        self._patiently(load)
        reach(Point.PORTION_LOADED)
        return loaded[-1]

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
                self._settler.write_late_facts(cur, settlement)
            else:
                self._settler.write_facts(cur, settlement)
                self._settler.write_opinions(cur, settlement)
                self._settler.write_ahead(cur, self._epoch, calls)
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
        """Take out of repeated calls what an earlier holder has reported as done meanwhile."""
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
        """Reconnect; return whether the settling that was cut off had been committed."""
        while True:
            try:
                self._conn.close()
                self._conn = connect(self._dsn)
                with transaction(self._conn) as cur:
                    cur.execute(
                        _SQL["get_settle_no"], {"batch_id": self.batch_id, "epoch": self._epoch}
                    )
                    return values(cur) == [self._settle_no + 1]
            # Whoever keeps the connection may be away, too, or about to change its password.
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

        What the shares keep to is in :mod:`retrofill.engine.shares`. The task that finds a
        limit of the whole run reached stops the run.

        :param wanted: calls this task could have in flight
        :param in_flight: calls it has sent that may be running still
        :param width: how wide the endpoint lets its window be; None: it is not in the way
        :param answered: whether a call was let through since it asked last
        :param refused: what it hears while none is; None: no refusal since
        :param ended: the calls that ended since it asked last, if the run is on a ramp
        :param least_cost: dollars that a call costs at least; 0: nobody knows
        :param pulse: what its calls did in slices that are over
        :param slowest: the calls of the batch that took longest
        :raises LeaseLost: the batch has another holder
        """
        ask = Ask(
            wanted=wanted,
            in_flight=in_flight,
            width=width,
            answered=answered,
            refused=refused,
            ended=ended,
            least_cost=least_cost,
            slowest=slowest,
        )
        given: list[Given] = []

        def allot() -> None:
            with transaction(self._conn) as cur:
                holder = Holder(self.run_id, self.batch_id, self._epoch)
                given.append(give(cur, holder, ask, lease_s=LEASE_S))
                self._add_slices(cur, pulse)

        self.renewed_at = self._patiently(allot)
        self._pulse_no += bool(pulse)
        self._found = given[-1].found
        if given[-1].finds_uncounted:
            # By itself, so that it waits for nobody: what comes of it is for whoever asks next.
            self._patiently(self._count_silent)
        return given[-1].allotment

    def is_changed(self) -> bool:
        """Return whether somebody has changed what the run allows since this task asked last."""
        seen: list[Standing] = []

        def look() -> None:
            with transaction(self._conn) as cur:
                seen.append(find_standing(cur, self.run_id))

        self._patiently(look)
        return self._found is None or seen[-1].given != self._found.given

    def _count_silent(self) -> None:
        with transaction(self._conn) as cur:
            count_silent(cur, self.run_id)

    def _add_slices(self, cur: Cursor, pulse: Sequence[Slice]) -> None:
        if pulse:
            add_slices(cur, self.batch_id, self._epoch, self._pulse_no + 1, pulse)

    def release(
        self, *, done: bool, pulse: Sequence[Slice] = (), slowest: Sequence[Slow] = ()
    ) -> None:
        """Give the batch back.

        :param done: whether nothing is left in it
        :param pulse: what its calls did that was not told yet
        :param slowest: the calls of the batch that took longest
        """

        def release() -> None:
            with transaction(self._conn) as cur:
                key = {"batch_id": self.batch_id, "epoch": self._epoch, "done": done}
                cur.execute(_SQL["release"], {**key, **columns(slowest)})
                # After a take-over the calls under way are those of the new holder.
                if cur.rowcount and not done:
                    mark_calls_lost(cur, [self.batch_id])
                elif cur.rowcount:
                    count_orphans(cur, [self.batch_id])
                self._add_slices(cur, pulse)

        self._patiently(release)
        reach(Point.BATCH_RELEASED)

    def close(self) -> None:
        """Close the connection; the lease itself ends by :meth:`release` or by time."""
        self._conn.close()
