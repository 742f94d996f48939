"""Errors as problem details (RFC 9457): the field, its value, and what is allowed."""

import logging
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, HTTPException, Request, status
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from retrofill.model.connections import STATE_CONN_ID
from retrofill.model.errors import ConfigError, NoSuchRun, SchemaMismatch, StateError
from retrofill.model.quoting import quoted

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"


class Mistake(BaseModel):
    """One thing that is wrong with a request."""

    field: str
    detail: str = Field(description="Its value, and what is allowed.")


class Problem(BaseModel):
    """What went wrong, and what to do."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[Mistake] = Field(
        default=[], description="What is wrong with the request; empty: no field is wrong."
    )


RESPONSES: dict[int | str, dict[str, Any]] = {
    code: {
        "description": description,
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    for code, description in {
        401: "You are not signed in to Airflow.",
        403: "Airflow does not allow this, or the request comes from another site.",
        404: "Nothing has this name or number.",
        409: "The run is closed, so nothing was changed.",
        422: "Something is wrong with the request; nothing was changed.",
        503: "The state cannot be reached, or cannot be used as it is.",
    }.items()
}
"""The error responses of every route, for the description."""


def add_handlers(made: FastAPI) -> None:
    """Make an app respond to errors with problem details."""
    # Starlette's own error class for an unknown route or method is not FastAPI's HTTPException.
    for refused in (404, 405, HTTPException):
        made.exception_handler(refused)(_refused)
    made.exception_handler(RequestValidationError)(_invalid)
    made.exception_handler(ConfigError)(_not_allowed)
    made.exception_handler(NoSuchRun)(lambda _, error: _problem(404, str(error)))
    made.exception_handler(StateError)(_state_unusable)


def _refused(_: Request, error: HTTPException) -> JSONResponse:
    return _problem(error.status_code, str(error.detail))


def _invalid(_: Request, error: RequestValidationError) -> JSONResponse:
    mistakes = [
        Mistake(field=".".join(map(str, one["loc"][1:])) or "body", detail=_detail(one))
        for one in error.errors()
    ]
    return _mistaken(mistakes)


def _not_allowed(_: Request, error: ConfigError) -> JSONResponse:
    return _mistaken([_mistake(problem) for problem in error.problems])


def _mistake(problem: str) -> Mistake:
    field, _, detail = problem.partition(": ")
    # A colon after several words is not one after a field.
    named = detail and " " not in field
    return Mistake(field=field, detail=detail) if named else Mistake(field="", detail=problem)


def _state_unusable(_: Request, error: StateError) -> JSONResponse:
    """Say that the state cannot be used; only the log may name servers."""
    log.warning("REST: %s", error)
    said = str(error) if isinstance(error, SchemaMismatch) else (
        f"Retrofill's state, the database of Airflow's connection {STATE_CONN_ID}, cannot be used;"
        " see GET /retrofill/api/v1/setup and the log of Airflow's API server for the reason"
    )  # fmt: skip
    return _problem(status.HTTP_503_SERVICE_UNAVAILABLE, said)


def _mistaken(mistakes: Sequence[Mistake]) -> JSONResponse:
    said = "\n".join(f"{one.field}: {one.detail}".removeprefix(": ") for one in mistakes)
    return _problem(status.HTTP_422_UNPROCESSABLE_CONTENT, said, mistakes)


def _problem(code: int, detail: str, mistakes: Sequence[Mistake] = ()) -> JSONResponse:
    title = HTTPStatus(code).phrase
    problem = Problem(title=title, status=code, detail=detail, errors=list(mistakes))
    headers = {"Cache-Control": "no-store"}
    return JSONResponse(problem.model_dump(), code, headers, media_type=MEDIA_TYPE)


def _detail(error: dict[str, Any]) -> str:
    """Return what is wrong with a field, in our words where pydantic's differ."""
    if error["type"] == "missing":
        return "it is missing"
    if error["type"] == "extra_forbidden":
        return "there is no such field"
    message = error["msg"].replace("Input should be", "it must be")
    return f"{quoted(error['input'])} is not allowed; {message}"
