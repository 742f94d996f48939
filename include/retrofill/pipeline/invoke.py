"""Call the function with the items of one batch, and settle each item by the result of its call.

One loop in one thread: gather calls that ended; in one transaction, settle them and write ahead the
next ones; then send these. So a call leaves only after its row is committed.
"""

import gc
import logging
import queue
import random
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from math import ceil, inf

from retrofill.config import RunConfig
from retrofill.engine.dispatch import Dispatch
from retrofill.engine.first_calls import first_calls
from retrofill.engine.gate import ASK_EVERY_S, Gate
from retrofill.engine.outcomes import REFUSED, Outcome
from retrofill.engine.progress import Invoked, Progress, SendMetrics
from retrofill.engine.pulse import Pulse
from retrofill.engine.ramp import Tally
from retrofill.engine.refusals import Refusals
from retrofill.engine.slowest import Slowest
from retrofill.events import CompiledShape
from retrofill.faults import Point, reach
from retrofill.functions.client import Client, NoReply, Reply
from retrofill.model.amounts import counted
from retrofill.model.calls import Call, EndedCall, Settlement
from retrofill.model.errors import FunctionUnusable, Interrupted, LeaseLost, RunIncomplete
from retrofill.model.runs import Run
from retrofill.pipeline.replies import Replies
from retrofill.state.lease import LEASE_S, BatchLease, Busy

log = logging.getLogger(__name__)

LOGGED_TROUBLES = 20
"""Calls with an error that one task logs; the views have them all."""

_LOGGED = {Outcome.SUCCEEDED, Outcome.FAILED, Outcome.UNKNOWN}

LOG_EVERY_S = 5.0
"""Seconds between two lines of progress."""

GATHER_S = 0.005
"""Seconds to wait for more calls to end, so that one transaction settles many."""

GRACE_S = 5.0
"""Seconds after which Airflow kills a task that it has asked to end."""

LET_GO_S = 2.0
"""The part of these seconds in which to settle calls and release the batch."""

LEASE_MARGIN_S = 10.0
"""Seconds before the end of a lease at which a holder that could not renew it stops sending."""


