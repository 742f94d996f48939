"""Run a function over the rows of CSV or JSON Lines files.

Name the files and a function: every row, or every group of rows, becomes an item of a call. What
was processed is remembered: the same run again makes no call.
"""

from airflow.sdk import DAG  # noqa: F401  by this word Airflow knows a file that holds a DAG
from retrofill.workflow import retrofill_dag

dag = retrofill_dag("retrofill_rows", source="rows", schedule=None, doc_md=__doc__)
