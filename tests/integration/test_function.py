"""The preflight of a function, with a real Lambda API."""

import io
import zipfile
from itertools import count
from typing import TYPE_CHECKING

import pytest
from retrofill.functions.aws_lambda.preflight import preflight
from retrofill.model.errors import ConfigError

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

_numbers = count()
_OFTEN = {"Delay": 0.1, "MaxAttempts": 200}
_ROLE = "arn:aws:iam::000000000000:role/any"


def _code(answer: str) -> bytes:
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("code.py", f"def handle(event, context):\n    return {answer!r}\n")
    return zipped.getvalue()


def _publish(client: "LambdaClient", name: str) -> None:
    # The emulator publishes a function as it is: one that is not ready stays so.
    client.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig=_OFTEN)
    client.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig=_OFTEN)
    client.publish_version(FunctionName=name)


@pytest.fixture
def function(lambda_client: "LambdaClient") -> str:
    """A function with two versions of different code."""
    name = f"preflight-{next(_numbers)}"
    lambda_client.create_function(
        FunctionName=name,
        Runtime="python3.11",
        Handler="code.handle",
        Role=_ROLE,
        Code={"ZipFile": _code("first")},
        Timeout=7,
        MemorySize=256,
    )
    _publish(lambda_client, name)
    lambda_client.update_function_code(FunctionName=name, ZipFile=_code("second"))
    _publish(lambda_client, name)
    return name


def _sha256(client: "LambdaClient", name: str, version: str) -> str:
    return client.get_function_configuration(FunctionName=name, Qualifier=version)["CodeSha256"]


def test_without_a_qualifier_latest_is_called(
    lambda_client: "LambdaClient", function: str, caplog: pytest.LogCaptureFixture
):
    found = preflight(lambda_client, function, None)
    assert found.name == f"arn:aws:lambda:us-east-1:000000000000:function:{function}"
    assert found.version == "$LATEST"
    assert (found.timeout_s, found.facts["memory_mb"]) == (7, 256)
    assert found.facts["code_sha256"] == _sha256(lambda_client, function, "$LATEST")
    assert "may change during the run" in caplog.text


def test_a_version_is_pinned(
    lambda_client: "LambdaClient", function: str, caplog: pytest.LogCaptureFixture
):
    found = preflight(lambda_client, function, "1")
    assert found.version == "1"
    assert found.name.endswith(f":function:{function}")
    assert found.facts["code_sha256"] != _sha256(lambda_client, function, "2")
    assert not caplog.records


def test_an_alias_is_resolved_to_its_current_version(lambda_client: "LambdaClient", function: str):
    lambda_client.create_alias(FunctionName=function, Name="prod", FunctionVersion="2")
    found = preflight(lambda_client, function, "prod")
    assert found.version == "2"
    assert found.facts["code_sha256"] == _sha256(lambda_client, function, "2")
    lambda_client.update_alias(FunctionName=function, Name="prod", FunctionVersion="1")
    assert preflight(lambda_client, function, "prod").version == "1"


def test_an_alias_of_two_versions_is_refused(lambda_client: "LambdaClient", function: str):
    lambda_client.create_alias(
        FunctionName=function,
        Name="canary",
        FunctionVersion="1",
        RoutingConfig={"AdditionalVersionWeights": {"2": 0.1}},
    )
    with pytest.raises(ConfigError, match=r"version 1 and others \(10% to 2\)"):
        preflight(lambda_client, function, "canary")


def test_an_arn_may_be_given_instead_of_a_name(lambda_client: "LambdaClient", function: str):
    arn = preflight(lambda_client, function, "1").name
    assert preflight(lambda_client, arn, "1").name == arn


@pytest.mark.parametrize("qualifier", [None, "9", "nobody"])
def test_a_missing_function_is_named(
    lambda_client: "LambdaClient", function: str, qualifier: str | None
):
    name = function if qualifier else "no-such-function"
    with pytest.raises(ConfigError) as caught:
        preflight(lambda_client, name, qualifier)
    asked = f"{name}:{qualifier}" if qualifier else name
    assert str(caught.value).startswith(f"function: there is no {asked!r} in us-east-1")


def test_a_function_of_another_region_is_refused(lambda_client: "LambdaClient"):
    with pytest.raises(ConfigError, match="is in region eu-west-1, but the connection"):
        preflight(lambda_client, "arn:aws:lambda:eu-west-1:000000000000:function:f", None)
