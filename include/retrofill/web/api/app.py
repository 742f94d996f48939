"""The REST API as an app of its own, with its description."""

from typing import Any

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import Depends, FastAPI, Request
from fastapi.openapi.utils import get_openapi
from fastapi.responses import HTMLResponse, JSONResponse

from retrofill.web.answers import answer, shell_of
from retrofill.web.api import jobs, runs, setup, triage
from retrofill.web.api.asking import not_stored
from retrofill.web.api.docs import render_docs
from retrofill.web.api.problems import RESPONSES, Problem, add_handlers

PREFIX = "/api/v1"

_ABOUT = """What the pages show and do, as JSON.

Sign in as to Airflow's own API: with a token of `POST /auth/token` as a bearer token, or with the
session of a browser. Permissions are those of DAG runs: who may see those of a DAG may see its runs
here, who may edit them may change them. A request of a browser's session that changes something
must come from Airflow's own site. What goes wrong is told as problem details (RFC 9457)."""


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


def describe(request: Request, user: GetUserDep) -> JSONResponse:
    """Return the description of the API, by OpenAPI."""
    del user
    return JSONResponse(description_of(request))


def show_docs(request: Request, user: GetUserDep) -> HTMLResponse:
    """Show the description of the API as a page."""
    del user
    shell = shell_of(request)
    return answer(render_docs(description_of(request), shell), shell)


def description_of(request: Request) -> dict[str, Any]:
    """Return the description of the API, with the address at which it was asked for."""
    app: FastAPI = request.app
    told = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        routes=app.routes,
        servers=[{"url": request.scope["root_path"]}],
    )
    schemas = told["components"]["schemas"]
    template = "#/components/schemas/{model}"
    problem = Problem.model_json_schema(ref_template=template)
    schemas |= problem.pop("$defs") | {"Problem": problem}
    return told
