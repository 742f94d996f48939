"""Which call goes next, and what happens after one ends: retry, bisect or settle."""

import heapq
from collections import deque
from collections.abc import Callable, Iterable
from itertools import count

from retrofill.engine.answers import ALL_SUCCEEDED, Answer
from retrofill.engine.backoff import backoff_s
from retrofill.engine.meter import NOTHING, Charge
from retrofill.engine.outcomes import MALFORMED, NO_ANSWER, Cause, Ending, Outcome
from retrofill.engine.packing import bisect, cap_after
from retrofill.model.calls import Call, EndedCall, Entry, Quarantined, Settlement, spans_of
from retrofill.model.cost import Usage

KEYS_KEPT = 5
"""Items whose keys are kept with a call that did not succeed."""

MAX_REFUSALS = 20
"""Start-up refusals of one call in a row after which the function counts as broken."""


class Dispatch:
    """The calls of one batch: ready, waiting for their time, or in flight.

    It is pure: time is an argument (monotonic seconds), and randomness is a function. It is empty
    until calls are added.

    :param max_attempts: failures after which an item is quarantined
    :param function_timeout_s: how long a call without a response may still be running
    :param random: returns a random number in [0, 1)
    :param version: the pinned version of the function; empty: unknown
    :param hold_unknown: whether to quarantine an item at once if a call with it ends without a
        response, so that it is called at most once
    """

    def __init__(
        self,
        *,
        max_attempts: int,
        function_timeout_s: float,
        random: Callable[[], float],
        version: str = "",
        hold_unknown: bool = False,
    ) -> None:
        self._version = version
        self._hold_unknown = hold_unknown
        self._orphans: list[float] = []
        self._max_attempts = max_attempts
        self._function_timeout_s = function_timeout_s
        self._random = random
        self._ready: deque[Call] = deque()
        self._waiting: list[tuple[float, int, Call]] = []
        self._waiting_items = self._most_waiting = 0
        self._order = count()
        self.in_flight: dict[int, Call] = {}
        self.halt_reason: str | None = None
        self.settlement = Settlement()
        self.unloaded = 0
        """The least number of calls for items that are not loaded yet."""

    def add(self, calls: Iterable[tuple[Call, float]], *, unloaded: int, now: float) -> None:
        """Add calls, each with the seconds that it must wait.

        :param unloaded: the least number of calls to be added later
        """
        self.unloaded = unloaded
        items = 0
        for call, delay_s in calls:
            self._queue(call, delay_s, now)
            items += len(call.seqs)
        self._most_waiting = max(self._most_waiting, items)

    @property
    def left(self) -> int:
        """Calls that are not settled: not loaded, ready, waiting or in flight."""
        return self.unloaded + len(self._ready) + len(self._waiting) + len(self.in_flight)

    def running(self, now: float) -> int:
        """Return how many calls may be running: in flight, or cut off before their timeout."""
        while self._orphans and self._orphans[0] <= now:
            heapq.heappop(self._orphans)
        return len(self.in_flight) + len(self._orphans)

    def wanted(self, now: float) -> int:
        """Return how many calls could be running, including those yet to be sent."""
        return self.unloaded + len(self._ready) + len(self._waiting) + self.running(now)

    def due(self, now: float) -> int:
        """Return how many calls could be sent now."""
        while self._waiting and self._waiting[0][0] <= now:
            call = heapq.heappop(self._waiting)[2]
            self._waiting_items -= len(call.seqs)
            self._ready.append(call)
        return len(self._ready)

    def is_low(self, room: int, now: float) -> bool:
        """Return whether to add calls before ``room`` of them are taken.

        Waiting calls stay in memory. Add no more while as many wait as were ever added at once.
        """
        return self.due(now) < room and self._can_add

    @property
    def _can_add(self) -> bool:
        return self.unloaded > 0 and self._waiting_items <= self._most_waiting

    def next_due_in(self, now: float) -> float | None:
        """Return the seconds until a call can be sent or added; None: no call waits."""
        if self.due(now) or self._can_add:
            return 0.0
        return self._waiting[0][0] - now if self._waiting else None

    def take(self, most: int, now: float) -> list[Call]:
        """Return up to ``most`` calls to write ahead and send."""
        return [self._ready.popleft() for _ in range(min(most, self.due(now)))]

    def put_back(self, calls: list[Call]) -> None:
        """Return calls that were taken but not sent."""
        self._ready.extendleft(reversed(calls))

    def sent(self, call: Call, now: float) -> None:
        """Record that a call was sent under its number."""
        call.sent_at = now
        self.in_flight[call.number] = call

    def take_settlement(self) -> Settlement:
        """Return what there is to settle, and start an empty settlement."""
        settlement, self.settlement = self.settlement, Settlement()
        return settlement

    def ended(
        self,
        number: int,
        ended: Ending,
        answer: Answer | None,
        *,
        now: float,
        usage: Usage | None = None,
        charge: Charge = NOTHING,
    ) -> EndedCall:
        """Decide what happens after a call ended; return its record for settling.

        :param answer: how the response was read; only for a call that succeeded
        :param usage: what it used, if usage is recorded
        :param charge: what it costs
        """
        call = self.in_flight.pop(number)
        outcome, error_type, error = ended.kind, ended.error_type, ended.message
        cause = ended.cause
        if answer is not None and answer.malformed:
            outcome, error_type, error = Outcome.FAILED, MALFORMED, answer.malformed
            cause = Cause.MALFORMED_ANSWER
        record = EndedCall(
            number,
            outcome,
            ended.request_id,
            ended.executed_version,
            error_type,
            error,
            cause,
            len(call.seqs),
            usage,
            *charge,
            keys=()
            if outcome is Outcome.SUCCEEDED
            else [item.key for item in call.items[:KEYS_KEPT]],
        )
        self.settlement.ended.append(record)
        self._compare(record)
        if ended.hint:
            self.settlement.hints.add(ended.hint)
        call.refusals = call.refusals + 1 if outcome is Outcome.STARTING else 0
        call.silences = call.silences + 1 if outcome is Outcome.UNKNOWN else 0
        match outcome:
            case Outcome.SUCCEEDED:
                self._succeeded(call, record, answer, now)
            case Outcome.FAILED:
                self._attempted(call)
                self._failed(call, record, error, now)
            case Outcome.UNKNOWN:
                self._attempted(call)
                self._silent(call, record, now)
            case Outcome.TOO_LARGE:
                self._too_large(call, record, now)
            case Outcome.THROTTLED:
                self._again(call, backoff_s(call.attempt, self._random(), ended.retry_after_s), now)
            case Outcome.STARTING:
                self._refused(call, f"the function does not start: {error_type} {error}", now)
            case Outcome.MISCONFIGURED:
                self.halt_reason = f"{error_type}: {error}"
                self._again(call, 0.0, now)
        return record

    def _compare(self, record: EndedCall) -> None:
        """Halt if another version than the pinned one executed a call."""
        if self._version and record.executed_version not in {"", self._version}:
            self.halt_reason = (
                f"the run was opened with version {self._version}, and call {record.number} was"
                f" executed by version {record.executed_version}; run the job again to continue"
                " with that version"
            )

    def _succeeded(self, call: Call, record: EndedCall, answer: Answer | None, now: float) -> None:
        read = answer or ALL_SUCCEEDED
        left = read.failed.keys() | read.unread
        done = [seq for at, seq in enumerate(call.seqs) if at not in left] if left else call.seqs
        self.settlement.succeeded.extend((span, record.number) for span in spans_of(done))
        if call.attempt > 1:
            self.settlement.cured += sum(
                entry.blamed for position, entry in enumerate(call.entries) if position not in left
            )
        retried = []
        for position, error in sorted(read.failed.items()):
            entry = call.entries[position]
            entry.attempts += 1
            if not self._blame(entry, record, error, final=position in read.permanent):
                retried.append(entry)
        if retried:
            self._retry(Call.of(retried, call.attempt + 1), now)
        if read.unread:
            unread = Call.of([call.entries[at] for at in sorted(read.unread)], call.attempt + 1)
            self._attempted(unread)
            self._persist(unread, 0.0)
            self._queue(unread, 0.0, now)

    def _failed(self, call: Call, record: EndedCall, error: str, now: float) -> None:
        if record.cause == Cause.ANSWER_LOST:
            self._blame_first(call.entries, record, error)
            self._hold(call, record, error)
            return
        if len(call.seqs) > 1:
            self._bisect(call, now)
        elif not self._blame(call.entries[0], record, error, final=False):
            self._retry(Call.of(call.entries, call.attempt + 1), now)

    def _silent(self, call: Call, record: EndedCall, now: float) -> None:
        ends_by = call.sent_at + self._function_timeout_s
        # Any response ends a call. Without one, the call may run for its whole timeout.
        if record.error_type == NO_ANSWER and ends_by > now:
            heapq.heappush(self._orphans, ends_by)
        if self._hold_unknown:
            self._hold(call, record, record.error or "no answer")
            return
        self._doubt(call)
        if call.silences >= self._max_attempts:
            self._failed(call, record, record.error or "no answer", now)
            return
        # Until the function's timeout has passed, the silent call may still be running.
        quiet_s = max(0.0, ends_by - now)
        delay_s = quiet_s + backoff_s(call.silences, self._random(), None)
        self._persist(call, delay_s)
        self._again(call, delay_s, now)

    def _hold(self, call: Call, record: EndedCall, error: str) -> None:
        """Quarantine items whose work may be done."""
        self._doubt(call)
        self.settlement.quarantined.extend(
            Quarantined(entry, record, error) for entry in call.entries
        )

    def _doubt(self, call: Call) -> None:
        for entry in call.entries:
            entry.unsure = True

    def _refused(self, call: Call, reason: str, now: float) -> None:
        if call.refusals >= MAX_REFUSALS:
            self.halt_reason = reason
        self._again(call, backoff_s(call.refusals, self._random(), None), now)

    def _too_large(self, call: Call, record: EndedCall, now: float) -> None:
        if len(call.seqs) > 1:
            self._bisect(call, now)
        else:
            self._blame(call.entries[0], record, record.error, final=True)

    def _attempted(self, call: Call) -> None:
        for entry in call.entries:
            entry.attempts += 1

    def _blame(self, entry: Entry, record: EndedCall, error: str, *, final: bool) -> bool:
        """Count a failure of an item; return whether that quarantines it."""
        entry.failures += 1
        self._blame_first([entry], record, error)
        if final or entry.failures >= self._max_attempts:
            self.settlement.quarantined.append(Quarantined(entry, record, error))
            return True
        return False

    def _blame_first(self, entries: Iterable[Entry], record: EndedCall, error: str) -> None:
        """Count items that this run has not counted as failed yet."""
        for entry in entries:
            if not entry.blamed:
                entry.blamed = True
                self.settlement.blamed += 1
                self.settlement.failing_as.add(record.error_type or error)

    def _bisect(self, call: Call, now: float) -> None:
        cap = cap_after(len(call.seqs))
        for half in bisect(call.entries):
            for entry in half:
                entry.call_cap = cap
            smaller = Call.of(list(half), call.attempt + 1)
            self._persist(smaller, 0.0)
            self._queue(smaller, 0.0, now)

    def _retry(self, call: Call, now: float) -> None:
        worst = max(entry.failures for entry in call.entries)
        delay_s = backoff_s(worst, self._random(), None)
        self._persist(call, delay_s)
        self._queue(call, delay_s, now)

    def _persist(self, call: Call, delay_s: float) -> None:
        self.settlement.retried.extend((entry, delay_s) for entry in call.entries)

    def _again(self, call: Call, delay_s: float, now: float) -> None:
        call.attempt += 1
        self._queue(call, delay_s, now)

    def _queue(self, call: Call, delay_s: float, now: float) -> None:
        if delay_s > 0:
            heapq.heappush(self._waiting, (now + delay_s, next(self._order), call))
            self._waiting_items += len(call.seqs)
        else:
            self._ready.append(call)
