"""What runs of a DAG import and build in any case, made once before they are forked."""

import asyncio
import warnings

warnings.simplefilter("ignore")

import airflow.api_fastapi.core_api.routes.public  # noqa: E402, F401
import httpx  # noqa: E402
from airflow.sdk.execution_time.supervisor import in_process_api_server  # noqa: E402

import dags.retrofill_migrate  # noqa: E402
import dags.retrofill_s3  # noqa: E402
import dags.retrofill_upkeep  # noqa: E402, F401


async def _ask() -> None:
    """Have the API of tasks build its routes, which it does at the first request."""
    transport = httpx.ASGITransport(in_process_api_server().app)
    async with httpx.AsyncClient(transport=transport, base_url="http://warm") as client:
        (await client.get("/health")).raise_for_status()


asyncio.run(_ask())
