"""boto3 in a pool of threads, one per call in flight."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

import boto3
from botocore.config import Config

from benchmarks.contenders.work import FUNCTION_ARN, QUALIFIER, REGION, Work, contend
from benchmarks.event import encode, items


@contextmanager
def opened(work: Work) -> Iterator[Callable[[], None]]:
    """Open the client, with a connection for each thread and no retries."""
    config = Config(max_pool_connections=work.in_flight, retries={"total_max_attempts": 1})
    call = items(work.items_per_call)
    with closing(
        boto3.client("lambda", endpoint_url=work.url, region_name=REGION, config=config)
    ) as client:

        def invoke(_: int) -> None:
            answer = client.invoke(
                FunctionName=FUNCTION_ARN, Qualifier=QUALIFIER, Payload=encode(call)
            )
            answer["Payload"].read()
            if "FunctionError" in answer:
                raise RuntimeError(answer["FunctionError"])

        def make_calls() -> None:
            with ThreadPoolExecutor(work.in_flight) as pool:
                for _ in pool.map(invoke, range(work.calls)):
                    pass

        yield make_calls


if __name__ == "__main__":
    contend(opened)
