"""The pages and the REST API, which Airflow's API server mounts.

Every Airflow process imports what a plugin names, even each task. So this module imports nothing:
the API server makes the app, and imports FastAPI, at the first request.
"""

from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any


@cache
def create_app() -> Callable[..., Awaitable[None]]:
    """Return the app, as ASGI."""
    from retrofill.web.app import app  # noqa: PLC0415  see above

    return app()


async def page(scope: Any, receive: Any, send: Any) -> None:
    """Serve a request: an ASGI app that costs nothing before its first request."""
    await create_app()(scope, receive, send)
