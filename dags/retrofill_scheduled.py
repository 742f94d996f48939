"""Recurring backfills: one DAG for each file in include/jobs/."""

from airflow.sdk import DAG  # noqa: F401  by this word Airflow knows a file that holds a DAG
from retrofill.jobs import load_jobs
from retrofill.workflow import job_dag

for dag in map(job_dag, load_jobs()):
    globals()[dag.dag_id] = dag
