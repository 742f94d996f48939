"""Airflow's audit log: who changed what, on a page or by REST."""

import json

from airflow.models import Log
from airflow.utils.session import create_session


def record(user: str, dag_id: str, dag_run_id: str, action: str, value: str) -> None:
    """Write into Airflow's audit log what a user did to the run of a DAG run."""
    with create_session() as session:
        entry = Log(
            event=f"retrofill_{action}",
            owner=user,
            owner_display_name=user,
            dag_id=dag_id,
            run_id=dag_run_id,
            extra=json.dumps({"value": value}),
        )
        session.add(entry)
