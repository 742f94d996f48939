"""The pages as one app that Airflow's API server mounts, and what they say when one fails."""

import logging

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse

from retrofill.model.connections import STATE_CONN_ID
from retrofill.model.errors import SchemaMismatch, StateError
from retrofill.web import item, job, jobs, quarantine, redrive, run
from retrofill.web.answers import say
from retrofill.web.api.app import PREFIX, api
from retrofill.web.rendering import RARE_LOOK_S

log = logging.getLogger(__name__)


def app() -> FastAPI:
    """Return the app; Airflow's auth manager must be there when it is asked something."""
    made = FastAPI(title="Retrofill", openapi_url=None)
    for page in (jobs, job, item, quarantine, redrive, run):
        made.include_router(page.router)
    made.mount(PREFIX, api())
    made.exception_handler(HTTPException)(_refused)
    made.exception_handler(StateError)(_state_unusable)
    return made


def _refused(request: Request, error: HTTPException) -> HTMLResponse:
    titles = {
        401: "You are not signed in to Airflow",
        403: "You may not do this",
        404: "There is nothing here",
    }
    title = titles.get(error.status_code, "This did not work")
    return say(request, title, f"Airflow says: {error.detail}.", code=error.status_code)


def _state_unusable(request: Request, error: StateError) -> HTMLResponse:
    """Say what is wrong with the state; details that name servers are for the log."""
    log.warning("a page: %s", error)
    if isinstance(error, SchemaMismatch):
        title, text = "The state's schema does not fit", str(error)
    else:
        title = "Retrofill's state cannot be reached"
        text = (
            f"It is the Postgres database of Airflow's connection {STATE_CONN_ID}."
            " The log of Airflow's API server says what is wrong. Runs that are at work wait for"
            " the database by themselves."
        )
    return say(request, title, text, code=503, look_s=RARE_LOOK_S)
