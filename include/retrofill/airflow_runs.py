"""What a task may ask of Airflow: what its DAG run was asked for, and which DAG runs live."""

from collections.abc import Sequence
from typing import Any

from airflow.sdk import Context

from include.retrofill.model.errors import ConfigError
from include.retrofill.model.quoting import quoted
from include.retrofill.pipeline.rescue import Lives

_NOT_OVER = ["queued", "running"]


def params_of(context: Context) -> dict[str, Any]:
    """Return the params of a DAG run, which must be what it was triggered with.

    :raises ConfigError: Airflow is set to ignore the conf of a DAG run, and this one has some that
        says something else
    """
    params = dict(context["params"])
    asked = context["dag_run"].conf or {}
    ignored = sorted(
        name for name, value in asked.items() if name not in params or params[name] != value
    )
    if ignored:
        raise ConfigError(
            f"{', '.join(map(quoted, ignored))}: this Airflow ignores what a DAG run is triggered"
            " with, by its setting [core] dag_run_conf_overrides_params = False; set it to True, or"
            " trigger the DAG with its own params and nothing else"
        )
    return params


def lives(context: Context) -> Lives:
    """Return what tells whether Airflow has one of some DAG runs queued or running."""
    ti = context["ti"]

    def one_lives(dag_id: str, dag_run_ids: Sequence[str]) -> bool:
        return ti.get_dr_count(dag_id=dag_id, run_ids=list(dag_run_ids), states=_NOT_OVER) > 0

    return one_lives
