"""A stack with Celery on the scripted endpoint; its workers are isolated like containers."""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from stack.celery import worker_command
from stack.endpoint import Script
from stack.scripted import scripted_stack
from stack.settings import StackError
from stack.supervise import Supervisor
from tests.faults.notices import noticing
from tests.faults.observed_airflow import ObservedAirflow
from tests.faults.world import World

_ENVIRONMENT = {
    "RETROFILL_EXECUTOR": "celery",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "30",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": "60",
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "10",
}
# Its own hostname and PIDs, like each container of a machine.
_APART = ["unshare", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc"]
_NAMED = ["sh", "-c", 'hostname "$0" && exec "$@"']
_SAID = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    """Start the figures to print at the end."""
    config.stash[_SAID] = []


@pytest.hookimpl(specname="pytest_terminal_summary")
def pytest_print_figures(terminalreporter: Any, config: pytest.Config) -> None:
    """Print the figures of all tests."""
    for line in config.stash[_SAID]:
        terminalreporter.write_line(line)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder: each waits for a whole run, some minutes."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.celery)
            item.add_marker(pytest.mark.timeout(1_800))


@dataclass
class Worker:
    """A worker in its own namespaces."""

    process: psutil.Popen

    @property
    def place(self) -> str:
        """Return its PID namespace, as in the names of its tasks."""
        (inside,) = psutil.Process(self.process.pid).children()
        return str(Path(f"/proc/{inside.pid}/ns/pid").readlink())

    def kill(self) -> int:
        """Kill it and all processes that it started, at once; return their number."""
        processes = [self.process, *psutil.Process(self.process.pid).children(recursive=True)]
        for process in processes:
            process.kill()
        self.process.wait()
        return len(processes)


@dataclass
class Cluster(World):
    """A world whose tasks run in workers."""

    def ask(self, method: str, *arguments: object) -> Any:
        """Ask the supervisor of the stack's processes."""
        return Supervisor(self.settings.directory)._call(method, *arguments)  # noqa: SLF001

    def kill(self, program: str) -> None:
        """Kill a program of the stack, which is then started again."""
        psutil.Process(self.ask("getProcessInfo", program)["pid"]).kill()


@pytest.fixture(scope="session")
def _cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    tried = [*_APART, "true"]
    if shutil.which("unshare") is None or subprocess.run(tried, check=False).returncode:  # noqa: S603
        # These tests run only on request: green must mean that workers were killed.
        pytest.fail("isolated workers need namespaces: run this on Linux as root", pytrace=False)
    dags = tmp_path_factory.mktemp("dags")
    with noticing() as notices:
        config = {"path": notices.apprise_url, "tag": "all"}
        connection = {"conn_type": "apprise", "extra": {"config": config}}
        environment = {**_ENVIRONMENT, "AIRFLOW_CONN_NOTICES": json.dumps(connection)}
        try:
            stack = scripted_stack(Script(), dags=dags, environment=environment)
            settings, endpoint = stack.__enter__()
        except StackError as error:
            if "RETROFILL_EXECUTOR" not in str(error):
                raise
            pytest.fail(str(error), pytrace=False)
        try:
            with ObservedAirflow(settings) as airflow:
                airflow.unpause("retrofill_s3", within_s=240)
                cluster = Cluster(settings, endpoint, airflow, notices)
                # These would be started again; ours stay dead.
                cluster.ask("stopProcessGroup", "workers")
                yield cluster
        finally:
            stack.__exit__(None, None, None)


@pytest.fixture
def cluster(_cluster: Cluster) -> Cluster:
    """The stack, with nothing in the endpoint, and without workers."""
    _cluster.endpoint.reset()
    return _cluster


@pytest.fixture
def start(_cluster: Cluster) -> Iterator[Callable[[str, str], Worker]]:
    """Return a function that starts a worker, by its name for Celery and its hostname."""
    started: list[Worker] = []

    def start(name: str, hostname: str) -> Worker:
        started.append(_start(_cluster, name, hostname))
        return started[-1]

    yield start
    for worker in started:
        if worker.process.is_running():
            worker.kill()


def _start(cluster: Cluster, name: str, hostname: str) -> Worker:
    scheduler = psutil.Process(cluster.ask("getProcessInfo", "airflow:scheduler")["pid"])
    with (cluster.settings.directory / "logs" / f"{name}.log").open("ab") as log:
        return Worker(
            psutil.Popen(
                [*_APART, *_NAMED, hostname, *worker_command(name)],
                env=scheduler.environ(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        )


@pytest.fixture
def say(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Return a function that prints a figure after all tests."""
    name = request.node.name
    said = request.config.stash[_SAID]
    return lambda text: said.append(f"{name}: {text}")
