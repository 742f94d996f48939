"""Trigger DAG runs in the API server, as Airflow's own REST API does."""

from collections.abc import Mapping
from typing import Any

from airflow.api.common.trigger_dag import trigger_dag
from airflow.exceptions import DagNotFound, DagRunAlreadyExists
from airflow.utils.types import DagRunTriggeredByType

from retrofill.model.errors import ConfigError
from retrofill.web.airflow_facts import is_paused


def trigger(dag_id: str, params: Mapping[str, Any], user: str) -> str:
    """Start a DAG run with params and return its id; the caller checks permissions.

    :raises ConfigError: there is no such DAG, it is paused, or it does not accept the params
    """
    if is_paused(dag_id):
        raise ConfigError(
            f"dag: {dag_id!r} is paused, so Airflow starts none of its tasks; unpause it"
        )
    try:
        made = trigger_dag(
            dag_id,
            triggered_by=DagRunTriggeredByType.REST_API,
            triggering_user_name=user,
            conf=dict(params),
        )
    except (DagNotFound, DagRunAlreadyExists, ValueError) as error:
        raise ConfigError(f"dag: {dag_id!r}; {error}") from error
    if made is None:
        raise ConfigError(f"dag: {dag_id!r}; Airflow started no DAG run of it; see Airflow's log")
    return str(made.run_id)
