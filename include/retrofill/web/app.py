"""The pages as one app that Airflow's API server mounts, and the pages that report errors."""

import logging

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse

from retrofill.model.errors import StateError
from retrofill.pipeline.setup import is_of_setup
from retrofill.web import item, job, jobs, quarantine, redrive, run, setup
from retrofill.web.api.app import PREFIX, api
from retrofill.web.rendering import RARE_REFRESH_S
from retrofill.web.responses import respond

log = logging.getLogger(__name__)

_TITLES = {
    401: "You are not signed in to Airflow",
    403: "You may not do this",
    404: "There is nothing here",
}


def app() -> FastAPI:
    """Return the app; it needs Airflow's auth manager at its first request."""
    made = FastAPI(title="Retrofill", openapi_url=None)
    for page in (jobs, job, item, quarantine, redrive, run, setup):
        made.include_router(page.router)
    made.mount(PREFIX, api())
    made.exception_handler(HTTPException)(_refused)
    made.exception_handler(StateError)(_state_unusable)
    return made


def _refused(request: Request, error: HTTPException) -> HTMLResponse:
    code = error.status_code
    title = _TITLES.get(code, "This did not work")
    text = f"{error.detail[:1].upper()}{error.detail[1:]}."
    return respond(request, "message.html", code=code, title=title, text=text)


def _state_unusable(request: Request, error: StateError) -> HTMLResponse:
    """Show what is wrong with the state, if the user may see it."""
    log.warning("a page: %s", error)
    if is_of_setup(error):
        try:
            return setup.instead(request, request.state.user, error)
        except HTTPException as refused:
            return _refused(request, refused)
    text = "See the log of Airflow's API server for the reason."
    title = "Retrofill's state cannot be read"
    return respond(
        request, "message.html", code=503, refresh_s=RARE_REFRESH_S, title=title, text=text
    )