class Invoker:
    """Calls the function with the items of a batch.

    :param lease: the batch, already taken
    :param client: the data plane to the run's function
    :param shape: the run's event shape
    :param keeps_usage: whether to record the usage of each call
    :param stop_asked: returns whether the task was asked to end
    :param grace_s: seconds from then until the task is killed
    :param progressed: called after items were settled
    :param send_metrics: called with metrics every few seconds, and at the end
    """

    def __init__(
        self,
        *,
        lease: BatchLease,
        client: Client,
        shape: CompiledShape,
        run: Run,
        config: RunConfig,
        keeps_usage: bool = False,
        stop_asked: Callable[[], bool],
        grace_s: float = GRACE_S,
        progressed: Callable[[], None] = lambda: None,
        send_metrics: SendMetrics = lambda _: None,
    ) -> None:
        self._lease = lease
        self._client = client
        self._shape = shape
        self._stop_asked = stop_asked
        self._last_words_s = max(0.0, grace_s - LET_GO_S)
        self._progressed = progressed
        self._send_metrics = send_metrics
        self._replies = Replies(config.function_kind, shape, run)
        self._keeps_usage = keeps_usage
        self._most_items = run.delivery.items_per_call
        self._most_bytes = config.function_kind.max_request_bytes
        self._portions = deque(lease.portions(self._most_items))
        self._dispatch = Dispatch(
            max_attempts=config.limits.max_attempts,
            function_timeout_s=run.function.timeout_s,
            random=random.random,
            version=run.function.version,
            hold_unknown=config.limits.on_unknown == "hold",
        )
        items = self._load() + sum(portion.items for portion in self._portions)
        now = time.monotonic()
        self._gate = Gate(now=now)
        self._progress = Progress(items, now=now)
        self._refusals = Refusals(run.function.timeout_s)
        self._tally = Tally()
        self._slowest = Slowest(lease.slowest)
        self._pulse = Pulse(lambda: self._progress.total, now=now)
        self._logged_at = now
        self._troubles = 0

    def run(self) -> Invoked:
        """Work until every item is settled.

        :raises FunctionUnusable: the function refuses every call; the items stay in process
        :raises RunIncomplete: the run was stopped
        :raises Interrupted: the task was asked to end
        :raises LeaseLost: another task has taken the batch over
        """
        try:
            while self._dispatch.left and not self._must_stop():
                self._turn()
            self._drain()
            if self._tally.calls:
                # Otherwise the ramp of a run with many short tasks would learn of no call.
                self._ask(time.monotonic())
        except LeaseLost:
            self._record_facts()
            raise
        done = not self._dispatch.left
        now, in_flight = time.monotonic(), self._dispatch.in_flight
        self._lease.release(
            done=done,
            pulse=self._pulse.take_all(now, len(in_flight)),
            slowest=self._slowest.now(in_flight.values(), now),
        )
        self._log_progress(time.monotonic())
        if self._dispatch.halt_reason:
            raise FunctionUnusable(f"function: {self._dispatch.halt_reason}")
        if not done:
            left = f"{self._dispatch.left} calls of this batch are left"
            if self._gate.allotment.stop_reason:
                raise RunIncomplete(f"{left}: {self._gate.allotment.stop_reason}")
            raise Interrupted(f"{left}: the task was asked to end")
        return self._progress.counts

    def _load(self) -> int:
        """Load the next portion, if there is one, as calls; return the number of its items."""
        if not self._portions:
            return 0
        with _uncollected():
            loaded = self._lease.load(self._portions.popleft())
            calls = first_calls(loaded, self._shape, self._most_items, self._most_bytes)
        unloaded = sum(ceil(portion.items / self._most_items) for portion in self._portions)
        self._dispatch.add(calls, unloaded=unloaded, now=time.monotonic())
        return len(loaded.items)

    def _must_stop(self) -> bool:
        stop_reason = self._dispatch.halt_reason or self._gate.allotment.stop_reason
        return bool(stop_reason or self._stop_asked())

    def _turn(self) -> None:
        """Gather; settle and write ahead; send. Once."""
        now = time.monotonic()
        self._pulse.tick(now, len(self._dispatch.in_flight))
        self._ask_or_look(now)
        if now - self._logged_at >= LOG_EVERY_S:
            self._log_progress(now)
        self._gather(
            self._gate.wait_s(self._dispatch.running(now), self._dispatch.next_due_in(now), now)
        )
        calls = self._next_calls()
        settlement = self._dispatch.take_settlement()
        if not settlement and not calls:
            return
        try:
            self._dispatch.put_back(self._lease.settle(settlement, calls))
        except LeaseLost:
            self._dispatch.put_back(calls)
            raise
        self._settled(settlement)
        self._progress.wrote_ahead(calls)
        now = time.monotonic()
        for call in calls:
            self._dispatch.sent(call, now)
            self._client.send(call.number, self._shape.payload(call.items, call.failures))
            reach(Point.CALL_SENT)
        self._gate.sent(len(calls))
        reach(Point.CALLS_SENT)

    def _settled(self, settlement: Settlement) -> None:
        self._progress.settled(settlement)
        if settlement.succeeded or settlement.quarantined:
            self._progressed()
        if settlement.blamed and not self._progress.counts["succeeded"]:
            # If the first items all fail, nothing more should be sent.
            self._gate.ask_soon()

    def _next_calls(self) -> list[Call]:
        """Return the calls to send now."""
        if self._must_stop():
            return []
        while True:
            now = time.monotonic()
            room = self._gate.room(self._dispatch.running(now), now)
            if not self._dispatch.is_low(room, now):
                return self._dispatch.take(room, now)
            self._load()

    def _ask_or_look(self, now: float) -> None:
        """Ask if it is time to, or if somebody has changed the limits of the run."""
        if self._gate.must_ask(now) or (self._gate.must_look(now) and self._lease.is_changed()):
            self._ask(now)
        elif self._gate.must_look(now):
            self._gate.looked(now)

    def _ask(self, now: float) -> None:
        """Renew the lease, and get this task's share and the limits of the run."""
        running = self._dispatch.running(now)
        allotment = self._lease.allot(
            self._gate.wants(self._dispatch.wanted(now), running),
            running,
            self._gate.width,
            answered=self._refusals.take_answered(),
            refused=self._refusals.report(now),
            ended=self._tally,
            least_cost=self._replies.least_cost,
            pulse=self._pulse.take(),
            slowest=self._slowest.now(self._dispatch.in_flight.values(), now),
        )
        self._tally = Tally()
        self._pulse.adopt(allotment.age_s, allotment.most_in_flight, asked_at=now)
        if not allotment.concurrency:
            self._refusals.forget()
        valid_until = self._lease.renewed_at + LEASE_S - LEASE_MARGIN_S
        self._gate.grant(allotment, asked_at=now, valid_until=valid_until)

    def _gather(self, patience_s: float) -> None:
        """Take in every call that ended: wait ``patience_s`` for the first, GATHER_S for others."""
        completions = self._client.completions
        try:
            reply = completions.get(timeout=patience_s) if patience_s else completions.get_nowait()
            self._take_in(reply)
            # Sleep: to wait for each call would wake this thread for each of them.
            time.sleep(GATHER_S)
            while True:
                self._take_in(completions.get_nowait())
        except queue.Empty:
            pass

    def _take_in(self, reply: Reply | NoReply) -> None:
        reach(Point.CALL_ANSWERED)
        now = time.monotonic()
        call = self._dispatch.in_flight[reply.tag]
        ended, answer, usage, charge = self._replies.read(reply, call)
        self._refusals.ended(ended, now=now)
        self._gate.ended(
            throttled=ended.kind is Outcome.THROTTLED,
            sent_at=call.sent_at,
            now=now,
            cost=charge.cost,
        )
        record = self._dispatch.ended(
            reply.tag,
            ended,
            answer,
            now=now,
            usage=usage if self._keeps_usage else None,
            charge=charge,
        )
        took_s = usage.took_s if usage else now - call.sent_at
        if self._gate.allotment.ramp:
            self._tally.ended(record.outcome, took_s)
        if record.outcome not in REFUSED:
            self._pulse.took(took_s)
            self._progress.took(took_s)
        self._slowest.ended(record.number, took_s)
        if record.error_type and record.outcome in _LOGGED:
            self._log_trouble(record, len(call.seqs))

    def _log_trouble(self, record: EndedCall, items: int) -> None:
        """Log a call with an error, without its message, in which a function may put any data."""
        self._troubles += 1
        if self._troubles <= LOGGED_TROUBLES:
            log.warning(
                "call %d with %s: %s, %s, request id %s",
                record.number,
                counted(items, "item"),
                record.outcome,
                record.error_type,
                record.request_id or "unknown",
            )
        if self._troubles == LOGGED_TROUBLES:
            log.warning("more calls like these are not logged; retrofill.v_call has them all")

    def _drain(self) -> None:
        """Wait for the calls in flight and settle them; send nothing more."""
        give_up_at = inf
        while self._dispatch.in_flight and (now := time.monotonic()) < give_up_at:
            self._pulse.tick(now, len(self._dispatch.in_flight))
            if self._stop_asked():
                give_up_at = min(give_up_at, now + self._last_words_s)
            self._gather(min(ASK_EVERY_S, give_up_at - now))
            settlement = self._dispatch.take_settlement()
            if settlement:
                self._lease.settle(settlement, [])
                self._settled(settlement)
            self._ask_or_look(time.monotonic())

    def _record_facts(self) -> None:
        """After another task took over: record which calls in flight still succeed."""
        log.warning("another task has taken this batch over; nothing more is sent")
        give_up_at = time.monotonic() + LEASE_S
        while self._dispatch.in_flight and time.monotonic() < give_up_at:
            self._gather(ASK_EVERY_S)
        with suppress(LeaseLost):
            self._lease.settle(self._dispatch.take_settlement(), [])

    def _log_progress(self, now: float) -> None:
        self._send_metrics(self._progress.take_metrics(len(self._dispatch.in_flight)))
        log.info("%s", self._progress.line(now, len(self._dispatch.in_flight)))
        allotment = self._gate.allotment
        for reason in filter(None, (allotment.pause_reason, allotment.ramp, allotment.part)):
            log.info("%s", reason)
        refused = self._refusals.report(now)
        if refused and refused.for_s >= LOG_EVERY_S:
            log.warning(
                "every call was refused for %.0f minutes: %s; if no call is let through, the run"
                " stops after %.0f",
                refused.for_s / 60,
                refused.reason,
                refused.patience_s / 60,
            )
        self._logged_at = now


@contextmanager
def _uncollected() -> Iterator[None]:
    """Keep the garbage collector from searching all items for cycles, which they do not form."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def take(lease: BatchLease, *, holder_is_dead: Callable[[str], bool]) -> bool:
    """Take the lease of a batch, after waiting for a holder that may still be active.

    :returns: False if nothing is left to do in the batch
    """
    while True:
        try:
            return lease.take(holder_is_dead=holder_is_dead)
        except Busy as busy:
            log.info("%s; waiting for it to end", busy)
            time.sleep(min(ASK_EVERY_S, busy.leased_s))
