"""A separate stack on the scripted endpoint, which notices dead tasks within seconds."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from retrofill.state.migrate import migrate

from stack.endpoint import Script, ScriptedEndpoint, scripted_endpoint
from stack.scripted import scripted_stack
from stack.services import Postgres
from tests.faults.fault_table import LEGEND, VARIABLE, FaultTable
from tests.faults.notices import Notices, noticing
from tests.faults.observed_airflow import ObservedAirflow
from tests.faults.world import World

# DAGs of the job files next to it, like dags/retrofill_dags.py for include/jobs/.
_SCHEDULED = """
from pathlib import Path
from airflow.sdk import DAG
from retrofill.jobs import load_jobs
from retrofill.workflow import job_dag

for dag in map(job_dag, load_jobs(Path(__file__).parent / "jobs")):
    globals()[dag.dag_id] = dag
"""
_ENVIRONMENT = {
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
    "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
}

_TABLE = pytest.StashKey[FaultTable]()


def pytest_configure(config: pytest.Config) -> None:
    """Start the table."""
    config.stash[_TABLE] = FaultTable()


@pytest.hookimpl(specname="pytest_terminal_summary")
def pytest_print_fault_table(terminalreporter: Any, config: pytest.Config) -> None:
    """Print the table of faults, and write it to the file that the environment names."""
    table = config.stash[_TABLE]
    if not table:
        return
    text = "\n".join([*table.lines(), "", LEGEND])
    terminalreporter.section("faults", sep="-")
    terminalreporter.write_line(text)
    if path := os.environ.get(VARIABLE):
        Path(path).write_text(text + "\n")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder: each waits for Airflow, up to minutes."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.faults)
            item.add_marker(pytest.mark.timeout(600))


@dataclass(frozen=True)
class _Stack:
    world: World
    jobs: Path


@pytest.fixture(scope="session")
def _stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Stack]:
    dags = tmp_path_factory.mktemp("dags")
    (dags / "jobs").mkdir()
    (dags / "scheduled.py").write_text(_SCHEDULED)
    with noticing() as notices:
        config = {"path": notices.apprise_url, "tag": "all"}
        connection = {"conn_type": "apprise", "extra": {"config": config}}
        environment = {**_ENVIRONMENT, "AIRFLOW_CONN_NOTICES": json.dumps(connection)}
        with (
            scripted_stack(Script(), dags=dags, environment=environment) as (settings, endpoint),
            ObservedAirflow(settings) as airflow,
        ):
            airflow.unpause("retrofill_s3", within_s=120)
            yield _Stack(World(settings, endpoint, airflow, notices), dags / "jobs")


@pytest.fixture
def world(_stack: _Stack) -> World:
    """The stack, with nothing in the endpoint."""
    _stack.world.endpoint.reset()
    return _stack.world


@pytest.fixture
def jobs(_stack: _Stack) -> Path:
    """The folder of the job files that become DAGs."""
    return _stack.jobs


@pytest.fixture
def notices(_stack: _Stack) -> Notices:
    """The received notifications."""
    return _stack.world.notices


@pytest.fixture
def figures(record_property: Any) -> Any:
    """Return a function that takes a name and a figure for the summary."""
    return record_property


@pytest.fixture
def fault_table(pytestconfig: pytest.Config) -> FaultTable:
    """The table to print at the end."""
    return pytestconfig.stash[_TABLE]


@pytest.fixture(scope="session")
def _endpoint() -> Iterator[ScriptedEndpoint]:
    with scripted_endpoint(Script()) as running:
        yield running


@pytest.fixture
def endpoint(_endpoint: ScriptedEndpoint) -> ScriptedEndpoint:
    """A scripted endpoint without Airflow: each test gives it a script."""
    _endpoint.reset()
    return _endpoint


@pytest.fixture(scope="module")
def shared_dsn(postgres: Postgres, request: pytest.FixtureRequest) -> str:
    """The URI of a database for all tests of a module: each has its own job."""
    name = request.module.__name__.rpartition(".")[2]
    postgres.ensure_database(name)
    dsn = postgres.dsn(name, role=name)
    migrate(dsn)
    return dsn
