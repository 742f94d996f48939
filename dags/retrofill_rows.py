"""Run a function over the rows of files.

Each row of CSV or JSON Lines files, plain or compressed, on S3 or on a disk, becomes an item; or
each group of rows does. What was processed is remembered, by the rows' place or by columns.
"""

from airflow.sdk import DAG  # noqa: F401  by this word Airflow knows a file that holds a DAG
from retrofill.workflow import retrofill_dag

dag = retrofill_dag("retrofill_rows", source="rows", schedule=None, doc_md=__doc__)
