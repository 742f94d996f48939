"""The preflight of a function: how it explains that a function cannot be called."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError, NoCredentialsError
from botocore.stub import Stubber
from retrofill.functions.aws_lambda import KIND
from retrofill.functions.aws_lambda.params import LambdaParams
from retrofill.functions.aws_lambda.preflight import (
    concurrency_ceiling,
    preflight,
    require_switched_on,
)
from retrofill.functions.aws_lambda.properties import KNOWN, require_callable
from retrofill.functions.kind import Asked
from retrofill.model.errors import ConfigError, FunctionUnavailable
from retrofill.model.function import Pinned

from tests.given import Given

_ARN = "arn:aws:lambda:eu-west-1:123456789012:function:f"
_FOUND = {
    "FunctionArn": f"{_ARN}:7",
    "Version": "7",
    "Timeout": 3,
    "MemorySize": 128,
    "CodeSha256": "c",
    "State": "Active",
    "LastUpdateStatus": "Successful",
}


@pytest.fixture(scope="module")
def session() -> boto3.Session:
    """Loads botocore's model of Lambda only once."""
    return boto3.Session(
        aws_access_key_id="a",
        aws_secret_access_key="s",  # noqa: S106
        region_name="eu-west-1",
    )


@pytest.fixture
def stub(session: boto3.Session) -> Iterator[Stubber]:
    with Stubber(session.client("lambda")) as stubber:
        yield stubber


def _preflight(stub: Stubber, function: str = "f", qualifier: str | None = "7") -> None:
    preflight(stub.client, function, qualifier)
    stub.assert_no_pending_responses()


def _found(stub: Stubber, **changes: Any) -> None:
    stub.add_response("get_function_configuration", {**_FOUND, **changes})


def test_the_resolved_version_is_the_one_tried(stub: Stubber):
    stub.add_response("get_function_configuration", _FOUND, {"FunctionName": "f", "Qualifier": "7"})
    stub.add_response(
        "invoke",
        {"StatusCode": 204},
        {"FunctionName": _ARN, "Qualifier": "7", "InvocationType": "DryRun"},
    )
    _preflight(stub)


@pytest.mark.parametrize("qualifier", [None, "$LATEST"])
def test_an_unpublished_function_is_called_as_asked_for(
    stub: Stubber, qualifier: str | None, caplog: pytest.LogCaptureFixture
):
    # An emulator was seen to name the version that was published last.
    _found(stub)
    named = {"Qualifier": qualifier} if qualifier else {}
    stub.add_response(
        "invoke",
        {"StatusCode": 204},
        {"FunctionName": _ARN, "InvocationType": "DryRun", **named},
    )
    _preflight(stub, qualifier=qualifier)
    assert "its code, now c, may change" in caplog.text


def _resolved(stub: Stubber, trigger: Mapping[str, str], **params: str) -> Pinned:
    asked = Asked(Given(lambda _: stub.client), "aws_default", trigger)
    resolved = KIND.resolve(LambdaParams(function="f", **params), asked)
    stub.assert_no_pending_responses()
    return resolved


def _called_as(stub: Stubber, **named: str) -> None:
    _found(stub)
    if named:
        stub.add_response("get_alias", {"FunctionVersion": "7"})
    stub.add_response(
        "invoke",
        {"StatusCode": 204},
        {"FunctionName": _ARN, "InvocationType": "DryRun", **named},
    )
    stub.add_response("get_function_concurrency", {})


def test_the_qualifier_of_the_live_trigger_is_used(stub: Stubber, caplog: pytest.LogCaptureFixture):
    _called_as(stub, Qualifier="live")
    with caplog.at_level("INFO"):
        found = _resolved(stub, {"qualifier": "live"})
    assert (found.version, found.facts["qualifier"]) == ("7", "live")
    assert "called as live, like the live trigger" in caplog.text


def test_a_trigger_without_a_qualifier_is_imitated_without(stub: Stubber):
    _called_as(stub)
    assert "qualifier" not in _resolved(stub, {"qualifier": ""}).facts


@pytest.mark.parametrize("live", ["live", ""])
def test_a_qualifier_other_than_the_triggers_is_called_with_a_warning(
    stub: Stubber, live: str, caplog: pytest.LogCaptureFixture
):
    _called_as(stub, Qualifier="next")
    assert _resolved(stub, {"qualifier": live}, qualifier="next").facts["qualifier"] == "next"
    assert (
        f"the live trigger calls {live or '$LATEST'} of f, but this run calls next" in caplog.text
    )


