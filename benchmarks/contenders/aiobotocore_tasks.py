"""aiobotocore on uvloop, with one task per call in flight.

It runs in its own environment, which ``make bench-calling`` creates from ``aiobotocore.lock``.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvloop
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session

from benchmarks.contenders.work import FUNCTION_ARN, QUALIFIER, REGION, Work, contend
from benchmarks.event import encode, items


@contextmanager
def opened(work: Work) -> Iterator[Callable[[], None]]:
    """Open the client, with a connection for each task and no retries."""
    config = AioConfig(max_pool_connections=work.in_flight, retries={"total_max_attempts": 1})
    creating = get_session().create_client(
        "lambda", endpoint_url=work.url, region_name=REGION, config=config
    )
    call = items(work.items_per_call)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        client = runner.run(creating.__aenter__())
        left = iter(range(work.calls))

        async def invoke_until_none_is_left() -> None:
            for _ in left:
                answer = await client.invoke(
                    FunctionName=FUNCTION_ARN, Qualifier=QUALIFIER, Payload=encode(call)
                )
                await answer["Payload"].read()
                if "FunctionError" in answer:
                    raise RuntimeError(answer["FunctionError"])

        async def calls() -> None:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(work.in_flight):
                    tasks.create_task(invoke_until_none_is_left())

        yield lambda: runner.run(calls())
        runner.run(creating.__aexit__(None, None, None))


if __name__ == "__main__":
    contend(opened)
