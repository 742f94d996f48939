"""F17 and F18: items that make calls fail, alone or in company, and functions that always fail."""

from math import ceil, log2

import pytest
from retrofill.engine import dispatch

from stack.endpoint import Function, Reply, Rule, ScriptedEndpoint, Span, Wire
from tests.faults.fault_table import FaultTable
from tests.faults.pipeline_run import Backfill

PER_CALL = 64
HALVINGS = ceil(log2(PER_CALL))


@pytest.fixture
def backfill(
    shared_dsn: str, endpoint: ScriptedEndpoint, request: pytest.FixtureRequest
) -> Backfill:
    params = {"items_per_call": PER_CALL, "max_concurrency": 20}
    return Backfill(dsn=shared_dsn, endpoint=endpoint, job=request.node.name, params=params)


def keys(*numbers: int) -> frozenset[str]:
    return frozenset(f"data/{number:09}.json" for number in numbers)


def attempts_of(backfill: Backfill) -> dict[str, int]:
    return dict(
        backfill.rows(
            "SELECT item_key, attempts FROM retrofill.v_item WHERE job = %s", backfill.job
        )
    )


@pytest.mark.parametrize("error", ["Runtime.ExitError", "ValueError"])
def test_f17_poison_that_kills_its_calls_is_found_and_the_innocent_are_done(
    backfill: Backfill, fault_table: FaultTable, error: str
) -> None:
    poison = keys(3, 64, 65, 66, 500, 777, 999)
    backfill.serve(1_000, Rule(keys=poison, reply=Reply(function_error=error)))
    ended = backfill.run()
    evidence = backfill.evidence(poison=poison)
    # Each poison item costs the others of its call one more call for each halving.
    bound = len(poison) * PER_CALL * 2
    fault_table.hold("F17", "poison that kills its calls", evidence, bound=bound)
    assert (ended.errors, ended.report.status, ended.report.quarantined) == ([], "complete", 7)
    innocent = [n for key, n in attempts_of(backfill).items() if key not in poison]
    assert max(innocent) <= 1 + HALVINGS
    assert evidence.in_doubt == 0


def test_f17_slow_poison_that_times_out_is_found(
    backfill: Backfill, fault_table: FaultTable
) -> None:
    backfill.params["items_per_call"] = 8
    poison = keys(3, 17)
    slow = Reply(function_error="Sandbox.Timedout", delay=0.5)
    backfill.serve(40, Rule(keys=poison, reply=slow))
    backfill.run()
    evidence = backfill.evidence(poison=poison)
    fault_table.hold(
        "F17", "poison that runs into the timeout", evidence, bound=2 * (7 + 3 + 1 + 4)
    )
    assert evidence.in_doubt == 0


def test_f17_poison_that_is_never_answered_is_found(
    backfill: Backfill, fault_table: FaultTable
) -> None:
    backfill.deadline_s = 1.2
    backfill.params["items_per_call"] = 4
    poison = keys(2)
    backfill.serve(12, Rule(keys=poison, reply=Reply(wire=Wire.HANG, runs=True)))
    backfill.run()
    evidence = backfill.evidence(poison=poison)
    # Each level is silent max_attempts times, before it is halved or blamed; and alone, it fails
    # max_attempts times.
    fault_table.hold("F17", "poison that is never answered", evidence, bound=2 * (4 + 2) + 2 * 2)
    assert evidence.in_doubt > 0


def test_f17_poison_only_in_company_is_called_alone_and_done(
    backfill: Backfill, fault_table: FaultTable
) -> None:
    backfill.params["items_per_call"] = 8
    # A call of 8, of 4 and of 2 fail; alone, it is well.
    shy = keys(5, 21)
    failing = Rule(keys=shy, arrivals=Span(last=3), reply=Reply(function_error="OutOfMemory"))
    backfill.serve(32, failing)
    ended = backfill.run()
    evidence = backfill.evidence()
    fault_table.hold("F17", "poison only in company", evidence, bound=2 * (8 + 4 + 2))
    assert (ended.report.status, ended.report.quarantined) == ("complete", 0)
    assert {key for key, n in attempts_of(backfill).items() if n == 4} >= shy


@pytest.mark.parametrize(
    "reply",
    [Reply(function_error="ValueError"), Reply(error="ServiceException")],
    ids=["function error", "500"],
)
def test_f18_a_function_that_always_fails_loses_nothing(
    backfill: Backfill, fault_table: FaultTable, reply: Reply
) -> None:
    backfill.params["items_per_call"] = 5
    backfill.serve(60, Rule(reply=reply))
    ended = backfill.run()
    places = dict(backfill.rows("SELECT item_key, place FROM retrofill.v_item WHERE job = %s",
                                backfill.job))  # fmt: skip
    quarantined = {key for key, place in places.items() if place == "quarantine"}
    # Below a threshold of failures each item goes into quarantine; from it on, the run has
    # stopped, and says so, and its items are where they were.
    assert set(places.values()) <= {"quarantine", "in_process"}
    stopped = ended.report.stop_reason is not None
    assert (
        stopped == (ended.report.status == "incomplete") == (len(quarantined) < len(backfill.keys))
    )
    backfill.break_with()
    backfill.run("run 2")
    evidence = backfill.evidence(poison=quarantined)
    fault_table.hold("F18", "a function that always fails; mended, run again", evidence)


def test_f18_a_function_that_never_starts_stops_the_run_and_is_blamed_alone(
    backfill: Backfill, fault_table: FaultTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "MAX_REFUSALS", 3)
    backfill.serve(200, Rule(reply=Reply(error="ENILimitReachedException")))
    ended = backfill.run()
    assert ended.report.status == "incomplete"
    assert "the function does not start: ENILimitReachedException" in (
        ended.report.stop_reason or ""
    )
    assert set(attempts_of(backfill).values()) == {0}
    backfill.break_with()
    backfill.run("run 2")
    evidence = backfill.evidence()
    fault_table.hold("F18", "a function that never starts; mended, run again", evidence, bound=0)


def test_f18_everything_throttled_is_waited_out(
    backfill: Backfill, fault_table: FaultTable
) -> None:
    backfill.params["items_per_call"] = 5
    refused = Reply(error="TooManyRequestsException", extra={"retryAfterSeconds": "1"})
    backfill.serve(60, Rule(calls=Span(last=12), reply=refused))
    ended = backfill.run()
    evidence = backfill.evidence()
    fault_table.hold("F18", "everything throttled for a while", evidence, bound=0)
    assert (ended.errors, ended.report.status) == ([], "complete")
    assert backfill.outcomes() == {"succeeded": 12, "throttled": 12}


def test_f18_a_function_that_is_not_there_is_found_before_anything_is_listed(
    backfill: Backfill, fault_table: FaultTable
) -> None:
    backfill.function = Function(name="another")
    backfill.serve(20)
    with pytest.raises(Exception, match="there is no 'f'"):
        backfill.run()
    assert endpoint_operations(backfill).keys().isdisjoint({"invoke"})
    assert backfill.rows("SELECT FROM retrofill.v_run WHERE job = %s", backfill.job) == []
    backfill.function = Function(name="f", timeout_seconds=1)
    backfill.serve(20)
    backfill.run()
    what = "a function that is not there; made, run again"
    fault_table.hold("F18", what, backfill.evidence(), bound=0)


def endpoint_operations(backfill: Backfill) -> dict[str, int]:
    return backfill.endpoint.stats().by_operation
