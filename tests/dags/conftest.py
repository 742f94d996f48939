"""Fixtures of all DAG tests: an Airflow of their own, and a world for it."""

import json
import os
from collections.abc import Iterator
from itertools import count
from typing import TYPE_CHECKING

import pytest

from tests.dags.run_dag import ROOT, warm
from tests.dags.world import HANDLER, World, zipped

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_s3 import S3Client

_numbers = count()


@pytest.fixture(scope="session")
def airflow_environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An Airflow with its own metadata database."""
    home = tmp_path_factory.mktemp("airflow")
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(home / "no-plugins"),
        "PYTHONPATH": f"{ROOT}:{ROOT / 'include'}",
    }
    warm(environment)
    return environment


@pytest.fixture
def world(
    airflow_environment: dict[str, str],
    state_dsn: str,
    aws: str,
    s3_client: "S3Client",
    lambda_client: "LambdaClient",
) -> Iterator[World]:
    name = f"world-{next(_numbers)}"
    s3_client.create_bucket(Bucket=name)
    s3_client.create_bucket(Bucket=f"{name}-out")
    function_arn = lambda_client.create_function(
        FunctionName=name,
        Runtime="python3.11",
        Role="arn:aws:iam::000000000000:role/r",
        Handler="handler.handle",
        Code={"ZipFile": zipped(HANDLER)},
        Timeout=10,
        Environment={"Variables": {"OUT": f"{name}-out", "AWS_ENDPOINT_URL": aws}},
    )["FunctionArn"]
    connection = {
        "conn_type": "aws",
        "login": "test",
        "password": "test",
        "extra": {"region_name": "us-east-1", "endpoint_url": aws},
    }
    environment = {
        **airflow_environment,
        "AIRFLOW_CONN_RETROFILL_STATE": state_dsn,
        "AIRFLOW_CONN_AWS_DEFAULT": json.dumps(connection),
    }
    yield World(name, name, state_dsn, environment, s3_client, function_arn)
    lambda_client.delete_function(FunctionName=name)
