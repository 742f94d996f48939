"""Find what is missing for runs: in the state, in AWS's connection and in Airflow."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from typing import NamedTuple
from urllib.parse import urlsplit

from retrofill.model.connections import STATE_CONN_ID, Connections
from retrofill.model.errors import (
    ConfigError,
    SchemaMismatch,
    StateError,
    StateNotConfigured,
    StateUnavailable,
    StateUnfit,
)
from retrofill.model.setup import Finding, Setup, StateFacts
from retrofill.state.connection import Connection
from retrofill.state.migrate import version

MAINTENANCE, FORGETTING, MIGRATION = KEEPING = ("maintenance", "forgetting", "migration")
"""The tags of the DAGs that keep the state; their ids may differ."""

_AWS_CONN_ID = "aws_default"
_ON_ONE_MACHINE = ("", "localhost", "127.0.0.1", "::1")


class Dag(NamedTuple):
    """One of Retrofill's DAGs in Airflow."""

    dag_id: str
    tags: frozenset[str]
    is_paused: bool

    @property
    def makes_runs(self) -> bool:
        """Whether its DAG runs are runs of a source."""
        return self.tags.isdisjoint(KEEPING)


class ServerFacts(NamedTuple):
    """Facts from Airflow's database, which tasks cannot read."""

    dags: Sequence[Dag]
    broken: Mapping[str, str]
    """The last line of the error, by Retrofill's file that Airflow cannot import."""

    triggerer_lives: bool
    default_pool_slots: int
    """-1: unlimited."""


class AirflowFacts(NamedTuple):
    """Facts about Airflow."""

    executor: str
    takes_conf: bool
    """Whether the conf of a DAG run replaces its params."""

    base_url: str
    execution_api_server_url: str
    """Empty: made from ``base_url``."""

    wrong_grace: str
    """The problem with ``[retrofill] grace_period``; empty: none."""

    notices: Sequence[str]
    server: ServerFacts | None = None
    """None: this process cannot read Airflow's database."""


def is_of_setup(error: StateError) -> bool:
    """Return whether an error means that the state is not set up or cannot be reached."""
    return isinstance(error, StateNotConfigured | StateUnavailable | StateUnfit | SchemaMismatch)


def look(
    open_state: Callable[[], AbstractContextManager[Connection]],
    place: Callable[[], str],
    connections: Connections,
    airflow: AirflowFacts | None,
    known: StateError | None = None,
) -> Setup:
    """Check everything that runs need, as seen from this process.

    :param open_state: opens the state as tasks and pages do
    :param place: returns server, database and role of the state, without the password
    :param airflow: None: there is no Airflow here
    :param known: the error that the state has just raised, so that it is not opened again
    """
    server = airflow.server if airflow else None
    findings, state = [], None
    try:
        if known is not None:
            raise known
        with open_state() as conn:
            info = conn.info
            release = str(info.parameter_status("server_version"))
            state = StateFacts(info.dbname, info.user, release, version(conn))
    except StateError as error:
        findings.append(_of_state(error, place, server.dags if server else []))
    findings += _of_aws(connections)
    findings += _of_settings(airflow) if airflow else []
    findings += _of_server(server) if server else []
    ready = not any(one.blocks for one in findings)
    notices = list(airflow.notices) if airflow else []
    return Setup(ready, sorted(findings, key=lambda one: not one.blocks), state, notices)


def _of_state(error: StateError, place: Callable[[], str], dags: Sequence[Dag]) -> Finding:
    where = f"Airflow's connection {STATE_CONN_ID}"
    with suppress(StateError):
        where = f"{where}: {place()}"
    todo = error.todo or "start the server, or fix the connection"
    migrates = isinstance(error, SchemaMismatch | StateUnfit) and "retrofill_migrate" in todo
    found = (one.dag_id for one in dags if migrates and MIGRATION in one.tags)
    return Finding(error.what, where, todo, error.text, next(found, ""), blocks=True)


