"""The page that says what is missing, in place of one that needs the state, or by itself."""

import logging
from collections.abc import Mapping, Sequence

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.auth.managers.models.resource_details import AccessView
from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter, Depends, HTTPException, Request, status
from fastapi.responses import HTMLResponse

from retrofill.airflow_runs import airflow_facts
from retrofill.connections import wiring
from retrofill.model.errors import StateError, StateUnavailable
from retrofill.model.setup import Setup
from retrofill.pipeline.setup import Dag, ServerFacts
from retrofill.web.access import READ, may, unseen
from retrofill.web.airflow_facts import (
    broken_files,
    default_pool_slots,
    our_dags,
    triggerer_lives,
)
from retrofill.web.answers import answer, shell_of
from retrofill.web.rendering import RARE_LOOK_S, render

router = APIRouter()
log = logging.getLogger(__name__)


@router.get("/setup", dependencies=[Depends(READ)])
def show_setup(request: Request, user: GetUserDep) -> HTMLResponse:
    """Show what is missing, and how to begin."""
    return _answer(request, user)


def instead(request: Request, user: BaseUser, error: StateError) -> HTMLResponse:
    """Show what is missing instead of a page that needs the state.

    :raises HTTPException: 403, they may see the runs of no DAG
    """
    require_reader(user)
    return _answer(request, user, error, code=status.HTTP_503_SERVICE_UNAVAILABLE)


def require_reader(user: BaseUser) -> None:
    """Refuse who may see no runs at all.

    :raises HTTPException: 403
    """
    if not may(user, "GET", []):
        raise HTTPException(status.HTTP_403_FORBIDDEN, "you may see the runs of no DAG")


def setup_for(user: BaseUser, dags: Sequence[Dag], error: StateError | None = None) -> Setup:
    """Return what is missing, with the import errors that a user may see.

    :param dags: our DAGs that the user may see
    :param error: what was wrong with the state just now; None: look at it
    """
    return wiring().setup(airflow_facts(_server_facts(user, dags)), error)


def dags_for(user: BaseUser) -> list[Dag]:
    """Return our DAGs whose runs a user may see."""
    dags = our_dags()
    hidden = unseen(user, [dag.dag_id for dag in dags])
    return [dag for dag in dags if dag.dag_id not in hidden]


def _server_facts(user: BaseUser, dags: Sequence[Dag]) -> ServerFacts:
    return ServerFacts(
        dags=dags,
        broken=_broken_files(user),
        triggerer_lives=triggerer_lives(),
        default_pool_slots=default_pool_slots(),
    )


def _broken_files(user: BaseUser) -> Mapping[str, str]:
    manager = get_auth_manager()
    if not manager.is_authorized_view(access_view=AccessView.IMPORT_ERRORS, user=user):
        return {}
    return broken_files()


def _answer(
    request: Request, user: BaseUser, error: StateError | None = None, *, code: int = 200
) -> HTMLResponse:
    shell, dags = shell_of(request), dags_for(user)
    html = render(
        "setup.html",
        shell,
        look_s=RARE_LOOK_S,
        setup=setup_for(user, dags, error),
        is_away=isinstance(error, StateUnavailable),
        dags=dags,
    )
    return answer(html, shell, code)
