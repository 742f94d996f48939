"""The pages as one app that Airflow's API server mounts, and what they say when one fails."""

import logging

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse

from retrofill.model.errors import StateError
from retrofill.pipeline.setup import is_of_setup
from retrofill.web import item, job, jobs, quarantine, redrive, run, setup
from retrofill.web.answers import say
from retrofill.web.api.app import PREFIX, api
from retrofill.web.rendering import RARE_LOOK_S

log = logging.getLogger(__name__)


def app() -> FastAPI:
    """Return the app; Airflow's auth manager must be there when it is asked something."""
    made = FastAPI(title="Retrofill", openapi_url=None)
    for page in (jobs, job, item, quarantine, redrive, run, setup):
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
    """Say what is wrong with the state, to whom it concerns."""
    log.warning("a page: %s", error)
    if is_of_setup(error):
        try:
            return setup.instead(request, request.state.user, error)
        except HTTPException as refused:
            return _refused(request, refused)
    text = "The log of Airflow's API server says what is wrong."
    title = "Retrofill's state cannot be read"
    return say(request, title, text, code=503, look_s=RARE_LOOK_S)
