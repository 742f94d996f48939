"""Triggering DAG runs in the API server, as its own REST does."""

from collections.abc import Mapping
from typing import Any

from airflow.api.common.trigger_dag import trigger_dag
from airflow.exceptions import DagNotFound, DagRunAlreadyExists
from airflow.models import DagModel
from airflow.utils.session import create_session
from airflow.utils.types import DagRunTriggeredByType
from sqlalchemy import select

from retrofill.model.errors import ConfigError


def trigger(dag_id: str, params: Mapping[str, Any], who: str) -> str:
    """Start a DAG run with some params; return its id. May they do that, is asked elsewhere.

    :raises ConfigError: there is no such DAG, it is paused, or it does not take these params
    """
    with create_session() as session:
        paused = session.scalar(select(DagModel.is_paused).where(DagModel.dag_id == dag_id))
    if paused:
        raise ConfigError(
            f"dag: {dag_id!r} is paused, so that Airflow begins no task of it; switch it on"
        )
    try:
        made = trigger_dag(
            dag_id,
            triggered_by=DagRunTriggeredByType.REST_API,
            triggering_user_name=who,
            conf=dict(params),
        )
    except (DagNotFound, DagRunAlreadyExists, ValueError) as error:
        raise ConfigError(f"dag: {dag_id!r}; {error}") from error
    if made is None:
        raise ConfigError(f"dag: {dag_id!r}; Airflow has started no DAG run of it")
    return str(made.run_id)
