"""A scripted endpoint, to which each test gives a script, and its clients."""

from collections.abc import Callable, Iterator

import pytest
from mypy_boto3_lambda import LambdaClient
from mypy_boto3_s3 import S3Client

from stack.endpoint import Script, ScriptedEndpoint, scripted_endpoint
from tests.integration.endpoint.clients import client


@pytest.fixture(scope="module")
def endpoint() -> Iterator[ScriptedEndpoint]:
    with scripted_endpoint() as running:
        yield running


@pytest.fixture
def follow(endpoint: ScriptedEndpoint) -> Callable[[Script], ScriptedEndpoint]:
    """Return a function that makes the endpoint follow a script, with its counts at 0."""

    def follow_from_now(script: Script) -> ScriptedEndpoint:
        endpoint.script(script)
        endpoint.reset()
        return endpoint

    return follow_from_now


@pytest.fixture(scope="module")
def functions(endpoint: ScriptedEndpoint) -> LambdaClient:
    made: LambdaClient = client("lambda", endpoint)
    return made


@pytest.fixture(scope="module")
def buckets(endpoint: ScriptedEndpoint) -> S3Client:
    made: S3Client = client("s3", endpoint)
    return made
