"""The page of a run, which Airflow shows as a tab of its DAG-run page.

Every process of Airflow imports what a plugin names, each task among them. So this module imports
nothing: the app, and FastAPI with it, is made in the API server when it is first asked for.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from functools import cache
from typing import Any, TypeAlias

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]


@cache
def create_app() -> Callable[[Scope, Receive, Send], Awaitable[None]]:
    """Return the ASGI app of the page."""
    from retrofill.web.app import app  # noqa: PLC0415  see above

    return app()


async def page(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve the page: an ASGI app that costs nothing before its first request."""
    await create_app()(scope, receive, send)
