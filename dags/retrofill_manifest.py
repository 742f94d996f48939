"""Run a function over the objects that a manifest names.

A manifest is a file of keys: one of S3 Batch Operations or its completion report, an S3 Inventory,
or any CSV or JSON Lines file. Its objects are the same items as those of a listing of their bucket,
so a manifest and then a listing of what came since can be one job.
"""

from airflow.sdk import DAG  # noqa: F401  by this word Airflow knows a file that holds a DAG
from retrofill.workflow import retrofill_dag

dag = retrofill_dag("retrofill_manifest", source="manifest", schedule=None, doc_md=__doc__)
