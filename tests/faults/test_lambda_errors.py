"""F1 to F3: every error of Lambda's, every way of getting no answer, answers lost after the work.

The classes are those of AWS's error table as ``reliability`` reads it, not those of the code.
"""

import pytest

from stack.endpoint import Reply, Rule, ScriptedEndpoint, Span, Wire
from stack.endpoint.aws_errors import lambda_errors
from tests.faults.fault_table import FaultTable
from tests.faults.pipeline_run import Backfill, Ending

OBJECTS = 8
PER_CALL = 4
CALLS = OBJECTS // PER_CALL
BAD = "data/000000001.json"
PARAMS = {"items_per_call": PER_CALL, "max_concurrency": 1}

# A call of four whose second item fails alone: all four, then its half, then it by itself.
BISECTED = ("all four", "the half", "alone")

THROTTLED = ["TooManyRequestsException", "EC2ThrottledException"]
STARTING = [
    "CodeArtifactUserDeletedException",
    "CodeArtifactUserPendingException",
    "EC2UnexpectedException",
    "EFSMountConnectivityException",
    "EFSMountTimeoutException",
    "ENILimitReachedException",
    "ENINotReadyException",
    "ResourceConflictException",
    "ResourceNotReadyException",
    "S3FilesMountConnectivityException",
    "S3FilesMountTimeoutException",
    "SnapStartNotReadyException",
    "SnapStartRegenerationFailureException",
    "SnapStartTimeoutException",
    "SubnetIPAddressLimitReachedException",
]
UNKNOWN = [
    "DurableExecutionAlreadyStartedException",
    "EFSIOException",
    "GatewayTimeoutException",
    "ServiceException",
    "ServiceUnavailableException",
]
MISCONFIGURED = [
    "AccessDeniedException",
    "CodeArtifactUserFailedException",
    "EC2AccessDeniedException",
    "EFSMountFailureException",
    "ExpiredTokenException",
    "InvalidParameterValueException",
    "InvalidRuntimeException",
    "InvalidSecurityGroupIDException",
    "InvalidSignatureException",
    "InvalidSubnetIDException",
    "InvalidZipFileException",
    "KMSAccessDeniedException",
    "KMSDisabledException",
    "KMSInvalidStateException",
    "KMSNotFoundException",
    "MissingAuthenticationTokenException",
    "ModeNotSupportedException",
    "NoPublishedVersionException",
    "RecursiveInvocationException",
    "ResourceNotFoundException",
    "RuntimeAliasDeletedException",
    "RuntimeVersionDeletedException",
    "S3FilesMountFailureException",
    "ServiceQuotaExceededException",
    "SnapStartException",
    "UnrecognizedClientException",
    "UnsupportedMediaTypeException",
]
TOO_LARGE = [
    "InvalidRequestContentException",
    "RequestTooLargeException",
    "SerializedRequestEntityTooLargeException",
]
FUNCTION_ERRORS = {
    "Sandbox.Timedout": "Sandbox.Timedout",
    "Runtime.ExitError": "Runtime.OutOfMemory",  # its message says that it was killed
    "Runtime.OutOfMemory": "Runtime.OutOfMemory",
    "ValueError": "ValueError",
    "Task timed out after 3.00 seconds": "Task timed out after 3.00 seconds",  # its own words
}


@pytest.fixture
def backfill(
    shared_dsn: str, endpoint: ScriptedEndpoint, request: pytest.FixtureRequest
) -> Backfill:
    made = Backfill(dsn=shared_dsn, endpoint=endpoint, job=request.node.name, params=dict(PARAMS))
    made.serve(OBJECTS)
    return made


def first_calls(error: str, count: int = CALLS) -> Rule:
    """Have as many calls fail as there are, and those after them succeed."""
    return Rule(calls=Span(last=count), reply=Reply(error=error))


def test_every_error_that_the_endpoint_knows_is_in_one_class() -> None:
    classes = [*THROTTLED, *STARTING, *UNKNOWN, *MISCONFIGURED, *TOO_LARGE]
    assert sorted(classes) == sorted(lambda_errors())


