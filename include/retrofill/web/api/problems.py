"""What goes wrong with a request, as problem details: the field, its value, and what is allowed.

Format: RFC 9457.
"""

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
    """One thing that is wrong with what was asked for."""

    field: str
    detail: str = Field(description="Its value, and what is allowed.")


class Problem(BaseModel):
    """What went wrong, and what to do."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[Mistake] = Field(
        default=[], description="Each thing that is wrong; empty: it is none of a field."
    )


_DESCRIPTIONS = {
    401: "Nobody is signed in to Airflow.",
    403: "Airflow does not allow it, or the request comes from another site.",
    404: "There is nothing of this name or number.",
    409: "The run is closed, so that nothing was changed.",
    422: "Something is wrong with what was asked for; nothing was changed.",
    503: "The state cannot be reached, or not be used as it is.",
}

RESPONSES: dict[int | str, dict[str, Any]] = {
    code: {
        "description": description,
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    for code, description in _DESCRIPTIONS.items()
}
"""How each route may answer besides, for its description."""


def add_handlers(made: FastAPI) -> None:
    """Have an app answer with problem details."""
    # What no route has refused is of a class of Starlette's own.
    made.exception_handler(status.HTTP_404_NOT_FOUND)(_refused)
    made.exception_handler(status.HTTP_405_METHOD_NOT_ALLOWED)(_refused)
    made.exception_handler(HTTPException)(_refused)
    made.exception_handler(RequestValidationError)(_invalid)
    made.exception_handler(ConfigError)(_not_allowed)
    made.exception_handler(NoSuchRun)(_no_such_run)
    made.exception_handler(StateError)(_state_unusable)


def _refused(request: Request, error: HTTPException) -> JSONResponse:
    del request
    return _problem(error.status_code, str(error.detail))


def _invalid(request: Request, error: RequestValidationError) -> JSONResponse:
    del request
    mistakes = [
        Mistake(
            field=".".join(map(str, one["loc"][1:])) or "body",
            detail=f"{quoted(one['input'])}; {_allowed(one)}",
        )
        for one in error.errors()
    ]
    return _mistaken(mistakes)


def _not_allowed(request: Request, error: ConfigError) -> JSONResponse:
    del request
    return _mistaken([_mistake(problem) for problem in error.problems])


def _mistake(problem: str) -> Mistake:
    field, _, detail = problem.partition(": ")
    # Else the colon is one of a sentence.
    named = detail and " " not in field
    return Mistake(field=field, detail=detail) if named else Mistake(field="", detail=problem)


def _no_such_run(request: Request, error: NoSuchRun) -> JSONResponse:
    del request
    return _problem(status.HTTP_404_NOT_FOUND, str(error))


def _state_unusable(request: Request, error: StateError) -> JSONResponse:
    """Say what is wrong with the state; details that name servers are for the log."""
    del request
    log.warning("REST: %s", error)
    said = str(error) if isinstance(error, SchemaMismatch) else (
        f"Retrofill's state, the database of Airflow's connection {STATE_CONN_ID}, cannot be used;"
        " GET /retrofill/api/v1/setup and the log of Airflow's API server say why"
    )  # fmt: skip
    return _problem(status.HTTP_503_SERVICE_UNAVAILABLE, said)


def _mistaken(mistakes: Sequence[Mistake]) -> JSONResponse:
    said = "\n".join(f"{one.field}: {one.detail}".removeprefix(": ") for one in mistakes)
    return _problem(status.HTTP_422_UNPROCESSABLE_CONTENT, said, mistakes)


def _problem(code: int, detail: str, mistakes: Sequence[Mistake] = ()) -> JSONResponse:
    told = Problem(title=HTTPStatus(code).phrase, status=code, detail=detail, errors=list(mistakes))
    headers = {"Cache-Control": "no-store"}
    return JSONResponse(told.model_dump(), code, headers, media_type=MEDIA_TYPE)


def _allowed(error: dict[str, Any]) -> str:
    """Return what is allowed, in our own words where pydantic has others."""
    if error["type"] == "missing":
        return "it is missing"
    if error["type"] == "extra_forbidden":
        return "there is no such field"
    return str(error["msg"]).replace("Input should be", "allowed is")