def _of_aws(connections: Connections) -> Iterator[Finding]:
    try:
        region = connections.aws(_AWS_CONN_ID).region
    except ConfigError as error:
        what, region = str(error), ""
    except Exception as error:  # noqa: BLE001  a hook or boto3 may raise anything, with secrets in it
        what, region = f"the connection cannot be used here ({type(error).__name__})", ""
    else:
        what = "no AWS region is known here"
    if not region:
        yield Finding(
            what,
            f"Airflow's connection {_AWS_CONN_ID}",
            "for sources and functions in AWS, define it with their region; leave out the keys if"
            " the machine, pod or task has a role. Tasks may find another region than this process",
            'AIRFLOW_CONN_AWS_DEFAULT=\'{"conn_type": "aws", "extra": {"region_name": "REGION"}}\'',
        )


def _of_settings(airflow: AirflowFacts) -> Iterator[Finding]:
    if airflow.wrong_grace:
        yield Finding(
            airflow.wrong_grace,
            "Airflow's setting [retrofill] grace_period, on workers",
            "set it to a number of seconds, or remove it",
            "AIRFLOW__RETROFILL__GRACE_PERIOD=5",
        )
    if not airflow.takes_conf:
        yield Finding(
            "Airflow ignores the conf with which a DAG run is triggered",
            "Airflow's setting [core] dag_run_conf_overrides_params",
            "set it to True, its default; until then, only job files can set params",
            "AIRFLOW__CORE__DAG_RUN_CONF_OVERRIDES_PARAMS=True",
        )
    host = urlsplit(airflow.base_url).hostname or ""
    far = any(not one.endswith("LocalExecutor") for one in airflow.executor.split(","))
    if far and not airflow.execution_api_server_url and host in _ON_ONE_MACHINE:
        yield Finding(
            f"tasks of {airflow.executor} on other machines look for Airflow's API server on"
            " their own machine",
            "Airflow's setting [core] execution_api_server_url, on workers and schedulers",
            "set it to the address of an API server, followed by /execution/",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL=http://API-SERVER:8080/execution/",
        )
    if not airflow.base_url:
        yield Finding(
            "Airflow does not know its own address, so links in notifications lead nowhere",
            "Airflow's setting [api] base_url",
            "set it to the address at which you open Airflow",
            "AIRFLOW__API__BASE_URL=https://AIRFLOW",
        )


def _of_server(server: ServerFacts) -> Iterator[Finding]:
    for file, said in server.broken.items():
        yield Finding(
            f"Airflow cannot import {file}: {said}",
            "the DAG processor",
            "fix the file, or install what it needs, in the DAG processor's environment",
        )
    if not any(dag.makes_runs for dag in server.dags):
        yield Finding(
            "Airflow shows no DAG of Retrofill that makes runs",
            "the DAGs folder",
            "put Retrofill's DAG files there, and wait until the DAG processor has read them",
        )
    for dag in server.dags:
        if dag.is_paused and MAINTENANCE in dag.tags:
            yield Finding(
                f"the DAG {dag.dag_id} is paused: abandoned runs stay open, and nothing old is"
                " deleted",
                f"the DAG {dag.dag_id}",
                "unpause it",
                dag_id=dag.dag_id,
            )
    paused = [dag.dag_id for dag in server.dags if dag.is_paused and dag.makes_runs]
    if paused:
        yield Finding(
            f"paused, so Airflow starts none of their tasks: {', '.join(paused)}",
            "these DAGs",
            "unpause those that you trigger",
        )
    if not server.triggerer_lives:
        yield Finding(
            "no Airflow triggerer is alive: a run with overlap: wait does not continue",
            "Airflow's triggerer",
            "start one",
            "airflow triggerer",
        )
    if server.default_pool_slots == 0:
        yield Finding(
            "the pool default_pool has no slots, so no task starts",
            "Airflow, Admin, Pools",
            "give it slots",
            "airflow pools set default_pool 128 default",
            blocks=True,
        )
