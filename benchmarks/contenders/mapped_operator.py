"""Airflow's own way: ``LambdaInvokeFunctionOperator`` mapped per call, in a real DAG.

It runs on a stack of its own. Its CPU is that of all of Airflow and its Postgres while the DAG
runs, as the tasks that encode and map are part of it; its rate is from the first mapped task's
start to the last one's end.
"""

import tempfile
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from benchmarks.contenders.work import WrongCountError
from benchmarks.observe import Benchmark
from stack.airflow_api import AirflowApi
from stack.endpoint import Script
from stack.scripted import scripted_stack

_DAG_ID = "mapped"
_TASK_ID = "call"
_DAG = '''
"""One call for each mapped instance of the operator that Amazon's provider has for it."""

from airflow.providers.amazon.aws.operators.lambda_function import LambdaInvokeFunctionOperator
from airflow.sdk import DAG, task

with DAG("mapped", schedule=None, params={"calls": 1, "items_per_call": 1}):

    @task
    def payloads(params=None):
        from benchmarks.contenders.work import encode
        from benchmarks.encode import KEYS, items

        call = items(KEYS["plain keys"], params["items_per_call"])
        return [encode(call).decode() for _ in range(params["calls"])]

    LambdaInvokeFunctionOperator.partial(
        task_id="call", function_name="scripted", qualifier="1"
    ).expand(payload=payloads())
'''
_DAG_WITHIN_S = 120
_KB_PER_MB = 1024


class MappedFigures(NamedTuple):
    """What was measured."""

    calls: int
    in_flight: int
    """The most at once, as the endpoint saw."""
    cpu_us: float
    """Of CPU per call: Airflow and Postgres."""
    calls_per_s: float
    peak_mb: float
    """Resident memory of the largest task; several run at once."""


def measure_mapped(calls: int, items_per_call: int, latency_s: float) -> MappedFigures:
    """Run the DAG, once to warm Airflow up and once to measure.

    :raises StackError: the stack cannot start
    :raises FailedRunError: a task failed
    :raises WrongCountError: the endpoint got more or fewer calls
    """
    with tempfile.TemporaryDirectory(prefix="retrofill-dags-") as directory:
        (Path(directory) / "mapped.py").write_text(_DAG)
        script = Script(latency=latency_s, count_items=False)
        with (
            scripted_stack(script, dags=Path(directory), say=lambda _: None) as (
                settings,
                endpoint,
            ),
            AirflowApi(settings) as airflow,
        ):
            airflow.unpause(_DAG_ID, within_s=_DAG_WITHIN_S)
            benchmark = Benchmark(settings, airflow, endpoint)
            params = {"calls": 1, "items_per_call": items_per_call}
            benchmark.observe(_DAG_ID, "warming", params)
            endpoint.reset()
            seen = benchmark.observe(_DAG_ID, "measured", {**params, "calls": calls})
            stats = endpoint.stats()
    if stats.invocations != calls:
        raise WrongCountError(f"mapped: the endpoint got {stats.invocations} calls, not {calls}")
    mapped = seen.instances[_TASK_ID]
    began = min(datetime.fromisoformat(one["start_date"]) for one in mapped)
    ended = max(datetime.fromisoformat(one["end_date"]) for one in mapped)
    resident = [seen.memory[one["id"]].resident for one in mapped if one["id"] in seen.memory]
    return MappedFigures(
        calls=calls,
        in_flight=stats.max_in_flight,
        cpu_us=seen.cpu_s / calls * 1_000_000,
        calls_per_s=calls / (ended - began).total_seconds(),
        peak_mb=max(resident, default=0) / _KB_PER_MB,
    )
