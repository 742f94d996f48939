"""Run a function over the objects that an S3 bucket already holds.

Name a bucket and a function, and every object that is there already becomes one call of that
function, with the event it knows from its live trigger. What was processed is remembered: the
same run again makes no call.
"""

from airflow.sdk import DAG  # noqa: F401  by this word Airflow knows a file that holds a DAG
from retrofill.workflow import retrofill_dag

dag = retrofill_dag("retrofill_s3", source="s3", schedule=None, doc_md=__doc__)
