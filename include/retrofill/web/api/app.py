"""The REST API as an app of its own, with its description."""

from typing import Any

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import Depends, FastAPI, Request
from fastapi.openapi.utils import get_openapi
from fastapi.responses import HTMLResponse, JSONResponse

from retrofill.web.api import jobs, runs, setup, triage
from retrofill.web.api.dependencies import not_stored
from retrofill.web.api.docs import show_description
from retrofill.web.api.problems import RESPONSES, Problem, add_handlers

PREFIX = "/api/v1"

_ABOUT = """What the pages show and do, as JSON.

Sign in as for Airflow's own API: with a bearer token from `POST /auth/token`, or with a browser
session. Permissions are those for DAG runs: if you may see the runs of a DAG in Airflow, you see
its runs here; if you may edit them there, you may change them here. In a browser session, a request
that changes something must come from Airflow's own site. Errors are problem details (RFC 9457)."""


def api() -> FastAPI:
    """Return the app."""
    made = FastAPI(
        title="Retrofill",
        version="1",
        description=_ABOUT,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        responses=RESPONSES,
        dependencies=[Depends(not_stored)],
    )
    for part in (jobs, runs, triage, setup):
        made.include_router(part.router)
    made.get("/openapi.json", include_in_schema=False)(describe)
    made.get("/docs", include_in_schema=False)(show_docs)
    add_handlers(made)
    return made


def describe(request: Request, _: GetUserDep) -> JSONResponse:
    """Return the OpenAPI description of the API."""
    return JSONResponse(description_of(request))


def show_docs(request: Request, _: GetUserDep) -> HTMLResponse:
    """Show the OpenAPI description of the API as a page."""
    return show_description(request, description_of(request))


def description_of(request: Request) -> dict[str, Any]:
    """Return the OpenAPI description of the API, with the address of the request."""
    app: FastAPI = request.app
    description = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        routes=app.routes,
        servers=[{"url": request.scope["root_path"]}],
    )
    schemas = description["components"]["schemas"]
    template = "#/components/schemas/{model}"
    problem = Problem.model_json_schema(ref_template=template)
    schemas |= problem.pop("$defs") | {"Problem": problem}
    return description