@pytest.mark.parametrize("trigger", [{}, {"qualifier": "live"}])
def test_the_triggers_own_qualifier_needs_no_warning(
    stub: Stubber, trigger: dict[str, str], caplog: pytest.LogCaptureFixture
):
    _called_as(stub, Qualifier="live")
    _resolved(stub, trigger, qualifier="live")
    assert not caplog.records


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"State": "Failed", "StateReason": "no image"}, r"Failed \(no image\); repair"),
        ({"State": "Deleting"}, "give one that is active"),
    ],
)
def test_a_function_that_cannot_become_ready(stub: Stubber, changes: dict[str, Any], says: str):
    _found(stub, **changes)
    with pytest.raises(ConfigError, match=f"function: 'f:7' is .*{says}|{says}") as caught:
        _preflight(stub)
    assert str(caught.value).startswith("function: 'f:7' is ")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"State": "Pending", "StateReason": "creating"}, r"is Pending \(creating\)"),
        ({"LastUpdateStatus": "InProgress"}, "is being updated"),
    ],
)
def test_a_function_being_created_or_updated_may_be_retried(
    stub: Stubber, changes: dict[str, Any], says: str
):
    _found(stub, **changes)
    with pytest.raises(FunctionUnavailable, match=f"^function 'f:7' {says}"):
        _preflight(stub)


def test_an_inactive_function_is_called_to_activate_it(
    stub: Stubber, caplog: pytest.LogCaptureFixture
):
    _found(stub, State="Inactive", StateReason="idle")
    stub.add_response("invoke", {"StatusCode": 204})
    _preflight(stub)
    assert "f:7 is Inactive (idle); the first calls wake it" in caplog.text


@pytest.mark.parametrize(
    ("code", "status"), [("ResourceConflictException", 409), ("SnapStartTimeoutException", 408)]
)
def test_a_function_not_ready_for_a_dry_run_may_be_retried(stub: Stubber, code: str, status: int):
    _found(stub)
    stub.add_client_error("invoke", code, "Pending", status)
    with pytest.raises(FunctionUnavailable, match=f"{_ARN}:7"):
        _preflight(stub)


def test_after_a_failed_update_the_previous_code_is_called(
    stub: Stubber, caplog: pytest.LogCaptureFixture
):
    _found(stub, LastUpdateStatus="Failed", LastUpdateStatusReason="no such subnet")
    stub.add_response("invoke", {"StatusCode": 204})
    _preflight(stub)
    assert "no such subnet" in caplog.text


def test_a_function_without_a_state_is_active(stub: Stubber):
    stub.add_response(
        "get_function_configuration",
        {name: _FOUND[name] for name in _FOUND.keys() - {"State", "LastUpdateStatus"}},
    )
    stub.add_response("invoke", {"StatusCode": 204})
    _preflight(stub)


@pytest.mark.parametrize(
    ("code", "status", "error", "says"),
    [
        ("ResourceNotFoundException", 404, ConfigError, "function: there is no 'f:7' in eu-west-1"),
        ("AccessDeniedException", 403, ConfigError, "lack lambda:GetFunctionConfiguration on"),
        ("UnrecognizedClientException", 403, ConfigError, "aws_conn_id: its credentials"),
        ("ExpiredTokenException", 403, ConfigError, "aws_conn_id: its credentials"),
        ("InvalidParameterValueException", 400, ConfigError, "function: 'f:7' cannot be called"),
        ("TooManyRequestsException", 429, FunctionUnavailable, "could not be looked up"),
        ("ServiceException", 500, FunctionUnavailable, "could not be looked up"),
    ],
)
def test_each_refusal_of_lambda_is_explained(
    stub: Stubber, code: str, status: int, error: type[Exception], says: str
):
    stub.add_client_error("get_function_configuration", code, "because", status)
    with pytest.raises(error, match=says):
        _preflight(stub)


def test_the_permission_to_call_is_proved(stub: Stubber):
    _found(stub)
    stub.add_client_error("invoke", "AccessDeniedException", "no", 403)
    with pytest.raises(ConfigError, match=f"lack lambda:InvokeFunction on '{_ARN}:7'.*with :\\*"):
        _preflight(stub)


def test_an_endpoint_without_dry_runs_is_not_trusted(stub: Stubber):
    _found(stub)
    stub.add_response("invoke", {"StatusCode": 200})
    with pytest.raises(ConfigError, match="answered a dry run with 200"):
        _preflight(stub)


def test_a_weighted_alias_is_refused(stub: Stubber):
    _found(stub)
    weights = {"AdditionalVersionWeights": {"8": 0.25}}
    stub.add_response("get_alias", {"FunctionVersion": "7", "RoutingConfig": weights})
    with pytest.raises(ConfigError, match=r"alias 'prod' .* version 7 and others \(25% to 8\)"):
        _preflight(stub, qualifier="prod")


