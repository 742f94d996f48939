"""Run a function over the objects that a manifest names.

Name a bucket, a manifest of its objects and a function: the manifest of an S3 Batch Operations job,
its completion report, an S3 Inventory in CSV, or any CSV or JSON Lines with a column of keys. The
objects are the ones that `retrofill_s3` lists: what either has processed, the other knows.
"""

from airflow.sdk import DAG  # noqa: F401  by this word Airflow knows a file that holds a DAG
from retrofill.workflow import retrofill_dag

dag = retrofill_dag("retrofill_manifest", source="manifest", schedule=None, doc_md=__doc__)
