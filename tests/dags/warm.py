"""What runs of a DAG import and build in any case, made once before they are forked."""

import asyncio
import functools
import warnings

warnings.simplefilter("ignore")

import airflow.api_fastapi.core_api.routes.public  # noqa: E402, F401
import httpx  # noqa: E402
from airflow.sdk.execution_time import supervisor  # noqa: E402
from retrofill.compat import SERIES  # noqa: E402

import dags.retrofill_s3  # noqa: E402
import dags.retrofill_upkeep  # noqa: E402, F401

if SERIES < (3, 3):
    # As newer ones do: else each task builds the API anew, which takes seconds.
    supervisor.in_process_api_server = functools.lru_cache(supervisor.in_process_api_server)


async def _ask() -> None:
    """Have the API of tasks build its routes, which it does at the first request."""
    transport = httpx.ASGITransport(supervisor.in_process_api_server().app)
    async with httpx.AsyncClient(transport=transport, base_url="http://warm") as client:
        (await client.get("/health")).raise_for_status()


asyncio.run(_ask())