@pytest.mark.parametrize("error", [*THROTTLED, *STARTING])
def test_f1_a_refused_call_is_made_again_and_is_no_attempt(
    backfill: Backfill, fault_table: FaultTable, error: str
) -> None:
    backfill.break_with(first_calls(error))
    ended = backfill.run(watched=False)
    evidence = backfill.evidence()
    fault_table.hold("F1", "throttled or starting up, each error", evidence, bound=0)
    kind = "throttled" if error in THROTTLED else "starting"
    assert backfill.outcomes() == {kind: CALLS, "succeeded": CALLS}
    assert (evidence.requests, evidence.ours, evidence.in_doubt) == (2 * CALLS, 0, 0)
    assert_complete(ended, quarantined=0)


@pytest.mark.parametrize("runs", [False, True], ids=["not run", "run"])
@pytest.mark.parametrize("error", UNKNOWN)
def test_f1_a_call_that_may_have_run_is_made_again_and_counted(
    backfill: Backfill, fault_table: FaultTable, error: str, *, runs: bool
) -> None:
    backfill.break_with(Rule(calls=Span(last=1), reply=Reply(error=error, runs=runs)))
    ended = backfill.run(watched=False)
    evidence = backfill.evidence()
    fault_table.hold("F1", "an error that says not whether it ran", evidence, bound=PER_CALL)
    assert backfill.outcomes() == {"unknown": 1, "succeeded": CALLS}
    assert (evidence.requests, evidence.ours, evidence.in_doubt) == (CALLS + 1, PER_CALL, PER_CALL)
    assert evidence.theirs == (PER_CALL if runs else 0)
    assert_complete(ended, quarantined=0)


@pytest.mark.parametrize("error", MISCONFIGURED)
def test_f1_a_configuration_stops_the_run_and_quarantines_nothing(
    backfill: Backfill, fault_table: FaultTable, error: str
) -> None:
    backfill.break_with(Rule(reply=Reply(error=error)))
    ended = backfill.run(watched=False)
    assert backfill.outcomes() == {"misconfigured": 1}
    assert ended.report.status == "incomplete"
    assert error in (ended.report.stop_reason or "")
    assert any(f"FunctionUnusable: function: {error}" in said for said in ended.errors)
    assert ended.retried == []
    waiting = "SELECT count(*), sum(attempts), sum(failures) FROM retrofill.in_process"
    places = "SELECT place, count(*) FROM retrofill.v_item WHERE job = %s GROUP BY 1"
    assert backfill.rows(places, backfill.job) == [("in_process", OBJECTS)]
    assert backfill.rows(f"{waiting} WHERE run_id = %s", ended.ref.run_id) == [(OBJECTS, 0, 0)]

    backfill.break_with()
    ended = backfill.run("run 2", watched=False)
    evidence = backfill.evidence()
    fault_table.hold("F1", "misconfigured, each error; mended, run again", evidence, bound=0)
    assert (evidence.requests, evidence.ours) == (1 + CALLS, 0)
    assert_complete(ended, quarantined=0)
    assert (ended.report.known, ended.report.resumed) == (OBJECTS, OBJECTS)


@pytest.mark.parametrize("error", TOO_LARGE)
def test_f1_a_payload_that_is_refused_is_halved_down_to_the_item(
    backfill: Backfill, fault_table: FaultTable, error: str
) -> None:
    backfill.break_with(Rule(keys=frozenset({BAD}), reply=Reply(error=error)))
    ended = backfill.run(watched=False)
    evidence = backfill.evidence(poison={BAD})
    fault_table.hold("F1", "a payload that is refused, each error", evidence, bound=0)
    assert backfill.outcomes() == {"too_large": len(BISECTED), "succeeded": len(BISECTED)}
    assert evidence.ours == 0
    assert_complete(ended, quarantined=1)


@pytest.mark.parametrize("error", FUNCTION_ERRORS)
def test_f1_an_error_of_the_function_is_halved_down_to_the_item(
    backfill: Backfill, fault_table: FaultTable, error: str
) -> None:
    backfill.break_with(Rule(keys=frozenset({BAD}), reply=Reply(function_error=error)))
    ended = backfill.run(watched=False)
    evidence = backfill.evidence(poison={BAD})
    # Innocents run once more for each half that they shared: 3 of four, 1 of the half.
    fault_table.hold("F1", "an error of the function, each type", evidence, bound=3 + 1 + 3)
    # The item alone is called max_attempts times, which is twice.
    assert backfill.outcomes() == {"failed": len(BISECTED) + 1, "succeeded": len(BISECTED)}
    assert evidence.theirs == evidence.ours == 3 + 1 + 3
    assert evidence.in_doubt == 0
    assert_complete(ended, quarantined=1)
    error_type = "SELECT error_type FROM retrofill.v_quarantine WHERE job = %s"
    assert backfill.rows(error_type, backfill.job) == [(FUNCTION_ERRORS[error],)]


