"""The pages and the REST API, which Airflow's API server mounts.

Every Airflow process imports what a plugin names, even each task. So this module imports nothing:
the API server makes the app, and imports FastAPI, at the first request.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from functools import cache
from typing import Any, TypeAlias

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]


@cache
def create_app() -> Callable[[Scope, Receive, Send], Awaitable[None]]:
    """Return the app, as ASGI."""
    from retrofill.web.app import app  # noqa: PLC0415  see above

    return app()


async def page(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve a request: an ASGI app that costs nothing before its first request."""
    await create_app()(scope, receive, send)
