"""The set-up page: what is missing. It also replaces any page that needs an unusable state."""

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.auth.managers.models.resource_details import AccessView
from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter, Depends, Request, status
from fastapi.responses import HTMLResponse

from retrofill.airflow_runs import airflow_facts
from retrofill.connections import wiring
from retrofill.model.errors import StateError, StateUnavailable
from retrofill.model.setup import Setup
from retrofill.pipeline.setup import Dag, ServerFacts
from retrofill.web.access import READ, hidden_dags, require_reader
from retrofill.web.airflow_facts import broken_files, default_pool_slots, our_dags, triggerer_lives
from retrofill.web.rendering import RARE_REFRESH_S
from retrofill.web.responses import respond

router = APIRouter()


@router.get("/setup", dependencies=[Depends(READ)])
def show_setup(request: Request, user: GetUserDep) -> HTMLResponse:
    """Show what is missing, and how to begin."""
    return instead(request, user)


def instead(request: Request, user: BaseUser, error: StateError | None = None) -> HTMLResponse:
    """Show what is missing instead of a page that needs the state.

    :param error: why the state could not be used just now; None: check the state
    :raises HTTPException: 403, the user may not see the runs of any DAG
    """
    require_reader(user)
    setup, dags = setup_for(user, error)
    return respond(
        request,
        "setup.html",
        code=status.HTTP_503_SERVICE_UNAVAILABLE if error else status.HTTP_200_OK,
        refresh_s=RARE_REFRESH_S,
        setup=setup,
        is_away=isinstance(error, StateUnavailable),
        dags=dags,
    )


def setup_for(user: BaseUser, error: StateError | None = None) -> tuple[Setup, list[Dag]]:
    """Return what is missing and Retrofill's DAGs, as far as a user may see them."""
    dags = dags_for(user)
    manager = get_auth_manager()
    sees_errors = manager.is_authorized_view(access_view=AccessView.IMPORT_ERRORS, user=user)
    facts = ServerFacts(
        dags=dags,
        broken=broken_files() if sees_errors else {},
        triggerer_lives=triggerer_lives(),
        default_pool_slots=default_pool_slots(),
    )
    return wiring().setup(airflow_facts(facts), error), dags


def dags_for(user: BaseUser) -> list[Dag]:
    """Return Retrofill's DAGs whose runs a user may see."""
    dags = our_dags()
    hidden = hidden_dags(user, [dag.dag_id for dag in dags])
    return [dag for dag in dags if dag.dag_id not in hidden]
