"""What is missing before runs can be made: in the state, in AWS's connection and in Airflow."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
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
"""The tags by which the DAGs that keep the state are known, whatever their names are."""

_AWS_CONN_ID = "aws_default"
_ON_ONE_MACHINE = ("", "localhost", "127.0.0.1", "::1")


class Dag(NamedTuple):
    """A DAG of ours, as Airflow knows it."""

    dag_id: str
    tags: frozenset[str]
    is_paused: bool

    @property
    def makes_runs(self) -> bool:
        """Whether its DAG runs are runs of a source."""
        return self.tags.isdisjoint(KEEPING)


class ServerFacts(NamedTuple):
    """What only Airflow's own database knows."""

    dags: Sequence[Dag]
    broken: Mapping[str, str]
    """By file of ours that Airflow cannot import: the last line of the error."""

    triggerer_lives: bool
    default_pool_slots: int
    """-1: as many as are wanted."""


class AirflowFacts(NamedTuple):
    """What is known of Airflow."""

    executor: str
    takes_conf: bool
    """Whether a DAG run gets what it is triggered with."""

    base_url: str
    execution_api_server_url: str
    """Empty: it is made from ``base_url``."""

    wrong_grace: str
    """What is wrong with ``[retrofill] grace_period``; empty: nothing."""

    notices: Sequence[str]
    server: ServerFacts | None = None
    """None: nobody can ask its database from here."""


def is_of_setup(error: StateError) -> bool:
    """Return whether an error says that the state is not set up, or is away."""
    return isinstance(error, StateNotConfigured | StateUnavailable | StateUnfit | SchemaMismatch)


def look(
    open_state: Callable[[], AbstractContextManager[Connection]],
    place: Callable[[], str],
    connections: Connections,
    airflow: AirflowFacts | None,
    known: StateError | None = None,
) -> Setup:
    """Look at all that runs need, as seen from this process.

    :param open_state: opens the state as tasks and pages do
    :param place: tells server, database and role of the state, without the password
    :param airflow: None: there is no Airflow here
    :param known: what was wrong with the state just now: then it is not looked at again
    """
    findings, state = [], None
    try:
        if known is not None:
            raise known
        with open_state() as conn:
            server = conn.info
            state = StateFacts(
                server.dbname,
                server.user,
                str(server.parameter_status("server_version")),
                version(conn),
            )
    except StateError as error:
        findings.append(_of_state(error, _place(place), airflow))
    findings += _of_aws(connections)
    notices = []
    if airflow is not None:
        findings += _of_settings(airflow)
        notices = list(airflow.notices)
        if airflow.server is not None:
            findings += _of_server(airflow.server)
    ready = not any(one.blocks for one in findings)
    return Setup(ready, sorted(findings, key=lambda one: not one.blocks), state, notices)


def _place(place: Callable[[], str]) -> str:
    try:
        return f"Airflow's connection {STATE_CONN_ID}: {place()}"
    except StateError:
        return f"Airflow's connection {STATE_CONN_ID}"


def _of_state(error: StateError, where: str, airflow: AirflowFacts | None) -> Finding:
    todo = error.todo or "start the server, or mend the connection"
    dags = airflow.server.dags if airflow is not None and airflow.server is not None else []
    migrates = isinstance(error, SchemaMismatch | StateUnfit) and "retrofill_migrate" in todo
    found = [one.dag_id for one in dags if MIGRATION in one.tags] if migrates else []
    return Finding(error.what, where, todo, error.text, next(iter(found), ""), blocks=True)


def _of_aws(connections: Connections) -> Iterator[Finding]:
    try:
        region = connections.aws(_AWS_CONN_ID).region
    except ConfigError as error:
        what, region = str(error), ""
    except Exception as error:  # noqa: BLE001  a hook or boto3 may raise anything, with secrets in it
        what, region = f"the connection cannot be used here ({type(error).__name__})", ""
    else:
        what = "no region of AWS is known here"
    if not region:
        yield Finding(
            what,
            f"Airflow's connection {_AWS_CONN_ID}",
            "for sources and functions of AWS, define it with the region of what they name; keys"
            " may be left out where machine, pod or task have a role. Tasks may find another"
            " region than this process does",
            'AIRFLOW_CONN_AWS_DEFAULT=\'{"conn_type": "aws", "extra": {"region_name": "REGION"}}\'',
        )


def _of_settings(airflow: AirflowFacts) -> Iterator[Finding]:
    if airflow.wrong_grace:
        yield Finding(
            airflow.wrong_grace,
            "Airflow's setting [retrofill] grace_period, on workers",
            "set it to a number of seconds, or leave it out",
            "AIRFLOW__RETROFILL__GRACE_PERIOD=5",
        )
    if not airflow.takes_conf:
        yield Finding(
            "Airflow ignores what a DAG run is triggered with",
            "Airflow's setting [core] dag_run_conf_overrides_params",
            "set it to True, its default; until then, only job files have params",
            "AIRFLOW__CORE__DAG_RUN_CONF_OVERRIDES_PARAMS=True",
        )
    far = any(not one.endswith("LocalExecutor") for one in airflow.executor.split(","))
    if far and not airflow.execution_api_server_url and _is_here(airflow.base_url):
        yield Finding(
            f"tasks of {airflow.executor} on other machines look for Airflow's API server on"
            " their own",
            "Airflow's setting [core] execution_api_server_url, on workers and schedulers",
            "set it to the address of an API server, with /execution/ at its end",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL=http://API-SERVER:8080/execution/",
        )
    if not airflow.base_url:
        yield Finding(
            "Airflow does not know the address at which people open it, so links in notifications"
            " lead nowhere",
            "Airflow's setting [api] base_url",
            "set it to that address",
            "AIRFLOW__API__BASE_URL=https://AIRFLOW",
        )


def _is_here(url: str) -> bool:
    return (urlsplit(url).hostname or "") in _ON_ONE_MACHINE


def _of_server(server: ServerFacts) -> Iterator[Finding]:
    for file, said in server.broken.items():
        yield Finding(
            f"Airflow cannot import {file}: {said}",
            "the DAG processor",
            "correct the file, or install what it needs, in the DAG processor's environment",
        )
    if not any(dag.makes_runs for dag in server.dags):
        yield Finding(
            "Airflow shows no DAG of Retrofill that makes runs",
            "the DAGs folder",
            "put retrofill's DAG files there, and wait until the DAG processor has read them",
        )
    for dag in server.dags:
        if dag.is_paused and MAINTENANCE in dag.tags:
            yield Finding(
                f"the DAG {dag.dag_id} is paused: runs that were abandoned are not closed, and"
                " nothing old is deleted",
                f"the DAG {dag.dag_id}",
                "switch it on",
                dag_id=dag.dag_id,
            )
    paused = [dag.dag_id for dag in server.dags if dag.is_paused and dag.makes_runs]
    if paused:
        yield Finding(
            f"paused, so Airflow begins no task of them: {', '.join(paused)}",
            "these DAGs",
            "switch on those that you trigger",
        )
    if not server.triggerer_lives:
        yield Finding(
            "no triggerer of Airflow's is alive: a run with overlap: wait does not go on",
            "Airflow's triggerer",
            "start one",
            "airflow triggerer",
        )
    if server.default_pool_slots == 0:
        yield Finding(
            "the pool default_pool has no slots, so no task begins",
            "Airflow, Admin, Pools",
            "give it slots",
            "airflow pools set default_pool 128 default",
            blocks=True,
        )