def test_f1_an_answer_that_is_too_large_has_no_work_done_again(
    backfill: Backfill, fault_table: FaultTable
) -> None:
    """Answers are not read here; where they are, see tests/integration/test_invoke.py."""
    too_large = Reply(function_error="Function.ResponseSizeTooLarge")
    backfill.break_with(Rule(keys=frozenset({BAD}), reply=too_large))
    ended = backfill.run(watched=False)
    evidence = backfill.evidence()
    fault_table.hold("F1", "an answer that is too large", evidence, bound=0)
    assert backfill.outcomes() == {"succeeded": CALLS}
    assert_complete(ended, quarantined=0)


@pytest.mark.parametrize("status", [202, 204, 301, 418, 599])
def test_f1_a_status_that_lambda_does_not_have_is_never_success(
    backfill: Backfill, fault_table: FaultTable, status: int
) -> None:
    backfill.break_with(Rule(calls=Span(last=1), reply=Reply(status=status, body="{}")))
    backfill.run(watched=False)
    backfill.run("run 2", watched=False)
    evidence = backfill.evidence()
    fault_table.hold("F1", "a status that Lambda does not have", evidence, bound=PER_CALL)
    assert backfill.outcomes() == {
        "misconfigured" if 300 <= status < 500 else "unknown": 1, "succeeded": CALLS,
    }  # fmt: skip


@pytest.mark.parametrize("runs", [False, True], ids=["not run", "run"])
@pytest.mark.parametrize("wire", [Wire.HANG, Wire.FIN, Wire.RST, Wire.CUT, Wire.STALL, Wire.DRIP])
def test_f2_no_whole_answer_costs_one_further_call(
    backfill: Backfill, fault_table: FaultTable, wire: Wire, *, runs: bool
) -> None:
    if not runs and wire in {Wire.CUT, Wire.STALL, Wire.DRIP}:
        lost = Reply(wire=wire, error="ServiceException")
    else:
        lost = Reply(
            wire=wire, runs=runs, body='"an answer that is cut, stalls or drips"', delay=0.3
        )
    backfill.break_with(Rule(keys=frozenset({BAD}), arrivals=Span(last=1), reply=lost))
    ended = backfill.run(watched=False)
    evidence = backfill.evidence()
    what = "hang, FIN, RST, cut, stalled, dripping; run or not"
    fault_table.hold("F2", what, evidence, bound=PER_CALL)
    assert backfill.outcomes() == {"unknown": 1, "succeeded": CALLS}
    assert (evidence.requests, evidence.ours, evidence.in_doubt) == (CALLS + 1, PER_CALL, PER_CALL)
    assert evidence.theirs == (PER_CALL if runs else 0)
    assert_complete(ended, quarantined=0)
    first, second = (call for call in backfill.endpoint.calls() if BAD in call.keys)
    assert second.arrived_at >= first.ran_until, "two copies of a call ran at once"


@pytest.mark.parametrize("wire", [Wire.FIN, Wire.RST, Wire.HANG])
def test_f3_a_reply_lost_after_the_work_ends_once_in_the_results(
    backfill: Backfill, fault_table: FaultTable, wire: Wire
) -> None:
    backfill.params |= {"max_concurrency": 10, "items_per_call": 3}
    unlucky = frozenset(f"data/{number:09}.json" for number in range(0, 60, 3))
    backfill.serve(90, Rule(keys=unlucky, arrivals=Span(last=1), reply=Reply(wire=wire, runs=True)))
    ended = backfill.run()
    evidence = backfill.evidence()
    fault_table.hold("F3", "executed, then the reply is lost", evidence, bound=60, runs=20)
    assert evidence.theirs == evidence.ours == evidence.in_doubt == 60
    assert evidence.requests == 30 + 20
    assert_complete(ended, quarantined=0)
    attempts = (
        "SELECT attempts, count(*) FROM retrofill.v_item WHERE job = %s GROUP BY 1 ORDER BY 1"
    )
    assert backfill.rows(attempts, backfill.job) == [(1, 30), (2, 60)]


def assert_complete(ended: Ending, *, quarantined: int) -> None:
    report = ended.report
    assert ended.errors == []
    assert (report.status, report.items_left, report.partitions_left) == ("complete", 0, 0)
    assert report.quarantined == quarantined
