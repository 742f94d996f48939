"""Airflow's own way: ``LambdaInvokeFunctionOperator`` mapped per call, in a real DAG.

It runs on its own stack. Its CPU is that of Airflow and its Postgres while the DAG runs, because
encoding and mapping are tasks, too. Its rate is measured from the first mapped task's start to the
last one's end.
"""

from typing import NamedTuple

from benchmarks.command import FailedError
from benchmarks.observe import observer
from stack.endpoint import Script

_DAG_ID = "mapped"
_DAG = '''
"""One call for each mapped instance of the operator that Amazon's provider has for it."""

from airflow.providers.amazon.aws.operators.lambda_function import LambdaInvokeFunctionOperator
from airflow.sdk import DAG, task

with DAG("mapped", schedule=None, params={"calls": 1, "items_per_call": 1}):

    @task
    def payloads(params=None):
        from benchmarks.event import encode, items

        call = items(params["items_per_call"])
        return [encode(call).decode() for _ in range(params["calls"])]

    LambdaInvokeFunctionOperator.partial(
        task_id="call", function_name="scripted", qualifier="1"
    ).expand(payload=payloads())
'''


class MappedFigures(NamedTuple):
    """The measurements of the operator."""

    in_flight: int
    """The most, as counted by the endpoint."""
    cpu_us: float
    """CPU per call, in Airflow and Postgres."""
    calls_per_s: float
    peak_mb: float
    """Resident memory of the largest task; several run at once."""


def measure_mapped(calls: int, items_per_call: int, latency_s: float) -> MappedFigures:
    """Run the DAG, once to warm Airflow up and once to measure.

    :raises FailedError: a task failed, or the endpoint received more or fewer calls
    """
    script = Script(latency=latency_s, count_items=False)
    with observer(script, _DAG_ID, _DAG) as observing:
        params = {"calls": calls, "items_per_call": items_per_call}
        seen = observing.observe(_DAG_ID, "measured", params)
    task = seen.task("call")
    if task is None or seen.stats.invocations != calls:
        raise FailedError(
            f"mapped: the endpoint received {seen.stats.invocations}, not {calls} calls"
        )
    return MappedFigures(
        in_flight=seen.stats.max_in_flight,
        cpu_us=seen.cpu_s / calls * 1_000_000,
        calls_per_s=calls / (task.ended - task.began),
        peak_mb=task.resident_mb,
    )