def test_an_alias_is_followed_without_permission_to_read_it(
    stub: Stubber, caplog: pytest.LogCaptureFixture
):
    _found(stub)
    stub.add_client_error("get_alias", "AccessDeniedException", "no", 403)
    stub.add_response("invoke", {"StatusCode": 204})
    _preflight(stub, qualifier="prod")
    assert "without lambda:GetAlias" in caplog.text


_DURABLE = {"DurableConfig": {"ExecutionTimeout": 600, "RetentionPeriodInDays": 7}}
_MANAGED = {
    "CapacityProviderConfig": {
        "LambdaManagedInstancesCapacityProviderConfig": {
            "CapacityProviderArn": "arn:aws:lambda:eu-west-1:123456789012:capacity-provider:c"
        }
    }
}
_TENANTS = {"TenancyConfig": {"TenantIsolationMode": "PER_TENANT"}}


def _tried(stub: Stubber, **named: str) -> None:
    expected = {"FunctionName": _ARN, "InvocationType": "DryRun", **named}
    stub.add_response("invoke", {"StatusCode": 204}, expected)


def test_a_durable_function_is_never_called_without_a_qualifier(stub: Stubber):
    _found(stub, **_DURABLE)
    _tried(stub, Qualifier="$LATEST")
    found = preflight(stub.client, "f", None)
    assert (found.version, found.facts["qualifier"], found.timeout_s) == (
        "$LATEST", "$LATEST", 600,
    )  # fmt: skip
    assert re.fullmatch("retrofill-[0-9a-f]{16}", found.facts["durable_executions"])


def test_each_run_has_durable_executions_of_its_own(stub: Stubber):
    names = set()
    for _ in range(2):
        _found(stub, **_DURABLE)
        _tried(stub, Qualifier="7")
        names.add(preflight(stub.client, "f", "7").facts["durable_executions"])
    assert len(names) == 2


def test_with_a_capacity_provider_no_qualifier_means_the_published_version(
    stub: Stubber,
):
    _found(stub, **_MANAGED, State="ActiveNonInvocable")
    asked = {"FunctionName": "f", "Qualifier": "$LATEST.PUBLISHED"}
    published = {**_FOUND, **_MANAGED, "Version": "$LATEST.PUBLISHED"}
    stub.add_response("get_function_configuration", published, asked)
    _tried(stub)
    found = preflight(stub.client, "f", None)
    assert (found.version, "qualifier" in found.facts) == ("$LATEST.PUBLISHED", False)


def test_a_durable_function_with_a_capacity_provider_is_called_by_its_published_version(
    stub: Stubber,
):
    both = {**_MANAGED, **_DURABLE}
    _found(stub, **both, State="ActiveNonInvocable")
    asked = {"FunctionName": "f", "Qualifier": "$LATEST.PUBLISHED"}
    published = {**_FOUND, **both, "Version": "$LATEST.PUBLISHED"}
    stub.add_response("get_function_configuration", published, asked)
    _tried(stub, Qualifier="$LATEST.PUBLISHED")
    found = preflight(stub.client, "f", None)
    assert found.version == found.facts["qualifier"] == "$LATEST.PUBLISHED"


def test_a_timeout_above_lambdas_limit_is_capped_with_a_warning(
    stub: Stubber, caplog: pytest.LogCaptureFixture
):
    _found(stub, **_MANAGED, Timeout=5_400)
    _tried(stub, Qualifier="7")
    assert preflight(stub.client, "f", "7").timeout_s == 900
    assert "f:7 has a timeout of 5400 s, of which a synchronous call gets 900 s" in caplog.text


def test_the_tenant_is_sent_from_the_dry_run_on(stub: Stubber):
    _found(stub, **_TENANTS)
    _tried(stub, Qualifier="7", TenantId="blue")
    preflight(stub.client, "f", "7", "blue")
    stub.assert_no_pending_responses()


@pytest.mark.parametrize(
    ("changes", "tenant_id", "says"),
    [
        (_TENANTS, None, "tenant_id: function 'f:7' isolates its tenants, so each call must name"),
        ({}, "blue", "tenant_id: 'blue' is not allowed, as function 'f:7' isolates no tenants"),
        (
            {"TenancyConfig": {"TenantIsolationMode": "PER_USER"}}, "blue",
            "function: 'f:7' has TenancyConfig.TenantIsolationMode PER_USER, and Retrofill does",
        ),
        (
            {"CapacityProviderConfig": {"OthersConfig": {}}}, None,
            "function: 'f:7' has CapacityProviderConfig.OthersConfig, and Retrofill does",
        ),
        ({"QuantumConfig": {"Qubits": 8}}, None, "function: 'f:7' has QuantumConfig, and"),
        (
            {"DurableConfig": {"ExecutionTimeout": 901}}, None,
            "function: 'f:7' is durable, with an ExecutionTimeout of 901 s, but Lambda refuses",
        ),
    ],
)  # fmt: skip
def test_needs_that_calls_cannot_meet_are_refused_by_name(
    changes: dict[str, Any], tenant_id: str | None, says: str
):
    with pytest.raises(ConfigError) as caught:
        require_callable("f:7", {**_FOUND, **changes}, tenant_id)
    assert str(caught.value).startswith(says)


