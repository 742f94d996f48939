"""Any order of steps on the state, chosen by hypothesis, compared with a model in Python.

Steps are those of the tasks: enqueue, plan, take, write ahead, settle (with every outcome), crash,
let a lease expire, settle late, close, open another run. After each step the state equals the
model, and the invariants hold.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from psycopg2.extensions import connection
from retrofill.model.calls import Call, EndedCall, Entry, Quarantined, Settlement
from retrofill.model.errors import LeaseLost, RunIncomplete
from retrofill.model.runs import Job, SetRef
from retrofill.pipeline.close_run import close_run
from retrofill.state import batches, runs
from retrofill.state.connection import connect
from retrofill.state.lease import BatchLease, Busy

from tests.integration.opened import ALL_LIVE, FUNCTION, enqueue, entries_of, item, new_run
from tests.invariants import look

KEYS = [f"k{number:02}" for number in range(24)]
MOST_OPEN = 2
_numbers = count()

EXTENTS = """
SELECT 'in no extent', seq FROM retrofill.in_process AS item
WHERE job_id = %(job_id)s AND 1 <> (
    SELECT count(*) FROM retrofill.extent
    WHERE extent.job_id = item.job_id AND extent.run_id = item.run_id
        AND item.seq BETWEEN first_seq AND last_seq
        AND item.item_key BETWEEN first_key AND last_key
)
UNION ALL
SELECT 'not whole', first_seq FROM retrofill.extent
WHERE job_id = %(job_id)s AND whole AND last_seq - first_seq + 1 <> (
    SELECT count(*) FROM retrofill.in_process AS item
    WHERE item.job_id = extent.job_id AND item.run_id = extent.run_id
        AND item.seq BETWEEN first_seq AND last_seq
)
UNION ALL
SELECT 'miscounted', batch_id FROM retrofill.batch
WHERE job_id = %(job_id)s AND epoch = 0 AND items <> (
    SELECT count(*) FROM retrofill.in_process AS item
    WHERE item.job_id = batch.job_id AND item.seq BETWEEN first_seq AND last_seq
)
"""
"""What planning relies on, and its error if that does not hold."""


@dataclass
class ModelItem:
    """What the model knows of an item."""

    place: str = "in_process"
    attempts: int = 0
    sent: int = 0
    """Calls that carried it and were sent, as the world counts them."""


@dataclass
class ModelRun:
    ref: SetRef
    status: str = "open"
    listed: int = 0
    new: int = 0
    hold: bool = False
    recent: set[str] = field(default_factory=set)
    """Keys that its partition may list again without counting them."""


@dataclass
class Held:
    """A holder of a batch: one invoke task in the model."""

    lease: BatchLease
    batch_id: int
    current: bool = True
    """Whether no other holder has taken the batch over."""
    entries: list[Entry] = field(default_factory=list)
    """Its items that are in no call."""
    in_flight: list[Call] = field(default_factory=list)


class StateMachine(RuleBasedStateMachine):
    dsn = ""

    def __init__(self) -> None:
        super().__init__()
        self.conn: connection = connect(self.dsn)
        self.watcher: connection = connect(self.dsn)
        self.job = f"job {next(_numbers)}"
        job = Job(self.job, "f" * 32, "s3://bucket", "f", "s3")
        self.job_id = runs.remember_job(self.conn, job)
        self.items: dict[str, ModelItem] = {}
        self.runs: list[ModelRun] = []
        self.batches: dict[int, SetRef] = {}
        self.holders: list[Held] = []

    def teardown(self) -> None:
        for held in self.holders:
            held.lease.close()
        self.conn.close()
        self.watcher.close()

    # Steps of tasks.

    @property
    def open_runs(self) -> list[ModelRun]:
        return [run for run in self.runs if run.status == "open"]

    @property
    def runs_with_batches(self) -> list[ModelRun]:
        return [run for run in self.open_runs if run.ref in self.batches.values()]

    @initialize(
        chunks=st.lists(st.sets(st.sampled_from(KEYS), min_size=1, max_size=3), max_size=5),
        holds=st.tuples(st.booleans(), st.booleans()),
    )
    def open_two_runs(self, chunks: list[set[str]], holds: tuple[bool, bool]) -> None:
        """Start with two runs that enqueue in turn."""
        for hold in holds:
            self._open_run(hold=hold)
        for number, keys in enumerate(chunks):
            self._enqueue(self.runs[number % 2], keys)

    @precondition(lambda self: len(self.open_runs) < MOST_OPEN)
    @rule(hold=st.booleans())
    def open_run(self, hold: bool) -> None:  # noqa: FBT001  hypothesis gives it by name
        self._open_run(hold=hold)

    def _open_run(self, *, hold: bool) -> None:
        new = new_run(
            self.job_id,
            str(len(self.runs)),
            config={"on_unknown": "hold" if hold else "retry"},
            dag_id=self.job,
        )
        ref = runs.open_run(self.conn, new, FUNCTION)
        runs.add_partitions(self.conn, ref.run_id, [(0, "all", {})])
        self.runs.append(ModelRun(ref, hold=hold))

    @precondition(lambda self: self.open_runs)
    @rule(data=st.data(), keys=st.sets(st.sampled_from(KEYS), min_size=1, max_size=3))
    def enqueue(self, data: st.DataObject, keys: set[str]) -> None:
        self._enqueue(data.draw(st.sampled_from(self.open_runs)), keys)

    def _enqueue(self, run: ModelRun, keys: set[str]) -> None:
        wanted = sorted(keys)
        screened = enqueue(self.conn, run.ref, [item(key) for key in wanted], done=False)
        # Items that a page repeats from the one before were counted with that.
        listed = [key for key in wanted if key not in run.recent]
        new = [key for key in listed if key not in self.items]
        assert (screened.new, screened.known) == (len(new), len(listed) - len(new))
        run.listed += len(listed)
        run.new += len(new)
        run.recent = keys | (run.recent if wanted[-1] in run.recent else set())
        self.items.update((key, ModelItem()) for key in new)

    @precondition(lambda self: self.open_runs)
    @rule(data=st.data(), most=st.integers(4, 8))
    def plan(self, data: st.DataObject, most: int) -> None:
        """Plan batches, and let a task take each."""
        run = data.draw(st.sampled_from(self.open_runs))
        planned = batches.plan(self.conn, run.ref, self.job_id, most_items=most, fewest_items=3)
        new = [batch.batch_id for batch in planned if batch.batch_id not in self.batches]
        self.batches |= {batch.batch_id: run.ref for batch in planned}
        for batch_id in new:
            self._take(batch_id, holder_is_dead=False)

    @precondition(lambda self: any(held.current for held in self.holders))
    @rule(data=st.data())
    def take_over(self, data: st.DataObject) -> None:
        """Another task takes a batch while its holder may continue."""
        held = data.draw(st.sampled_from([held for held in self.holders if held.current]))
        self._take(held.batch_id, holder_is_dead=True)

    @precondition(lambda self: self.batches)
    @rule(data=st.data())
    def try_again(self, data: st.DataObject) -> None:
        """A task is retried or cleared, whatever became of its batch."""
        batch_id = data.draw(st.sampled_from(sorted(self.batches)))
        self._take(batch_id, holder_is_dead=False)

    def _take(self, batch_id: int, *, holder_is_dead: bool) -> None:
        before = [held for held in self.holders if held.batch_id == batch_id and held.current]
        lease = BatchLease(self.dsn, batch_id, "h")
        try:
            taken = lease.take(holder_is_dead=lambda _: holder_is_dead)
        except Busy:
            assert before, "it has no holder"
            assert not holder_is_dead
            taken = False
        if not taken:
            lease.close()
            return
        for held in before:
            self._lose(held)
        held = Held(lease, batch_id)
        self.holders.append(held)
        self._load(held)

    def _load(self, held: Held) -> None:
        elsewhere = {
            entry.item.key
            for other in self.holders
            if other.current and other is not held
            for entries in (other.entries, *(call.entries for call in other.in_flight))
            for entry in entries
            if self._is_waiting(entry)
        }
        for entry in entries_of(held.lease):
            assert entry.item.key not in elsewhere, "two holders have it"
            model = self.items[entry.item.key]
            assert model.place == "in_process"
            assert entry.attempts == model.attempts
            held.entries.append(entry)

    def _lose(self, held: Held) -> None:
        """Note that a holder was replaced: its calls in flight are lost."""
        held.current = False
        hold = any(run.hold for run in self.runs if run.ref == self.batches[held.batch_id])
        for call in held.in_flight:
            for entry in call.entries:
                if self._is_waiting(entry):
                    model = self.items[entry.item.key]
                    model.attempts += 1
                    model.place = "quarantine" if hold else "in_process"

    def _is_waiting(self, entry: Entry) -> bool:
        return self.items[entry.item.key].place == "in_process"

    @precondition(lambda self: any(held.entries for held in self.holders))
    @rule(data=st.data(), size=st.integers(1, 3))
    def write_ahead_and_send(self, data: st.DataObject, size: int) -> None:
        held = data.draw(st.sampled_from([held for held in self.holders if held.entries]))
        entries, held.entries = held.entries[:size], held.entries[size:]
        call = Call.of(entries, 1 + max(entry.attempts for entry in entries))
        calls = [call]
        try:
            held_back = held.lease.settle(Settlement(), calls)
        except LeaseLost:
            assert not held.current
            return
        held.entries[:0] = [entry for one in held_back for entry in one.entries]
        assert held.current, "only the holder may send"
        if call.attempt > 1:
            kept = [entry for entry in entries if self._is_waiting(entry)]
            assert call.entries == kept, "processed items must not be called again"
        held.in_flight += calls
        for one in calls:
            for entry in one.entries:
                self.items[entry.item.key].sent += 1

    @precondition(lambda self: any(held.in_flight for held in self.holders))
    @rule(data=st.data(), outcome=st.sampled_from(["succeeded", "failed", "unknown", "poison"]))
    def settle(self, data: st.DataObject, outcome: str) -> None:
        """Settle a call, perhaps late."""
        held = data.draw(st.sampled_from([held for held in self.holders if held.in_flight]))
        self._settle(held, outcome)

    @precondition(lambda self: self.late)
    @rule(data=st.data(), outcome=st.sampled_from(["succeeded", "succeeded", "failed"]))
    def settle_late(self, data: st.DataObject, outcome: str) -> None:
        self._settle(data.draw(st.sampled_from(self.late)), outcome)

    @property
    def late(self) -> list[Held]:
        """Return replaced holders that have something to settle."""
        return [held for held in self.holders if held.in_flight and not held.current]

    def _settle(self, held: Held, outcome: str) -> None:
        call = held.in_flight.pop(0)
        ended = EndedCall(call.number, "failed" if outcome == "poison" else outcome)
        settlement = Settlement(ended=[ended])
        if outcome == "succeeded":
            settlement.succeeded = [(span, call.number) for span in call.spans]
        else:
            for entry in call.entries:
                entry.attempts += 1
                entry.unsure |= outcome == "unknown"
            if outcome == "poison":
                settlement.quarantined = [Quarantined(one, ended, "x") for one in call.entries]
            else:
                settlement.retried = [(entry, 0.0) for entry in call.entries]
                held.entries += call.entries
        try:
            held.lease.settle(settlement, [])
        except LeaseLost:
            assert not held.current
        else:
            assert held.current
        self._note_settled(held, call, outcome)

    def _note_settled(self, held: Held, call: Call, outcome: str) -> None:
        for entry in call.entries:
            model = self.items[entry.item.key]
            if model.place == "quarantine" and outcome == "succeeded":
                assert not held.current, "its items are not in quarantine"
                model.place = "results"
            if model.place != "in_process":
                continue
            if outcome == "succeeded":
                model.place = "results"
                # A late success was counted when its call was lost; the new holder's call in flight
                # will find nothing to count.
                model.attempts += 1 if held.current else self._flying(entry.item.key)
            elif held.current:
                model.attempts = entry.attempts
                model.place = "quarantine" if outcome == "poison" else "in_process"

    def _flying(self, key: str) -> int:
        return sum(
            entry.item.key == key
            for held in self.holders
            if held.current
            for call in held.in_flight
            for entry in call.entries
        )

    @precondition(lambda self: any(held.current for held in self.holders))
    @rule(data=st.data())
    def let_the_lease_run_out(self, data: st.DataObject) -> None:
        held = data.draw(st.sampled_from([held for held in self.holders if held.current]))
        with self.conn, self.conn.cursor() as cur:
            cur.execute(
                "UPDATE retrofill.batch SET leased_until = clock_timestamp() - interval '1 s'"
                " WHERE batch_id = %s",
                (held.batch_id,),
            )

    @precondition(lambda self: any(not held.in_flight for held in self.holders))
    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        """A task is terminated or has nothing left; it may have been replaced."""
        held = data.draw(st.sampled_from([held for held in self.holders if not held.in_flight]))
        held.lease.release(done=not held.entries)
        held.lease.close()
        self.holders.remove(held)

    @precondition(lambda self: self.runs_with_batches)
    @rule(data=st.data())
    def close(self, data: st.DataObject) -> None:
        run = data.draw(st.sampled_from(self.runs_with_batches))
        for held in self.holders:
            if held.current and self.batches[held.batch_id] == run.ref:
                self._lose(held)
        # All partitions are done when a run closes here: only its items matter.
        with self.conn, self.conn.cursor() as cur:
            cur.execute(
                "UPDATE retrofill.partition SET done = true WHERE run_id = %s", (run.ref.run_id,)
            )
        try:
            assert close_run(self.conn, run.ref, ALL_LIVE) is False
            run.status = "complete"
        except RunIncomplete:
            run.status = "incomplete"

    # Checks after each step.

    @invariant()
    def the_state_is_as_the_model_has_it(self) -> None:
        assert look(self.watcher, self.job) == []
        with self.conn, self.conn.cursor() as cur:
            cur.execute(
                "SELECT item_key, place, attempts FROM retrofill.v_item WHERE job = %s", (self.job,)
            )
            shown = {key: (place, attempts) for key, place, attempts in cur}
        assert shown == {key: (one.place, one.attempts) for key, one in self.items.items()}

    @invariant()
    def extents_tell_where_items_are(self) -> None:
        with self.conn, self.conn.cursor() as cur:
            cur.execute(EXTENTS, {"job_id": self.job_id})
            assert cur.fetchall() == []

    @invariant()
    def every_call_of_an_item_is_counted(self) -> None:
        flying = [
            entry.item.key
            for held in self.holders
            if held.current
            for call in held.in_flight
            for entry in call.entries
        ]
        for key, one in self.items.items():
            assert one.attempts + flying.count(key) >= one.sent, key

    @invariant()
    def runs_count_what_they_did(self) -> None:
        reports = [runs.get_report(self.conn, run.ref.run_id) for run in self.runs]
        for run, report in zip(self.runs, reports, strict=True):
            assert (report.status, report.listed, report.new) == (run.status, run.listed, run.new)
            assert report.items_left >= 0, "more items were processed than there are"
        for place, column in (("results", "succeeded"), ("quarantine", "quarantined")):
            held = sum(one.place == place for one in self.items.values())
            assert sum(getattr(report, column) for report in reports) == held


@pytest.fixture
def machine(state_dsn: str) -> Iterator[type[StateMachine]]:
    logging.disable()
    yield type("Machine", (StateMachine,), {"dsn": state_dsn})
    logging.disable(logging.NOTSET)


def run(machine: Any, examples: int, steps: int) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            derandomize=examples < 100,
            # Shrinking a failure takes minutes, so only the long run does it.
            phases=[Phase.generate, *([Phase.shrink] if examples >= 100 else ())],
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_the_state_agrees_with_the_model(machine: type[StateMachine]) -> None:
    run(machine, examples=20, steps=50)


@pytest.mark.faults
@pytest.mark.timeout(900)
def test_the_state_agrees_with_the_model_in_long_runs(machine: type[StateMachine]) -> None:
    run(machine, examples=200, steps=50)
