"""Keep the state in order, and forget a job.

`retrofill_upkeep` closes runs that were abandoned, and deletes what is older than it has to be
kept. `retrofill_forget` deletes all that is known of one job.
"""

from datetime import UTC, datetime

from airflow.sdk import DAG  # noqa: F401  by this word Airflow knows a file that holds a DAG
from retrofill.workflow import forget_dag, upkeep_dag

upkeep = upkeep_dag(
    "retrofill_upkeep",
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    doc_md="""Close runs that were abandoned, and delete calls, and if asked for results, that are
    older than they have to be kept. **An object whose result is deleted is new again**: the next
    run that lists it calls the function with it once more.""",
)
forget = forget_dag(
    "retrofill_forget",
    doc_md="""Forget a job: its runs, calls, results and quarantine are deleted for good, and all
    its objects are new again. Refused while a run of it is open; broken off, trigger it again.""",
)
