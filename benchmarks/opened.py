"""A run that is open, as a measurement begins with one."""

from retrofill.model.delivery import Delivery
from retrofill.model.function import Pinned
from retrofill.model.limits import Limits
from retrofill.model.runs import Job, NewRun, SetRef
from retrofill.state import runs
from retrofill.state.connection import Connection

from benchmarks.contenders.work import FUNCTION_ARN, QUALIFIER

FUNCTION = Pinned(
    kind="aws_lambda",
    name=FUNCTION_ARN,
    version=QUALIFIER,
    timeout_s=60,
)


def open_run(
    conn: Connection,
    source: str,
    dag_run_id: str = "benchmark",
    *,
    items_per_call: int,
    max_concurrency: int,
    max_items: int,
) -> SetRef:
    """Open a run of the one job of a database, with one partition."""
    job = Job("benchmark", "f" * 32, source, "scripted", "s3")
    new = NewRun(
        job_id=runs.remember_job(conn, job),
        source="s3://bucket/",
        config={},
        delivery=Delivery(event="s3", items_per_call=items_per_call, answer="return"),
        modified_after=None,
        modified_before=None,
        limits=Limits(max_concurrency=max_concurrency, max_items_per_set=max_items),
        dag_id="benchmark",
        dag_run_id=dag_run_id,
    )
    ref = runs.open_run(conn, new, FUNCTION)
    runs.add_partitions(conn, ref.run_id, [(0, "all", {})])
    return ref
