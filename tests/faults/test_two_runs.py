"""F12: two runs of one job at once, two DAG runs of one name, cleared tasks, runs made again."""

from dataclasses import replace
from threading import Barrier, Thread

import pytest

from stack.endpoint import ScriptedEndpoint
from tests.faults.evidence import seen
from tests.faults.fault_table import FaultTable
from tests.faults.pipeline_run import Backfill, Ending
from tests.invariants import Sampler

OBJECTS = 2_000


@pytest.fixture
def backfill(state_dsn: str, endpoint: ScriptedEndpoint) -> Backfill:
    params = {"items_per_call": 5, "max_concurrency": 10}
    return Backfill(dsn=state_dsn, endpoint=endpoint, params=params)


def at_once(backfill: Backfill, *dag_run_ids: str) -> list[Ending]:
    """Make DAG runs beside each other."""
    ended: list[Ending] = []
    begin = Barrier(len(dag_run_ids))

    def run(dag_run_id: str) -> None:
        begin.wait()
        ended.append(backfill.run(dag_run_id, watched=False))

    threads = [Thread(target=run, args=(one,)) for one in dag_run_ids]
    with Sampler(
        backfill.dsn, backfill.job, lambda: seen(backfill.endpoint), every_s=0.2
    ) as sampler:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sampler.violations == []
    assert len(ended) == len(dag_run_ids)
    return ended


@pytest.mark.parametrize("count", [2, 4])
def test_f12_runs_of_one_job_at_once_call_each_item_once(
    backfill: Backfill, fault_table: FaultTable, count: int
) -> None:
    backfill.serve(OBJECTS)
    ended = at_once(backfill, *(f"run {number}" for number in range(count)))
    evidence = backfill.evidence(complete=False)
    fault_table.hold("F12", "two and four runs of one job at once", evidence, bound=0)
    assert [one.errors for one in ended] == [[]] * count
    reports = [one.report for one in ended]
    assert {report.status for report in reports} == {"complete"}
    assert {report.listed for report in reports} == {OBJECTS}
    assert sum(report.new for report in reports) == OBJECTS
    assert sum(report.succeeded for report in reports) == OBJECTS
    assert endpoint_saw(backfill) == OBJECTS


def test_f12_a_dag_run_that_two_schedulers_begin_is_one_run(
    backfill: Backfill, fault_table: FaultTable
) -> None:
    backfill.serve(OBJECTS)
    refs = []
    begin = Barrier(4)

    def open_it() -> None:
        begin.wait()
        refs.append(backfill._tried(lambda: backfill.open("the same"), []))  # noqa: SLF001

    threads = [Thread(target=open_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refs) == 4
    assert len(set(refs)) == 1
    backfill.run("the same")
    fault_table.hold("F12", "open_run four times at once", backfill.evidence(), bound=0)


def test_f12_tasks_that_are_cleared_and_runs_that_are_made_again_call_nothing_twice(
    backfill: Backfill, fault_table: FaultTable
) -> None:
    backfill.serve(OBJECTS)
    first = backfill.run("run 1")
    calls = backfill.endpoint.stats().invocations
    for batch in backfill.plan(first.ref):
        assert backfill.invoke(batch["batch_id"]) is None
    for part_no in (0, 0):
        assert backfill.enqueue(first.ref, part_no)["listed"] == 0
    assert backfill.list_partitions(first.ref) == []
    assert backfill.close(first.ref) is False
    again = backfill.run("run 1")
    assert again.ref == first.ref
    assert replace(again.report, closed_at=None) == replace(first.report, closed_at=None)
    second = backfill.run("run 2")
    assert (second.report.known, second.report.new, second.report.calls) == (OBJECTS, 0, 0)
    evidence = backfill.evidence()
    fault_table.hold("F12", "each task cleared; a complete run made again", evidence, bound=0)
    assert backfill.endpoint.stats().invocations == calls


def endpoint_saw(backfill: Backfill) -> int:
    """Return how many items were in calls, repeats counted."""
    return sum(backfill.endpoint.items().values())
