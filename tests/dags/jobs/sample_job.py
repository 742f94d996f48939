"""A DAG like that of a job file, for the bucket and function in the environment.

Airflow parses only files that name airflow and DAG.
"""

import os

from retrofill.workflow import retrofill_dag

dag = retrofill_dag(
    "retrofill_sample",
    source="s3",
    schedule=None,
    defaults={
        "bucket": os.environ["SAMPLE_BUCKET"],
        "function": os.environ["SAMPLE_FUNCTION"],
        "prefix": "in/",
        "event": "s3",
    },
)
