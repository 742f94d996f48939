"""The servers of the tests: each is started when a test first asks for it, and once."""

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest
from botocore.config import Config
from psycopg2 import sql
from retrofill.state.migrate import migrate

from stack.services import (
    MiniStack,
    Postgres,
    autocommit_cursor,
    free_port,
    running,
    temporary_postgres,
)

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sqs import SQSClient

RUNNING_POSTGRES = "RETROFILL_TEST_POSTGRES"
"""The variable that tells tests of a server that runs already; see `told_of`."""

_LONGEST_FIRST = ("mutants", "conformance", "dags", "kill_points", "integration", "unit")
"""Folders by how long their files take. Others come before the last of these."""

_TEMPLATE = f"template_{os.getpid()}"
_numbers = count()
_airflow_home = pytest.StashKey[tempfile.TemporaryDirectory[str]]()


def pytest_configure(config: pytest.Config) -> None:
    """Give processes that tests start our packages, and Airflow a home that is not the user's."""
    root = config.rootpath
    os.environ["PYTHONPATH"] = f"{root}:{root / 'include'}"
    home = tempfile.TemporaryDirectory(prefix="retrofill-airflow-")
    config.stash[_airflow_home] = home
    os.environ["AIRFLOW_HOME"] = home.name
    os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
    # Many tests start processes; compiling all that these import would take most of their time.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    # What a person has set for real servers must not reach a test.
    for name in list(os.environ):
        if name.startswith(("AWS_", "AIRFLOW_CONN_")):
            del os.environ[name]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes long, and leave to the end what does not.

    Else one process is left with a long file when the others have done theirs.
    """
    places = {name: place for place, name in enumerate(_LONGEST_FIRST)}
    items.sort(key=lambda item: places.get(item.path.parent.name, len(places) - 1.5))


def pytest_terminal_summary(terminalreporter: "TerminalReporter") -> None:
    """Print what the tests have measured, beside whether it was as it must be."""
    reports = [
        report
        for outcome in ("passed", "failed")
        for report in terminalreporter.getreports(outcome)
        if getattr(report, "when", "") == "call" and report.user_properties
    ]
    for report in reports:
        terminalreporter.section(report.nodeid.rpartition("::")[2], sep="-")
        for name, value in report.user_properties:
            terminalreporter.write_line(f"{name}: {value}")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove Airflow's home."""
    config.stash[_airflow_home].cleanup()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server."""
    if known := os.environ.get(RUNNING_POSTGRES):
        told = json.loads(known)
        yield Postgres(**told | {"directory": Path(told["directory"])}, durable=False)
        return
    with temporary_postgres(durable=False) as server:
        yield server


def told_of(server: Postgres) -> dict[str, str]:
    """Return the variable by which another process of tests uses this server, too."""
    told = {"directory": str(server.directory), "port": server.port, "password": server.password}
    return {RUNNING_POSTGRES: json.dumps(told)}


@pytest.fixture(scope="session")
def _state_template(postgres: Postgres) -> str:
    postgres.ensure_database(_TEMPLATE)
    migrate(postgres.dsn(_TEMPLATE, role=_TEMPLATE))
    return _TEMPLATE


@pytest.fixture(scope="session")
def _drop(postgres: Postgres) -> Iterator[Callable[[str], None]]:
    """Drops databases beside the tests: each takes the server a checkpoint, a tenth of a second."""
    dropped: list[Future[None]] = []

    def drop(name: str) -> None:
        with autocommit_cursor(postgres.dsn("postgres")) as cursor:
            cursor.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    with ThreadPoolExecutor(1) as beside:
        yield lambda name: dropped.append(beside.submit(drop, name))
    for each in dropped:
        each.result()


@pytest.fixture
def state_dsn(
    postgres: Postgres, _state_template: str, _drop: Callable[[str], None]
) -> Iterator[str]:
    """The URI of a new database with the state's schema, and nothing in it."""
    name = f"state_{os.getpid()}_{next(_numbers)}"
    database, template = sql.Identifier(name), sql.Identifier(_state_template)
    with autocommit_cursor(postgres.dsn("postgres")) as cursor:
        create = sql.SQL("CREATE DATABASE {0} TEMPLATE {1} OWNER {1}")
        cursor.execute(create.format(database, template))
    yield postgres.dsn(name, role=_state_template)
    _drop(name)


@pytest.fixture(scope="session")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an emulator of AWS, shared: each test gives what it makes names of its own."""
    server = MiniStack(tmp_path_factory.mktemp("aws") / "ministack", free_port(), durable=False)
    with running(server):
        yield server.endpoint_url


@pytest.fixture(scope="session")
def aws_session() -> boto3.Session:
    """Credentials and region for the emulator."""
    return boto3.Session(
        aws_access_key_id="test",
        aws_secret_access_key="test",  # noqa: S106
        region_name="us-east-1",
    )


_ONE_REQUEST = Config(retries={"total_max_attempts": 1})


@pytest.fixture(scope="session")
def s3_client(aws: str, aws_session: boto3.Session) -> "S3Client":
    return aws_session.client("s3", endpoint_url=aws, config=_ONE_REQUEST)


@pytest.fixture(scope="session")
def lambda_client(aws: str, aws_session: boto3.Session) -> "LambdaClient":
    return aws_session.client("lambda", endpoint_url=aws, config=_ONE_REQUEST)


@pytest.fixture(scope="session")
def sns_client(aws: str, aws_session: boto3.Session) -> "SNSClient":
    return aws_session.client("sns", endpoint_url=aws, config=_ONE_REQUEST)


@pytest.fixture(scope="session")
def sqs_client(aws: str, aws_session: boto3.Session) -> "SQSClient":
    return aws_session.client("sqs", endpoint_url=aws, config=_ONE_REQUEST)
