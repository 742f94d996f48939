"""Imports, routes and the database of all DAG runs, made once before the forks."""

import asyncio
import functools
import json
import warnings
from typing import Any

warnings.simplefilter("ignore")

from jsonschema.validators import Draft202012Validator  # noqa: E402

_check = Draft202012Validator.check_schema
_checked: set[str] = set()


def _check_once(schema: Any) -> None:
    """Check a schema once: Airflow checks each param's a hundred times in a DAG run."""
    text = json.dumps(schema, sort_keys=True)
    if text not in _checked:
        _check(schema)
        _checked.add(text)


setattr(Draft202012Validator, "check_schema", staticmethod(_check_once))  # noqa: B010

import airflow.api_fastapi.core_api.routes.public  # noqa: E402, F401
import httpx  # noqa: E402
from airflow import settings  # noqa: E402
from airflow.sdk.execution_time import supervisor  # noqa: E402
from airflow.utils.db import upgradedb  # noqa: E402
from retrofill.compat import SERIES  # noqa: E402

import dags.retrofill_dags  # noqa: E402, F401

if SERIES < (3, 3):
    # Like newer versions: otherwise each task builds the API again, which takes seconds.
    supervisor.in_process_api_server = functools.lru_cache(supervisor.in_process_api_server)


async def _ask() -> None:
    """Make the task API build its routes, which it does at the first request."""
    transport = httpx.ASGITransport(supervisor.in_process_api_server().app)
    async with httpx.AsyncClient(transport=transport, base_url="http://warm") as client:
        (await client.get("/health")).raise_for_status()


upgradedb()
asyncio.run(_ask())
settings.engine.dispose()  # no fork may use another's connection