def test_each_structure_of_a_configuration_is_known(stub: Stubber):
    output = stub.client.meta.service_model.operation_model("GetFunctionConfiguration").output_shape
    structures = {name for name, one in output.members.items() if one.type_name == "structure"}
    assert structures | {"ResponseMetadata"} == KNOWN, (
        "decide what the new structure requires of a call"
    )


def test_a_tenant_has_jobs_of_its_own():
    params = LambdaParams(function="f", tenant_id="blue")
    assert params.label() == "f for blue"
    function = Pinned(kind="aws_lambda", name=_ARN, version="7", timeout_s=3)
    assert params.identity(function) == f"{_ARN} for blue"
    assert LambdaParams(function="f").identity(function) == _ARN


def test_a_function_of_another_region_is_not_requested(stub: Stubber):
    with pytest.raises(ConfigError, match="is in region us-east-1, but the connection"):
        _preflight(stub, function=_ARN.replace("eu-west-1", "us-east-1"))


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (EndpointConnectionError(endpoint_url="http://127.0.0.1:9"), FunctionUnavailable),
        (NoCredentialsError(), ConfigError),
    ],
)
def test_no_answer(stub: Stubber, failure: Exception, error: type[Exception]):
    stub.deactivate()

    def fail(**_: object) -> None:
        raise failure

    stub.client.meta.events.register_first("before-call.lambda", fail)
    with pytest.raises(error):
        _preflight(stub)


def test_a_disabled_function_is_refused(stub: Stubber):
    off = {"ReservedConcurrentExecutions": 0}
    stub.add_response("get_function_concurrency", off, {"FunctionName": _ARN})
    with pytest.raises(ConfigError, match=r"^function: .* has a reserved concurrency of 0"):
        require_switched_on(stub.client, _ARN)


@pytest.mark.parametrize("reserved", [{}, {"ReservedConcurrentExecutions": 1}])
def test_other_reserved_concurrency_is_accepted(stub: Stubber, reserved: dict[str, int]):
    stub.add_response("get_function_concurrency", reserved)
    require_switched_on(stub.client, _ARN)


def test_reserved_concurrency_may_be_unreadable(stub: Stubber):
    stub.add_client_error("get_function_concurrency", "AccessDeniedException", "no", 403)
    require_switched_on(stub.client, _ARN)


def _ceiling(stub: Stubber, reserve_percent: int) -> int:
    found = concurrency_ceiling(stub.client, _ARN, reserve_percent)
    stub.assert_no_pending_responses()
    return found


def test_part_of_the_functions_reservation_is_left_free(
    stub: Stubber, caplog: pytest.LogCaptureFixture
):
    reserved = {"ReservedConcurrentExecutions": 25}
    stub.add_response("get_function_concurrency", reserved, {"FunctionName": _ARN})
    with caplog.at_level("INFO"):
        assert _ceiling(stub, 50) == 12
    assert "50 % of the 25 concurrent executions reserved for the function stay free" in caplog.text


def test_without_a_reservation_part_of_the_accounts_unreserved_concurrency_is_left_free(
    stub: Stubber,
):
    stub.add_response("get_function_concurrency", {})
    limit = {"ConcurrentExecutions": 1000, "UnreservedConcurrentExecutions": 900}
    stub.add_response("get_account_settings", {"AccountLimit": limit})
    assert _ceiling(stub, 20) == 720


@pytest.mark.parametrize(("reserved", "percent"), [(0, 0), (1, 50), (99, 99)])
def test_a_reserve_that_leaves_nothing_is_refused(stub: Stubber, reserved: int, percent: int):
    found = {"ReservedConcurrentExecutions": reserved}
    stub.add_response("get_function_concurrency", found)
    with pytest.raises(
        ConfigError, match=f"^reserve_percent: {percent} leaves .* of the {reserved} "
    ):
        _ceiling(stub, percent)


def test_a_reserve_without_permission_to_look_it_up_is_refused(stub: Stubber):
    stub.add_response("get_function_concurrency", {})
    stub.add_client_error("get_account_settings", "AccessDeniedException", "no", 403)
    with pytest.raises(ConfigError, match=r"lack lambda:GetAccountSettings"):
        _ceiling(stub, 20)
